// Package migrations holds the numbered SQL steps of the schema, one directory
// per dialect with the same numbers and names in both.
package migrations

import "embed"

// Files holds sqlite/*.sql and postgres/*.sql.
//
//go:embed sqlite/*.sql postgres/*.sql
var Files embed.FS
