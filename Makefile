# Every target works from a fresh clone with Python ≥ 3.10 and make: the first one makes .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := triggers_core triggers_threading triggers_celery triggers_postgres conformance
INSTALLED := $(VENV)/.installed

.PHONY: help demo test lint format bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(INSTALLED) ## a questionnaire whose steps finish in any order, on SQLite and threads
	@$(BIN)/python examples/questionnaire/demo.py

test: $(INSTALLED) ## every test
	@$(BIN)/python -m pytest $(ARGS)

lint: $(INSTALLED) ## formatting, style, types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(INSTALLED) ## write the formatting
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## speed, as ratios against baselines of the same run
	@$(BIN)/python benchmarks/spine.py

clean: ## remove what the other targets made
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# Build isolation is off so that the pinned build backend is the one used.
$(INSTALLED): pyproject.toml constraints.txt $(DISTRIBUTIONS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed; try: make PYTHON=python3.12 …"; exit 1; }
	@echo "setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt pip
	@$(BIN)/python -m pip install -q -c constraints.txt --group dev
	@$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation \
		$(DISTRIBUTIONS:%=-e ./%)
	@touch $@
