# `make demo` and `make test` set up all they need in .venv.
PY := .venv/bin/python
export PYTHONSAFEPATH := 1
# Tests in two processes, each with engines of its own; -n 0 runs one after the other.
SIDE_BY_SIDE := -n 2 --no-loadscope-reorder
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-fast check proto pack pictures bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## Set up .venv from the locks (once)
	@scripts/setup.sh

demo: setup ## One prompt unsteered, calm and desperate, side by side; then stop
	@$(PY) scripts/demo.py

serve: setup ## Serve the bundled model on loopback until interrupted
	@.venv/bin/vagus-server serve $(ARGS)

test: setup ## Run all tests (the engine's on the CPU with the bundled model)
	@.venv/bin/pytest $(SIDE_BY_SIDE) $(ARGS)

test-fast: setup ## Run the tests that need no engine
	@.venv/bin/pytest $(SIDE_BY_SIDE) -m "not engine" $(ARGS)

check: setup ## Lint, types, proto lint, freshness of generated code
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/buf lint
	@scripts/proto.sh --check

proto: setup ## Generate the protobuf code
	@scripts/proto.sh

pack: setup ## Extract the bundled pack anew from the corpus, bit for bit, into build/
	@SOURCE_DATE_EPOCH=1795478400 .venv/bin/vagus-server extract --out build/pack \
	  --name smollm2-135m-instruct --version 2.0.0 --model-name smollm2-135m-instruct

pictures: setup ## Draw the dashboards of docs/ from a real run (needs prometheus)
	@PYTHONPATH=tests $(PY) scripts/dashboards.py $(ARGS)

bench: setup ## Compare throughput with stock vLLM, in pairs
	@$(PY) bench/serve/run.py $(ARGS)

clean: ## Remove .venv and everything built
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
