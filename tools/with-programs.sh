#!/usr/bin/env bash
# Runs the given command where the programs are that speech and tests of faults
# call: lame, ffmpeg, espeak-ng and strace. Installs Debian's as root when missing.
set -euo pipefail

missing=()
for program in lame ffmpeg espeak-ng strace; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "Missing: ${missing[*]}. Install them: sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
fi
exec "$@"
