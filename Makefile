# `make demo` and `make test` need python3, pip and make; each sets up what it needs in an environment of its own.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-fast lint

demo: $(VENV)/.with-demo
	rm -rf packs/demo
	$(BIN)/edgepack build --profile raspberry-pi --out packs/demo

test: $(VENV)/.with-test lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

# The everyday subset: everything but real builds and the long tail of exports.
test-fast: $(VENV)/.with-test
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow"

lint: $(VENV)/.with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# torch first and by its version: where a CPU build of it lies at hand, pip takes that one.
$(VENV)/.with-%: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e '.[$*]'
	touch $@
