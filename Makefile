# One verb for each chore, the same here and in CI. Needs Python 3.11 - 3.13 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test test-cluster test-gpu test-slow lint docs notebook attack chaos fuzz bench bench-gpu clean

run: $(VENV)/.installed  ## the whole path once: a synthetic cohort, a study, its report
	$(BIN)/ablate run sd_vs_lp --workers 4
	$(BIN)/ablate report sd_vs_lp

test: $(VENV)/.tested lint  ## everything that CI runs, in two processes that share the files of tests
	$(BIN)/python -m pytest -m "not slow and not cluster" --numprocesses 2 --dist loadgroup --no-loadscope-reorder

test-cluster: $(VENV)/.tested  ## agents placed by Slurm and in network namespaces, as far as these are there
	$(BIN)/python -m pytest -m "cluster and not slow"

test-gpu: $(VENV)/.installed  ## what has to be right on a GPU; small on the processor where there is none
	$(BIN)/python benchmarks/gpu_check.py --out gpu_check.json

test-slow: $(VENV)/.tested  ## what takes longer than CI has
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed  ## what is generated: references of study files, commands and the report for programs
	$(BIN)/python docs/study_file.py
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/report_json.py

notebook: $(VENV)/.installed  ## docs/notebook.ipynb: a small study, run and looked at from Python
	$(BIN)/python docs/notebook.py

attack: $(VENV)/.tested  ## every attack on store, files and processes, also those that take longer
	$(BIN)/python -m pytest tests/attack -m "slow or not slow"

chaos: $(VENV)/.tested  ## thirty faults in each of twenty studies; none may lose or change a result
	$(BIN)/python -m pytest tests/acceptance/test_chaos.py -m "slow or not slow" --chaos-seeds 20

fuzz: $(VENV)/.tested  ## a minute for each of eleven kinds: damaged study files, checkpoints, headers, tables
	$(BIN)/python -m pytest tests/fuzz --fuzz-minutes 1

bench: $(VENV)/.tested  ## the same slots by other tools' scripts; on PTB-XL too where ABLATE_DATA names it
	$(BIN)/python benchmarks/peers/bench.py $(if $(ABLATE_DATA),--data "$(ABLATE_DATA)") --out benchmarks/results.json

bench-gpu: $(VENV)/.installed  ## a step, an epoch and several trials at once on a GPU
	$(BIN)/python benchmarks/gpu_bench.py --out gpu_bench.json

# torch comes first and pinned: a plain "torch" would bring several gigabytes for CUDA where none may be.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) torch==2.13.0
	$(INSTALL) --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(INSTALL) --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) .ablate
