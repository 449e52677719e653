# make demo: set up and run the whole pipeline on the drawn sample.  make check, make test: what CI runs.
PYTHON ?= python3.11
VENV   := .venv
AIRFLOW_VENV := .airflow
BIN    := $(VENV)/bin
SUBMIT := $(BIN)/spark-submit

.DEFAULT_GOAL := help
.PHONY: help setup demo check test fuzz test-quick airflow airflow-test airflow-start package bench lock clean

help:
	@echo "make demo   set up, then draw a sample corpus, extract, tokenize, train, evaluate and explain on it"
	@echo "make check  set up, then check style, format, types and import rules"
	@echo "make test   set up, then run all tests"
	@echo "make test-quick  set up, then run the tests that are not marked slow"
	@echo "make setup  only make the environment in $(VENV)"
	@echo "make package  build the wheel in dist/ that spark-submit --py-files sends to a cluster"
	@echo "make airflow  only make Airflow's environment in $(AIRFLOW_VENV)"
	@echo "make airflow-test   set up both, then run the retraining DAG once on a drawn sample"
	@echo "make airflow-start  set up both, then start Airflow's scheduler and its pages on http://localhost:8080"
	@echo "make fuzz   decode 10,000 damaged pictures (FUZZ_MUTATIONS, FUZZ_SEED: how many, and which)"
	@echo "make bench  compare with plain one-process programs (FLICKR8K names the corpus)"
	@echo "make lock   resolve requirements.lock anew;  make clean  remove what was made"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml jobs/driver/spark/spark_home.py
	@sh jobs/driver/spark/check_machine.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m jobs.driver.spark.spark_home
	@touch $@

# Standard output carries the jobs' JSON lines only. The last one is the evaluation's, so the report's go to standard error.
# One explained photo with about 100 passes through the network: enough for the page.
DEMO_EXPLANATION := explain.photos_limit=1 explain.sanity_photos=0 explain.smooth_samples=2 \
	explain.occlusion_patch=64 explain.occlusion_stride=54 explain.curve_steps=2 explain.random_orders=1
demo:
	@$(MAKE) --no-print-directory setup >&2
	@$(SUBMIT) jobs/draw_sample.py --config conf/demo.yaml
	@$(SUBMIT) jobs/run_pipeline.py --config conf/demo.yaml
	@$(SUBMIT) jobs/report.py --config conf/demo.yaml $(DEMO_EXPLANATION) >&2

airflow: $(AIRFLOW_VENV)/.ready

$(AIRFLOW_VENV)/.ready: airflow_dags/requirements.lock
	@sh jobs/driver/spark/check_machine.sh $(PYTHON)
	$(PYTHON) -m venv $(AIRFLOW_VENV)
	$(AIRFLOW_VENV)/bin/python -m pip install --quiet --require-hashes --requirement airflow_dags/requirements.lock
	@touch $@

# A warehouse of its own, made anew, so that there is always something to train.
TRIAL := $(CURDIR)/data/airflow-test
TRIAL_CONF = {"config": "$(CURDIR)/conf/demo.yaml", "runs": "$(TRIAL)/runs", "overrides": ["corpus.root=$(TRIAL)/corpus", "paths.warehouse=$(TRIAL)/warehouse"]}
airflow-test: setup airflow
	@rm -rf $(TRIAL)
	@$(SUBMIT) jobs/draw_sample.py --config conf/demo.yaml corpus.root=$(TRIAL)/corpus
	@AIRFLOW_HOME=$(TRIAL)/airflow airflow_dags/airflow.sh dags test retrain_captioner --conf '$(TRIAL_CONF)'
	@cat $(TRIAL)/runs/retrain_*/report/retraining.md

airflow-start: setup airflow
	@test -d data/sample || $(SUBMIT) jobs/draw_sample.py --config conf/demo.yaml
	@CAPTIONER_CONFIG=$${CAPTIONER_CONFIG:-$(CURDIR)/conf/demo.yaml} airflow_dags/airflow.sh standalone

check: setup
	@echo "== style: ruff check"
	@$(BIN)/ruff check --quiet .
	@echo "== format: ruff format --check"
	@$(BIN)/ruff format --check . || { echo "run: ruff format ."; exit 1; }
	@echo "== types: mypy"
	@$(BIN)/mypy --no-error-summary
	@echo "== imports: lint-imports"
	@$(BIN)/lint-imports --no-logo --cache-dir $(VENV)/.import_linter

# The laboratory's tests mostly wait for its slow links, so they run beside the others.
test: setup airflow
	@sh tests/run_all.sh $(BIN)/python

fuzz: setup
	FUZZ_MUTATIONS=$${FUZZ_MUTATIONS:-10000} $(BIN)/python -m pytest -s tests/udfs/vision/test_fuzz.py

test-quick: setup
	$(BIN)/python -m pytest tests -m "not slow"

# build/ of an earlier run would put modules that are gone into the wheel.
package: setup
	@rm -rf build dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

bench: setup
	$(BIN)/python -m pytest tests/benchmarks -s

lock:
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev \
	    --no-emit-index-url --no-header pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-header airflow_dags/requirements.in --output-file airflow_dags/requirements.lock

clean:
	rm -rf $(VENV) $(AIRFLOW_VENV) data build dist *.egg-info
