# Every target is at most three lines; anything longer is a script.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCAL_AWS_PORT ?= 4566
export LOCAL_AWS_PORT
RUN := $(BIN)/python scenarios/run.py

ifeq ($(wildcard scripts/help.awk),)
$(error run make in the folder of this Makefile: make -C $(dir $(firstword $(MAKEFILE_LIST))) $(MAKECMDGOALS))
endif

.PHONY: help
help: ## Show this help
	@awk -f scripts/help.awk $(firstword $(MAKEFILE_LIST))

##@ Setup
$(VENV)/bin/python:
	@PYTHON="$(PYTHON)" scripts/venv.sh $(VENV)

$(VENV)/.run-stamp: consumer/requirements.txt producer/requirements.txt scenarios/requirements.txt constraints.txt pyproject.toml | $(VENV)/bin/python
	@PYTHON="$(PYTHON)" scripts/venv.sh $(VENV) consumer/requirements.txt producer/requirements.txt scenarios/requirements.txt
	@touch $@

$(VENV)/.test-stamp: tests/requirements.txt $(VENV)/.run-stamp
	@PYTHON="$(PYTHON)" scripts/venv.sh $(VENV) tests/requirements.txt
	@touch $@

.PHONY: venv venv-test
venv: $(VENV)/.run-stamp ## Install what producer, consumer, scenarios and the local stack need into .venv
venv-test: $(VENV)/.test-stamp ## Also install the tools of `make test` and `make check`

.PHONY: preflight
preflight: ## Check tools, credentials and region, and say how to get what is missing
	@$(PYTHON) scripts/preflight.py

##@ Infrastructure (AWS, or whatever AWS_ENDPOINT_URL names)
.PHONY: infra-plan infra-up infra-down validate
infra-plan: ## Show what terraform apply would change (ARGS is passed to Terraform)
	@scripts/infra.sh plan $(ARGS)
infra-up: ## Create the five sets of queues and tables and write .env; costs money on AWS (ARGS is passed to Terraform)
	@scripts/infra.sh up $(ARGS)
infra-down: ## Destroy the queues, their messages, the tables and .env (ARGS is passed to Terraform)
	@scripts/infra.sh down $(ARGS)
validate: venv ## Compare every live queue and table with its expected settings
	@$(BIN)/python scenarios/validate_infra.py $(ARGS)

##@ Local stack (no AWS account, no Docker)
.PHONY: local-up local-down local-status
local-up: venv ## Start SQS and DynamoDB on 127.0.0.1:LOCAL_AWS_PORT with the five sets, and write .env
	@$(BIN)/python scripts/local_aws.py up
local-down: venv ## Stop the local stack; remove .env if local-up wrote it
	@$(BIN)/python scripts/local_aws.py down
local-status: venv ## Show what is running, and on which port
	@$(BIN)/python scripts/local_aws.py status

##@ Run
.PHONY: demo
demo: venv ## Run the fast scenarios on a temporary local stack and print a verdict for each
	@$(BIN)/python scripts/demo.py $(ARGS)

.PHONY: redrive
redrive: venv ## Show the messages in the DLQ; ARGS="move" moves them back (ARGS="--help": filter, rate and more)
	@$(BIN)/python scripts/redrive.py $(ARGS)

##@ Scenarios (each ends in PASS, FAIL or UNKNOWN)
.PHONY: scenarios scenarios-fast scenarios-slow
scenario-%: venv ## Run one scenario, for example: make scenario-happy ARGS="--count 10 --batch-size 5"
	@$(RUN) $* $(ARGS)
scenarios-fast: venv ## Run the six scenarios that take seconds
	@$(RUN) --fast $(ARGS)
scenarios-slow: venv ## Run the scenarios that take longer
	@$(RUN) --slow $(ARGS)
scenarios: venv ## Run all scenarios
	@$(RUN) --all $(ARGS)

.PHONY: report
report: venv ## Open the page of the newest run, or print its path (ARGS: a run)
	@$(BIN)/python scripts/open_report.py $(ARGS)

.PHONY: pictures
pictures: venv-test ## Make the pictures of the documentation from real runs; needs Chromium, takes two minutes
	@$(BIN)/python scripts/pictures.py $(ARGS)

##@ Measure
.PHONY: doctor
doctor: venv ## Find settings of queue, DLQ, tables and consumer that cause trouble (ARGS="--journal FILE --json")
	@$(BIN)/python scripts/doctor.py $(ARGS)

.PHONY: bench
bench: venv-test ## Measure speed, calls, cost and CPU against a hand-written loop; 10 to 16 minutes (ARGS="--parts compare": half)
	@$(BIN)/python tests/benchmarks/bench.py $(ARGS)

.PHONY: soak
soak: venv-test ## Kill consumers and make calls fail for minutes, then judge every message (ARGS="--messages 1000")
	@$(BIN)/python tests/reliability/soak.py $(ARGS)

##@ Check
.PHONY: test test-all check
test: venv-test ## Run the fast tests and a few that start programs; about two minutes
	@$(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow and (smoke or not integration)" $(ARGS)
test-all: venv-test ## Run all tests, with real processes, browsers and mutations; about 30 minutes
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)
check: venv-test ## Check lint, types, shell scripts, generated tables and Terraform; needs no AWS
	@scripts/check.sh

.venv-checkov/.stamp: tests/terraform/requirements-checkov.txt
	$(PYTHON) -m venv .venv-checkov && .venv-checkov/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: checkov
checkov: .venv-checkov/.stamp ## Look for unsafe settings in terraform/
	@.venv-checkov/bin/checkov -d terraform --framework terraform --compact --quiet --skip-download
