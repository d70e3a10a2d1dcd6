#!/usr/bin/env bash
# The contract must understand every state of it that was ever committed: old clients meet new daemons and the reverse.
#
#   scripts/proto-breaking.sh [SINCE]
#
# Compares proto/ as it lies here with each commit that changed it, newest first, back to the latest release tag (v*),
# or to SINCE, the commit of a deliberate break before the first release, or to the first commit. Works on any branch,
# in a shallow clone and in a linked work tree, since it asks only for commits that are here.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=25 # a comparison takes about half a second
since=${1:-}
if [[ -z $since ]]; then
  since=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
fi

commits=()
if [[ -n $since ]]; then
  mapfile -t commits < <(git log -n "$limit" --format=%H "$since..HEAD" -- proto)
  commits+=("$(git rev-parse --verify "$since^{commit}")")
else
  mapfile -t commits < <(git log -n "$limit" --format=%H -- proto 2>/dev/null)
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
compared=0
failed=0
for commit in ${commits[@]+"${commits[@]}"}; do
  git cat-file -e "$commit:proto" 2>/dev/null || continue
  git diff --quiet "$commit" -- proto && continue # the same as here
  mkdir "$scratch/$commit"
  git archive "$commit" proto buf.yaml | tar -x -C "$scratch/$commit"
  compared=$((compared + 1))
  node_modules/.bin/buf breaking --against "$scratch/$commit" || {
    failed=1
    echo "buf breaking: incompatible with $(git log -1 --format='%h (%s)' "$commit")" >&2
  }
done

if [[ $compared -eq 0 ]]; then
  echo 'buf breaking: skipped, no other state of proto/ has been committed yet'
else
  echo "buf breaking: compared with $compared earlier state(s)"
fi
[[ $failed -eq 0 ]] || echo 'buf breaking: a break that is meant, before the first release, is named in the Makefile: PROTO_SINCE' >&2
exit "$failed"
