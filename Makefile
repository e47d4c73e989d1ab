# Each target prepares .venv by itself: `make demo` and `make test` work on a machine with Python and make only.
#   PYTHON   the interpreter to build .venv from          make test PYTHON=python3.13
#   ARGS     more arguments for the command of a target   make test ARGS='-k routing'
#   BREAK    what is wrong with the new version           make demo BREAK=errors
#   JOBS     test files at once; without it two a core    make test JOBS=0 ARGS='--pdb'
#   SECONDS  how long to look for faults                  make fuzz SECONDS=600
#   ONLY     which lines `make bench` measures            make bench ONLY=small ARGS="--peers floor"
PYTHON ?= python3
JOBS ?= $(shell expr 2 \* $$(nproc))
SECONDS ?= 60
VENV := .venv
BIN := $(VENV)/bin

COMPILED := $(shell find proxy -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
BUILD := setup.py $(wildcard build_backend/*.py)

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench bench-check decisions load chaos smuggling fuzz build clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## watch a canary in this terminal; with BREAK=errors, how a bad one is rolled back
	$(BIN)/serinus demo $(if $(BREAK),--break $(BREAK)) $(ARGS)

test: build ## run the tests
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: build ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: build ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: build ## measure against other proxies
	$(BIN)/python -m loadtests.bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

bench-check: build ## count instructions per request and compare them with the recorded ones; needs valgrind
	$(BIN)/python -m loadtests.bench.instructions $(ARGS)

decisions: build ## compare rules that roll back or promote, on simulated traffic
	$(BIN)/python -m loadtests.decisions --short $(ARGS)

load: build ## run locust against the demo, while a rollout is under way
	$(BIN)/python -m loadtests.run $(ARGS)

chaos: build ## inject every fault of docs/failure-modes.md and show what came of it; ARGS=--long for the recorded forms
	$(BIN)/python -m tests.chaos $(ARGS)

smuggling: build ## send requests hidden in requests through the proxy to seven servers
	$(BIN)/python -m loadtests.smuggling $(ARGS)

fuzz: build ## send random messages through the data path, compiled with AddressSanitizer, for SECONDS=60
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

build: $(VENV)/built ## compile what changed, in place

clean: ## remove everything that the other targets made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(dir $(wildcard */__init__.py)) tests \( -name '*.so' -o -name '__pycache__' \) -prune -exec rm -rf {} +

$(VENV)/built: $(VENV)/installed $(COMPILED) $(BUILD)
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

# Without isolation, so that this build and the one above share Cython and everything it has translated.
$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	requires=$$($(BIN)/python build_backend/toolchain.py) && $(BIN)/python -m pip install --quiet $$requires
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Serinus needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
