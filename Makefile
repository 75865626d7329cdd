SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables

# Narrows `make test`, and hands options to pytest: make test T="tests/unit -k plan".
T ?=
# Options of the benchmarks: make bench-send B="--rounds 3".
B ?=
# Options of `make soak`: make soak S="--pushes 10000".
S ?=
# Options of `make deliveries`.
D ?=
# Options of `make resume`: make resume R="--events 1000 --seed 7".
R ?=

COMPOSE ?= docker compose
GRPCURL_VERSION := v1.9.3
GRPCURL_DIR := $(CURDIR)/.cache/grpcurl-$(GRPCURL_VERSION)
INSTALLED := .venv/.installed
WITH_CHROMIUM := CARILLON_CHROMIUM="$$(.ci/bootstrap chromium)"; export CARILLON_CHROMIUM;

# The tools of the environment come first. Go's own installer leaves it off PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/local/go/bin

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: install
install: $(INSTALLED) ## Make .venv with Carillon and its tools; does nothing when it is up to date

$(INSTALLED): pyproject.toml
	@echo "Installing Carillon and its tools into .venv, which takes about a minute"
	@rm -rf .venv
	@python="$$(.ci/bootstrap python)"; "$$python" -m venv .venv
	@python -m pip install --quiet --disable-pip-version-check --editable '.[local,dev]'
	@touch $@

.PHONY: run
run: install ## Run the whole stack here, on a MongoDB of its own
	@.ci/bootstrap packages libcurl4
	@exec carillon dev

# --- The contract ---

generate = python -m grpc_tools.protoc -I protos \
  --python_out=$(1) --mypy_out=quiet:$(1) --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) protos/carillon/v1/*.proto

.PHONY: protos
protos: install ## Generate Python from protos/carillon
	rm -rf protos/gen/carillon
	mkdir -p protos/gen
	$(call generate,protos/gen)

.PHONY: protos-check
protos-check: install ## Fail if the generated code in the tree is stale
	@rm -rf .cache/protos
	@mkdir -p .cache/protos
	$(call generate,.cache/protos)
	diff --recursive --brief --exclude=__pycache__ .cache/protos/carillon protos/gen/carillon || \
	  { echo "protos/gen is stale: run make protos and commit what it changes"; exit 1; }

.PHONY: baseline
baseline: install ## Make today's contract the one that `make lint` holds changes against; its commit lists what breaks
	cd protos && buf build --exclude-source-info --output baseline.binpb

# --- Checks ---

.PHONY: format
format: install ## Format Python and protos
	ruff format
	ruff check --fix
	cd protos && buf format --write

.PHONY: lint
lint: install ## Check style, types, boundaries and protos
	ruff check
	ruff format --check
	mypy
	lint-imports
	cd protos && buf lint && buf format --diff --exit-code && buf breaking --against baseline.binpb

.PHONY: test-unit
test-unit: install ## Run the tests that need no MongoDB and no browser
	pytest tests/unit

.PHONY: test-contract
test-contract: install ## Run the tests over a real channel, on a real MongoDB
	@.ci/bootstrap packages libcurl4
	pytest tests/contract

.PHONY: test-e2e
test-e2e: install ## Run the tests of whole processes and a browser
	@.ci/bootstrap packages libcurl4 chromium
	$(WITH_CHROMIUM) pytest tests/e2e

.PHONY: test
test: install ## Run all tests; T=path narrows
	@.ci/bootstrap packages libcurl4 chromium
	$(WITH_CHROMIUM) pytest $(T)

.PHONY: polyglot
polyglot: install ## Run the tests that need other languages (Go, Node, Java)
	@.ci/bootstrap tools go node npm mvn javac
	@.ci/bootstrap packages libcurl4
	test -x $(GRPCURL_DIR)/grpcurl || \
	  GOBIN=$(GRPCURL_DIR) go install github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION)
	PATH="$(GRPCURL_DIR):$$PATH" pytest tests/polyglot

.PHONY: conformance
conformance: install ## Run NotificationAPI's published SDKs, unchanged, against a stack (Node, Chromium)
	@.ci/bootstrap tools node npm
	@.ci/bootstrap packages libcurl4 chromium
	$(WITH_CHROMIUM) pytest tests/conformance

.PHONY: explain
explain: install ## Show what every query costs on 200,000 messages
	@.ci/bootstrap packages libcurl4
	PYTHONPATH=. python -m tests.contract.indexes

.PHONY: bench
bench: bench-send bench-live bench-deliver ## Measure all; B="--rounds 3" is quicker

.PHONY: bench-send
bench-send: install ## Measure Send against a server that does nothing; B=--profile shows where the time goes
	@.ci/bootstrap packages libcurl4
	PYTHONPATH=.:protos/gen python -m tests.bench.send $(B)

.PHONY: bench-live
bench-live: install ## Measure how soon events arrive, beside a stalled client and without, and what they cost
	@.ci/bootstrap packages libcurl4
	PYTHONPATH=.:protos/gen python -m tests.bench.live $(B)

.PHONY: bench-deliver
bench-deliver: install ## Measure a worker against the least that an outbox could do, and how soon it begins
	@.ci/bootstrap packages libcurl4
	PYTHONPATH=.:protos/gen python -m tests.bench.deliver $(B)

.PHONY: resume
resume: install ## Kill and cut for as long as 100,000 changes take, and compare all clients; R="--events N --seed N"
	@.ci/bootstrap packages libcurl4
	PYTHONPATH=.:protos/gen python -m tests.e2e.resume $(R)

.PHONY: deliveries
deliveries: install ## Kill workers while they deliver 5,000 messages, and count what came twice; D="--messages N --seed N"
	@.ci/bootstrap packages libcurl4
	PYTHONPATH=.:protos/gen python -m tests.e2e.deliveries $(D)

.PHONY: bench-page
bench-page: install ## Measure a page with 1,000 items and 100 events a second; B="--seconds 3" is shorter
	@.ci/bootstrap packages chromium
	$(WITH_CHROMIUM) PYTHONPATH=.:protos/gen python -m tests.bench.page $(B)

.PHONY: soak
soak: install ## Send 100,000 pushes through the push services' libraries and watch the memory; S="--pushes 10000" is shorter
	PYTHONPATH=.:protos/gen python -m tests.bench.soak $(S)

.PHONY: check
check: lint protos-check test ## Run what every commit must pass

.PHONY: clean
clean: ## Remove what make has made, the data of `make run` included
	rm -rf .venv .cache .carillon .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- Docker ---

# Made once and kept: without this key the secrets in the database are unreadable.
.env:
	@umask 077 && echo "CARILLON_MASTER_KEY=$$(head -c 32 /dev/urandom | base64)" > $@
	@echo "Wrote .env with a new CARILLON_MASTER_KEY; keep it, the database's secrets need it"

.PHONY: up
up: .env ## Build and start the stack of docker-compose.yml
	$(COMPOSE) up --build --detach --wait

.PHONY: down
down: ## Stop that stack; its data stays
	$(COMPOSE) down

.PHONY: logs
logs: ## Follow the logs of that stack
	$(COMPOSE) logs --follow
