-- +goose Up
-- Sums of analytics_hours and analytics_latencies over longer times and over
-- everyone, so that no question about a year adds up millions of rows. They are
-- kept in the transactions that change the hours, and can be made from those at
-- any time, as it is done below. grain is 1 for an hour, 2 for a UTC day and 3
-- for a UTC month, start the Unix time of its beginning in seconds. user_id is -2
-- for everyone; there are no hours of single accounts, which are in
-- analytics_hours. latency_i counts what is in bucket i; NULL means none and
-- takes no room.
CREATE TABLE analytics_sums (
    grain          SMALLINT NOT NULL,
    user_id        BIGINT NOT NULL,
    start          BIGINT NOT NULL,
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
    latency_0 BIGINT, latency_1 BIGINT, latency_2 BIGINT, latency_3 BIGINT, latency_4 BIGINT,
    latency_5 BIGINT, latency_6 BIGINT, latency_7 BIGINT, latency_8 BIGINT, latency_9 BIGINT,
    latency_10 BIGINT, latency_11 BIGINT, latency_12 BIGINT, latency_13 BIGINT, latency_14 BIGINT,
    latency_15 BIGINT, latency_16 BIGINT, latency_17 BIGINT, latency_18 BIGINT, latency_19 BIGINT,
    latency_20 BIGINT, latency_21 BIGINT, latency_22 BIGINT, latency_23 BIGINT, latency_24 BIGINT,
    latency_25 BIGINT, latency_26 BIGINT, latency_27 BIGINT, latency_28 BIGINT, latency_29 BIGINT,
    latency_30 BIGINT, latency_31 BIGINT, latency_32 BIGINT, latency_33 BIGINT, latency_34 BIGINT,
    latency_35 BIGINT, latency_36 BIGINT, latency_37 BIGINT, latency_38 BIGINT, latency_39 BIGINT,
    latency_40 BIGINT,
    PRIMARY KEY (grain, user_id, start, service, provider, model)
);

-- Without these the planner takes grain and user_id for independent, expects many
-- times the rows there are, and compiles and parallelizes what takes a millisecond.
CREATE STATISTICS analytics_sums_kinds (mcv) ON grain, user_id FROM analytics_sums;
ALTER STATISTICS analytics_sums_kinds SET STATISTICS 500;

-- Requests by account and service, per day and month, to find who made the most.
-- service is '' for all of them together.
CREATE TABLE analytics_ranks (
    grain    SMALLINT NOT NULL,
    user_id  BIGINT NOT NULL,
    start    BIGINT NOT NULL,
    service  TEXT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (grain, user_id, start, service)
);
CREATE INDEX analytics_ranks_requests ON analytics_ranks (grain, start, service, requests);

-- When an account used a service first and last, to count the active ones.
-- service is '' for any of them.
CREATE TABLE analytics_accounts (
    user_id  BIGINT NOT NULL,
    service  TEXT NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms  BIGINT NOT NULL,
    PRIMARY KEY (user_id, service)
);
CREATE INDEX analytics_accounts_last_ms ON analytics_accounts (service, last_ms);

-- Nobody may add to the hours while they are summed.
LOCK TABLE analytics_hours, analytics_latencies IN SHARE ROW EXCLUSIVE MODE;

