# Two commands matter: `make compare` is the main job, `make test` proves the checkout.
PYTHON ?= python3
VENV ?= .venv
OUTPUTS ?= outputs
# The versions to install: those that are tested; /dev/null takes the newest that are allowed.
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: compare test lint types unit docs stress benchmark release tensorboard clean

compare: $(INSTALLED)
	$(BIN)/unrolled train experiment=first_comparison paths.outputs=$(OUTPUTS)
	$(BIN)/unrolled compare $(OUTPUTS)/first_comparison

test: lint types unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal

# The pages as a site, site/index.html, that opens without a network.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Minutes of killing; `make test` does a little of it.
stress: $(INSTALLED)
	$(BIN)/python -m benchmarks.stress --kills 50 --output benchmarks/results/stress.json
	$(BIN)/python -m benchmarks.stress --fair --kills 10 --steps 240 --output benchmarks/results/stress_fair.json

# Hours of training, on a machine that does nothing else. BENCHMARK adds options, such as
# make benchmark BENCHMARK="--only 'words-*' --threads 1,2 --ptb data/ptb"
benchmark: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[bench]'
	$(BIN)/python -m benchmarks.peers --page docs/performance.md $(BENCHMARK)

# What a registry would get: built, checked, installed into a clean environment, and tried there.
release: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[release]'
	rm -rf dist build/clean
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/clean
	build/clean/bin/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) dist/*.whl
	cd build/clean && bin/unrolled --help && \
	bin/unrolled train dataset.first_year=2020 model.hidden_size=16 trainer.max_steps=20 trainer.validate_every_steps=10

tensorboard: $(INSTALLED)
	$(BIN)/unrolled tensorboard $(OUTPUTS)

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	"unrolled needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache
