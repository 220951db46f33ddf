# make demo   installs what that needs, runs the whole workflow on generated scans, prints the AUC table
# make test   installs, then lint, types and every test
# make install   installs what the tests and benchmarks need, into .venv
# make check  as test, without installing; make lint and make fast are parts of it
# make fast   the fast tests alone (no install)
# make lint   ruff and mypy (no install)
# make bench  prints what is fast, and by how much, with its bars
# make faults kills stages, fills disks, cuts files; prints the losses (as root); resumes
# make fuzz   damages files and gives them to every reader of foreign files, 10 minutes each
# make mutants M=metrics   how much wrong code in a module its tests let pass; without M, in all
# make table1 CIFAR=path SIZE='--ngf 32 --epochs 2'   runs what is missing of Table I; SIZE is optional
# make table2 SIZE=... runs what is missing of Table II, on generated scans
# make trivial   how well scores without a model do on generated scans
# make results writes the pages of experiments/paper from its cells, and those of work/table1, table2
#   and authors
# make mlflow PORT=5001   shows the runs in MLflow, on this machine; PORT is optional

PYTHON ?= python3
PORT ?= 5000
# The scripts of .dvc/plots/page.html, the page of `dvc plots show`.
VEGA = js_lib_vega_embed/static/js_lib_vega_embed/vega-embed-full.js
# Experiment 1 is the first after MLflow's own; without the query, MLflow shows traces, not runs.
RUNS = http://127.0.0.1:$(PORT)/\#/experiments/1/runs?workflowType=machine_learning
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Containers often set it. Without bytecode, every process compiles torch and Ray anew: 8 s each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test check lint fast mlflow trivial bench faults fuzz mutants table1 table2 results

# Without --no-compile, pip compiles every module of every package; few of them are imported, and
# Python keeps their bytecode.
PIP_INSTALL = python -m pip install --quiet --no-compile --constraint requirements.lock --editable

install: .venv/installed

# What the workflow needs.
.venv/ready: pyproject.toml requirements.lock
	@echo "installing into .venv: 1 to 3 minutes"
	@$(PYTHON) -m venv .venv
	@$(PIP_INSTALL) .
	@cp .venv/lib/python3*/site-packages/$(VEGA) .venv/vega-embed.js
	@python -c 'import stages.tune, stages.train, stages.evaluate'  # which writes the bytecode
	@touch $@

# What the tests and benchmarks need as well.
.venv/installed: .venv/ready
	$(PIP_INSTALL) '.[dev]'
	touch $@

demo: .venv/ready
	@dvc repro --quiet

test: install check

check:
	$(MAKE) --jobs 2 --output-sync lint fast
	pytest -m slow --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint:
	ruff check .
	ruff format --check .
	mypy

fast:
	pytest --numprocesses logical --maxprocesses 8 --dist worksteal

mlflow: .venv/ready
	@case "$$MLFLOW_TRACKING_URI" in http*) \
	  echo "the runs are on the server that MLFLOW_TRACKING_URI names: open it in a browser"; exit 1;; \
	esac
	@echo "The runs, in some seconds: $(RUNS)"
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --workers 1 \
	  --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" --port $(PORT)

trivial: install
	python -m experiments.detection.trivial_scores

bench: install
	python -m benchmarks

faults: install
	python -m faults

fuzz: install
	python -m fuzz

mutants: install
	nice python -m benchmarks.mutants $(M)

table1: install
	python -m experiments.paper.table1 --data $(CIFAR) --out work/table1 $(SIZE)

table2: install
	dvc repro extract
	python -m experiments.paper.table2 --patches data/patches --set generated --out work/table2 $(SIZE)

results: install
	python -m experiments.paper.page --cells $(wildcard work/table1 work/table2 work/authors)
