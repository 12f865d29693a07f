# Everything runs from .venv, made here from the lock file: nothing needs installing by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo dev test lint format migration bench bench-scale bench-profile lock clean

# The lock is whole, so pip resolves nothing: it would refuse what uv was told to override (pyproject.toml).
$(VENV)/.ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Onward needs Python 3.11 or newer: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(VENV)/.ready

demo: setup  ## the main job, from event to inbox, on embedded defaults
	$(BIN)/onward demo

dev: setup  ## everything in one process tree, until Ctrl-C
	$(BIN)/onward dev

test: setup  ## make test DATABASES=both: each test on each database, as the gate does
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --databases=$(or $(DATABASES),one)

faults: setup  ## seeded fault runs judged by the oracle: make faults SEEDS=1-20 SECONDS=180
	$(BIN)/python -m tests.faults --seeds $(or $(SEEDS),1) --seconds $(or $(SECONDS),180) $(if $(PARALLEL),--parallel $(PARALLEL))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

migration: setup  ## make migration m="what changed": a new revision from the tables
	$(BIN)/python -m store.migrations "$(m)"

bench: setup  ## ratios against hand-written code, side by side in one run
	$(BIN)/python -m benchmarks

bench-scale: setup  ## e-mails a minute, 50,000 sleepers, caches, growth: an hour, with the machine to itself
	$(BIN)/python -m benchmarks --long

bench-profile: setup  ## where a journey's time goes
	$(BIN)/python -m benchmarks --profile

lock:  ## names, versions and hashes; no addresses
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url -o requirements.lock pyproject.toml
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --extra dev -c requirements.lock --no-emit-package onward -o requirements-dev.lock pyproject.toml
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .onward build *.egg-info
