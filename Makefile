# cardiac4d: every target does its own set-up on a machine that has Python 3.10 or newer and make.
#
#   make demo       write a phantom, train the 4D network on it, evaluate, segment; under 10 minutes on 2 cores
#   make test       the quick test suite
#   make help       the other targets
#
# make install PYTHON=python3.12 picks the interpreter of the virtual environment when it is first made, and
# make install PIP_INDEX_ARGS='--extra-index-url ...' where pip looks for packages, such as for a CPU build of torch.

PYTHON ?= python3
PIP_INDEX_ARGS ?=
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
NATIVE := $(VENV)/.native
PIP    := $(BIN)/python -m pip --disable-pip-version-check
CODE   := bundle scripts tests setup.py
OPS    := bundle/cardiac4d/ops
CSRC   := $(foreach end,cpp cu h,$(wildcard $(OPS)/csrc/*.$(end) $(OPS)/csrc/*/*.$(end)))

.DEFAULT_GOAL := help
.PHONY: help install native demo test test-all test-cuda sanitize lint format clean-outputs clean-caches clean-venv

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) $(NATIVE)  ## make the virtual environment in .venv with the tested versions

# A half-made environment is removed, so that the next call starts afresh.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'cardiac4d needs Python 3.10 or newer; name one: make PYTHON=/path/to/python3 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# torch first: the package itself is built without isolation, against that very torch.
# The version alone does not choose the build: pip's default index serves Linux the CUDA build of torch, with gigabytes
# of libraries. For the small CPU build, name an index that has it: make install PIP_INDEX_ARGS='--extra-index-url ...'.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing the tested versions into $(VENV): once. On Linux the CUDA build of torch comes with gigabytes;'
	@echo "PIP_INDEX_ARGS='--extra-index-url ...' names an index with the CPU build, some hundred megabytes."
	$(PIP) install -q $(PIP_INDEX_ARGS) -c constraints.txt torch setuptools
	CARDIAC4D_BUILD=0 $(PIP) install -q $(PIP_INDEX_ARGS) -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

# The native kernels, if a compiler is there; else one line says so, and pure PyTorch runs. A step of its own, because pip
# keeps that line to itself, and because a changed kernel needs no new installation.
$(NATIVE): $(STAMP) $(CSRC) $(OPS)/build.py $(OPS)/cuda_build.py \
		$(OPS)/cuda_registers.py $(OPS)/sources.py $(OPS)/toolchain.py
	$(BIN)/python -m cardiac4d.ops.build --optional
	@touch $@

native: $(STAMP)  ## build the native kernels again; an error without a compiler
	$(BIN)/python -m cardiac4d.ops.build
	@touch $(NATIVE)

demo: $(STAMP) $(NATIVE)  ## write a phantom, train, evaluate and segment it; prints a table
	$(BIN)/python scripts/demo.py

test: $(STAMP) $(NATIVE)  ## the quick test suite
	$(BIN)/python -m pytest -m 'not slow'

test-all: $(STAMP) $(NATIVE)  ## every test, also those that take minutes
	$(BIN)/python -m pytest

# Two processes: most of the time goes to a compiler, once for every planted bug.
test-cuda: $(STAMP) $(NATIVE)  ## the CUDA kernels without a GPU, in an emulation, and the bugs planted in them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow tests/ops/test_cuda_*.py

# The libraries of the sanitizers go first of all, also before Python's own; its leaks are not ours.
sanitize: $(STAMP)  ## the CPU kernels under g++'s address and undefined-behaviour sanitizers, on all problems; 10 minutes
	CARDIAC4D_TEST_CXXFLAGS='-fsanitize=address,undefined -fno-sanitize-recover=all -g -O1' \
		ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
		$(BIN)/python -m pytest -m 'not slow' tests/ops/test_cpu_kernels.py tests/ops/test_cpu_fused.py \
			tests/ops/test_cpu_passes.py tests/ops/test_cpu_softmax_sums.py

lint: $(STAMP)  ## style, formatting, types and spelling, as CI checks them
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/codespell

format: $(STAMP)  ## rewrite the code as `make lint` wants it
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean-outputs:  ## remove what `make demo` wrote (outputs/demo)
	rm -rf outputs/demo

clean-caches:  ## remove the caches of pytest, mypy, ruff and hypothesis
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis

clean-venv:  ## remove the virtual environment
	rm -rf $(VENV)
