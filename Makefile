# Every command of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev run up down retry build airflow land generate compact manifest bench image push package deploy check-account smoke-redshift test lock

# The sample that `make run` lands into an empty lake.
DAYS ?= 30
PLAYERS ?= 400
SEED ?= 7
END ?=
FILES ?=
TASK ?=
TARGET ?= dbt
REPOSITORY ?=
SOURCE ?=
BUCKET ?=
ENVIRONMENT ?=
WHEELS ?=
AIRFLOW ?=
ARGS ?=

# Nothing is written outside the checkout. The caches lie in it, too.
export UV_CACHE_DIR := $(CURDIR)/.venv/cache
export UV_PYTHON_DOWNLOADS := never
# uv trusts the system's certificate store, as pip does, because a company's own authority is only there.
export UV_SYSTEM_CERTS := true
export PIP_NO_CACHE_DIR := 1
export PYTHONPATH := $(CURDIR)
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DBT_PROJECT_DIR := $(CURDIR)/dbt
export DBT_PROFILES_DIR := $(CURDIR)/dbt

# A shim can exist without an interpreter behind it, so each candidate is run once.
PYTHON := $(shell for python in python3.12 python3.11 python3; do \
	"$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})' 2>/dev/null \
	&& { command -v "$$python"; break; }; done)
UV := .venv/uv/bin/uv
LOCKS := include/requirements
AIRFLOW_PYTHON := .venv/airflow/bin/python
DBT_PYTHON := .venv/dbt/bin/python
# The data, and what is made of it, is readable for its owner only.
PRIVATE := umask 077 &&
LAKE := $(PRIVATE) $(DBT_PYTHON) -m include.lake

# A stamp stays behind when an environment was moved or when its Python was removed. It is deleted then.
# The first line of an installed program names the interpreter of the time of the installation.
$(shell test -x .venv/uv/bin/uv || rm -f .venv/uv/.installed)
$(foreach name,airflow dbt,$(shell { .venv/$(name)/bin/python -c '' \
	&& "$$(sed -n '1s/^..//p' .venv/$(name)/bin/$(name))" -c ''; } 2>/dev/null || rm -f .venv/$(name)/.installed*))

# A stamp is written last, so that an interrupted installation is done again.
.venv/uv/.installed: $(LOCKS)/uv.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.12 or 3.11 with ensurepip found: install python3.12 and python3.12-venv, then try again." >&2; exit 1; }
	@echo "Installing the installer (uv) into .venv/uv"
	@"$(PYTHON)" -m venv --clear .venv/uv
	@.venv/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(LOCKS)/uv.txt
	@touch $@

# Node.js comes from the Python index, and the JavaScript packages come from npm's registry.
NPM = PATH="$(CURDIR)/.venv/aws/bin:$$PATH" npm ci --prefix .venv/aws/asl --cache .venv/cache/npm \
	--silent --ignore-scripts --no-audit --no-fund --no-update-notifier --fetch-retries 1

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

.venv/aws/.installed: .venv/uv/.installed $(LOCKS)/aws.txt $(LOCKS)/asl/package-lock.json
	$(call install,aws)
	@mkdir -p .venv/aws/asl && cp $(LOCKS)/asl/package.json $(LOCKS)/asl/package-lock.json .venv/aws/asl
	@$(NPM) || echo "Without npm's registry the state machine's linter is missing, and its test is skipped."

.venv/%/.installed-dev: .venv/%/.installed $(LOCKS)/%-dev.txt
	@echo "Adding the test tools to .venv/$*"
	@$(UV) pip install --quiet --require-hashes --compile-bytecode --python .venv/$* --requirement $(LOCKS)/$*-dev.txt
	@touch $@

install: .venv/airflow/.installed .venv/dbt/.installed ## Install both environments
install-dev: .venv/airflow/.installed-dev .venv/dbt/.installed-dev .venv/aws/.installed

# Programs read ARGS from the environment, so the shell does not change quotes in it.
export ARGS
SAMPLE = --days "$(DAYS)" --players "$(PLAYERS)" --seed "$(SEED)" $(if $(END),--end "$(END)")

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: install ## Run the DAG once through Airflow's scheduler and print the KPIs (lands a sample first if the lake is empty)
	@$(AIRFLOW_PYTHON) -m include.laptop.run $(SAMPLE)

up: install ## Start Airflow with its UI on 127.0.0.1:8080, in the background
	@$(AIRFLOW_PYTHON) -m include.laptop.up up

down: install ## Stop the Airflow that make up started
	@$(AIRFLOW_PYTHON) -m include.laptop.up down

build: install ## Plain dbt build on the same lake and warehouse; ARGS="--select fct_sessions" passes through
	@$(AIRFLOW_PYTHON) -m include.laptop.build

retry: install ## Run a task of the last run, and what follows it, again (needs make up): TASK=rpt_ltv
	@$(AIRFLOW_PYTHON) -m include.laptop.retry "$(TASK)"

airflow: install ## Airflow's own command line: ARGS="dags list"
	@$(PRIVATE) AIRFLOW_HOME="$(CURDIR)/.airflow" $(AIRFLOW_PYTHON) -m airflow $(ARGS)

# The shell reads FILES as it reads the arguments of any command: names, patterns, and quotes around a name with spaces.
land: install ## Land event files into the lake: FILES="a.jsonl b.jsonl.gz 'a name with spaces.jsonl'"
	@$(if $(strip $(FILES)),:,echo 'error: no files given: make land FILES="a.jsonl b.jsonl.gz".' >&2; exit 1)
	@$(LAKE) land $(FILES)

generate: install ## Write reproducible sample data into the lake: DAYS= PLAYERS= SEED= END=
	@$(LAKE) generate $(SAMPLE)

compact: install ## Merge small files of events into Parquet of the declared types: SOURCE=raw_events ARGS="--from 2026-01-01"
	@$(LAKE) compact --source "$(SOURCE)" $(ARGS)

manifest: install ## Make dbt's manifest, from which the DAG takes its tasks
	@$(PRIVATE) $(DBT_PYTHON) -m include.manifest

package: install ## Make dist/mwaa, the package in the form that MWAA requires; AIRFLOW=3.2.1 for that version of MWAA; WHEELS=1 BUCKET=… for a network without a package index
	@$(AIRFLOW_PYTHON) -m include.deployment.mwaa.package $(if $(WHEELS),--wheels) --bucket "$(BUCKET)" --airflow "$(AIRFLOW)"

deploy: install ## Upload dist/mwaa to an MWAA environment: BUCKET= ENVIRONMENT= ARGS=--plan
	@$(AIRFLOW_PYTHON) -m include.deployment.mwaa.deploy --bucket "$(BUCKET)" --environment "$(ENVIRONMENT)" $(ARGS)

bench: install-dev manifest ## Measure against goals and write the figures to data/benchmarks: ARGS="landing build large memory day files scale before redshift fargate lineage site dag dag200 dag1000 --rounds 5"
	@$(DBT_PYTHON) -m tests.benchmarks $(ARGS)

image: .venv/aws/.installed ## Build the image that runs dbt on ECS, with its bill of materials; TARGET=airflow builds the image of Compose
	@.venv/aws/bin/python -m include.deployment.image build "$(TARGET)"

push: .venv/aws/.installed ## Push the image of this commit and print its reference by digest: REPOSITORY=<registry>/<repository>
	@.venv/aws/bin/python -m include.deployment.image push "$(REPOSITORY)"

smoke-redshift: install-dev ## Run the statements of the stand-in's tests on a real Redshift (REDSHIFT_*); ARGS="names of entries"
	@$(DBT_PYTHON) -m tests.redshift_standin.conformance $(ARGS)

check-account: install ## List what the AWS account lacks for the current settings
	@$(DBT_PYTHON) -m include.deployment.account

# dbt's environment and Airflow's cannot be one, so each runs the tests that it can import. Both run, also
# when the first has failed. tests/conftest.py orders the files: the longest start first, so that the many
# short files keep both processes busy to the end. A worker that died is not replaced: it would run the
# test that ended it once more.
PYTEST = -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS) tests

