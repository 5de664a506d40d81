# Everything a checkout needs, on a machine with make and Python 3.11 or newer. Each set-up step runs once and is found
# again; with everything in place nothing here touches the network.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help venv control-plane monitoring image demo test lint unit e2e parity bench clean

help:
	@echo "make demo           the scheduler on an embedded cluster, under 30 s"
	@echo "make test           set up, lint and every test, on a real control plane"
	@echo "make unit | e2e     only the tests that need no Go | those with a control plane"
	@echo "make parity         this scheduler's filters and scores against kube-scheduler's own, on thousands of small clusters"
	@echo "make lint           ruff, mypy and the layers"
	@echo "make bench          this scheduler and kube-scheduler on the same API server"
	@echo "make venv           only the Python environment, with $(BIN)/peaks-scheduler"
	@echo "make control-plane  only the control plane: etcd, kube-apiserver, ... from their Go modules"
	@echo "make monitoring     only Prometheus, node_exporter and metrics-server, for the tests"
	@echo "make image          only the container's image, for the tests: root on Debian, no registry"
	@echo "make clean          remove what these commands left in the checkout"

venv: $(READY)

# setuptools comes first and is used without isolation: else pip would fetch another one, unpinned, for the build
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is `$(PYTHON) -V 2>&1`: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --no-build-isolation --editable '.[dev]'
	@touch $@

control-plane: $(READY)
	@$(BIN)/python tools/control_plane.py

monitoring: $(READY)
	@$(BIN)/python tools/monitoring.py

image: $(READY)
	@$(BIN)/python tools/image.py

demo: $(READY)
	@$(BIN)/peaks-scheduler demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint control-plane monitoring image
	$(BIN)/python -m pytest

unit: $(READY)
	$(BIN)/python -m pytest tests --ignore=tests/e2e --ignore=tests/parity

e2e: control-plane monitoring image
	$(BIN)/python -m pytest tests/e2e

parity: $(READY)
	$(BIN)/python -m tests.parity

bench: control-plane
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
