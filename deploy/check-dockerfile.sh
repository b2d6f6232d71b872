#!/usr/bin/env bash
# Tries what the Dockerfile does without Docker: the files that its context
# holds, the two build steps of deploy/build.sh, and the image's start, health
# check and stop. Takes a minute; changes nothing outside a temporary directory.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$1"; }
die() { echo "check-dockerfile: $1" >&2; exit 1; }

work=$(mktemp -d)
server=""
cleanup() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

say "the build context: tracked files without what .dockerignore names"
context=$work/context
mkdir "$context"
git ls-files -z -co --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - | tar -xf - -C "$context"
while read -r pattern; do
  case $pattern in ''|'#'*|'!'*|'*'*|*'/*') ;; *) rm -rf "${context:?}/${pattern:?}" ;; esac
done <.dockerignore

say "the Dockerfile"
for step in "deploy/build.sh assets" "deploy/build.sh binary"; do
  grep -q "^RUN .*$step\$" Dockerfile || die "no RUN line calls $step"
done
grep -q '^USER llmhist$' Dockerfile || die "the image does not run as its own user"
wanted=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' go.mod)
grep -q "^FROM golang:$wanted-" Dockerfile || die "the Dockerfile builds with another Go than go.mod asks for ($wanted)"
sed -n 's/^COPY \([^-].*\)/\1/p' Dockerfile | while read -r line; do
  set -- $line
  while [ $# -gt 1 ]; do [ -e "$context/$1" ] || die "COPY $1: not in the context"; shift; done
done

say "stage assets"
(cd "$context" && deploy/build.sh assets)

say "stage build"
(cd "$context" && VERSION=checked deploy/build.sh binary)
sed -n 's/^COPY --from=build \(.*\)/\1/p' Dockerfile | while read -r line; do
  set -- $line
  while [ $# -gt 1 ]; do [ -e "$context/${1#/src/}" ] || die "COPY --from=build $1: not there"; shift; done
done
! ldd "$context/bin/llmhist" >/dev/null 2>&1 || die "the binary is not static"

say "run: start, health check, stop"
port=$((20000 + RANDOM % 20000))
install -d -m 0700 "$work/data"
image() { cd "$work/data" && exec env -i PATH="$PATH" HOST=0.0.0.0 PORT="$port" DATA_DIR="$work/data" LOG_FORMAT=json "$context/bin/llmhist" "$@"; }
(image version) | grep -q ' checked ' || die "the version did not reach the binary"
image serve >"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do (image healthcheck) >/dev/null 2>&1 && break; sleep 0.1; done
(image healthcheck) || { cat "$work/log"; die "not healthy"; }
kill -TERM "$server"
code=0; wait "$server" || code=$?
server=""
[ "$code" = 0 ] || die "exit code $code after SIGTERM"

say "done"
