-- +goose Up
-- One row per generating request, refused and failed ones included. Never the
-- text of a prompt or an answer.
CREATE TABLE analytics_events (
    id            TEXT PRIMARY KEY,
    ts            DATETIME NOT NULL,
    user_id       INTEGER, -- NULL anonymous, -1 an erased account
    service       TEXT NOT NULL,
    action        TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    provider      TEXT NOT NULL,
    model         TEXT NOT NULL,
    status        TEXT NOT NULL,
    latency_ms    INTEGER NOT NULL,
    ttft_ms       INTEGER,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    input_bytes   INTEGER NOT NULL,
    output_bytes  INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    metadata      TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX analytics_events_ts ON analytics_events (ts);
CREATE INDEX analytics_events_user_id ON analytics_events (user_id);

-- Sums per UTC hour. hour is the Unix time of its start in seconds; user_id is
-- 0 for anonymous callers and -1 for erased accounts.
CREATE TABLE analytics_hours (
    hour           INTEGER NOT NULL,
    user_id        INTEGER NOT NULL,
    service        TEXT NOT NULL,
    provider       TEXT NOT NULL,
    model          TEXT NOT NULL,
    requests       INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    input_tokens   INTEGER NOT NULL,
    output_tokens  INTEGER NOT NULL,
    input_bytes    INTEGER NOT NULL,
    output_bytes   INTEGER NOT NULL,
    cost_nano_usd  INTEGER NOT NULL,
    latency_sum_ms INTEGER NOT NULL,
    latency_count  INTEGER NOT NULL,
    ttft_sum_ms    INTEGER NOT NULL,
    ttft_count     INTEGER NOT NULL,
    first_ms       INTEGER NOT NULL,
    last_ms        INTEGER NOT NULL,
    PRIMARY KEY (hour, user_id, service, provider, model)
) WITHOUT ROWID;
CREATE INDEX analytics_hours_user_id ON analytics_hours (user_id, hour);

-- Latency histograms of the same hours; bucket i ends at 2^(i/2) ms.
CREATE TABLE analytics_latencies (
    hour     INTEGER NOT NULL,
    user_id  INTEGER NOT NULL,
    service  TEXT NOT NULL,
    provider TEXT NOT NULL,
    model    TEXT NOT NULL,
    bucket   INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (hour, user_id, service, provider, model, bucket)
) WITHOUT ROWID;
CREATE INDEX analytics_latencies_user_id ON analytics_latencies (user_id, hour);

-- +goose Down
DROP TABLE analytics_latencies;
DROP TABLE analytics_hours;
DROP TABLE analytics_events;
