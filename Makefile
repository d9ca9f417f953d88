# Start with `make demo` or `make test`. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# bakery and what it needs at run time; with what its tests and checks need
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed
# pip of $(PYTHON) installs into .venv: another pip there takes as long to create as all of bakery. Without it, ensurepip.
PIP = $$([ -x $(BIN)/pip ] && echo $(BIN)/python -m pip || echo $(PYTHON) -m pip --python $(VENV)) \
	--disable-pip-version-check install --quiet
.DEFAULT_GOAL := help
.PHONY: help install develop demo test fast lint format peers mutants bench socibench docs release enterprise wheels lock clean

help:
	@echo "make install  install bakery into a virtual environment: .venv/bin/bakery"
	@echo "make develop  add the tools that tests and checks need"
	@echo "make demo     publish an example project to registries that run inside the command"
	@echo "make test     run every test; tests with a missing peer are skipped (in CI: an error)"
	@echo "make fast     run the tests that finish in under a minute"
	@echo "make mutants  change the code in one place at a time, and check that a test fails"
	@echo "make lint     run ruff, mypy, import-linter, deptry and vulture"
	@echo "make format   format the code with ruff"
	@echo "make peers    install oras, crane, regctl and the registries that some tests compare with"
	@echo "make bench    measure the figures in docs/performance.md"
	@echo "make socibench  measure SOCI conversion next to the original tool"
	@echo "make docs     write the documentation as a site to build/site"
	@echo "make release  build sdist, wheel, SBOM and checksums into dist"
	@echo "make enterprise  rewrite the workflows for a GitHub Enterprise Server (REPOSITORY=acme/bakery)"
	@echo "make wheels   download what the Containerfile copies into build/image"
	@echo "make lock     update the locks from pyproject.toml (requires uv)"
	@echo "make clean    remove everything that make created, except .peers"

# The version is checked before anything is created: pip would refuse the lock only after .venv has been made.
$(INSTALLED): requirements.lock requirements-build.lock pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; v = ".".join(map(str, sys.version_info[:3])); sys.exit(sys.version_info < (3, 11) and \
		"error: cannot create $(VENV): $(PYTHON) is Python " + v + ", Bakery needs 3.11 or later\n" \
		"hint: run \047make install PYTHON=python3.11\047, or name a later Python by its path")'
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv --without-pip $(VENV)
	@$(PYTHON) -m pip --python $(VENV) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@echo "installing $$(grep -c == requirements.lock) packages that bakery needs, about 36 MB, without development tools"
	@$(PIP) --require-hashes -r requirements.lock -r requirements-build.lock
	@echo "installing bakery from this folder"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q src/bakery  # pip only does this for copied packages; without it, every start may compile everything
	@touch $(INSTALLED)

$(DEVELOPED): requirements-dev.lock $(INSTALLED)
	@echo "installing development tools: $$(grep -c == requirements-dev.lock) packages, about 550 MB"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $(DEVELOPED)

install: $(INSTALLED)

develop: $(DEVELOPED)

test: $(DEVELOPED)
	$(BIN)/python -m pytest

# First with small generated images for every target, then with builds made by a real buildx: one file per architecture,
# with attestations.
demo: $(INSTALLED)
	@echo "publishing the images of examples/hello to registries that run inside the command"
	$(BIN)/bakery rehearse examples/hello
	@echo; echo "The same with builds made by a real buildx: indexes with attestations, platforms that only the registry knows."
	$(BIN)/bakery rehearse examples/hello --image-name hello \
		--metadata "examples/hello/builds/attested-*.json" --layout examples/hello/builds/layout

fast: $(DEVELOPED)
	$(BIN)/python -m pytest -m "not slow and not peer" --hypothesis-profile quick

# MUTANTS selects rooms of tests/mutants/rooms.py: make mutants MUTANTS="oci registry"
mutants: $(DEVELOPED)
	$(BIN)/python -m tests.mutants $(MUTANTS)

lint: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/vulture

format: $(DEVELOPED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

peers:
	tests/peers/install

# BENCH_ROWS selects rows by name, for example: make bench BENCH_ROWS="tiny auth"
bench: $(DEVELOPED)
	$(BIN)/python -m bench $(BENCH_ROWS)

# The generated images are large: SOCI_SCALE=0.1 makes them ten times smaller.
socibench: $(DEVELOPED)
	$(BIN)/python -m bench.soci --scale $(or $(SOCI_SCALE),1)

# The locks name no package host: the person who installs chooses where packages come from. UPGRADE=--upgrade renews every pin.
COMPILE = uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11
lock:
	$(COMPILE) $(UPGRADE) pyproject.toml --output-file requirements.lock
	$(COMPILE) $(UPGRADE) --constraints requirements.lock --group build --output-file requirements-build.lock
	$(COMPILE) $(UPGRADE) --constraints requirements-build.lock --constraints requirements.lock --group dev pyproject.toml \
		--output-file requirements-dev.lock

# NO_MKDOCS_2_WARNING: mkdocs-material prints an advertisement otherwise.
docs: $(DEVELOPED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

# The files of a release, built twice and compared: dist/ gets sdist, wheel, SBOM and checksums.
release: $(DEVELOPED)
	$(BIN)/python -m release

# RUNNER is a label, RUNNERS maps platforms to labels: docs/workflows.md, "Enterprise servers".
enterprise: $(INSTALLED)
	@$(BIN)/python -m release.enterprise $(or $(REPOSITORY),$(error REPOSITORY is not set: make enterprise REPOSITORY=acme/bakery)) \
		$(if $(RUNNER),--runner "$(RUNNER)") $(if $(RUNNERS),--runners "$(RUNNERS)")

# BASE_PYTHON is the Python of the image's base.
wheels: $(DEVELOPED)
	$(BIN)/python -m release wheels --python $(or $(BASE_PYTHON),3.13) --output build/image

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
