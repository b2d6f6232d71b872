-- +goose Up
-- What is to be known about the installation itself, such as that a restore
-- into it has not finished.
CREATE TABLE installation (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE installation;
