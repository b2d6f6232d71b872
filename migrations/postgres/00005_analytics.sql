-- +goose Up
-- One row per generating request, refused and failed ones included. Never the
-- text of a prompt or an answer.
CREATE TABLE analytics_events (
    id            TEXT PRIMARY KEY,
    ts            TIMESTAMPTZ NOT NULL,
    user_id       BIGINT, -- NULL anonymous, -1 an erased account
    service       TEXT NOT NULL,
    action        TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    provider      TEXT NOT NULL,
    model         TEXT NOT NULL,
    status        TEXT NOT NULL,
    latency_ms    BIGINT NOT NULL,
    ttft_ms       BIGINT,
    input_tokens  BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    input_bytes   BIGINT NOT NULL,
    output_bytes  BIGINT NOT NULL,
    cost_nano_usd BIGINT NOT NULL,
    metadata      JSONB NOT NULL
);
CREATE INDEX analytics_events_ts ON analytics_events (ts);
CREATE INDEX analytics_events_user_id ON analytics_events (user_id);

-- Sums per UTC hour. hour is the Unix time of its start in seconds; user_id is
-- 0 for anonymous callers and -1 for erased accounts.
CREATE TABLE analytics_hours (
    hour           BIGINT NOT NULL,
    user_id        BIGINT NOT NULL,
    service        TEXT NOT NULL,
    provider       TEXT NOT NULL,
    model          TEXT NOT NULL,
    requests       BIGINT NOT NULL,
    failed         BIGINT NOT NULL,
    input_tokens   BIGINT NOT NULL,
    output_tokens  BIGINT NOT NULL,
    input_bytes    BIGINT NOT NULL,
    output_bytes   BIGINT NOT NULL,
    cost_nano_usd  BIGINT NOT NULL,
    latency_sum_ms BIGINT NOT NULL,
    latency_count  BIGINT NOT NULL,
    ttft_sum_ms    BIGINT NOT NULL,
    ttft_count     BIGINT NOT NULL,
    first_ms       BIGINT NOT NULL,
    last_ms        BIGINT NOT NULL,
    PRIMARY KEY (hour, user_id, service, provider, model)
);
CREATE INDEX analytics_hours_user_id ON analytics_hours (user_id, hour);

-- Latency histograms of the same hours; bucket i ends at 2^(i/2) ms.
CREATE TABLE analytics_latencies (
    hour     BIGINT NOT NULL,
    user_id  BIGINT NOT NULL,
    service  TEXT NOT NULL,
    provider TEXT NOT NULL,
    model    TEXT NOT NULL,
    bucket   SMALLINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (hour, user_id, service, provider, model, bucket)
);
CREATE INDEX analytics_latencies_user_id ON analytics_latencies (user_id, hour);

-- +goose Down
DROP TABLE analytics_latencies;
DROP TABLE analytics_hours;
DROP TABLE analytics_events;