-- The hours with their histograms side by side.
CREATE TEMPORARY TABLE analytics_wide AS
SELECT * FROM analytics_hours LEFT JOIN (
    SELECT hour, user_id, service, provider, model,
        SUM(CASE WHEN bucket = 0 THEN requests END) AS latency_0, SUM(CASE WHEN bucket = 1 THEN requests END) AS latency_1,
        SUM(CASE WHEN bucket = 2 THEN requests END) AS latency_2, SUM(CASE WHEN bucket = 3 THEN requests END) AS latency_3,
        SUM(CASE WHEN bucket = 4 THEN requests END) AS latency_4, SUM(CASE WHEN bucket = 5 THEN requests END) AS latency_5,
        SUM(CASE WHEN bucket = 6 THEN requests END) AS latency_6, SUM(CASE WHEN bucket = 7 THEN requests END) AS latency_7,
        SUM(CASE WHEN bucket = 8 THEN requests END) AS latency_8, SUM(CASE WHEN bucket = 9 THEN requests END) AS latency_9,
        SUM(CASE WHEN bucket = 10 THEN requests END) AS latency_10, SUM(CASE WHEN bucket = 11 THEN requests END) AS latency_11,
        SUM(CASE WHEN bucket = 12 THEN requests END) AS latency_12, SUM(CASE WHEN bucket = 13 THEN requests END) AS latency_13,
        SUM(CASE WHEN bucket = 14 THEN requests END) AS latency_14, SUM(CASE WHEN bucket = 15 THEN requests END) AS latency_15,
        SUM(CASE WHEN bucket = 16 THEN requests END) AS latency_16, SUM(CASE WHEN bucket = 17 THEN requests END) AS latency_17,
        SUM(CASE WHEN bucket = 18 THEN requests END) AS latency_18, SUM(CASE WHEN bucket = 19 THEN requests END) AS latency_19,
        SUM(CASE WHEN bucket = 20 THEN requests END) AS latency_20, SUM(CASE WHEN bucket = 21 THEN requests END) AS latency_21,
        SUM(CASE WHEN bucket = 22 THEN requests END) AS latency_22, SUM(CASE WHEN bucket = 23 THEN requests END) AS latency_23,
        SUM(CASE WHEN bucket = 24 THEN requests END) AS latency_24, SUM(CASE WHEN bucket = 25 THEN requests END) AS latency_25,
        SUM(CASE WHEN bucket = 26 THEN requests END) AS latency_26, SUM(CASE WHEN bucket = 27 THEN requests END) AS latency_27,
        SUM(CASE WHEN bucket = 28 THEN requests END) AS latency_28, SUM(CASE WHEN bucket = 29 THEN requests END) AS latency_29,
        SUM(CASE WHEN bucket = 30 THEN requests END) AS latency_30, SUM(CASE WHEN bucket = 31 THEN requests END) AS latency_31,
        SUM(CASE WHEN bucket = 32 THEN requests END) AS latency_32, SUM(CASE WHEN bucket = 33 THEN requests END) AS latency_33,
        SUM(CASE WHEN bucket = 34 THEN requests END) AS latency_34, SUM(CASE WHEN bucket = 35 THEN requests END) AS latency_35,
        SUM(CASE WHEN bucket = 36 THEN requests END) AS latency_36, SUM(CASE WHEN bucket = 37 THEN requests END) AS latency_37,
        SUM(CASE WHEN bucket = 38 THEN requests END) AS latency_38, SUM(CASE WHEN bucket = 39 THEN requests END) AS latency_39,
        SUM(CASE WHEN bucket = 40 THEN requests END) AS latency_40
    FROM analytics_latencies GROUP BY hour, user_id, service, provider, model
) AS histograms USING (hour, user_id, service, provider, model);

INSERT INTO analytics_sums (grain, user_id, start, service, provider, model,
    requests, failed, input_tokens, output_tokens, input_bytes, output_bytes, cost_nano_usd, latency_sum_ms, latency_count, ttft_sum_ms, ttft_count,
    first_ms, last_ms, latency_0, latency_1, latency_2, latency_3, latency_4, latency_5, latency_6, latency_7, latency_8, latency_9, latency_10,
    latency_11, latency_12, latency_13, latency_14, latency_15, latency_16, latency_17, latency_18, latency_19, latency_20, latency_21, latency_22,
    latency_23, latency_24, latency_25, latency_26, latency_27, latency_28, latency_29, latency_30, latency_31, latency_32, latency_33, latency_34,
    latency_35, latency_36, latency_37, latency_38, latency_39, latency_40)
