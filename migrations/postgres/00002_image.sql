-- +goose Up
-- One row per request for an image: an index over the objects, which are the
-- history. An id is a UUIDv7, so the order of ids is the order of creation.
CREATE TABLE images (
    id                 TEXT COLLATE "C" PRIMARY KEY,
    user_id            BIGINT,
    request_id         TEXT NOT NULL DEFAULT '',
    prompt             TEXT NOT NULL,
    negative_prompt    TEXT NOT NULL DEFAULT '',
    size               TEXT NOT NULL,
    style              TEXT NOT NULL DEFAULT '',
    seed               BIGINT,
    status             TEXT NOT NULL,
    provider           TEXT NOT NULL DEFAULT '',
    model              TEXT NOT NULL DEFAULT '',
    error_code         TEXT NOT NULL DEFAULT '',
    error_detail       TEXT NOT NULL DEFAULT '',
    s3_key             TEXT NOT NULL DEFAULT '',
    s3_bucket          TEXT NOT NULL DEFAULT '',
    width              BIGINT NOT NULL DEFAULT 0,
    height             BIGINT NOT NULL DEFAULT 0,
    file_size_bytes    BIGINT NOT NULL DEFAULT 0,
    processing_time_ms BIGINT NOT NULL DEFAULT 0,
    metadata           TEXT NOT NULL DEFAULT '{}',
    created_at         TIMESTAMPTZ NOT NULL,
    updated_at         TIMESTAMPTZ NOT NULL
);
CREATE INDEX images_of_user ON images (user_id, id);
CREATE INDEX images_processing ON images (id) WHERE status = 'processing';

-- How many images there are, so that no list has to count its rows and a deep
-- page is found without walking to it. scope is a user's id, 0 for anonymous
-- ones, -1 for all; bucket is the first five digits of the ids (3.1 days).
CREATE TABLE image_counts (
    scope  BIGINT NOT NULL,
    bucket TEXT COLLATE "C" NOT NULL,
    images BIGINT NOT NULL,
    PRIMARY KEY (scope, bucket)
);

-- The row of all images is always locked before the user's, so that no two
-- writers wait for each other.
-- +goose StatementBegin
CREATE FUNCTION count_images() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO image_counts (scope, bucket, images) VALUES (-1, substr(NEW.id, 1, 5), 1)
    ON CONFLICT (scope, bucket) DO UPDATE SET images = image_counts.images + 1;
    INSERT INTO image_counts (scope, bucket, images) VALUES (COALESCE(NEW.user_id, 0), substr(NEW.id, 1, 5), 1)
    ON CONFLICT (scope, bucket) DO UPDATE SET images = image_counts.images + 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION discount_images() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE image_counts SET images = images - 1 WHERE scope = -1 AND bucket = substr(OLD.id, 1, 5);
    UPDATE image_counts SET images = images - 1 WHERE scope = COALESCE(OLD.user_id, 0) AND bucket = substr(OLD.id, 1, 5);
    DELETE FROM image_counts
    WHERE scope IN (-1, COALESCE(OLD.user_id, 0)) AND bucket = substr(OLD.id, 1, 5) AND images <= 0;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER images_counted AFTER INSERT ON images FOR EACH ROW EXECUTE FUNCTION count_images();
CREATE TRIGGER images_discounted AFTER DELETE ON images FOR EACH ROW EXECUTE FUNCTION discount_images();

-- Images whose row is gone and whose objects are being removed.
CREATE TABLE image_erasures (
    id         TEXT COLLATE "C" PRIMARY KEY,
    user_id    BIGINT,
    processing BOOLEAN NOT NULL
);
CREATE INDEX image_erasures_of_user ON image_erasures (user_id, id);

-- +goose Down
DROP TABLE image_erasures;
DROP TABLE images;
DROP TABLE image_counts;
DROP FUNCTION count_images();
DROP FUNCTION discount_images();
