#!/usr/bin/env bash
# package-lock.json must install as it is, from whichever registry the reader's npm is set to: in step with every
# package.json, complete, and without download addresses.
set -euo pipefail
cd "$(dirname "$0")/.."

if grep -nE '"resolved": "https?:' package-lock.json; then
  echo 'package-lock.json records download addresses: remove it and node_modules, and run npm install (.npmrc leaves them out)' >&2
  exit 1
fi
npm ci --dry-run --ignore-scripts --loglevel=error >/dev/null
