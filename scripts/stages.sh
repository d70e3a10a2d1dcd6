#!/usr/bin/env bash
# Runs make targets one after another, each with a header, its time and a log, and then says how each ended.
#
#   scripts/stages.sh NAME TARGET...     a target written as TARGET! must pass for the ones after it to be tried
#
# Every target runs even if one before it failed, so that one run shows all there is to mend. The log of a target is
# out/NAME/TARGET.log. Last come, verbatim, the test runners' own summaries from those logs (a line per Go package,
# the totals of node:test) and, of a target that failed, which tests did and with what words: what readers and CI look
# for. Exits 1 if any target failed.
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
declare -A failed_logs=()
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
    failed_logs[$log]=yes
    [[ -z $required ]] || stopped=$target
  fi
  printf -- '--- %s: %s, %d s\n' "$target" "$result" "$took"
  table+=("$(printf '  %-16s %4d s  %s' "$target" "$took" "$result")")
done

printf '\n=== %s: %d s\n' "$name" "$((SECONDS - began))"
printf '%s\n' "${table[@]}"

# go test: "ok  pkg  1.2s", "FAIL  pkg", "--- FAIL: TestX". node:test: "# pass 3" or "ℹ pass 3", by reporter.
summaries='^(ok  	|FAIL	|FAIL$|--- FAIL:|panic:|(#|ℹ) (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) )'
# go test: "    x_test.go:12: got 1". node:test: "not ok 3 - name" and "  error: 'got 1'". e2e: "FAIL next16 name: got 1".
failures="$summaries|^ +(--- FAIL:|[a-z0-9_]+\.go:[0-9]+: )|^ *(not ok [0-9]|error: )|^FAIL next"
for log in ${ran[@]+"${ran[@]}"}; do
  lines=$summaries
  [[ -z ${failed_logs[$log]:-} ]] || lines=$failures
  if grep -aqE "$lines" "$log"; then # -a: a test may print what it found in a value
    printf '\n%s\n' "$(basename "$log" .log)"
    grep -aE "$lines" "$log" | cut -c1-300
  fi
done
exit "$failed"
