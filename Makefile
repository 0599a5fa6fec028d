# make demo   upscale a real clip through the server and show what came of it
# make test   lint, types and the whole test suite
# make serve  run the server on loopback
# make bench  measure this machine
# All of them make the environment first. VENV, PYTHON and MODEL can be set.

PYTHON ?= python3
VENV   ?= .venv
MODEL  ?= esr_tr_x2
BIN    := $(VENV)/bin
SETUP  := $(VENV)/.installed
TOOLS  := .cache/proto-tools

.PHONY: demo test serve bench check setup proto clean

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[server,train,onnx,demo,test,bench]'
	touch $@

demo: $(SETUP)
	$(BIN)/python -m deploy.demo --model $(MODEL) --output demo

test: $(SETUP) check
	$(BIN)/python -m pytest

check: $(SETUP)
	$(BIN)/python proto/generate.py --check --tools $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: $(SETUP)
	$(BIN)/esr-serve --model $(MODEL)

bench: $(SETUP)
	$(BIN)/python -m benchmarks.stream --json benchmarks/results/stream.json

proto: $(SETUP)
	$(BIN)/python proto/generate.py --tools $(TOOLS)

clean:
	rm -rf $(VENV) .cache build demo benchmarks/results .mypy_cache .pytest_cache .ruff_cache
