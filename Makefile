# make train | test | evidence | lint | gpu-check; each does all its own set-up.
# Variables: PYTHON (3.11 or newer), VENV, GAUFUSE_CUDA=AUTO|ON|OFF, MAX_JOBS, GAUFUSE_DATA_ROOT.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
CXX_FILES = $(shell find csrc tests/cuda_emulation -name '*.h' -o -name '*.c*')
NATIVE = $(shell find csrc cmake -type f) CMakeLists.txt setup.py pyproject.toml constraints.txt

.PHONY: help setup train test evidence evidence-quick results lint format docs gpu-check clean

help:
	@echo "make train      set up, simulate a data set, train on it, print the mAP table"
	@echo "make test       set up, run the tests"
	@echo "make evidence-quick  a small ablation, at most 20 minutes on two cores"
	@echo "make evidence   the whole one (hours; it goes on where it was), then docs/results.md"
	@echo "make results    docs/results.md from the records that are there"
	@echo "make lint       ruff, mypy and clang-format"
	@echo "make format     ruff and clang-format, rewriting files"
	@echo "make docs       the documentation as a site, in build/site"
	@echo "make gpu-check  on a machine with a GPU: build, GPU tests, compute-sanitizer, benchmarks"

setup: $(STAMP)

$(STAMP): $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=24'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,tensorboard,plot]'
	touch $@

train: setup
	$(BIN)/gaufuse simulate runs/simulated --profile thumos-like --seed 0
	$(BIN)/gaufuse train runs/simulated --output runs/train --overwrite

# What has a record is not run again; without GAUFUSE_DATA_ROOT only the simulated sets are run.
RECORDS = experiments/records
evidence: setup
	$(BIN)/gaufuse experiment experiments/evidence.toml --records $(RECORDS)/evidence.jsonl
	$(MAKE) results

evidence-quick: setup
	$(BIN)/gaufuse experiment experiments/evidence-quick.toml --plot runs/evidence-quick.svg

results: setup
	$(BIN)/gaufuse experiment experiments/evidence.toml --report \
	  --records $(RECORDS)/evidence.jsonl --plot docs/results.svg --write docs/results.md

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

docs: setup
	$(BIN)/python -m pip install --quiet --editable '.[docs]' --constraint constraints.txt
	$(BIN)/python docs/build_site.py build/site

# Uses PYTHON's own torch, pybind11, cmake and ninja, and no network. OUT: where results go.
OUT ?= build/gpu-check
gpu-check:
	PYTHON=$(PYTHON) tests/gpu_check.sh $(OUT)

clean:
	rm -rf build dist *.egg-info gaufuse_ext/*.so