SELECT kinds.grain, CASE WHEN kinds.everyone = 1 THEN -2 ELSE h.user_id END,
    CASE kinds.grain WHEN 1 THEN h.hour WHEN 2 THEN h.hour - h.hour % 86400
        ELSE CAST(EXTRACT(EPOCH FROM date_trunc('month', to_timestamp(h.hour) AT TIME ZONE 'UTC')) AS BIGINT) END,
    h.service, h.provider, h.model,
    CAST(SUM(requests) AS BIGINT), CAST(SUM(failed) AS BIGINT), CAST(SUM(input_tokens) AS BIGINT), CAST(SUM(output_tokens) AS BIGINT),
    CAST(SUM(input_bytes) AS BIGINT), CAST(SUM(output_bytes) AS BIGINT), CAST(SUM(cost_nano_usd) AS BIGINT), CAST(SUM(latency_sum_ms) AS BIGINT),
    CAST(SUM(latency_count) AS BIGINT), CAST(SUM(ttft_sum_ms) AS BIGINT), CAST(SUM(ttft_count) AS BIGINT), MIN(first_ms), MAX(last_ms),
    CAST(SUM(latency_0) AS BIGINT), CAST(SUM(latency_1) AS BIGINT), CAST(SUM(latency_2) AS BIGINT), CAST(SUM(latency_3) AS BIGINT),
    CAST(SUM(latency_4) AS BIGINT), CAST(SUM(latency_5) AS BIGINT), CAST(SUM(latency_6) AS BIGINT), CAST(SUM(latency_7) AS BIGINT),
    CAST(SUM(latency_8) AS BIGINT), CAST(SUM(latency_9) AS BIGINT), CAST(SUM(latency_10) AS BIGINT), CAST(SUM(latency_11) AS BIGINT),
    CAST(SUM(latency_12) AS BIGINT), CAST(SUM(latency_13) AS BIGINT), CAST(SUM(latency_14) AS BIGINT), CAST(SUM(latency_15) AS BIGINT),
    CAST(SUM(latency_16) AS BIGINT), CAST(SUM(latency_17) AS BIGINT), CAST(SUM(latency_18) AS BIGINT), CAST(SUM(latency_19) AS BIGINT),
    CAST(SUM(latency_20) AS BIGINT), CAST(SUM(latency_21) AS BIGINT), CAST(SUM(latency_22) AS BIGINT), CAST(SUM(latency_23) AS BIGINT),
    CAST(SUM(latency_24) AS BIGINT), CAST(SUM(latency_25) AS BIGINT), CAST(SUM(latency_26) AS BIGINT), CAST(SUM(latency_27) AS BIGINT),
    CAST(SUM(latency_28) AS BIGINT), CAST(SUM(latency_29) AS BIGINT), CAST(SUM(latency_30) AS BIGINT), CAST(SUM(latency_31) AS BIGINT),
    CAST(SUM(latency_32) AS BIGINT), CAST(SUM(latency_33) AS BIGINT), CAST(SUM(latency_34) AS BIGINT), CAST(SUM(latency_35) AS BIGINT),
    CAST(SUM(latency_36) AS BIGINT), CAST(SUM(latency_37) AS BIGINT), CAST(SUM(latency_38) AS BIGINT), CAST(SUM(latency_39) AS BIGINT),
    CAST(SUM(latency_40) AS BIGINT)
FROM analytics_wide h CROSS JOIN (
    SELECT 1 AS grain, 1 AS everyone UNION ALL SELECT 2, 1 UNION ALL SELECT 3, 1 UNION ALL SELECT 2, 0 UNION ALL SELECT 3, 0
) AS kinds
GROUP BY 1, 2, 3, 4, 5, 6;

DROP TABLE analytics_wide;

INSERT INTO analytics_ranks (grain, user_id, start, service, requests)
SELECT kinds.grain, h.user_id, CASE kinds.grain WHEN 2 THEN h.hour - h.hour % 86400
        ELSE CAST(EXTRACT(EPOCH FROM date_trunc('month', to_timestamp(h.hour) AT TIME ZONE 'UTC')) AS BIGINT) END,
    CASE WHEN kinds.each = 1 THEN h.service ELSE '' END, CAST(SUM(requests) AS BIGINT)
FROM analytics_hours h CROSS JOIN (
    SELECT 2 AS grain, 0 AS each UNION ALL SELECT 3, 0 UNION ALL SELECT 2, 1 UNION ALL SELECT 3, 1
) AS kinds
WHERE h.user_id > 0 AND (kinds.each = 0 OR h.service <> '')
GROUP BY 1, 2, 3, 4;

INSERT INTO analytics_accounts (user_id, service, first_ms, last_ms)
SELECT user_id, '', MIN(first_ms), MAX(last_ms) FROM analytics_hours WHERE user_id > 0 GROUP BY user_id
UNION ALL
SELECT user_id, service, MIN(first_ms), MAX(last_ms) FROM analytics_hours WHERE user_id > 0 AND service <> '' GROUP BY user_id, service;

-- What the planner knows of a new table is nothing.
ANALYZE analytics_sums, analytics_ranks, analytics_accounts;

-- +goose Down
DROP TABLE analytics_accounts;
DROP TABLE analytics_ranks;
DROP TABLE analytics_sums;
