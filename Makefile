# Everything here needs python3 (3.11 or newer), make and a package index, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

OTHER_PYTHONS := 3.12 3.13

.PHONY: setup demo test test-long test-pythons test-all check image-check bench clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "setup: there is no $(PYTHON) here; install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"setup: $(PYTHON) is Python {v[0]}.{v[1]}, and 3.11 or newer is needed; name one: make setup PYTHON=/path/to/python3" if v < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "setup: $(PYTHON) cannot make a virtual environment; on Debian it needs the package python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV), which takes a minute or two the first time" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local,onnx,demo,dev]'
	@touch $@

demo: setup
	@$(BIN)/python -m demo

# What takes longest begins first (tests/conftest.py). Whole meshes wait for much, so three at once.
# Machines of random steps take three times as long where every line is counted, and nothing is to be covered by chance.
IN_ORDER := --dist loadfile --no-loadscope-reorder

test: setup
	$(BIN)/python -m pytest tests/meshcore --ignore-glob='*_machine.py' --cov -n 2 $(IN_ORDER)
	$(BIN)/python -m pytest tests/meshcore/test_*_machine.py -n 2 $(IN_ORDER)
	$(BIN)/python -m pytest tests --ignore=tests/meshcore --ignore=tests/image -m 'not long' -n 3 $(IN_ORDER)
	@echo "left to make test-long: whole meshes under load while parts of them are killed, frozen or replaced" >&2

test-long: setup
	$(BIN)/python -m pytest tests/e2e -m long -n 3 $(IN_ORDER)

test-pythons:
	@set -e; for version in $(OTHER_PYTHONS); do .ci/on-python $$version; done

test-all: test test-long test-pythons check image-check demo

bench: setup
	@$(BIN)/python -m bench.plane
	@$(BIN)/python -m bench.simulator --long
	@$(BIN)/python -m bench.queues
	@$(BIN)/python -m bench.upgrade
	@$(BIN)/python -m bench.top
	@$(BIN)/python -m bench.registry

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py
	$(BIN)/python -m protos.generate --check

image-check: setup
	@$(BIN)/python -m tests.image

clean:
	rm -rf $(VENV) $(OTHER_PYTHONS:%=$(VENV)-%) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
