# make train | test | test-slow | soak | evidence | lint; each does its own set-up. sanitize, fuzz and
# gpu-check need what is said beside them.
# Variables: PYTHON (3.11 or newer), VENV, GAUFUSE_CUDA=AUTO|ON|OFF, MAX_JOBS, GAUFUSE_DATA_ROOT.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
CXX_FILES = $(shell find csrc tests/cuda_emulation tests/native -name '*.[ch]*' -type f)
NATIVE = $(shell find csrc cmake -type f) CMakeLists.txt setup.py pyproject.toml constraints.txt

.PHONY: help setup train test test-slow sanitize fuzz soak coverage coverage-core coverage-python evidence evidence-one-kernel evidence-quick results lint format docs gpu-check clean

help:
	@echo "make train      set up, simulate a data set, train on it, print the mAP table"
	@echo "make test       set up, run the tests, as many at a time as there are cores (at most 8)"
	@echo "make test-slow  set up, run those that take half a minute or more, each for its reason"
	@echo "make sanitize   tests of the native core without Python, under ASan, UBSan and TSan"
	@echo "make fuzz       FUZZ_INPUTS inputs for each of its fuzzers, under ASan and UBSan"
	@echo "make soak       two hours of training and operations, whose memory must not grow"
	@echo "make coverage   lines and branches of the core that these reach, and lines of Python"
	@echo "make evidence-quick  a small ablation, at most 20 minutes on two cores"
	@echo "make evidence   the whole one (hours; it goes on where it was), then docs/results.md"
	@echo "make evidence-one-kernel  the steps one by one, as preset general was before (hours)"
	@echo "make results    docs/results.md, results_one_kernel.md and choice.md from the records that are there"
	@echo "make lint       ruff, mypy and clang-format"
	@echo "make format     ruff and clang-format, rewriting files"
	@echo "make docs       the documentation as a site, in build/site"
	@echo "make gpu-check  on a machine with a GPU: build, GPU tests, compute-sanitizer, benchmarks"

setup: $(STAMP)

# An environment that an older Python made would stay in the way of a newer one.
OF_TODAY = -c 'import sys; sys.exit(sys.version_info < (3, 11))'

$(STAMP): $(NATIVE)
	@$(PYTHON) $(OF_TODAY) || test -x $(BIN)/python || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(OF_TODAY) || \
	  { echo "$(VENV) is of $$($(BIN)/python --version 2>&1), and 3.11 or newer is needed: remove it"; exit 1; }
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

evidence-one-kernel: setup
	$(BIN)/gaufuse experiment experiments/one-kernel.toml --records $(RECORDS)/one-kernel.jsonl
	$(MAKE) results

evidence-quick: setup
	$(BIN)/gaufuse experiment experiments/evidence-quick.toml --plot runs/evidence-quick.svg

results: setup
	$(BIN)/gaufuse experiment experiments/evidence.toml --report \
	  --records $(RECORDS)/evidence.jsonl --plot docs/results.svg --write docs/results.md
	$(BIN)/gaufuse experiment experiments/one-kernel.toml --report \
	  --records $(RECORDS)/one-kernel.jsonl --write docs/results_one_kernel.md
	$(BIN)/gaufuse experiment experiments/choice.toml --report \
	  --records $(RECORDS)/choice.jsonl --write docs/choice.md

# Every process of tests holds half a gigabyte: torch, and what compiles.
WORKERS = --numprocesses auto --maxprocesses 8 --dist worksteal

test: setup
	$(BIN)/python -m pytest $(WORKERS)

test-slow: setup
	$(BIN)/python -m pytest $(WORKERS) -m slow

# The core alone: needs CMake 3.24, make and g++, or clang++ with libFuzzer, which is used where it is.
CMAKE ?= cmake
FUZZ_INPUTS ?= 20000
FUZZ_SEED ?= 1
CLANG ?= $(shell for c in clang++ clang++-14; do echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }' | $$c -x c++ -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null && echo $$c && break; done)
NATIVE_TESTS = $(CMAKE) -S . -DGAUFUSE_MODULE=OFF -DGAUFUSE_NATIVE_TESTS=ON
MAX_JOBS ?= 2

sanitize:
	for kind in address thread; do \
	  $(NATIVE_TESTS) -B build/native-$$kind -DGAUFUSE_SANITIZE=$$kind && \
	  $(CMAKE) --build build/native-$$kind --parallel $(MAX_JOBS) && \
	  (cd build/native-$$kind && ctest --output-on-failure) || exit 1; done

fuzz:
	$(NATIVE_TESTS) -B build/native-fuzz -DGAUFUSE_SANITIZE=address \
	  $(if $(CLANG),-DCMAKE_CXX_COMPILER=$(CLANG) -DGAUFUSE_LIBFUZZER=ON)
	$(CMAKE) --build build/native-fuzz --parallel $(MAX_JOBS)
	$(PYTHON) tests/native/fuzz.py build/native-fuzz --inputs $(FUZZ_INPUTS) --seed $(FUZZ_SEED)

coverage: coverage-core coverage-python

coverage-core:
	$(NATIVE_TESTS) -B build/native-coverage -DGAUFUSE_SANITIZE=coverage
	$(CMAKE) --build build/native-coverage --parallel $(MAX_JOBS)
	find build/native-coverage -name '*.gcda' -delete
	cd build/native-coverage && ctest --output-on-failure
	$(PYTHON) tests/native/coverage.py build/native-coverage

# Of all tests, or of COVERED: files of tests, or pytest's options. What several runs reached counts
# together, until KEEP= is left out.
COVERED ?=
coverage-python: setup
	$(if $(KEEP),,rm -f build/.coverage*)
	mkdir -p build
	$(BIN)/python -m coverage run -m pytest $(WORKERS) $(COVERED)
	$(BIN)/python -m coverage combine --keep
	$(BIN)/python -m coverage report --skip-covered --include 'gaufuse_ext/*' --fail-under 95
	$(BIN)/python -m coverage report --skip-covered --include 'python/gaufuse/*' --fail-under 90

# MINUTES of training with online labels, then as many of operations from eight threads.
MINUTES ?= 60
soak: setup
	nice -n 19 $(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --record benchmarks/results/soak.jsonl

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
