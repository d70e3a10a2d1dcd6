#!/usr/bin/env bash
# Puts in place what a target needs and says what it does. Cheap when nothing is missing, so targets call it each time.
#
#   scripts/setup.sh                nothing: only names what the user must install
#   scripts/setup.sh node           node_modules as package-lock.json has it
#   scripts/setup.sh redis          redis-server, for the tests that run against a real Redis
#   scripts/setup.sh cc             a C compiler, for go test -race
#   scripts/setup.sh shellcheck     shellcheck, for lint
set -euo pipefail
cd "$(dirname "$0")/.."

# The tools that nobody can install for the user: name all that are missing at once.
check_base() {
  local missing=()
  command -v go >/dev/null || missing+=("Go $(awk '$1 == "go" { print $2 }' go.mod) or newer (https://go.dev/dl)")
  command -v git >/dev/null || missing+=("git (apt-get install git)")
  command -v npm >/dev/null || missing+=("Node.js 20.9 or newer with npm (https://nodejs.org)")
  if command -v node >/dev/null; then
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 9) ? 0 : 1)' ||
      missing+=("Node.js 20.9 or newer: $(node --version) is installed (https://nodejs.org)")
  fi
  if [[ ${#missing[@]} -gt 0 ]]; then
    printf 'setup: missing: %s\n' "${missing[@]}" >&2
    exit 1
  fi
}

# Installs by content, not by time stamp: a checkout touches package-lock.json without changing it. The copy lives
# inside node_modules, so that it goes when that goes, and is written last, so that an install cut short is repeated.
setup_node() {
  local stamp=node_modules/.isrd-installed-lock
  cmp -s package-lock.json "$stamp" && return
  echo 'setup: npm ci (node_modules is missing or package-lock.json has changed)'
  npm ci
  cp package-lock.json "$stamp"
}

# setup_package COMMAND PACKAGE...: Debian's packages, unless COMMAND is there.
setup_package() {
  local command=$1 as_root=(env) # env: runs what follows as it is
  shift
  command -v "$command" >/dev/null && return
  if ! command -v apt-get >/dev/null; then
    echo "setup: $command is missing and there is no apt-get here to install it with (Debian's name for it: $*)" >&2
    exit 1
  fi
  if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
      echo "setup: $command is missing; install it as root: apt-get update && apt-get install -y $*" >&2
      exit 1
    fi
    as_root=(sudo)
    [[ -t 0 ]] || as_root=(sudo -n) # nobody is there to type a password
  fi
  echo "setup: apt-get install $* ($command is missing)"
  if ! { "${as_root[@]}" apt-get -qq update &&
    "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null; }; then
    echo "setup: could not install $*; do it by hand: sudo apt-get update && sudo apt-get install -y $*" >&2
    exit 1
  fi
}

check_base
for what in "$@"; do
  case $what in
    node) setup_node ;;
    redis) setup_package redis-server redis-server ;;
    cc) setup_package "$(go env CC)" gcc libc6-dev ;;
    shellcheck) setup_package shellcheck shellcheck ;;
    *)
      echo "setup: unknown part $what" >&2
      exit 2
      ;;
  esac
done
