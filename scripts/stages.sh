#!/usr/bin/env bash
# Runs make targets one after another, each with a header, its time and a log, and then says how each ended.
#
#   scripts/stages.sh NAME TARGET...     a target written as TARGET! must pass for the ones after it to be tried
#
# Every target runs even if one before it failed, so that one run shows all there is to mend. The log of a target is
# out/NAME/TARGET.log. Last come, verbatim, the test runners' own summaries from those logs (a line per Go package,
# the totals of node:test): what readers and CI look for. Exits 1 if any target failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

name=$1
shift
logs=out/$name
mkdir -p "$logs"

# A target is a run of its own: it shares neither the job slots nor the -n, -k … of the make that called.
unset MAKEFLAGS MFLAGS MAKELEVEL

failed=0
stopped=
table=()
ran=()
number=0
total=$#
began=$SECONDS

for target in "$@"; do
  number=$((number + 1))
  required=
  if [[ $target == *! ]]; then
    required=yes
    target=${target%!}
  fi
  if [[ -n $stopped ]]; then
    table+=("$(printf '  %-16s not tried: %s failed' "$target" "$stopped")")
    continue
  fi
  log=$logs/$target.log
  printf '\n=== %s %d/%d  %s\n' "$name" "$number" "$total" "$target"
  start=$SECONDS
  "${MAKE:-make}" --no-print-directory "$target" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  took=$((SECONDS - start))
  ran+=("$log")
  if [[ $status -eq 0 ]]; then
    result=ok
  else
    result="FAILED ($log)"
    failed=1
    [[ -z $required ]] || stopped=$target
  fi
  printf -- '--- %s: %s, %d s\n' "$target" "$result" "$took"
  table+=("$(printf '  %-16s %4d s  %s' "$target" "$took" "$result")")
done

printf '\n=== %s: %d s\n' "$name" "$((SECONDS - began))"
printf '%s\n' "${table[@]}"

# go test: "ok  pkg  1.2s", "FAIL  pkg", "--- FAIL: TestX". node:test: "# pass 3" or "ℹ pass 3", by reporter.
summaries='^(ok  	|FAIL	|FAIL$|--- FAIL:|panic:|(#|ℹ) (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) )'
for log in ${ran[@]+"${ran[@]}"}; do
  if grep -aqE "$summaries" "$log"; then # -a: a test may print what it found in a value
    printf '\n%s\n' "$(basename "$log" .log)"
    grep -aE "$summaries" "$log"
  fi
done
exit "$failed"
