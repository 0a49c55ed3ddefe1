# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

# Every target makes what it needs, the virtual environment included, and can be repeated.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
# A test per processor at a time. Neighbours stay together, as they share what they compile.
PYTEST_WORKERS ?= -n auto --dist worksteal
LIT_ARGS ?= -j2

BIN := $(VENV)/bin
PACKAGES := benchmarks compiler dialects runtime targets tools
# What is installed is up to date while pyproject.toml is as it was.
REVISION := $(shell cksum < pyproject.toml | cut -d ' ' -f 1)
DEV := $(VENV)/.dev-$(REVISION)
EXAMPLES := $(VENV)/.examples-$(REVISION)
BENCHMARKS := $(VENV)/.benchmarks-$(REVISION)

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

.NOTPARALLEL:
.PHONY: help test test-all demo bench format format-check lint typecheck lit pytest clean distclean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

test: format-check lint typecheck lit pytest ## Run every check, the fast ones first.

demo: $(EXAMPLES) ## Fine-tune a pretrained network on real data, in full and sparsely.
	$(BIN)/python examples/finetune_digits.py $(DEMO_ARGS)

bench: $(BENCHMARKS) ## Measure pock and its peers side by side (BENCH_ARGS; all of it takes hours, --quick minutes).
	$(BIN)/pock-bench $(BENCH_ARGS)

format: $(DEV) ## Format the sources in place.
	$(BIN)/ruff check --select I --fix --quiet .
	$(BIN)/ruff format .

format-check: $(DEV) ## Check that the sources are formatted.
	$(BIN)/ruff format --check --diff --quiet .

lint: $(DEV) ## Look for mistakes in the sources.
	$(BIN)/ruff check .

typecheck: $(DEV) ## Check types, strictly.
	@# The import package is mapped onto these folders by an import hook that mypy does not run.
	@mkdir -p build/types/pock
	@for package in $(PACKAGES); do ln -sfn ../../../$$package build/types/pock/$$package; done
	$(BIN)/mypy -p pock

lit: $(DEV) ## Run the FileCheck tests (LIT_ARGS).
	$(BIN)/lit $(LIT_ARGS) --quiet tests/filecheck

pytest: $(DEV) ## Run the Python tests (PYTEST_ARGS).
	$(BIN)/pytest $(PYTEST_WORKERS) $(PYTEST_ARGS)

test-all: $(DEV) ## Run every check, the slow tests too (half an hour).
	$(MAKE) test PYTEST_ARGS="-m ''"

# venv writes pip last: without it the environment is not whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "error: pock needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

$(DEV): | $(BIN)/pip
	@echo "Installing pock and its development tools into $(VENV) (a few minutes)"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@rm -f $(VENV)/.dev-*
	@touch $@

$(EXAMPLES): | $(BIN)/pip
	@test -e $(DEV) || echo "Installing pock and what its examples need into $(VENV) (a few minutes)"
	@test -e $(DEV) || $(BIN)/python -m pip install --quiet --editable '.[examples]'
	@rm -f $(VENV)/.examples-*
	@touch $@

$(BENCHMARKS): | $(BIN)/pip
	@echo "Installing pock and the peers it is measured against into $(VENV) (a few minutes)"
	@$(BIN)/python -m pip install --quiet --editable '.[benchmarks-jax,benchmarks-tensorflow]'
	@rm -f $(VENV)/.benchmarks-*
	@touch $@

clean: ## Remove what the checks and builds leave behind.
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(PACKAGES) tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the virtual environment as well.
	rm -rf $(VENV)
