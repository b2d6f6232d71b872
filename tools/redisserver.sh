#!/usr/bin/env bash
# Runs the given command with TEST_REDIS_URL naming a Redis server of its own,
# which it starts and stops. Installs Debian's redis-server when it is missing
# and this is root; uses the server that TEST_REDIS_URL already names, if any.
set -euo pipefail

[ -z "${TEST_REDIS_URL:-}" ] || exec "$@"

if ! command -v redis-server >/dev/null; then
  if [ "$(id -u)" != 0 ]; then
    echo "Redis is missing. Install it: sudo apt-get install redis-server" >&2
    exit 1
  fi
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends redis-server >&2
fi

TEST_REDIS_SERVER=$(command -v redis-server) # for tests that start and kill one of their own
export TEST_REDIS_SERVER

dir=$(mktemp -d)
process=""
stop() {
  [ -z "$process" ] || kill "$process" 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT

port=$(node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir" >"$dir/log" 2>&1 &
process=$!
for _ in $(seq 100); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    export TEST_REDIS_URL="redis://127.0.0.1:$port"
    "$@"
    exit
  fi
  sleep 0.1
done
echo "the Redis server does not start:" >&2
cat "$dir/log" >&2
exit 1
