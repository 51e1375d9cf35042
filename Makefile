# Everything runs in .venv, which `make` fills from pyproject.toml; .venv-secodadk holds the real secodadk, whose
# pins must not touch ours, and .venv-peers/<name> each peer of the benchmarks.
PYTHON ?= python3.11
BIN := .venv/bin
SECODADK := .venv-secodadk/bin/python
PEERS := $(patsubst benchmarks/peers/%/requirements.txt,.venv-peers/%/installed,$(wildcard benchmarks/peers/*/requirements.txt))

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-floors lint bench bench-full clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

demo: .venv/installed ## The main job: crawl a real Datasette, upload one sync, show what the workspace holds
	@$(BIN)/python -m examples.demo

test: lint .venv-secodadk/installed ## Format check, lint, types, import layers and tests
	@$(BIN)/python -m pytest -m "not long" -n auto --maxprocesses 4 --dist worksteal

test-long: lint .venv-secodadk/installed ## The same with the tests that take minutes
	@$(BIN)/python -m pytest

test-floors: .venv-secodadk/installed ## The tests on the oldest versions that pyproject.toml allows
	@$(PYTHON) -m venv --clear .venv-floors
	@$(PYTHON) tests/floors.py > .venv-floors/constraints.txt
	@.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint .venv-floors/constraints.txt
	@.venv-floors/bin/python -m pytest -m "not long" -n auto --maxprocesses 4 --dist worksteal

lint: .venv/installed ## Format check, lint, types and import layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/installed .venv-secodadk/installed $(PEERS) ## Throughput and memory, beside what else there is: takes minutes
	@$(BIN)/python -m benchmarks

bench-full: .venv/installed .venv-secodadk/installed $(PEERS) ## The same at full size: up to an hour
	@$(BIN)/python -m benchmarks --full

clean: ## Remove the environments and what was built
	@rm -rf .venv .venv-secodadk .venv-peers .venv-floors .demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/installed: pyproject.toml
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv-secodadk/installed: tests/peer/requirements.txt
	@$(PYTHON) -m venv .venv-secodadk
	@$(SECODADK) -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.venv-peers/%/installed: benchmarks/peers/%/requirements.txt
	@$(PYTHON) -m venv .venv-peers/$*
	@.venv-peers/$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
