-- +goose Up
-- One row per serving process, refreshed while it lives. Times are those of the
-- database, so that machines need not agree on the time.
CREATE TABLE instances (
    id           TEXT NOT NULL PRIMARY KEY,
    home         TEXT NOT NULL,
    host         TEXT NOT NULL,
    version      TEXT NOT NULL,
    key_id       TEXT NOT NULL,
    trusted_keys TEXT NOT NULL,
    stores       TEXT NOT NULL,
    started_at   DATETIME NOT NULL,
    seen_at      DATETIME NOT NULL
);

-- Which instance works on what is unfinished; '' is none that lives.
ALTER TABLE images ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE image_erasures ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE tts_conversions ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE tts_erasures ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE chat_messages ADD COLUMN instance TEXT NOT NULL DEFAULT '';

-- Accounts that are gone and are erased once more when no request of theirs can
-- be under way any longer.
CREATE TABLE erased_users (
    user_id   INTEGER PRIMARY KEY,
    erased_at DATETIME NOT NULL
);
CREATE INDEX erased_users_erased_at ON erased_users (erased_at);

-- +goose Down
DROP TABLE erased_users;
ALTER TABLE chat_messages DROP COLUMN instance;
ALTER TABLE tts_erasures DROP COLUMN instance;
ALTER TABLE tts_conversions DROP COLUMN instance;
ALTER TABLE image_erasures DROP COLUMN instance;
ALTER TABLE images DROP COLUMN instance;
DROP TABLE instances;