# Debian's package tools and netavark look for programs in sbin, which not every PATH of root contains.
test: export PATH := $(PATH):/usr/sbin:/sbin
test: install-dev manifest ## Run every test
	@rm -rf .pytest_tmp && mkdir .pytest_tmp
	@TMPDIR="$(CURDIR)/.pytest_tmp" $(DBT_PYTHON) $(PYTEST) || touch .pytest_tmp/dbt.failed
	@TMPDIR="$(CURDIR)/.pytest_tmp" $(AIRFLOW_PYTHON) $(PYTEST) || touch .pytest_tmp/airflow.failed
	@failed=$$(ls .pytest_tmp | grep '[.]failed$$' || true); \
		test -z "$$failed" || { echo "error: tests failed, see above:" $$failed >&2; exit 1; }

# CONSTRAINTS is the file constraints-3.12.txt of MWAA's image for Airflow 3.3.1, or for the version AIRFLOW.
lock: .venv/uv/.installed ## Resolve all environments again: CONSTRAINTS=MWAA's constraint file; AIRFLOW=3.2.1 only the lock of that version
	@test -z "$(AIRFLOW)" || test -f "$(LOCKS)/airflow-$(AIRFLOW).in" || { echo "error: $(LOCKS)/airflow-$(AIRFLOW).in does not exist: write the list of that version first." >&2; exit 1; }
	@test -f "$(CONSTRAINTS)" || { echo "error: give MWAA's constraint file: make lock CONSTRAINTS=constraints-3.12.txt." >&2; exit 1; }
	@cd $(LOCKS) && for name in $(if $(AIRFLOW),airflow-$(AIRFLOW),uv airflow compose dbt aws airflow-dev dbt-dev); do \
		"$(CURDIR)/$(UV)" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
			$$([[ $$name = airflow || $$name = airflow-[0-9]* ]] && echo --constraint "$(abspath $(CONSTRAINTS))") $$name.in --output-file $$name.txt; \
	done
