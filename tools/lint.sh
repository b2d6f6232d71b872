#!/usr/bin/env bash
# The static checks. Each prints what is wrong and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.2

echo "gofmt"
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || { echo "not formatted, run make fmt:"; echo "$unformatted"; exit 1; }

echo "go vet"
go vet ./...

echo "go mod tidy"
go mod tidy -diff

echo "staticcheck"
go run "$STATICCHECK" ./...

echo "web"
[ -d web/node_modules ] || npm --prefix web ci --no-audit --no-fund
npm --prefix web run --silent lint
npm --prefix web run --silent typecheck
