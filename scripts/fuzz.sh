#!/usr/bin/env bash
# Runs every fuzz test of the daemon for a while, one after another: go test takes one at a time.
#
#   scripts/fuzz.sh TIME        how long each runs, such as 20s
set -euo pipefail
cd "$(dirname "$0")/.."

found=0
failed=0
for package in $(go list ./...); do
  for fuzz in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    found=$((found + 1))
    echo "--- $package $fuzz ($1)"
    go test -run '^$' -fuzz "^$fuzz\$" -fuzztime "$1" "$package" || failed=1
  done
done
echo "fuzz: $found test(s)"
exit "$failed"
