-- +goose Up
-- With the accounts in the index, who came in a day or a month is read from it
-- alone. SQLite has them in its index anyway: they are in the key of the table.
DROP INDEX analytics_ranks_requests;
CREATE INDEX analytics_ranks_requests ON analytics_ranks (grain, start, service, requests) INCLUDE (user_id);

-- +goose Down
DROP INDEX analytics_ranks_requests;
CREATE INDEX analytics_ranks_requests ON analytics_ranks (grain, start, service, requests);
