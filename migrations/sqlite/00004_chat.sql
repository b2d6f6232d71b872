-- +goose Up
CREATE TABLE chat_sessions (
    id            TEXT PRIMARY KEY,
    user_id       INTEGER NOT NULL,
    title         TEXT NOT NULL DEFAULT '',
    system        TEXT NOT NULL DEFAULT '',
    model         TEXT NOT NULL DEFAULT '',
    last_model    TEXT NOT NULL DEFAULT '',
    last_position INTEGER NOT NULL DEFAULT 0,
    message_count INTEGER NOT NULL DEFAULT 0,
    input_tokens  INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    estimated     BOOLEAN NOT NULL DEFAULT FALSE,
    created_at    DATETIME NOT NULL,
    updated_at    DATETIME NOT NULL
);
CREATE INDEX chat_sessions_by_user ON chat_sessions (user_id, updated_at DESC, id DESC);

CREATE TABLE chat_messages (
    id            TEXT PRIMARY KEY,
    session_id    TEXT NOT NULL REFERENCES chat_sessions (id) ON DELETE CASCADE,
    user_id       INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    role          TEXT NOT NULL,
    content       TEXT NOT NULL,
    status        TEXT NOT NULL,
    provider      TEXT NOT NULL DEFAULT '',
    model         TEXT NOT NULL DEFAULT '',
    finish_reason TEXT NOT NULL DEFAULT '',
    error_code    TEXT NOT NULL DEFAULT '',
    error_detail  TEXT NOT NULL DEFAULT '',
    input_tokens  INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    estimated     BOOLEAN NOT NULL DEFAULT FALSE,
    created_at    DATETIME NOT NULL,
    finished_at   DATETIME,
    UNIQUE (session_id, position)
);
CREATE INDEX chat_messages_unfinished ON chat_messages (id) WHERE status = 'processing';

-- +goose Down
DROP TABLE chat_messages;
DROP TABLE chat_sessions;
