# vipcast: `make demo` and `make test` do all the set-up that they need, as root on Debian 12.
PYTHON := /usr/bin/python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test bench lint fmt lab-shell clean setup lock

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
