# Start with `make demo` or `make test`. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
.DEFAULT_GOAL := help
.PHONY: help install demo test fast lint format peers mutants bench socibench lock clean

help:
	@echo "make install  install bakery into a virtual environment: .venv/bin/bakery"
	@echo "make demo     publish an example project to registries that run inside the command"
	@echo "make test     run every test; tests with a missing peer are skipped (in CI: an error)"
	@echo "make fast     run the tests that finish in under a minute"
	@echo "make mutants  change the code in one place at a time, and check that a test fails"
	@echo "make lint     run ruff, mypy, import-linter, deptry and vulture"
	@echo "make format   format the code with ruff"
	@echo "make peers    install oras, crane, regctl and the registries that some tests compare with"
	@echo "make bench    measure the figures in docs/performance.md"
	@echo "make socibench  measure SOCI conversion next to the original tool"
	@echo "make lock     update requirements.lock from pyproject.toml (requires uv)"
	@echo "make clean    remove everything that make created, except .peers"

# The version is checked before anything is created: pip would refuse the lock only after .venv has been made.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = ".".join(map(str, sys.version_info[:3])); sys.exit(sys.version_info < (3, 11) and \
		"error: cannot create $(VENV): $(PYTHON) is Python " + v + ", Bakery needs 3.11 or later\n" \
		"hint: run \047make install PYTHON=python3.11\047, or name a later Python by its path")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q src/bakery  # pip only does this for copied packages; without it, every start may compile everything
	@touch $(STAMP)

install: $(STAMP)

test: $(STAMP)
	$(BIN)/python -m pytest

# First with small generated images for every target, then with builds made by a real buildx: one file per architecture,
# with attestations.
demo: $(STAMP)
	$(BIN)/bakery rehearse examples/hello
	@echo; echo "The same with builds made by a real buildx: indexes with attestations, platforms that only the registry knows."
	$(BIN)/bakery rehearse examples/hello --image-name hello \
		--metadata "examples/hello/builds/attested-*.json" --layout examples/hello/builds/layout

fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not peer" --hypothesis-profile quick

# MUTANTS selects rooms of tests/mutants/rooms.py: make mutants MUTANTS="oci registry"
mutants: $(STAMP)
	$(BIN)/python -m tests.mutants $(MUTANTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/vulture

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

peers:
	tests/peers/install

# BENCH_ROWS selects rows by name, for example: make bench BENCH_ROWS="tiny auth"
bench: $(STAMP)
	$(BIN)/python -m bench $(BENCH_ROWS)

# The generated images are large: SOCI_SCALE=0.1 makes them ten times smaller.
socibench: $(STAMP)
	$(BIN)/python -m bench.soci --scale $(or $(SOCI_SCALE),1)

# The lock names no package host: the person who installs chooses where packages come from.
lock:
	uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--python-version 3.11 --extra dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
