#!/usr/bin/env bash
# Runs every Go test: first those whose servers are processes of their own, then the
# others under the race detector. The detector does not see into processes and would
# only slow their clients down, so the files of those tests are built without it.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t files < <(grep -rlx --include='*_test.go' --exclude-dir=node_modules '//go:build !race' .)
for file in "${files[@]}"; do
  [ "$(dirname "$file")" = . ] || { echo "$file is built without the race detector, and nothing here would run it" >&2; exit 1; }
done
tests=$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(t .*/\1/p' "${files[@]}" </dev/null | paste -sd"|")
[ -n "$tests" ] || { echo "no test of processes was found" >&2; exit 1; }

# SQLite's own code, which a machine made from C, is not watched: it shares nothing
# but through its locks, which are, and watching it makes these tests much longer.
# Packages with generic code must be watched: theirs would take the place of the
# same code elsewhere. What vet would look for, tools/lint.sh has.
watched=(-race -gcflags='modernc.org/sqlite/lib=-race=false' -gcflags='golang.org/x/crypto/argon2=-race=false')

# The tests of processes wait, a good part of their time: what is tested next is
# compiled beside them, when nothing else wants the processors. Should that fail,
# the tests say why.
CGO_ENABLED=1 nice -n 19 go list "${watched[@]}" -test -deps -export ./... >/dev/null 2>&1 &
compiling=$!
trap 'kill "$compiling" 2>/dev/null || true' EXIT

go test -shuffle=on -timeout 20m -parallel 4 -run "^($tests)\$" .
wait "$compiling" || true

# platform/canvas starts no goroutine, and its tests take seven times as long when it
# is watched. The packages whose tests take longest are first, so that none of them
# is left alone at the end.
unwatched=llmhist/platform/canvas
go test -shuffle=on "$unwatched"
list=$(go list . ./modules/... ./transfer ./...)
mapfile -t packages < <(grep -vx "$unwatched" <<<"$list")
CGO_ENABLED=1 go test "${watched[@]}" -vet=off -shuffle=on -timeout 20m "${packages[@]}"
