#!/usr/bin/env bash
# Starts the servers that tests need, runs the given command with their
# addresses in the environment, and stops them. Installs what is missing from
# Debian's packages when run as root; fails when a server cannot be had.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)

postgres_bin() { find /usr/lib/postgresql -path '*/bin/initdb' -printf '%h\n' 2>/dev/null | sort -V | tail -n 1; }

if [ -z "$(postgres_bin)" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "PostgreSQL is missing. Install it: sudo apt-get install postgresql" >&2
    exit 1
  fi
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql >&2
fi
bin=$(postgres_bin)

dir=$(mktemp -d)
as_owner=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
  chown postgres "$dir"
  as_owner=(runuser -u postgres --)
fi
chmod 700 "$dir"
cd "$dir"
stop() {
  "${as_owner[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap stop EXIT

port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])' 2>/dev/null ||
  node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
"${as_owner[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N >/dev/null
"${as_owner[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" start -o \
  "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off -c max_connections=300" >/dev/null

cd "$OLDPWD"
export TEST_POSTGRES_BIN=$bin # for tests that start and kill a server of their own
export TEST_DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
"$tools/redisserver.sh" "$tools/s3server.sh" "$tools/mongoserver.sh" "$@"
