# Everything a checkout needs, on a machine with make and Python 3.11 or newer. Each set-up step runs once and is found
# again; with everything in place nothing here touches the network.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PINNED := constraints.txt

SOAK_MINUTES ?= 20

# what differs by processor and BLAS: everything that fits, solves or bounds
NUMERIC := $(wildcard tests/unit/fitting/test_*.py) \
  $(addprefix tests/unit/, power/test_curves.py power/test_uncertainty.py scheduling/test_jump.py scheduling/test_peaks_plugin.py \
  daemon/test_drift.py daemon/test_refit.py commands/test_import_models.py project/test_study.py)

# which tests `pythons` runs. `make test` takes the numeric ones with another BLAS there: each Python and each BLAS has
# its turn, and nothing is run three times
UNIT := unit

# tests against servers mostly wait: three files at a time, each worker with a control plane of its own; but no server is
# busy beside the files whose tests state within how many seconds something happens
THREE    := -n 3 --dist loadfile --no-loadscope-reorder
DEADLINE := $(addprefix tests/e2e/test_, replicas.py two_schedulers.py)
LONGEST  := $(addprefix tests/e2e/test_, faults.py fit_prometheus.py sources.py controllers.py placement.py operations.py)
REST     := $(LONGEST) tests/parity $(filter-out $(DEADLINE) $(LONGEST), $(wildcard tests/e2e/test_*.py))

# what a client of these tests left open is found by the garbage collector in whichever test runs then: it is printed, and
# fails the unit tests alone
UNCLOSED := -W default::pytest.PytestUnraisableExceptionWarning

# what only computes takes the time that the tests against servers leave; the unit tests have limits of time, and the
# processors for themselves
COMPUTING := image@nice inference@nice other-kernels@nice
SERVING   := control-plane monitoring e2e-deadlines e2e-rest

.DEFAULT_GOAL := help
.PHONY: help venv reference control-plane monitoring inference image demo test lint unit plain fuzz pythons kernels \
  other-plain other-kernels oldest e2e e2e-deadlines e2e-rest parity soak bench evidence clean

help:
	@echo "make demo           the scheduler on an embedded cluster, under 30 s"
	@echo "make test           set up, lint and every test, on a real control plane"
	@echo "make unit | e2e     only the tests that need no Go | those with a control plane"
	@echo "make fuzz           garbage for every parser, MINUTES=5 of it; a short run is part of make unit"
	@echo "make pythons        the unit tests on Python 3.11 and 3.13, whichever $(VENV) is not of (part of make test)"
	@echo "make kernels        the numeric tests with another processor's BLAS (part of make test)"
	@echo "make oldest         the unit tests with the oldest dependencies that pyproject.toml allows"
	@echo "make parity         this scheduler's filters and scores against kube-scheduler's own, on thousands of small clusters"
	@echo "make lint           ruff, mypy and the layers"
	@echo "make soak           20 minutes of churn and restarts of the API server: does it keep its size? SOAK_MINUTES=20"
	@echo "make bench          this scheduler and kube-scheduler on the same API server"
	@echo "make evidence       every figure of docs/evidence.md again, from PEAKS_TEST_DATA; about 12 minutes"
	@echo "make reference      write the table of settings into docs/configuration.md"
	@echo "make venv           only the Python environment, with $(BIN)/peaks-scheduler"
	@echo "make control-plane  only the control plane: etcd, kube-apiserver, ... from their Go modules"
	@echo "make monitoring     only Prometheus and its exporters and metrics-server, for the tests"
	@echo "make inference      only MLServer, a simulated BMC with ipmi_exporter and a Redfish emulator, for the tests"
	@echo "make image          only the container's image, for the tests: root on Debian, no registry"
	@echo "make clean          remove what these commands left in the checkout"

venv: $(READY)

# setuptools comes first and is used without isolation: else pip would fetch another one, unpinned, for the build
$(READY): pyproject.toml $(PINNED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is `$(PYTHON) -V 2>&1`: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(PINNED) setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(PINNED) \
	  --no-build-isolation --editable '.[dev]'
	@touch $@

# the table of settings in docs/configuration.md
reference: $(READY)
	@$(BIN)/python -m tools.settings_reference

control-plane: $(READY)
	@$(BIN)/python tools/control_plane.py

monitoring: $(READY)
	@$(BIN)/python tools/monitoring.py

inference: $(READY)
	@$(BIN)/python tools/inference.py

image: $(READY)
	@$(BIN)/python tools/image.py

demo: $(READY)
	@$(BIN)/peaks-scheduler demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(READY)
	@MAKE='$(MAKE)' $(BIN)/python tools/suite.py 'lint unit' then '$(COMPUTING)' '$(SERVING)' then other-plain

unit: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal tests/unit tests/fuzz tests/adversarial

plain: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal $(filter-out $(NUMERIC), $(wildcard tests/unit/*/test_*.py tests/unit/*/*/test_*.py)) tests/fuzz

# round after round of new examples; TESTS=tests/fuzz/test_x.py takes some
MINUTES  ?= 5
EXAMPLES ?= 1000
fuzz: $(READY)
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --examples $(EXAMPLES) $(TESTS)

# Each in an environment of its own, where the machine has that Python: one line says that it has not, and with CI=true
# that is a failure.
pythons: $(READY)
	@for minor in 11 13; do \
	  $(BIN)/python -c "import sys; sys.exit(sys.version_info[1] == $$minor)" || continue; \
	  $(MAKE) --no-print-directory unit-3.$$minor || exit 1; \
	done

# the second Python tries fewer examples of the properties (tests/support/examples.py)
other-plain other-kernels:
	@EXAMPLES_SHARE=0.25 $(MAKE) --no-print-directory pythons UNIT=$(@:other-%=%)

unit-3.%:
	@python=`$(PYTHON) tools/find_python.py 3.$*` || { \
	  test "$$CI" != true && $(MAKE) --no-print-directory $(or $(filter kernels, $(UNIT)), $(READY)); exit; }; \
	$(MAKE) --no-print-directory $(UNIT) VENV=.venv-3.$* PYTHON="$$python"

kernels: $(READY)
	@$(BIN)/python tools/kernels.py $(if $(KERNEL),--kernel $(KERNEL)) $(NUMERIC)

# on 3.11, for which the oldest have wheels
oldest:
	@mkdir -p build
	@$(PYTHON) tools/oldest.py pyproject.toml > build/oldest.new
	@cmp -s build/oldest.new build/oldest.txt || mv build/oldest.new build/oldest.txt
	@python=`$(PYTHON) tools/find_python.py 3.11` && \
	$(MAKE) --no-print-directory unit VENV=.venv-oldest PINNED=build/oldest.txt PYTHON="$$python"

e2e: e2e-deadlines e2e-rest

e2e-deadlines: control-plane monitoring
	$(BIN)/python -m pytest $(UNCLOSED) $(DEADLINE)

e2e-rest: control-plane monitoring inference image
	$(BIN)/python -m pytest $(UNCLOSED) $(THREE) $(REST)

parity: $(READY)
	$(BIN)/python -m tests.parity

# 20 minutes, or SOAK_MINUTES=5; SOAK_TRACE=1 tells where memory was allocated, and is slow
soak: control-plane
	$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES)

bench: control-plane
	$(BIN)/python -m benchmarks

# docs/evidence.md and its figures; without PEAKS_TEST_DATA one line that says so. ONLY=carbon measures one case again
evidence: $(READY)
	@$(BIN)/python -m benchmarks.evidence $(addprefix --only , $(ONLY))

clean:
	rm -rf $(VENV) .venv-3.11 .venv-3.13 .venv-oldest build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
