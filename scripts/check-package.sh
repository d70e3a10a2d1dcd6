#!/usr/bin/env bash
# The npm package as it would be published: publint reads its package.json against the packed files, attw resolves its
# types the way that TypeScript's module modes would. Needs jsclient/dist (make build).
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
npm pack --silent -w isrd --pack-destination "$scratch" >/dev/null
tarballs=("$scratch"/*.tgz)
node_modules/.bin/publint run "${tarballs[0]}" --strict
# esm-only: CommonJS loads the package by require(esm) or import(); there is no CommonJS build to resolve to.
node_modules/.bin/attw "${tarballs[0]}" --profile esm-only
