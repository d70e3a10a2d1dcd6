# The verbs. A line with two hashes is what `make help` says; every other target is a part of one.
# Needed beforehand: Go, Node.js 20.9 with npm, git, make. The rest is set up by the targets that need it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# One version for daemon, client and chart: the npm package's.
VERSION := $(shell sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' jsclient/package.json)
LDFLAGS := -s -w -X github.com/isrd/isrd/daemon/internal/cli.Version=$(VERSION)

# Every Go module of the repository: the product, the developer tools, the checks of deploy/.
GO_MODULES := . tools deploy/check

GOLANGCI := go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
BIN := node_modules/.bin

.PHONY: help
help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 12

# --- set-up and build -------------------------------------------------------------------------------------------------

.PHONY: setup setup-node
setup: ## Install what is missing: npm packages; redis-server, a C compiler and shellcheck by apt-get
	@scripts/setup.sh node redis cc shellcheck

setup-node:
	@scripts/setup.sh node

.PHONY: build build-daemon build-client
build: build-daemon build-client ## bin/isrd and jsclient/dist

# Static, so that the binary runs in an empty image; -trimpath, so that it does not depend on where it was built.
build-daemon:
	@scripts/setup.sh
	@echo 'build: bin/isrd (the first time takes a minute)'
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/isrd ./daemon/cmd/isrd

build-client: setup-node
	@echo 'build: jsclient/dist'
	@npm run --silent build -w isrd

.PHONY: demo
demo: build ## Four Next.js replicas, without isrd and with it, and a table (ARGS='…' goes to demo/run.mjs)
	@node demo/run.mjs $(ARGS)

# --- test -------------------------------------------------------------------------------------------------------------

.PHONY: test test-go simulate test-deploy test-client test-demo e2e e2e-part
test: ## All that a contributor must pass; logs in out/test
	@scripts/stages.sh test setup! build! lint test-go simulate test-deploy test-client test-demo e2e-part

test-go:
	go test -race -timeout 10m ./...

SEEDS ?= 10000
SEED ?=
simulate: ## The daemon under SEEDS (10000) schedules with crashes, cuts and fail-overs; SEED=… shows one of them
	@scripts/setup.sh redis
	@scripts/simulate.sh $(if $(SEED),seed $(SEED),$(SEEDS))

test-deploy:
	cd deploy/check && go test -count=1 ./... # what it reads lies outside the module, so a cached result could be old

test-client: build
	npm test -w isrd

test-demo: build
	npm test -w demo

e2e: build ## Real Next.js 14, 15 and 16 on real daemons and Redis, and a table (ARGS='next15' for one of them)
	cd e2e && node --import tsx run.ts $(ARGS)

# All of it takes half an hour. In `make test`: nearly all on the newest Next.js, and the core on the others.
e2e-part: build
	cd e2e && node --import tsx run.ts --part

.PHONY: fuzz bench
FUZZTIME ?= 20s
fuzz: ## Every fuzz test, FUZZTIME (20s) each
	@scripts/fuzz.sh $(FUZZTIME)

bench: build ## Benchmarks of daemon and client
	go test -run '^$$' -bench . -benchmem ./...
	npm run bench --workspaces --if-present

# --- generated code and lint ------------------------------------------------------------------------------------------

.PHONY: gen
gen: setup-node ## Generate Go and TypeScript from proto/
	$(BIN)/buf generate

LINTS := lint-go lint-modules lint-proto lint-gen lint-ts lint-package lint-sh

.PHONY: lint $(LINTS)
lint: build-client ## Everything that reads the code without running it; logs in out/lint
	@scripts/setup.sh shellcheck
	@scripts/stages.sh lint $(LINTS)

lint-go:
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l); \
	  if [ -n "$$unformatted" ]; then printf 'not gofmt-ed:\n%s\n' "$$unformatted"; exit 1; fi
	go vet ./...
	@echo 'golangci-lint (the first time it is compiled, which takes some minutes)'
	@$(GOLANGCI) run ./...
	@cd deploy/check && $(GOLANGCI) run --config ../../.golangci.yml ./...

lint-modules:
	@for module in $(GO_MODULES); do echo "go mod tidy -diff in $$module"; (cd "$$module" && go mod tidy -diff); done
	@scripts/check-lockfile.sh

# The commit of a deliberate break of the contract before the first release; empty: there was none.
PROTO_SINCE ?=
lint-proto:
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	@scripts/proto-breaking.sh $(PROTO_SINCE)

lint-gen:
	@scripts/gen-drift.sh

lint-ts:
	$(BIN)/biome ci --colors=off
	@git ls-files -co --exclude-standard 'tsconfig.json' '*/tsconfig.json' | while read -r config; do \
	  echo "tsc --noEmit -p $$config"; $(BIN)/tsc --noEmit -p "$$config"; done

lint-package:
	@scripts/check-package.sh

lint-sh:
	shellcheck .ci/run scripts/*.sh

.PHONY: clean
clean: ## Remove what build, test and demo made (not node_modules)
	rm -rf bin out jsclient/dist demo/shop/.next
