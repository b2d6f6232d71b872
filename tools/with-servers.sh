#!/usr/bin/env bash
# Starts the servers that tests need, runs the given command with their
# addresses in the environment, and stops them. Installs what is missing from
# Debian's packages when run as root; fails when a server cannot be had.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)

export POSTGRES_OPTIONS="-c fsync=off" # tests crash llmhist, not the machine
exec "$tools/with-programs.sh" "$tools/postgresserver.sh" "$tools/redisserver.sh" "$tools/s3server.sh" "$tools/mongoserver.sh" "$@"
