-- +goose Up
-- One row per request for an image: an index over the objects, which are the
-- history. An id is a UUIDv7, so the order of ids is the order of creation.
CREATE TABLE images (
    id                 TEXT NOT NULL PRIMARY KEY,
    user_id            INTEGER,
    request_id         TEXT NOT NULL DEFAULT '',
    prompt             TEXT NOT NULL,
    negative_prompt    TEXT NOT NULL DEFAULT '',
    size               TEXT NOT NULL,
    style              TEXT NOT NULL DEFAULT '',
    seed               INTEGER,
    status             TEXT NOT NULL,
    provider           TEXT NOT NULL DEFAULT '',
    model              TEXT NOT NULL DEFAULT '',
    error_code         TEXT NOT NULL DEFAULT '',
    error_detail       TEXT NOT NULL DEFAULT '',
    s3_key             TEXT NOT NULL DEFAULT '',
    s3_bucket          TEXT NOT NULL DEFAULT '',
    width              INTEGER NOT NULL DEFAULT 0,
    height             INTEGER NOT NULL DEFAULT 0,
    file_size_bytes    INTEGER NOT NULL DEFAULT 0,
    processing_time_ms INTEGER NOT NULL DEFAULT 0,
    metadata           TEXT NOT NULL DEFAULT '{}',
    created_at         DATETIME NOT NULL,
    updated_at         DATETIME NOT NULL
);
CREATE INDEX images_of_user ON images (user_id, id);
CREATE INDEX images_processing ON images (id) WHERE status = 'processing';

-- How many images there are, so that no list has to count its rows and a deep
-- page is found without walking to it. scope is a user's id, 0 for anonymous
-- ones, -1 for all; bucket is the first five digits of the ids (3.1 days).
CREATE TABLE image_counts (
    scope  INTEGER NOT NULL,
    bucket TEXT NOT NULL,
    images INTEGER NOT NULL,
    PRIMARY KEY (scope, bucket)
) WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER images_counted AFTER INSERT ON images
BEGIN
    INSERT INTO image_counts (scope, bucket, images)
    VALUES (-1, substr(NEW.id, 1, 5), 1), (COALESCE(NEW.user_id, 0), substr(NEW.id, 1, 5), 1)
    ON CONFLICT (scope, bucket) DO UPDATE SET images = images + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER images_discounted AFTER DELETE ON images
BEGIN
    UPDATE image_counts SET images = images - 1
    WHERE scope IN (-1, COALESCE(OLD.user_id, 0)) AND bucket = substr(OLD.id, 1, 5);
    DELETE FROM image_counts
    WHERE scope IN (-1, COALESCE(OLD.user_id, 0)) AND bucket = substr(OLD.id, 1, 5) AND images <= 0;
END;
-- +goose StatementEnd

-- Images whose row is gone and whose objects are being removed.
CREATE TABLE image_erasures (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    INTEGER,
    processing BOOLEAN NOT NULL
);
CREATE INDEX image_erasures_of_user ON image_erasures (user_id, id);

-- +goose Down
DROP TABLE image_erasures;
DROP TABLE images;
DROP TABLE image_counts;
