#!/usr/bin/env bash
# Starts an S3 server, runs the given command with its address and keys in
# TEST_S3_ENDPOINT, TEST_S3_ACCESS_KEY and TEST_S3_SECRET_KEY, and stops it. The
# server is built once per version and kept in the user's cache directory.
set -euo pipefail

version=v1.8.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/llmhist/bin
server=$cache/versitygw-$version

if [ ! -x "$server" ]; then
  echo "building versitygw $version, once" >&2
  mkdir -p "$cache"
  build=$(mktemp -d "$cache/build.XXXXXX")
  trap 'rm -rf "$build"' EXIT
  # Its own module: away from ours, which must not decide its dependencies.
  (cd "$build" && CGO_ENABLED=0 GOFLAGS= GOBIN=$build go install "github.com/versity/versitygw/cmd/versitygw@$version") >&2
  mv "$build/versitygw" "$server" # at once, for another build may run
  rm -rf "$build"
fi

export TEST_S3_SERVER=$server # for tests that start and kill one of their own

dir=$(mktemp -d)
process=
stop() {
  if [ -n "$process" ]; then
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap stop EXIT

export TEST_S3_ACCESS_KEY=test-access TEST_S3_SECRET_KEY=test-secret-of-this-run

free_port() {
  python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])' 2>/dev/null ||
    node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'
}

# start answers whether the server came up; another process may have taken the port.
start() {
  port=$(free_port)
  mkdir -p "$dir/objects"
  ROOT_ACCESS_KEY=$TEST_S3_ACCESS_KEY ROOT_SECRET_KEY=$TEST_S3_SECRET_KEY \
    "$server" --quiet --keep-alive --port "127.0.0.1:$port" posix "$dir/objects" >"$dir/log" 2>&1 &
  process=$!
  for _ in $(seq 100); do
    kill -0 "$process" 2>/dev/null || return 1
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  return 1
}

start || start || { echo "the S3 server does not start:" >&2; cat "$dir/log" >&2; exit 1; }
export TEST_S3_ENDPOINT="http://127.0.0.1:$port"
"$@"
