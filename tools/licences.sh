#!/usr/bin/env bash
# Lists every module that is linked into the binary with the licence found in
# its source, and fails on one that is unknown or not allowed, or that NOTICE
# does not name.
set -euo pipefail
cd "$(dirname "$0")/.."

allowed=" MIT BSD-2-Clause BSD-3-Clause Apache-2.0 ISC MIT+Apache-2.0 "
# Copyleft by file only: its own files may be linked and stay under it.
exceptions=" github.com/hashicorp/golang-lru/v2:MPL-2.0 "
for river in "" /riverdriver /riverdriver/riverdatabasesql /riverdriver/riverpgxv5 /riverdriver/riversqlite /rivershared /rivertype; do
  exceptions+="github.com/riverqueue/river$river:MPL-2.0 "
done

# detect prints the licence that a text is, by sentences that only it has.
detect() {
  local text
  text=$(tr -s '[:space:]' ' ' <"$1")
  case $text in
    *"GNU AFFERO"* | *"GNU LESSER"* | *"GNU GENERAL PUBLIC LICENSE"*) echo GPL ;;
    *"Mozilla Public License"*"2.0"*) echo MPL-2.0 ;;
    *"Permission is hereby granted, free of charge"*"Apache License"* | *"Apache License"*"Permission is hereby granted, free of charge"*) echo MIT+Apache-2.0 ;;
    *"Apache License"*"Version 2.0"*) echo Apache-2.0 ;;
    *"Permission to use, copy, modify, and/or distribute this software"* | *"Permission to use, copy, modify, and distribute this software"*) echo ISC ;;
    *"Redistribution and use in source and binary forms"*"Neither the name"* | *"Redistribution and use in source and binary forms"*"names of its contributors"* | *"Redistribution and use in source and binary forms"*"may not be used to endorse"*) echo BSD-3-Clause ;;
    *"Redistribution and use in source and binary forms"*) echo BSD-2-Clause ;;
    *"Permission is hereby granted, free of charge"*) echo MIT ;;
    *) echo unknown ;;
  esac
}

modules=$(CGO_ENABLED=0 go list -deps -f '{{with .Module}}{{if not (or .Main (and .Replace (not .Replace.Version)))}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' . | sort -u)
[ -n "$modules" ] || { echo "licences: no modules found" >&2; exit 1; }

bad=0
complain() { echo "licences: $1" >&2; bad=1; }
while read -r path version dir; do
  file=$(find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' \) | sort | head -n 1)
  licence=unknown
  [ -z "$file" ] || licence=$(detect "$file")
  printf '%-52s %-44s %s\n' "$path" "$version" "$licence"
  case $allowed in *" $licence "*) ;; *)
    case $exceptions in *" $path:$licence "*) ;; *) complain "$path is under a licence that is not allowed: $licence" ;; esac ;;
  esac
  grep -qxF -- "$path" NOTICE || complain "NOTICE does not name $path"
done <<<"$modules"
exit $bad
