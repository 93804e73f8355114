# `make run`: the whole pipeline on the phantom. `make test`: the tests. Both set up .venv first; a second call does no work twice.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Idle threads sleep instead of spinning, so that trainings do not crawl where something else runs.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup run test lint smoke ablation study docs bench clean clean-stale verify repair audit

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.installed ## make .venv and install the lock

$(VENV)/.installed: requirements.lock
	@$(PYTHON) scripts/check_machine.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall $$(grep '^opencv-python-headless==' requirements.lock)
	@touch $@

run: setup ## the whole pipeline (dvc repro), then a summary
	$(BIN)/python -m stages.run

test: setup ## lint, types and tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

smoke: setup ## the whole pipeline on the smoke profile, in a clone under build/
	rm -rf build/smoke && git clone --quiet . build/smoke && rm -f build/smoke/dvc.lock
	if [ -d .cache ]; then ln -s ../../.cache build/smoke/.cache; fi
	cd build/smoke && python -m pipeline.profile smoke --write && python -m stages.run

ablation: setup ## the paper's four generators, shared points trained once, and their comparison
	$(BIN)/python -m stages.ablation

study: setup ## params.yaml on every fold, pooled and compared (STUDY="--fractions 0.25 1.0"); a second call goes on
	$(BIN)/python -m stages.study $(STUDY)

lint: setup ## ruff and mypy
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: ## the documentation as a site in build/site, made in an environment of its own (.venv.docs)
	test -x .venv.docs/bin/mkdocs || $(PYTHON) -m venv .venv.docs
	.venv.docs/bin/python -m pip install --quiet -r requirements-docs.txt
	.venv.docs/bin/mkdocs build --quiet --strict

bench: setup ## every benchmark that needs no data, in less than 15 minutes; writes benchmarks/results.md
	$(BIN)/python -m benchmarks.suite

audit: ## compare the locked packages with the known vulnerabilities (needs a network)
	$(PYTHON) scripts/audit.py

verify: setup ## compare every file that DVC keeps with its hash
	$(BIN)/python -m stages.verify

repair: setup ## remove the files whose bytes are not those of their hash; `make run` makes them again
	$(BIN)/python -m stages.verify --repair

clean: ## remove everything that `make run` wrote except .venv
	rm -rf data models predictions .resume .cache .dvc/tmp .dvc/cache

clean-stale: setup ## remove what dropped points, seeds and pools left behind (lists it first: `python -m stages.clean_stale`)
	$(BIN)/python -m stages.clean_stale --remove
