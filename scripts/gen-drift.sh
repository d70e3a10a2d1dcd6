#!/usr/bin/env bash
# The committed generated code must be what `make gen` makes of proto/. Generates beside the tree and compares, so that
# it neither changes the tree nor minds other changes in it.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
node_modules/.bin/buf generate --output "$scratch"
failed=0
for dir in daemon/gen jsclient/src/gen; do
  diff -r "$scratch/$dir" "$dir" || failed=1
done
[[ $failed -eq 0 ]] || echo 'generated code differs from proto/: run make gen and commit the result' >&2
exit "$failed"
