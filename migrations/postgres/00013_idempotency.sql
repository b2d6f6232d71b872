-- +goose Up
-- Requests that came with an Idempotency-Key, and what was answered. key is the
-- SHA-256 of the key and request that of the request, both in hex. status is 0
-- while the request is under way on the server called instance.
CREATE TABLE idempotency_keys (
    user_id    BIGINT NOT NULL,
    key        TEXT NOT NULL,
    request    TEXT NOT NULL,
    instance   TEXT NOT NULL,
    status     INTEGER NOT NULL DEFAULT 0,
    header     TEXT NOT NULL DEFAULT '',
    body       BYTEA,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- +goose Down
DROP TABLE idempotency_keys;
