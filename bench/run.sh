#!/usr/bin/env bash
# Measures bin/llmhist on this machine and writes a Markdown report.
#
#   bench/run.sh [--quick] [--only EXPRESSION] [--images N] [REPORT]
#
# REPORT is bin/benchmarks.md unless named. --quick takes under two minutes, the
# full run under ten. Everything runs on 127.0.0.1, on free ports, with a data
# directory of its own that is removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

out=bin/benchmarks.md
options=()
while [ $# -gt 0 ]; do
	case "$1" in
	--quick) options+=(-quick) ;;
	--only | --images) options+=("-${1#--}" "${2:?$1 needs a value}"); shift ;;
	-h | --help) usage; exit 0 ;;
	-*) echo "bench/run.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
	*) out=$1 ;;
	esac
	shift
done

binary=${LLMHIST_BINARY:-bin/llmhist}
[ -x "$binary" ] || { echo "bench/run.sh: $binary does not exist: run make build first" >&2; exit 1; }

mkdir -p bin/bench
CGO_ENABLED=0 go build -o bin/bench/ ./bench/fakeupstream ./bench/baseline ./bench/suite ./bench/streams
exec bin/bench/suite -binary "$binary" -tools bin/bench -out "$out" "${options[@]}"
