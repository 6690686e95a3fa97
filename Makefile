# Commands of Matchbook. They need python3 (3.11 or newer, with venv); `make up` installs the rest.
.DEFAULT_GOAL := help
.PHONY: help install up down reset test test-fast test-e2e lint check coverage bench test-browser test-compose \
    clients lock
.NOTPARALLEL:

PYTHON ?= python3
V := .venv/bin/python
LOCAL = $(V) -m pipelines.cli.up
COMPILE = uv pip compile -q --no-header --no-annotate --python-version 3.11 --python-platform x86_64-unknown-linux-gnu \
    $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"}
TESTS = $(V) -m pytest -q -n auto --dist loadfile --no-loadscope-reorder
CODE := models pipelines serving local sql dags docker clients tests benchmarks

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

install: ## a virtual environment in .venv with everything in requirements.txt and requirements-dev.txt
	@$(PYTHON) install.py

up: install ## start everything, build and serve lists: [DATA=<folder of CSV>] [DETACH=1]; Ctrl-C stops it
	@exec $(LOCAL) up $(if $(DATA),--data "$(DATA)") $(if $(DETACH),--detach)

down: ## stop what `make up` started
	@if [ -x $(V) ]; then exec $(LOCAL) down; else echo "nothing is installed here, so nothing of ours runs"; fi

reset: ## stop, then remove MATCHBOOK_HOME and its files in other places
	@if [ -x $(V) ]; then exec $(LOCAL) reset; else echo "nothing is installed here; remove MATCHBOOK_HOME by hand"; fi

test: install ## run the tests on all cores, with their own PostgreSQL and Redis servers: [ARGS=...]
	@$(TESTS) -m "not e2e and not browser and not compose" $(ARGS)

test-fast: install ## run the quick tests that need no server, for the edit loop: [ARGS=...]
	@$(TESTS) --ignore tests/architecture -m "not servers and not slow and not e2e and not browser and not compose" $(ARGS)

test-e2e: install ## whole Airflow runs, two machines, each service of the compose file, tutorials followed: [ARGS=...]
	@$(TESTS) -m e2e $(ARGS)

lint: install ## check layout, rules and misspelled words, in seconds
	@$(V) -m ruff format --check $(CODE) install.py
	@$(V) -m ruff check $(CODE) install.py
	@git ls-files -z | xargs -0 $(V) -m codespell_lib

check: lint ## lint, then check types and architecture
	@$(V) -m mypy
	@$(TESTS) tests/architecture

coverage: install ## measure the lines and branches that the tests run: [ARGS=tests/models], by default all tests
	@$(TESTS) -m "not e2e and not browser and not compose" --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

bench: install ## run benchmarks: [SIZE=2k|20k|100k|1m], by default 2k and 20k [KEEP=<home>]
	@$(V) -m benchmarks $(SIZE) $(if $(KEEP),--keep "$(KEEP)")

test-compose: install ## test the image and the compose file; needs a container engine, for root not a running one
	@$(V) -m pytest -q -rs -m compose tests/e2e/test_compose_run.py

test-browser: install ## pages and Airflow's UI in a real Chromium, against what `make up` runs
	@$(V) -m pytest -q -m browser tests/browser

clients: install ## write the types and operations of the packages in clients/ again, from the OpenAPI document
	@$(V) -m clients.generate

# Compiled for the supported platforms, without local version tags and CUDA, which the resolver adds if torch needs it.
lock: ## compile both locks from requirements.in and requirements-dev.in (needs uv on the PATH)
	@command -v uv >/dev/null || { echo "uv is needed: pip install uv"; exit 1; }
	@$(COMPILE) requirements.in -o requirements.txt
	@sed -i -E -e 's/\+cpu$$//' -e '/^(nvidia-|triton==|cuda-)/d' requirements.txt
	@$(COMPILE) --constraint requirements.txt requirements-dev.in -o requirements-dev.txt
