# Everything runs in .venv, which the first target that needs it makes. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One test process per core; `make test JOBS=0` runs in one process, e.g. for a debugger.
JOBS ?= auto
# `make lock UPGRADE=1` takes newer releases; plain `make lock` changes only what pyproject.toml asks for.
UPGRADE ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check test-long bench docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/dev.stamp ## install everything for users and developers into .venv

demo: $(VENV)/server.stamp ## run the whole path on this machine, on http://127.0.0.1:8000 (or PORT=8001)
	$(BIN)/wattseal demo $(if $(PORT),--port $(PORT))

test: setup ## run the tests that need no root, no account and no other server
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not realserver and not house"

check: setup ## lint, types, layers, house rules and the tests against real servers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m "realserver or house"

test-long: setup ## run the tests with many more cases
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not realserver and not house" --long

bench: setup ## measure this machine's rates
	$(BIN)/python -m bench

docs: setup ## check that links, cited sections and the tests named by decisions exist
	$(BIN)/pytest -m house tests/house/test_docs.py

COMPILE = $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --exclude-newer "7 days" $(if $(UPGRADE),--upgrade)

lock: $(VENV)/lock.stamp ## write requirements/*.txt anew from pyproject.toml (releases at least a week old)
	$(COMPILE) pyproject.toml --extra server --group build -o requirements/server.txt
	$(COMPILE) pyproject.toml --extra server --extra postgres --group dev -c requirements/server.txt -o requirements/dev.txt
	$(COMPILE) --group lock -o requirements/lock.txt

clean: ## remove .venv and what tools left behind
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: a stamp is newer than what it was made from, so that a second call does nothing -----------------

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Wattseal needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What running needs: enough for `make demo`. The package is installed last, and from its place, with the locked backend.
$(VENV)/server.stamp: $(VENV)/venv.stamp requirements/server.txt pyproject.toml
	$(INSTALL) --require-hashes -r requirements/server.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/server.stamp requirements/dev.txt
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

# uv is needed for nothing else, so it gets a place of its own.
$(VENV)/lock.stamp: $(VENV)/venv.stamp requirements/lock.txt
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@touch $@
