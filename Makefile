# What a person does with this repository. `make` alone lists it.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
TEST ?= -n 2 --dist worksteal
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo up test lint bench pictures lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make the virtual environment .venv with the locked versions; once

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED) ## make a small batch of synthesised calls and run it to the end
	$(BIN)/cofi demo

up: $(INSTALLED) ## start everything on one address
	$(BIN)/cofi up

test: $(INSTALLED) ## run all tests; TEST='-k name' chooses
	.ci/system-packages
	$(BIN)/python -m pytest $(TEST)

lint: $(INSTALLED) ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) ## measure; BENCH='wire --files 1000' chooses
	$(BIN)/python -m benchmarks $(BENCH)

pictures: $(INSTALLED) ## take the documents' pictures of the pages anew
	$(BIN)/python -m cofi_dagster_tests.screenshots

lock: ## write constraints.txt anew with the newest versions
	$(PYTHON) .ci/lock

clean: ## remove what the targets above made, but no data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info benchmarks/results.json
	find . -name __pycache__ -prune -exec rm -rf {} +
