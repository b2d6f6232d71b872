-- +goose Up
-- The key of the table has the accounts, and so has its index: nothing is to be
-- done here.
SELECT 1;

-- +goose Down
SELECT 1;
