# Everything a checkout needs: `make demo` and `make test` do their own set-up.
PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .venv-demo
MATRIX ?=
MATRIX_VENVS ?= .venv-matrix
PYTEST_ARGS ?=
BIN := $(VENV)/bin
PATHS := bridge operators codemods tests examples scripts benchmarks

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-matrix test-cluster cluster-settings lint format bench lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/.stamp: pyproject.toml constraints.txt scripts/venv.sh
	@echo "setting up $(VENV) (once; a minute or two)"
	@bash scripts/venv.sh $(PYTHON) $(VENV) -c constraints.txt -e '.[all]' --group test --group lint
	@touch $@

$(DEMO_VENV)/.stamp: pyproject.toml constraints.txt scripts/venv.sh
	@echo "setting up $(DEMO_VENV) (once; a minute or two)"
	@bash scripts/venv.sh $(PYTHON) $(DEMO_VENV) -c constraints.txt -e '.[airflow]' scikit-learn
	@touch $@

demo: $(DEMO_VENV)/.stamp ## run the example pipeline, old and moved, under real Airflow
	@$(DEMO_VENV)/bin/python scripts/demo.py --home .demo

test: $(VENV)/.stamp ## all tests that take seconds
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow" $(PYTEST_ARGS)

test-slow: $(VENV)/.stamp ## the tests that take minutes or gigabytes
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-matrix: ## the operator tests on every Airflow of requirements/; MATRIX="2.11 3.1" for some
	@PYTEST_ARGS="$(PYTEST_ARGS)" bash scripts/matrix.sh $(PYTHON) $(MATRIX_VENVS) $(MATRIX)

test-cluster: cluster-settings $(VENV)/.stamp ## the tests marked cluster, on the cluster of KUBECONFIG
	STEPBRIDGE_TEST_CLUSTER=1 $(BIN)/python -m pytest -m cluster $(PYTEST_ARGS) tests/operators

cluster-settings:
	@missing=; for name in KUBECONFIG STEPBRIDGE_TEST_IMAGE STEPBRIDGE_TEST_STORE; do \
		[ -n "$$(printenv $$name)" ] || missing="$$missing $$name"; \
	done; [ -z "$$missing" ] || { echo "make test-cluster needs in the environment:$$missing" >&2; exit 2; }

lint: $(VENV)/.stamp ## ruff and mypy
	$(BIN)/ruff format --check $(wildcard $(PATHS))
	$(BIN)/ruff check $(wildcard $(PATHS))
	$(BIN)/mypy

format: $(VENV)/.stamp ## let ruff rewrite what it can
	$(BIN)/ruff format $(wildcard $(PATHS))
	$(BIN)/ruff check --fix $(wildcard $(PATHS))

bench: $(VENV)/.stamp ## the benchmarks: ratios measured in one run; fails where a bound is missed
	@failed=; for file in benchmarks/bench_*.py; do \
		echo "== $$file"; $(BIN)/python "$$file" || failed="$$failed $$file"; \
	done; [ -z "$$failed" ] || { echo "bounds missed in:$$failed"; exit 1; }

lock: $(VENV)/.stamp ## newest versions into constraints.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --group test --group lint --universal --python-version 3.11 \
		--upgrade --no-annotate --no-header --no-emit-index-url --quiet --output-file constraints.txt
	@for given in requirements/airflow-*.in; do \
		$(BIN)/uv pip compile pyproject.toml --extra airflow --group test "$$given" --universal --python-version 3.11 \
			--upgrade --no-annotate --no-header --no-emit-index-url --quiet --output-file "$${given%.in}.txt" || exit 1; \
	done

clean: ## remove environments, caches and the demo's home
	rm -rf $(VENV) $(DEMO_VENV) $(MATRIX_VENVS) .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis benchmarks/results
