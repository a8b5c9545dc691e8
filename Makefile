# `make help` lists what there is. Everything happens in this folder: .venv (the environment), .tools (uv, where it is not on PATH), var (the data).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help
BIN := .venv/bin
DAY := procurement_platform_tests/procurement/test_cluster_day.py
SAME := test_the_same_inbox_gives_the_same_day

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: ## Prepare .venv, with .venv/bin/procurement (PYTHON=… picks the interpreter)
	@scripts/setup.sh run

.PHONY: setup-cluster
setup-cluster: ## The same, with what the cluster profile and its real servers need
	@scripts/setup.sh cluster

.PHONY: run
run: setup ## Run the procurement day and print orders and exceptions (RUN_DATE=YYYY-MM-DD picks the day)
	@$(BIN)/procurement run --simulate-if-empty

.PHONY: dev
dev: ## Prepare .venv with what the tests and checks need
	@scripts/setup.sh dev

.PHONY: test
test: dev ## Run the tests, as many side by side as there are processors (ARGS='-k name' picks some)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

.PHONY: servers
servers: ## Fetch the programs of the real servers (HDFS, Hive Metastore, Trino, PostgreSQL, Kafka): once, 1 GB
	@scripts/setup.sh cluster
	@$(BIN)/procurement stack fetch

.PHONY: test-cluster
test-cluster: servers ## Run the tests of the real servers, which they start (ARGS='-k name' picks some)
	@$(BIN)/python -m pytest -m cluster $(ARGS)

.PHONY: test-servers
test-servers: ## Of these tests those of the servers themselves and of a typical and a hostile day on them
	@scripts/setup.sh cluster
	@$(BIN)/python -m pytest -m cluster procurement_platform_tests/stack $(DAY) --deselect '$(DAY)::$(SAME)[none]' --deselect '$(DAY)::$(SAME)[empty]' $(ARGS)

.PHONY: lint
lint: dev ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: format
format: dev ## Format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: docs
docs: dev ## Write docs/commands.md, docs/settings.md and docs/reference.md again
	@$(BIN)/python -m procurement_platform_tests.docs_pages

.PHONY: ui
ui: setup ## Start Dagster's UI and daemon for this home
	@$(BIN)/procurement ui

.PHONY: bench
bench: dev ## Compare a whole run with hand-written scripts (takes minutes)
	@$(BIN)/python bench/procurement_day.py $(ARGS)

.PHONY: lock
lock: ## Write the lock files again from pyproject.toml (ARGS=--upgrade takes newer versions)
	@scripts/lock.sh $(ARGS)

.PHONY: clean
clean: ## Remove .venv, .tools and caches; the data (var) stays
	@if [ -x $(BIN)/procurement ]; then $(BIN)/procurement stop || true; fi
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	@find procurement_platform procurement_platform_tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
