#!/usr/bin/env bash
# Measures bin/llmhist on full stores and writes a Markdown section: inserts and
# pages at a million images and messages on SQLite and PostgreSQL, and memory
# while large objects stream.
#
#   bench/stores.sh [--images N] [--messages N] [--object MB] [--duration TIME]
#                   [--parts sqlite,postgres,memory] [REPORT]
#
# REPORT is bin/bench/stores.md unless named. With a million of each it takes
# about ten minutes and 6 GB below the directory for temporary files, which are
# removed afterwards. PostgreSQL and the object store are servers of its own;
# what is not installed is left out and said.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,14s/^# \{0,1\}//p' "$0"; }

out=bin/bench/stores.md
options=()
while [ $# -gt 0 ]; do
	case "$1" in
	--images | --messages | --object | --duration | --parts) options+=("-${1#--}" "${2:?$1 needs a value}"); shift ;;
	-h | --help) usage; exit 0 ;;
	-*) echo "bench/stores.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
	*) out=$1 ;;
	esac
	shift
done

binary=${LLMHIST_BINARY:-bin/llmhist}
[ -x "$binary" ] || { echo "bench/stores.sh: $binary does not exist: run make build first" >&2; exit 1; }

mkdir -p bin/bench
CGO_ENABLED=0 go build -o bin/bench/ ./bench/fakeupstream ./bench/stores

servers=()
if [ -n "$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null)" ]; then
	servers+=(tools/postgresserver.sh) # with its defaults: fsync is on
fi
if tools/s3server.sh true; then
	servers+=(tools/s3server.sh)
fi
"${servers[@]}" bin/bench/stores -binary "$binary" -tools bin/bench -out "$out" "${options[@]}"
