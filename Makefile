# Every target works from a fresh clone with Python ≥ 3.10 and make: the first one makes .venv.

PYTHON ?= python3
PYTHONS ?= 3.10 3.11 3.12 3.13 3.14
# Each Python that is named has a .venv of its own, beside the newcomer's.
ifeq ($(origin PYTHON),file)
VENV := .venv
else
VENV := .venv-$(or $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'),$(error $(PYTHON) cannot be run))
endif
BIN := $(VENV)/bin
DISTRIBUTIONS := triggers_core triggers_threading triggers_celery triggers_postgres triggers_opentelemetry triggers_web conformance
INSTALLED := $(VENV)/.installed

.PHONY: help demo demo-celery test test-all lint format docs wheels pictures reference release-check bench bench-celery faults clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(INSTALLED) ## a questionnaire whose steps finish in any order, on SQLite and threads
	@$(BIN)/python examples/questionnaire/demo.py

demo-celery: $(INSTALLED) ## the same, its steps run by a Celery worker; without a server
	@PYTHONPATH=examples/questionnaire $(BIN)/python examples/questionnaire_celery/demo_celery.py

test: $(INSTALLED) ## every test
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

test-all: ## every test, on every Python of PYTHONS (3.10 to 3.14)
	@for version in $(PYTHONS); do \
		python$$version -c '' 2> /dev/null || { \
			echo "python$$version cannot be run; name those that are meant: make test-all PYTHONS='3.11 3.12'"; \
			exit 1; }; \
	done
	@for version in $(PYTHONS); do \
		echo "== Python $$version"; \
		$(MAKE) --no-print-directory test PYTHON=python$$version || exit 1; \
	done

lint: $(INSTALLED) ## formatting, style, types, imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo > /dev/null || $(BIN)/lint-imports
	@$(BIN)/python tools/check_house.py
	@git ls-files -co --exclude-standard | grep -v '\.png$$' | xargs $(BIN)/python tools/check_hygiene.py

format: $(INSTALLED) ## write the formatting
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.docs-installed ## the guide as a site, in site/
	@$(BIN)/python tools/pictures.py --check
	@$(BIN)/python tools/reference.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@$(BIN)/python tools/check_site.py site

wheels: $(INSTALLED) ## the distributions' wheels, in dist/
	@$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist $(DISTRIBUTIONS:%=./%)
	@ls dist

pictures: $(INSTALLED) ## the guide's pictures, from their sources in docs/pictures
	@$(BIN)/python tools/pictures.py

reference: $(VENV)/.docs-installed ## the Python reference as Markdown, triggers_core/REFERENCE.md
	@$(BIN)/python tools/reference.py

release-check: $(VENV)/.release-installed ## every wheel and source distribution, built in dist/ and checked
	@rm -rf dist
	@for distribution in $(DISTRIBUTIONS); do \
		$(BIN)/python -m build --no-isolation --outdir dist $$distribution > /dev/null || exit 1; \
	done
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/python tools/check_release.py dist

bench: $(INSTALLED) ## speed, as ratios against baselines of the same run
	@$(BIN)/python benchmarks/suite.py $(ARGS)

bench-celery: $(INSTALLED) ## joins on Celery against bare tasks and chords; needs Redis
	@$(BIN)/python benchmarks/celery_joins.py
	@$(BIN)/python benchmarks/photos.py

faults: $(INSTALLED) ## kill, cut and double in real processes; needs Redis, RabbitMQ and PostgreSQL
	@$(BIN)/python faults/campaign.py $(ARGS)
	@$(BIN)/python faults/proof.py

clean: ## remove what the other targets made
	rm -rf .venv .venv-* dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

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

$(VENV)/.%-installed: $(INSTALLED)
	@$(BIN)/python -m pip install -q -c constraints.txt --group $*
	@touch $@
