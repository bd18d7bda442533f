# Two commands on a fresh machine: `make demo` and `make test`. `make bench` times the peers, in an environment of its own;
# `make fuzz` throws unsound input at all that reads some; `make audit-supply` asks for known vulnerabilities of the pins.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
AUDIT := .venv-audit
FUZZ := .venv-fuzz
DEVICE ?= cpu
ARGS ?=

.PHONY: demo test docs bench fuzz audit-supply lint types check clean

demo: $(VENV)/.installed
	$(BIN)/fewstep train --out runs/demo-$$(date +%Y%m%d-%H%M%S)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: $(BENCH)/.installed-$(DEVICE)
	$(BENCH)/bin/python -m benchmarks --device $(DEVICE) $(ARGS)

fuzz: $(FUZZ)/.installed
	OMP_NUM_THREADS=1 $(FUZZ)/bin/python -m fuzz $(ARGS)

audit-supply: $(AUDIT)/.installed
	$(AUDIT)/bin/python .ci/audit_supply.py

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

check: lint types docs test

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@ $(VENV)/.installed

$(BENCH)/.installed-$(DEVICE): pyproject.toml benchmarks/requirements.txt benchmarks/install.py
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt -e .
	$(BENCH)/bin/python -m benchmarks.install $(DEVICE)
	touch $@

$(FUZZ)/.installed: pyproject.toml constraints.txt
	test -x $(FUZZ)/bin/python || $(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]"
	touch $@

$(AUDIT)/.installed:
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.7"
	touch $@

clean:
	rm -rf $(VENV) $(BENCH) $(AUDIT) $(FUZZ) .mypy_cache .pytest_cache .ruff_cache .hypothesis
