# make demo   upscale a clip through the server and show what is gained over what a player shows
# make test   lint, types and the whole test suite
# make serve  run the server on loopback
# make bench  measure this machine
# make docs   make the documentation site in build/docs
# make figures  draw the pictures in docs/images on this machine, which should do nothing else
# All of them make the environment first. VENV, PYTHON and MODEL can be set.

PYTHON ?= python3
VENV   ?= .venv
MODEL  ?= esr_stack_x2
BIN    := $(VENV)/bin
EXTRAS_demo  := server,demo
EXTRAS_test  := test
EXTRAS_bench := bench
EXTRAS_docs  := docs
TOOLS  := .cache/proto-tools

.PHONY: demo test serve bench docs figures check setup proto clean

setup: $(VENV)/.test

# One environment, and a mark for each set of extras that is in it.
$(VENV)/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS_$*)]'
	touch $@

demo: $(VENV)/.demo
	$(BIN)/python -m deploy.demo --model $(MODEL) --output demo

test: $(VENV)/.test check
	$(BIN)/python -m pytest -n logical --dist loadfile

check: $(VENV)/.test
	$(BIN)/python proto/generate.py --check --tools $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: $(VENV)/.demo
	$(BIN)/esr-serve --model $(MODEL)

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.kernels --json benchmarks/results/kernels.json
	$(BIN)/python -m benchmarks.stream --json benchmarks/results/stream.json
	$(BIN)/python -m benchmarks.realtime --json benchmarks/results/realtime.json
	$(BIN)/python -m benchmarks.isolation --json benchmarks/results/isolation.json

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs . build/docs

figures: $(VENV)/.bench
	$(BIN)/python -m benchmarks.figures

proto: $(VENV)/.test
	$(BIN)/python proto/generate.py --tools $(TOOLS)

clean:
	rm -rf $(VENV) .cache build demo benchmarks/results .mypy_cache .pytest_cache .ruff_cache
