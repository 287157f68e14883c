# `make demo` and `make test` are all that is needed: each installs into .venv first, once.
# Choose the interpreter with PYTHON=..., the folder with VENV=..., the demo's options with DEMO="--quick".

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
# Names may stand on PATH that don't run (pyenv's shims): take the first that does and is new enough.
PYTHON := $(shell for name in python3 python3.12 python3.11; do \
	$$name -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $$name && break; done)
endif
VENV ?= .venv
STAMP := $(VENV)/.installed
EXTRAS ?= embed,dedup,dev
TESTS ?=
DEMO ?=

# Another environment's settings must not reach into this one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.PHONY: help install demo test test-slow slurm test-cluster lint bench clean

help:
	@echo "make install     make $(VENV) and install into it; does nothing when that is done"
	@echo "make demo        run the whole pipeline on the embedded corpus; DEMO=\"--quick\" for a short one"
	@echo "make test        lint and the fast tests"
	@echo "make test-slow   the tests that train, kill and resume"
	@echo "make test-cluster  jobs on a real Slurm of two nodes, started here as root; installs it (make slurm)"
	@echo "make lint        ruff"
	@echo "make bench       all benchmarks that need no GPU; BENCH=--quick for short ones"
	@echo "make clean       remove what is made from the sources; environments and runs stay"

install: $(STAMP)

$(STAMP): setup.py constraints-py311.txt
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' >/dev/null 2>&1 || { \
		echo "No Python of version 3.11 or newer found (looked for: $(or $(PYTHON),python3, python3.12, python3.11))." >&2; \
		echo "Install one, or name it: make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' >/dev/null 2>&1 || { \
		echo "$(PYTHON) has no venv or ensurepip. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"
	constraints=$$("$(VENV)/bin/python" -c 'import sys; print("-c constraints-py311.txt" * (sys.version_info[:2] == (3, 11)))'); \
		"$(VENV)/bin/python" -m pip install --quiet $$constraints -e '.[$(EXTRAS)]'
	@touch "$(STAMP)"

demo: $(STAMP)
	"$(VENV)/bin/megatron-ext" demo $(DEMO)

# One thread: the small tensors of the tests are slower on several, and the losses they compare would differ.
test test-slow test-cluster: export OMP_NUM_THREADS = 1

# Two at a time, file by file: many tests start processes and wait for them.
test: lint
	"$(VENV)/bin/python" -m pytest -q -n 2 --dist loadfile $(TESTS)

test-slow: $(STAMP)
	"$(VENV)/bin/python" -m pytest -q -m "slow and not cluster"

# The daemons and commands that tests/cluster starts; the package's own services, if they start at all, are let be.
SLURM := munged slurmctld slurmd sbatch
SLURM_PACKAGES := slurmctld slurmd slurm-client munge

slurm:
	@missing=; for program in $(SLURM); do PATH="$$PATH:/usr/sbin" command -v $$program >/dev/null || missing=1; done; \
	if [ "$$(id -u)" != 0 ]; then echo "Only root may start Slurm's daemons and run jobs on them." >&2; exit 1; fi; \
	if [ "$$missing" ]; then \
		command -v apt-get >/dev/null || { echo "Slurm is missing, and there is no apt-get to install it." >&2; exit 1; }; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -q && apt-get install -q -y --no-install-recommends $(SLURM_PACKAGES); fi

test-cluster: $(STAMP) slurm
	"$(VENV)/bin/python" -m pytest -q -m cluster $(or $(TESTS),tests/cluster)

lint: $(STAMP)
	"$(VENV)/bin/python" -m ruff check .

# What benchmarks need, and what needs a model of yours.
TOOLS := support debian_corpus smollm olmo_eval judge lm_eval_parity
BENCHMARKS := $(filter-out $(TOOLS:%=benchmarks/%.py),$(wildcard benchmarks/*.py))

bench: export OMP_NUM_THREADS = 1
bench: $(STAMP)
	@for script in $(BENCHMARKS); do echo "== $$script"; "$(VENV)/bin/python" -W ignore "$$script" $(BENCH); done

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
