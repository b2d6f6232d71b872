#!/usr/bin/env bash
# Builds llmhist in two steps, for the Dockerfile and for check-dockerfile.sh.
# Both use the Makefile's own recipes.
#
#   deploy/build.sh assets    the web page and the voices; needs Node with npm and make
#   deploy/build.sh binary    bin/llmhist from them; needs Go and make, no Node
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
assets)
  make --no-print-directory web/dist/index.html platform/flite/assets/flite.wasm.gz
  ;;
binary)
  [ -s web/dist/index.html ] && [ -s platform/flite/assets/flite.wasm.gz ] || { echo "run deploy/build.sh assets first" >&2; exit 1; }
  CGO_ENABLED=0 make --no-print-directory -o web/dist/index.html -o platform/flite/assets/flite.wasm.gz \
    VERSION="${VERSION:-dev}" bin/llmhist
  ;;
*)
  echo "usage: deploy/build.sh assets|binary" >&2
  exit 2
  ;;
esac
