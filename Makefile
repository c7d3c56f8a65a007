# The few verbs of this project; CI calls the same ones.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# More than one PyTorch process on few cores: threads that spin ruin each other.
export GOMP_SPINCOUNT ?= 0

.PHONY: help setup setup-dev demo test test-all faults gpu gpu-tests gpu-bench gpu-study lowest lint types bench docs

help:           ## show the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch goes first and pinned, so that nothing pulls another build of it.
$(VENV)/.setup: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) --editable '.[digits,study]'
	touch $@

$(VENV)/.setup-dev: $(VENV)/.setup
	$(PIP) --editable '.[dev]'
	touch $@

setup: $(VENV)/.setup          ## install what the program needs into .venv

setup-dev: $(VENV)/.setup-dev  ## and what its tests need

# One thread: images this small do not keep two busy, and threads wait for each other when others work too.
demo: setup     ## a budget and real images to a trained, evaluated network, in a minute or two
	OMP_NUM_THREADS=1 $(BIN)/convscale fit digits --macs 5M

test: setup-dev ## three tests of every kind and none of the longest, in a few minutes
	$(BIN)/python -m pytest -n 3 --dist worksteal --short

test-all: setup-dev ## all tests, as CI runs them
	$(BIN)/python -m pytest -n 3 --dist worksteal

# The table of docs/reliability.md, as often as it says; more than 20 minutes.
faults: setup-dev ## kills, full disks and hostile files, many times over
	CONVSCALE_FAULTS=1 $(BIN)/python -m pytest -n 2 --timeout 1200 tests/training/test_checkpoints.py tests/training/test_resume.py \
	    tests/training/test_signals.py tests/training/test_steps.py tests/training/test_machine_faults.py \
	    tests/nn/test_processes.py tests/nn/test_process_faults.py tests/data/test_check.py tests/data/test_streaming.py \
	    tests/trials/test_trials.py tests/trials/test_killed.py tests/trials/test_damage.py tests/trials/test_cluster.py \
	    tests/dialects/test_bad_files.py tests/dialects/test_logits.py \
	    tests/dialects/test_real_weights.py
	CONVSCALE_FAULTS=1 $(BIN)/python -m pytest tests/training/test_training.py -k demo
	$(BIN)/python bench/oversubscribed.py

# With the python3 that has a PyTorch for it, in parts of at most nine minutes; each writes what it has. CIFAR10 names
# the images: cifar10 for the hub's, cifar10@FOLDER for a copy.
CIFAR10 ?= cifar10
CONVERGED := docs/results/converged/records.jsonl
gpu: gpu-tests gpu-bench gpu-study ## what needs a GPU: tests, speed, and the study `converged`, which resumes

gpu-tests:
	CONVSCALE_GPU=1 PYTHONPATH=src timeout 540 $(PYTHON) -m pytest -m gpu tests/training tests/data tests/deploy/test_engines.py

gpu-bench:
	PYTHONPATH=src timeout 540 $(PYTHON) bench/training.py --device cuda

# Stopped by SIGTERM (exit code 143) it is not done, and goes on the next time.
gpu-study:
	PYTHONPATH=src timeout --preserve-status 500 $(PYTHON) -m convscale study run converged --data $(CIFAR10) --workers 4 \
	    $(if $(wildcard $(CONVERGED)),--records $(CONVERGED)) -o runs/converged || test $$? -eq 143
	PYTHONPATH=src $(PYTHON) -m convscale study export runs/converged --records $(CONVERGED)

lowest: $(BIN)/python ## the lowest versions that pyproject.toml promises: an environment of them, and a short suite
	$(BIN)/python .ci/lowest.py

lint: setup-dev ## style, floors, types
	$(BIN)/ruff check src tests examples bench
	$(BIN)/ruff format --check src tests examples bench
	$(BIN)/lint-imports
	$(BIN)/mypy

types: setup-dev ## types only
	$(BIN)/mypy

bench: setup-dev ## speed beside timm: costs, planning, loading images, training, evaluation; how much of a budget is spent
	$(BIN)/python bench/costs.py
	$(BIN)/python bench/planning.py
	$(BIN)/python bench/loading.py
	$(BIN)/python bench/training.py
	$(BIN)/python bench/evaluation.py

docs: setup-dev ## check that every block of the docs runs
	$(BIN)/python -m pytest tests/project/test_docs.py
