#!/usr/bin/env bash
# Runs the simulation of daemon/internal/simulation: seeds on two processors, each a process of its own, since one seed runs
# on one processor to happen again in the same way.
#
#   scripts/simulate.sh SEEDS          the seeds from 0 on; what the first 500 asked of Redis is asked of a real one too, and
#                                      of a cluster of three
#   scripts/simulate.sh seed SEED      one, with what happened in it
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p out
binary=out/simulation.test
go test -c -o "$binary" ./daemon/internal/simulation

if [[ ${1:-} == seed ]]; then
  ISRD_SIMULATE_SEED=${2:?a seed} "$binary" -test.run '^TestSeeds$' -test.v
  exit
fi

shards=2
tapes=500
tests='TestSeeds|TestSeedsAreRepeatable|TestPlantedBugsAreFound|TestScriptsDoWhatTheModelsDo'
pids=()
# Whoever is stopped early leaves nothing behind.
trap '[[ ${#pids[@]} -eq 0 ]] || kill "${pids[@]}" 2>/dev/null || true' EXIT
for ((shard = 0; shard < shards; shard++)); do
  ISRD_SIMULATE_SEEDS=${1:?how many seeds} ISRD_SIMULATE_TAPES=$tapes ISRD_SIMULATE_SHARD=$shard/$shards \
    "$binary" -test.run "^($tests)\$" -test.v -test.timeout 30m >"out/simulate-$shard.log" 2>&1 &
  pids+=($!)
done
failed=0
for ((shard = 0; shard < shards; shard++)); do
  wait "${pids[$shard]}" || failed=1
  echo "shard $shard of $shards:"
  grep -a -v '^=== RUN' "out/simulate-$shard.log"
done
pids=()
exit "$failed"
