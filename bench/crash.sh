#!/usr/bin/env bash
# Kills bin/llmhist under sixteen writers again and again and prints what was
# acknowledged, what was verified and what was lost: nothing, or it ends with
# code 1.
#
#   bench/crash.sh [--cycles N] [--engines embedded|larger] [--full N]
#
# 1,000 cycles on the embedded default unless told otherwise, about half an hour
# on two cores. With --engines larger PostgreSQL, a server of MongoDB's protocol,
# S3 and Redis are started for it and killed too. --full: cycles after which
# everything is verified, not only the newest. Everything runs on 127.0.0.1, in a
# directory of its own that is removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; }

options=()
engines=embedded
while [ $# -gt 0 ]; do
	case "$1" in
	--cycles | --full) options+=("-${1#--}" "${2:?$1 needs a value}"); shift ;;
	--engines) engines=${2:?$1 needs a value}; shift ;;
	-h | --help) usage; exit 0 ;;
	*) echo "bench/crash.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
	esac
	shift
done

binary=${LLMHIST_BINARY:-bin/llmhist}
[ -x "$binary" ] || { echo "bench/crash.sh: $binary does not exist: run make build first" >&2; exit 1; }

mkdir -p bin/bench
CGO_ENABLED=0 go build -o bin/bench/ ./bench/crashes
run=(bin/bench/crashes -binary "$binary" -engines "$engines" "${options[@]}")
if [ "$engines" = larger ]; then exec tools/with-servers.sh "${run[@]}"; fi
exec "${run[@]}"
