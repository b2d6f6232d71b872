#!/usr/bin/env bash
# Starts a server that speaks MongoDB's wire protocol, runs the given command
# with its address in TEST_MONGO_URI, and stops it. The server is built from
# tools/ferretdb once per version and kept in the user's cache directory. With
# TEST_MONGO_URI set already, that server is used and none is started.
set -euo pipefail

if [ -n "${TEST_MONGO_URI:-}" ]; then exec "$@"; fi

source=$(cd "$(dirname "$0")/ferretdb" && pwd)
version=$(sed -n 's/.*FerretDB\/FerretDB //p' "$source/go.mod")
version=$version-$(cat "$source"/*.go "$source/go.sum" | sha256sum | cut -c 1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/llmhist/bin
server=$cache/ferretdb-$version

if [ ! -x "$server" ]; then
  echo "building ferretdb $version, once" >&2
  mkdir -p "$cache"
  build=$(mktemp -d "$cache/build.XXXXXX")
  trap 'rm -rf "$build"' EXIT
  (cd "$source" && CGO_ENABLED=0 GOFLAGS= go build -trimpath -o "$build/ferretdb" .) >&2
  mv "$build/ferretdb" "$server" # at once, for another build may run
  rm -rf "$build"
fi

export TEST_MONGO_SERVER=$server # for tests that start and kill one of their own

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

free_port() {
  python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])' 2>/dev/null ||
    node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'
}

# start answers whether the server came up; another process may have taken the port.
start() {
  port=$(free_port)
  mkdir -p "$dir/documents"
  GOGC=400 "$server" -listen "127.0.0.1:$port" -dir "$dir/documents" >"$dir/log" 2>&1 &
  process=$!
  for _ in $(seq 100); do
    kill -0 "$process" 2>/dev/null || return 1
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  return 1
}

start || start || { echo "the document server does not start:" >&2; cat "$dir/log" >&2; exit 1; }
export TEST_MONGO_URI="mongodb://127.0.0.1:$port/"
"$@"
