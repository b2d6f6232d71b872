-- +goose Up
CREATE TABLE users (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    email          TEXT NOT NULL UNIQUE,
    password_hash  TEXT NOT NULL,
    role           TEXT NOT NULL,
    name           TEXT NOT NULL DEFAULT '',
    disabled_at    DATETIME,
    created_at     DATETIME NOT NULL,
    updated_at     DATETIME NOT NULL,
    -- set while the account and what it owns are being erased
    deleting_at    DATETIME,
    -- requests per UTC day, null = unlimited
    chat_per_day   INTEGER,
    image_per_day  INTEGER,
    speech_per_day INTEGER,
    -- e-mail and name in lower case, for the search of administrators
    search_text    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX users_deleting_at ON users (deleting_at) WHERE deleting_at IS NOT NULL;
CREATE INDEX users_admins ON users (id) WHERE role = 'admin';

CREATE TABLE sessions (
    id            TEXT PRIMARY KEY,
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the one refresh token that is not spent yet
    refresh_token TEXT NOT NULL UNIQUE,
    -- SHA-256 of the part that every refresh token of this session shares
    token_family  TEXT NOT NULL UNIQUE,
    expires_at    DATETIME NOT NULL,
    created_at    DATETIME NOT NULL,
    last_used_at  DATETIME NOT NULL,
    revoked       BOOLEAN NOT NULL DEFAULT FALSE,
    user_agent    TEXT NOT NULL DEFAULT '',
    ip            TEXT NOT NULL DEFAULT ''
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    -- SHA-256 of the key
    key_hash     TEXT NOT NULL UNIQUE,
    created_at   DATETIME NOT NULL,
    last_used_at DATETIME,
    expires_at   DATETIME
);
CREATE INDEX api_keys_user_id ON api_keys (user_id);

CREATE TABLE quota_usage (
    user_id INTEGER NOT NULL,
    day     TEXT NOT NULL, -- 2026-01-31, in UTC
    service TEXT NOT NULL,
    used    INTEGER NOT NULL,
    PRIMARY KEY (user_id, day, service)
);
CREATE INDEX quota_usage_day ON quota_usage (day);

-- +goose Down
DROP TABLE quota_usage;
DROP TABLE api_keys;
DROP TABLE sessions;
DROP TABLE users;
