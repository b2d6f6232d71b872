# llmhist: make run serves, make test tests. Everything else is in make help.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export CGO_ENABLED ?= 0
URL      ?= http://127.0.0.1:$(or $(PORT),8080)
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO_FILES := $(shell git ls-files -co --exclude-standard '*.go' '*.sql' '*.md' '*.html' '*.css' go.mod go.sum)
WEB_FILES := $(shell git ls-files -co --exclude-standard web/src web/vite web/index.html web/vite.config.ts web/tsconfig.json)

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

.PHONY: run
run: build ## set everything up and serve, by default on http://127.0.0.1:8080
	@umask 077; LOG_FORMAT=$${LOG_FORMAT:-text} bin/llmhist serve 2>&1 | tee -i -a bin/run.log

.PHONY: build
build: bin/llmhist ## build bin/llmhist: one static binary with the web page and the voices inside

bin/llmhist: $(GO_FILES) web/dist/index.html platform/flite/assets/flite.wasm.gz
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $@ .

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

web/sdk/node_modules/.package-lock.json: web/sdk/package.json web/sdk/package-lock.json
	cd web/sdk && npm ci --no-audit --no-fund
	@touch $@

web/dist/index.html: $(WEB_FILES) web/node_modules/.package-lock.json
	cd web && npm run --silent build
	@touch $@

platform/flite/assets/flite.wasm.gz: platform/flite/package.json platform/flite/package-lock.json platform/flite/fetch.mjs
	cd platform/flite && node fetch.mjs
	@touch $@

.PHONY: test
test: build ## run every test that needs no other server
	go test -shuffle=on ./...
	cd web && npm test --silent

.PHONY: test-all
test-all: build web/sdk/node_modules/.package-lock.json ## run every test, with PostgreSQL, S3, MongoDB protocol, Redis and a browser; installs what is missing
	tools/with-servers.sh env LLMHIST_TEST_ALL=1 CI=1 tools/go-tests.sh
	cd web && npm test --silent
	tools/with-browser.sh npm --prefix web run --silent test:browser

.PHONY: test-auth
test-auth: ## test accounts, sessions, tokens and keys
	go test -shuffle=on ./modules/auth/

.PHONY: test-image
test-image: build ## test image generation and its storage
	go test -shuffle=on ./modules/image/ ./platform/picture/ ./platform/canvas/ ./platform/blob/ ./platform/history/

.PHONY: test-protected
test-protected: build ## test over real HTTP that nobody sees what is not theirs
	go test -shuffle=on -run 'Protected' -v .

.PHONY: demo
demo: ## register, sign in, make an image, speak, chat and show the usage, against the running server
	@go run ./tools/demo -url $(URL) -binary bin/llmhist

.PHONY: bench
bench: build ## measure the server; the last run is in docs/benchmarks.md
	bench/run.sh
	bin/bench/streams

.PHONY: healthcheck
healthcheck: ## ask the running server whether it is ready
	@bin/llmhist healthcheck --url $(URL)

.PHONY: logs
logs: ## follow the log of make run, or of the systemd service
	@if [ -f bin/run.log ]; then exec tail -n 100 -F bin/run.log; else exec journalctl -u llmhist -n 100 -f; fi

.PHONY: lint
lint: ## gofmt, vet, staticcheck, tidy modules, web lint and type check
	tools/lint.sh

.PHONY: fmt
fmt: ## format the Go code
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: clean
clean: ## remove what was built; data stays
	rm -rf bin web/node_modules web/sdk/node_modules platform/flite/node_modules
	find web/dist platform/flite/assets -mindepth 1 ! -name .gitkeep ! -name README.md -delete
