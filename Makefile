# make demo, make test: the two commands of the README. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
.DEFAULT_GOAL := help
.PHONY: help install demo test fast lint format peers bench socibench lock clean

help:
	@echo "make install  a virtual environment with bakery in it: .venv/bin/bakery"
	@echo "make demo     publish an example project to registries that run inside the command"
	@echo "make test     every test; those that need a missing peer are skipped (CI: an error)"
	@echo "make fast     the tests that finish in under a minute"
	@echo "make lint     ruff, mypy, import-linter"
	@echo "make format   let ruff write the tree as lint wants it"
	@echo "make peers    oras, crane, regctl, registries: what some tests compare with"
	@echo "make bench    the figures of docs/performance.md"
	@echo "make socibench  those of SOCI conversion alone, beside the real tool"
	@echo "make lock     requirements.lock anew from pyproject.toml (needs uv in PATH)"
	@echo "make clean    remove what make has made, .peers left out"

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q src/bakery  # as pip does where it copies; without it every start may compile all
	@touch $(STAMP)

install: $(STAMP)

test: $(STAMP)
	$(BIN)/python -m pytest

# First small images made up for every target, then what a real buildx left: one architecture a file, with attestations.
demo: $(STAMP)
	$(BIN)/bakery rehearse examples/hello
	@echo; echo "The same with what a real buildx left: indexes with attestations, platforms that only the registry tells."
	$(BIN)/bakery rehearse examples/hello --image-name hello \
		--metadata "examples/hello/builds/attested-*.json" --layout examples/hello/builds/layout

fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not peer" --hypothesis-profile quick

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

peers:
	tests/peers/install

# BENCH_ROWS picks rows by name, for example: make bench BENCH_ROWS="tiny auth"
bench: $(STAMP)
	$(BIN)/python -m bench $(BENCH_ROWS)

# The images that it makes are large: SOCI_SCALE=0.1 makes them a tenth.
socibench: $(STAMP)
	$(BIN)/python -m bench.soci --scale $(or $(SOCI_SCALE),1)

# The lock names no package host: whoever installs decides where packages come from.
lock:
	uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--python-version 3.11 --extra dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
