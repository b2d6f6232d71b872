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
    grain          INTEGER NOT NULL,
    user_id        INTEGER NOT NULL,
    start          INTEGER NOT NULL,
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
    latency_0 INTEGER, latency_1 INTEGER, latency_2 INTEGER, latency_3 INTEGER, latency_4 INTEGER,
    latency_5 INTEGER, latency_6 INTEGER, latency_7 INTEGER, latency_8 INTEGER, latency_9 INTEGER,
    latency_10 INTEGER, latency_11 INTEGER, latency_12 INTEGER, latency_13 INTEGER, latency_14 INTEGER,
    latency_15 INTEGER, latency_16 INTEGER, latency_17 INTEGER, latency_18 INTEGER, latency_19 INTEGER,
    latency_20 INTEGER, latency_21 INTEGER, latency_22 INTEGER, latency_23 INTEGER, latency_24 INTEGER,
    latency_25 INTEGER, latency_26 INTEGER, latency_27 INTEGER, latency_28 INTEGER, latency_29 INTEGER,
    latency_30 INTEGER, latency_31 INTEGER, latency_32 INTEGER, latency_33 INTEGER, latency_34 INTEGER,
    latency_35 INTEGER, latency_36 INTEGER, latency_37 INTEGER, latency_38 INTEGER, latency_39 INTEGER,
    latency_40 INTEGER,
    PRIMARY KEY (grain, user_id, start, service, provider, model)
) WITHOUT ROWID;

-- Requests by account and service, per day and month, to find who made the most.
-- service is '' for all of them together.
CREATE TABLE analytics_ranks (
    grain    INTEGER NOT NULL,
    user_id  INTEGER NOT NULL,
    start    INTEGER NOT NULL,
    service  TEXT NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (grain, user_id, start, service)
) WITHOUT ROWID;
CREATE INDEX analytics_ranks_requests ON analytics_ranks (grain, start, service, requests);

-- When an account used a service first and last, to count the active ones.
-- service is '' for any of them.
CREATE TABLE analytics_accounts (
    user_id  INTEGER NOT NULL,
    service  TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    PRIMARY KEY (user_id, service)
) WITHOUT ROWID;
CREATE INDEX analytics_accounts_last_ms ON analytics_accounts (service, last_ms);

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
        ELSE CAST(strftime('%s', h.hour, 'unixepoch', 'start of month') AS INTEGER) END,
    h.service, h.provider, h.model,
    SUM(requests), SUM(failed), SUM(input_tokens), SUM(output_tokens), SUM(input_bytes), SUM(output_bytes), SUM(cost_nano_usd), SUM(latency_sum_ms),
    SUM(latency_count), SUM(ttft_sum_ms), SUM(ttft_count), MIN(first_ms), MAX(last_ms), SUM(latency_0), SUM(latency_1), SUM(latency_2),
    SUM(latency_3), SUM(latency_4), SUM(latency_5), SUM(latency_6), SUM(latency_7), SUM(latency_8), SUM(latency_9), SUM(latency_10), SUM(latency_11),
    SUM(latency_12), SUM(latency_13), SUM(latency_14), SUM(latency_15), SUM(latency_16), SUM(latency_17), SUM(latency_18), SUM(latency_19),
    SUM(latency_20), SUM(latency_21), SUM(latency_22), SUM(latency_23), SUM(latency_24), SUM(latency_25), SUM(latency_26), SUM(latency_27),
    SUM(latency_28), SUM(latency_29), SUM(latency_30), SUM(latency_31), SUM(latency_32), SUM(latency_33), SUM(latency_34), SUM(latency_35),
    SUM(latency_36), SUM(latency_37), SUM(latency_38), SUM(latency_39), SUM(latency_40)
FROM analytics_wide h CROSS JOIN (
    SELECT 1 AS grain, 1 AS everyone UNION ALL SELECT 2, 1 UNION ALL SELECT 3, 1 UNION ALL SELECT 2, 0 UNION ALL SELECT 3, 0
) AS kinds
GROUP BY 1, 2, 3, 4, 5, 6;

DROP TABLE analytics_wide;

INSERT INTO analytics_ranks (grain, user_id, start, service, requests)
SELECT kinds.grain, h.user_id, CASE kinds.grain WHEN 2 THEN h.hour - h.hour % 86400
        ELSE CAST(strftime('%s', h.hour, 'unixepoch', 'start of month') AS INTEGER) END,
    CASE WHEN kinds.each = 1 THEN h.service ELSE '' END, SUM(requests)
FROM analytics_hours h CROSS JOIN (
    SELECT 2 AS grain, 0 AS each UNION ALL SELECT 3, 0 UNION ALL SELECT 2, 1 UNION ALL SELECT 3, 1
) AS kinds
WHERE h.user_id > 0 AND (kinds.each = 0 OR h.service <> '')
GROUP BY 1, 2, 3, 4;

INSERT INTO analytics_accounts (user_id, service, first_ms, last_ms)
SELECT user_id, '', MIN(first_ms), MAX(last_ms) FROM analytics_hours WHERE user_id > 0 GROUP BY user_id
UNION ALL
SELECT user_id, service, MIN(first_ms), MAX(last_ms) FROM analytics_hours WHERE user_id > 0 AND service <> '' GROUP BY user_id, service;

-- +goose Down
DROP TABLE analytics_accounts;
DROP TABLE analytics_ranks;
DROP TABLE analytics_sums;
