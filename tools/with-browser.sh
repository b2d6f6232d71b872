#!/usr/bin/env bash
# Runs the given command with CHROMIUM_PATH set, installing Debian's Chromium
# first when it is missing and this is root.
set -euo pipefail

find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome || true; }

if [ -z "${CHROMIUM_PATH:-}" ] && [ -z "$(find_browser)" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "Chromium is missing. Install it: sudo apt-get install chromium fonts-dejavu-core" >&2
    exit 1
  fi
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core >&2
fi
export CHROMIUM_PATH="${CHROMIUM_PATH:-$(find_browser)}"
exec "$@"
