# Every command of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The sample that `make run` lands into an empty lake.
DAYS ?= 30
PLAYERS ?= 400
SEED ?= 7
END ?=
FILES ?=
ARGS ?=

# Nothing is written outside the checkout, caches included.
export UV_CACHE_DIR := $(CURDIR)/.venv/cache
export UV_PYTHON_DOWNLOADS := never
export PIP_NO_CACHE_DIR := 1
export PYTHONPATH := $(CURDIR)
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DBT_PROJECT_DIR := $(CURDIR)/dbt
export DBT_PROFILES_DIR := $(CURDIR)/dbt

# A shim that finds no interpreter exists and fails, so each candidate is run once.
PYTHON := $(shell for python in python3.12 python3.11 python3; do \
	"$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})' 2>/dev/null \
	&& { command -v "$$python"; break; }; done)
UV := .venv/uv/bin/uv
LOCKS := include/requirements
AIRFLOW_PYTHON := .venv/airflow/bin/python
DBT_PYTHON := .venv/dbt/bin/python
LAKE := $(DBT_PYTHON) -m include.lake

# A stamp is written last, so that an interrupted install is done again.
.venv/uv/.installed: $(LOCKS)/uv.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.12 or 3.11 with ensurepip found: install python3.12 and python3.12-venv, then try again." >&2; exit 1; }
	@echo "Installing the installer (uv) into .venv/uv"
	@"$(PYTHON)" -m venv --clear .venv/uv
	@.venv/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(LOCKS)/uv.txt
	@touch $@

define install
	@echo "Installing the $(1) environment into .venv/$(1)"
	@$(UV) venv --quiet --clear --python "$(PYTHON)" .venv/$(1)
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode --python .venv/$(1) $(LOCKS)/$(1).txt
	@touch $@
endef

.venv/airflow/.installed: .venv/uv/.installed $(LOCKS)/airflow.txt
	$(call install,airflow)

.venv/dbt/.installed: .venv/uv/.installed $(LOCKS)/dbt.txt
	$(call install,dbt)

.venv/%/.installed-dev: .venv/%/.installed $(LOCKS)/%-dev.txt
	@echo "Adding the test tools to .venv/$*"
	@$(UV) pip install --quiet --require-hashes --compile-bytecode --python .venv/$* --requirement $(LOCKS)/$*-dev.txt
	@touch $@

.PHONY: install-dev lock
install: .venv/airflow/.installed .venv/dbt/.installed ## Install both environments
install-dev: .venv/airflow/.installed-dev .venv/dbt/.installed-dev
