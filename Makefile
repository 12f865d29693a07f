# Everything runs from .venv, made here from the lock file: nothing needs installing by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Many containers set it. Then no compiled module is kept, and a worker takes twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

COMPILE := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url

.PHONY: setup demo dev secrets up pin-images audit test test-day faults lint format migration bench bench-scale bench-profile lock clean

$(VENV)/.ready: requirements-dev.lock requirements-uv.lock pyproject.toml dev/virtualenv.py
	@$(PYTHON) dev/virtualenv.py

setup: $(VENV)/.ready

demo: setup  ## the main job, from event to inbox, on embedded defaults
	$(BIN)/onward demo

dev: setup  ## everything in one process tree, until Ctrl-C
	$(BIN)/onward dev

secrets:  ## what docker-compose.yml needs, made once and kept in .env
	@$(PYTHON) deploy/make_secrets.py

up: secrets  ## everything in containers, by Docker Compose
	docker compose up --build

pin-images:  ## pin the base images by digest, where Docker and its registry can be reached
	$(PYTHON) deploy/pin_images.py

test-day: setup  ## the tests whose every clock can be set, on another day: make test-day DAY=2026-10-25T02:30@Europe/Prague
	$(BIN)/pytest -n 3 --dist loadfile --without-temporal -k "not postgres" --hypothesis-profile=brief --day=$(DAY)

audit: setup  ## known vulnerabilities in the locked packages
	$(PYTHON) deploy/audit.py

test: setup  ## make test DATABASES=sql, as the gate does: what lives by its SQL on each database; DATABASES=both: all
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --databases=$(or $(DATABASES),one) $(if $(DAY),--day=$(DAY))

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
	uv=$$($(PYTHON) dev/virtualenv.py --uv) && set -x && \
	echo uv | $$uv pip compile $(COMPILE) -o requirements-uv.lock - && \
	$$uv pip compile $(COMPILE) -o requirements.lock pyproject.toml && \
	$$uv pip compile $(COMPILE) --extra dev -c requirements.lock --no-emit-package onward -o requirements-dev.lock pyproject.toml

clean:
	rm -rf $(VENV) .onward build *.egg-info
