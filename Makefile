# make demo: set up and run the whole pipeline on the drawn sample.  make test: set up and run the tests.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
SUBMIT := $(BIN)/spark-submit

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench lint lock clean

help:
	@echo "make demo   set up, then draw a sample corpus, extract, tokenize, train and evaluate on it"
	@echo "make test   set up, then run the tests"
	@echo "make setup  only make the environment in $(VENV)"
	@echo "make bench  compare with plain one-process programs (FLICKR8K names the corpus)"
	@echo "make lint   style checks;  make lock  resolve requirements.lock anew;  make clean  remove what was made"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml jobs/driver/spark_home.py
	@sh jobs/driver/check_machine.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m jobs.driver.spark_home
	@touch $@

# Standard output carries the jobs' JSON lines only; the last one is the evaluation's.
demo:
	@$(MAKE) --no-print-directory setup >&2
	@$(SUBMIT) jobs/draw_sample.py
	@$(SUBMIT) jobs/run_pipeline.py

test: setup
	$(BIN)/python -m pytest tests

bench: setup
	$(BIN)/python -m pytest tests/benchmarks -s

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

lock:
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev \
	    --no-emit-index-url --no-header pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) data build dist *.egg-info
