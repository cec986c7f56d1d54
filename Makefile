# Set-up and checks. Nothing is needed beforehand but Python 3.11 or newer and make; each target prepares what it needs,
# and a second run finds it ready. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The demo and a node need NODE_READY; tests and checks need DEV_READY, which holds all of it and more.
NODE_READY := $(VENV)/.node-ready
DEV_READY := $(VENV)/.dev-ready
# Commands of the system, as command:package, that tests and the bench use beside the Python packages.
SYSTEM := ip:iproute2 sqlite3:sqlite3 curl:curl git:git openssl:openssl
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIP_LOCKED := $(PIP) install --require-hashes
PIP_PROJECT := $(PIP) install --no-build-isolation --no-deps --editable .
UV_COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate pyproject.toml --group build
# How many tests run at once; those of one file run one after the other, in its order.
WORKERS ?= 2
TESTS ?= tests
PYTEST := $(BIN)/python -m pytest -q -p no:cacheprovider -n $(WORKERS) --dist loadfile
DEMO_ARGS ?=
SOAK_ROUNDS ?= 100
FAULTS_ARGS ?=
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test soak faults check bench bench-network lint format types imports determinism docs docs-check leaks components lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(DEV_READY) components ## prepare .venv with everything that tests and checks need

demo: $(NODE_READY) ## share real data between four organisations, and catch three frauds
	$(BIN)/tally demo $(DEMO_ARGS)

test: $(DEV_READY) components ## run the tests; TESTS=tests/unit for a part of them
	$(PYTEST) $(TESTS)

soak: $(DEV_READY) components ## the fault tests, one after the other, at a hundred rounds each: an hour or more
	TALLY_FAULT_ROUNDS=$(SOAK_ROUNDS) $(BIN)/python -m pytest -q -p no:cacheprovider tests/fault

faults: $(DEV_READY) components ## run the fault tests and write their table; FAULTS_ARGS=RECORD where a run recorded already
	$(BIN)/python -m tools.write_faults $(FAULTS_ARGS)

check: lint types imports determinism docs-check leaks test ## everything that must hold before a change lands

bench: $(DEV_READY) components ## measure, as shares of ceilings found in the same run
	$(BIN)/python -m bench $(BENCH_ARGS)

bench-network: $(DEV_READY) components ## measure whole networks: validators from 1 to 10, copies up to 100; half an hour or more
	$(BIN)/python -m bench --network $(BENCH_ARGS)

lint: $(DEV_READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV_READY) ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV_READY) ## mypy --strict
	$(BIN)/mypy

imports: $(DEV_READY) ## who may import whom
	$(BIN)/lint-imports --no-cache --no-logo

determinism: $(DEV_READY) ## no clock, chance, float or unordered walk in machine and modules
	$(BIN)/python -m tools.determinism_lint

docs: $(DEV_READY) ## write the generated pages of the reference
	$(BIN)/python -m tools.check_docs --write

docs-check: $(DEV_READY) ## links, generated pages, module specifications, runnable examples
	$(BIN)/python -m tools.check_docs

leaks: $(DEV_READY) ## nothing in the tree names a registry's host or a private path
	$(BIN)/python -m tools.check_leaks

components: $(DEV_READY) ## install the outside programs that tests run; says what to type where it may not
	@sh tools/setup.sh packages $(SYSTEM)
	@sh tools/setup.sh log-checker $(BIN)/go
	@sh tools/setup.sh engine $(BIN)/tally

lock: $(DEV_READY) ## resolve all versions anew and write requirements/*.txt
	$(UV_COMPILE) --extra node --extra pandas --group dev --output-file requirements/dev.txt
	$(UV_COMPILE) --extra node --extra pandas --constraint requirements/dev.txt --output-file requirements/node.txt

clean: ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis build dist

$(BIN)/python:
	@sh tools/setup.sh venv $(PYTHON) $(VENV)

$(NODE_READY): requirements/node.txt pyproject.toml | $(BIN)/python
	$(PIP_LOCKED) --requirement requirements/node.txt
	$(PIP_PROJECT)
	@touch $@

$(DEV_READY): requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP_LOCKED) --requirement requirements/dev.txt
	$(PIP_PROJECT)
	@touch $@ $(NODE_READY)
