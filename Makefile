# make help lists the targets. Everything runs in .venv, which is made when it is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup train test test-all test-postgres test-executorch check format tensorboard notebooks bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv and install the pinned set (again only when its inputs change)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "burnish needs Python 3.11 or later; name one: make PYTHON=python3.12 setup"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: $(STAMP) ## train the default experiment (digits, no download); make train ARGS='model=mlp'
	$(BIN)/python src/train.py $(ARGS)

# Two test processes share the cores: threads within each would only get in their way.
test test-all: export OMP_NUM_THREADS := 1

test: $(STAMP) ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2 -m 'not slow and not gpu and not postgres and not executorch'

test-all: $(STAMP) ## all tests, the slow ones too
	$(BIN)/python -m pytest -n 2 -m 'not gpu and not postgres and not executorch'

test-postgres: $(STAMP) ## two workers on a PostgreSQL server that the test starts (Debian: postgresql)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[postgres]'
	$(BIN)/python -m pytest -m postgres

test-executorch: $(STAMP) ## exported .pte files, with the extra (some 400 MB more)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[executorch]'
	$(BIN)/python -m pytest -m executorch

check: $(STAMP) ## formatter, linter, strict type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP) ## let the formatter and the linter mend what they can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

tensorboard: $(STAMP) ## look at all runs under outputs/
	$(BIN)/tensorboard --logdir outputs

notebooks: $(STAMP) ## run the notebooks and keep what they show in them
	$(BIN)/python tests/notebooks.py

bench: $(STAMP) ## the benchmarks' tables
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean: ## remove caches and builds; runs, data and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
