# Everything runs from .venv, made from the pinned constraints. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONUNBUFFERED := 1

.PHONY: help up check test test-slow test-busy test-chain demo bench bench-aggregation bench-provenance bench-round bench-round-large bench-utility bench-privacy bench-start simulate audit-privacy clean
help:
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/'

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned dependencies into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[portal,dev]'
	@touch $@

up: $(VENV)/installed ## start everything on https://127.0.0.1:8080 (Ctrl-C stops it)
	@$(BIN)/python -m portal.up

check: $(VENV)/installed ## ruff, djlint, mypy, import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/djlint --check --quiet apps federated templates
	@$(BIN)/mypy
	@$(BIN)/lint-imports

JOBS ?= 2
test: $(VENV)/installed ## unit, property and integration tests (JOBS=1 runs them one after another)
	@$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile

test-slow: $(VENV)/installed ## the same with a third of the processors (root, Linux); test-busy: with all of them occupied
	@$(BIN)/python -m tests.quota $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile

test-busy: $(VENV)/installed
	@$(BIN)/python -m tests.quota --busy $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile

test-chain: $(VENV)/installed ## the anchoring code against anvil, a chain from npm under var/ (not in CI)
	@if $(BIN)/python -m tests.chain.anvil; then \
		FSC_TEST_CHAIN=anvil $(BIN)/python -m pytest -m any_chain tests/chain tests/provenance/test_anchors.py; fi

KEEP ?= 1
ROUNDS ?= 10
demo: $(VENV)/installed ## four hospitals train one model (KEEP=0 stops at the end, ROUNDS=3 shortens it)
	@KEEP=$(KEEP) ROUNDS=$(ROUNDS) $(BIN)/python -m portal.demo

bench: bench-aggregation bench-round ## every benchmark; results in var/bench, ratios printed

bench-aggregation: $(VENV)/installed ## encrypting, adding, decrypting a million parameters, beside peers
	@$(BIN)/python -m tests.bench.aggregation

bench-provenance: $(VENV)/installed ## appends beside plain INSERTs; proofs at a million leaves beside pymerkle
	@$(BIN)/python -m tests.bench.provenance

bench-round: $(VENV)/installed ## a round of this project, of Flower and of NVFlare (ROUNDS=3 shortens it)
	@$(BIN)/python -m tests.bench.round --rounds $(ROUNDS)

bench-round-large: $(VENV)/installed ## a whole round at a million parameters, beside Flower's SecAgg+
	@$(BIN)/python -m tests.bench.round_large

bench-utility: $(VENV)/installed ## AUC against epsilon 0.25 to 8, 20 seeds; JSON and plot in var/bench
	@$(BIN)/python -m tests.bench.utility

bench-privacy: $(VENV)/installed ## errors and intervals of private benchmarks beside a trusted curator; seconds to prove
	@$(BIN)/python -m tests.bench.privacy

bench-start: $(VENV)/installed ## how long `federated --help` takes, beside importing click, httpx and pydantic
	@$(BIN)/python -m tests.bench.start

simulate: $(VENV)/installed ## 1,000 seeded runs of the protocol under faults and malice
	@$(BIN)/federated simulate tests/data/simulation.yaml --runs 500
	@$(BIN)/federated simulate tests/data/simulation.yaml --runs 500 --seed 500 --malicious 1
	@$(BIN)/federated simulate tests/data/simulation_masked.yaml --runs 50
	@$(BIN)/federated simulate tests/data/simulation_masked.yaml --runs 50 --seed 50 --malicious 1
	@$(BIN)/federated simulate tests/data/simulation_fedprox.yaml --runs 50 --malicious 1
	@$(BIN)/federated simulate tests/data/campaign_faults.yaml --runs 200

audit-privacy: $(VENV)/installed ## an adversary's lower bound on epsilon against the claim; JSON in var/bench
	@$(BIN)/python -m tests.bench.audit

clean: ## remove the virtual environment and all state
	rm -rf $(VENV) var

.PHONY: docs
docs: $(VENV)/installed ## write docs/reference from the command line and the API
	@$(BIN)/python -m tests.docs.reference
