#!/usr/bin/env bash
# Runs every Go test: first under the race detector, then those whose servers are
# processes of their own. The detector does not see into processes and would only
# slow their clients down, so the files of those tests are built without it.
set -euo pipefail
cd "$(dirname "$0")/.."

CGO_ENABLED=1 go test -race -shuffle=on -timeout 20m ./...

mapfile -t files < <(grep -lx '//go:build !race' -- *_test.go)
tests=$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(t .*/\1/p' "${files[@]}" | paste -sd'|')
go test -shuffle=on -timeout 20m -run "^($tests)\$" .
