# Every target makes what it needs: .venv, the package, the tools. Nothing has to be prepared but a
# Python 3.11 or later. What is there already is not made again; a changed pyproject.toml renews it.

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready

# Extra arguments, as in `make test ARGS="tests/core -x"`, `make bench ARGS="steps-full --json"`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types imports docs test-machine bench clean

help:  ## Show this list.
	@echo "Perdure: durable functions for Python. Targets:"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Each one installs what it needs into $(VENV) first. PYTHON=… chooses the interpreter,"
	@echo "ARGS=… is passed on to demo, test and bench."

demo: $(READY)-base  ## See a workflow survive kill -9 (under a minute).
	@$(BIN)/perdure demo $(ARGS)

test: $(READY)-test  ## Run all tests.
	@echo "Running the tests ..."
	@$(BIN)/python -m pytest $(ARGS)

check: format lint types imports docs  ## Format, lint, types, floors and docs: the same as CI.
	@echo "All checks passed."

format: $(READY)-check
	@echo "Checking the format (mend with: $(BIN)/ruff format) ..."
	@$(BIN)/ruff format --check --quiet --diff .

lint: $(READY)-check
	@echo "Linting (mend what can be mended with: $(BIN)/ruff check --fix) ..."
	@$(BIN)/ruff check --quiet .

types: $(READY)-check $(READY)-test
	@echo "Checking types with mypy ..."
	@$(BIN)/mypy
	@echo "Checking types with pyright ..."
	@$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(READY)-check
	@echo "Checking that imports point down only ..."
	@$(BIN)/lint-imports --no-logo

docs: $(READY)-test
	@echo "Checking the docs: generated pages, links, examples ..."
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python -m pytest tests/docs --quiet

test-machine:  ## Run the machine's tests on every other Python that is installed.
	@set -e; first=yes; \
	for python in $$(.ci/pythons); do \
		if [ $$first = yes ]; then first=no; continue; fi; \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		$(MAKE) --no-print-directory $(VENV)/$$version/.ready-machine PYTHON=$$python; \
		echo "Running the machine's tests on Python $$version ..."; \
		$(VENV)/$$version/bin/python -m pytest tests/machine --quiet $(ARGS); \
	done; \
	if [ $$first = yes ]; then echo "There is no Python 3.11 or later here."; exit 1; fi

bench: $(READY)-base  ## Measure: every figure as a ratio, side by side (minutes).
	@$(BIN)/python -m bench $(ARGS)

clean:  ## Remove what the other targets made; projects' .perdure folders stay.
	@echo "Removing $(VENV), caches and builds ..."
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests bench examples docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true


# --- What the targets need -------------------------------------------------------------------------

# $(call install,ENVIRONMENT,WHAT): uv where it is present, else pip. Quiet but for what goes wrong; the
# target has said what it does, and how much that is.
define install
	if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(1)/bin/python $(2); \
	else \
		$(1)/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off $(2); \
	fi
endef

# $(call create,ENVIRONMENT,PYTHON)
define create
	if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(2)" $(1); \
	elif ! "$(2)" -m venv $(1); then \
		rm -rf $(1); \
		echo "$(2) cannot make a virtual environment; install its venv module"; \
		echo "(on Debian and Ubuntu the package python3-venv) or uv, then try again."; \
		exit 1; \
	fi
endef

$(VENV)/bin/python:
	@set -e; python=$$(.ci/pythons | head -n 1); \
	if [ -z "$$python" ] && command -v uv >/dev/null 2>&1; then python=3.11; fi; \
	if [ -z "$$python" ]; then \
		echo "Perdure needs Python 3.11 or later and there is none on the PATH;"; \
		echo "install one, or name it: make PYTHON=/path/to/python3.11"; \
		exit 1; \
	fi; \
	echo "Making a virtual environment in $(VENV) with $$python ..."; \
	$(call create,$(VENV),$$python)

$(READY)-base: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Perdure and its two dependencies into $(VENV) (once, some seconds) ..."
	@$(call install,$(VENV),--editable .)
	@touch $@

$(READY)-test: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Perdure and what its tests need (once, about 30 MB) ..."
	@$(call install,$(VENV),--editable '.[test]')
	@touch $@ $(READY)-base

$(READY)-check: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the tools that check formats, types and imports (once, about 100 MB) ..."
	@$(call install,$(VENV),--editable '.[check]')
	@touch $@ $(READY)-base

# The machine's tests need little, so that they run on interpreters for which little is built.
$(VENV)/%/.ready-machine: pyproject.toml
	@echo "Preparing Python $* for the machine's tests (once) ..."
	@$(call create,$(VENV)/$*,$(PYTHON))
	@$(call install,$(VENV)/$*,--editable . 'pytest>=8.3')
	@touch $@
