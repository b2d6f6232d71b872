-- +goose Up
CREATE TABLE tts_conversions (
    id               TEXT PRIMARY KEY,
    user_id          BIGINT,
    text             TEXT NOT NULL,
    audio_url        TEXT,
    model            TEXT NOT NULL,
    voice            TEXT,
    language         TEXT NOT NULL,
    speed            DOUBLE PRECISION NOT NULL,
    format           TEXT NOT NULL,
    status           TEXT NOT NULL,
    error_code       TEXT,
    error_detail     TEXT,
    duration_seconds DOUBLE PRECISION,
    file_size_bytes  BIGINT,
    s3_key           TEXT,
    s3_bucket        TEXT NOT NULL,
    metadata         JSONB NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL,
    updated_at       TIMESTAMPTZ NOT NULL
);

-- Both cover the ids of a page, so that a deep one reads no rows it skips.
CREATE INDEX tts_conversions_user_id ON tts_conversions (user_id, created_at, id);
CREATE INDEX tts_conversions_created_at ON tts_conversions (created_at, id);
CREATE INDEX tts_conversions_unfinished ON tts_conversions (id) WHERE status = 'processing';

-- Conversions whose row is gone and whose objects are being removed.
CREATE TABLE tts_erasures (
    id         TEXT PRIMARY KEY,
    user_id    BIGINT,
    processing BOOLEAN NOT NULL
);
CREATE INDEX tts_erasures_user_id ON tts_erasures (user_id, id);

-- +goose Down
DROP TABLE tts_erasures;
DROP TABLE tts_conversions;
