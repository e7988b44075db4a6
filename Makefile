# The two main commands: `make ablation` and `make test`. Both create the environment first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One thread: on busy cores, two threads mostly wait for each other.
TEST_ENV := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
# Two processes, a file of tests at a time: one works while the other waits for Ray to start.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: install ablation studies test test-long test-fast lint docs ui bench rehearsal clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1): needs 3.11 to 3.13; use make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -q -c constraints.txt -e '.[dev]'
	@touch $@

ablation: install  ## the encoder ablation on minimart
	$(BIN)/python sweeps/encoder_ablation.py --seeds 4

studies: install  ## every study of sweeps/ on a small scale
	$(BIN)/python -m benchmarks.studies

test: install  ## all tests but those of minutes
	$(TEST_ENV) $(BIN)/python -m pytest $(PARALLEL) -m "not long"

test-long: install  ## the tests of minutes: lost nodes, drivers and stores, MLflow in a browser
	$(TEST_ENV) $(BIN)/python -m pytest -m long

test-fast: install  ## the fast tests
	$(TEST_ENV) $(BIN)/python -m pytest $(PARALLEL) -m "not slow"

lint: install  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## the documentation as a site in site/, with its links checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

ui: install  ## compare the runs at http://localhost:5000, by the links that are printed
	$(BIN)/vip5 ui

bench: install  ## all benchmarks
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

rehearsal: install  ## `ray up cluster.yaml` on simulated hosts; needs root and sshd, skips elsewhere
	$(BIN)/python -m benchmarks.rehearsal

clean:  ## delete the environment and caches, but not runs/
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
