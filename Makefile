# The commands that people type. `make deploy` and `make test` need Python >= 3.11, make and git; nothing else.
PYTHON ?= python3
MODEL  ?= resnet8
# The device's own where DEVICE names one, else cpu.
TARGET ?=
DEVICE ?=
# The tests of the fault table.
BOARD_TESTS ?= tests/agent/install tests/commands/test_devices.py tests/deploy/test_remote.py tests/app/test_arm.py
# The tests that start the real command, or a board's.
COMMAND_TESTS ?= tests/commands tests/false_passes tests/cli tests/agent/install tests/agent/power tests/deploy \
  tests/emulator tests/contracts/test_from_outside.py tests/contracts/test_agent_members_from_outside.py \
  tests/hostile_models tests/examples
# What `make app-test` runs.
APP_TESTS := tests/app
# How long `make fuzz` takes, in all.
FUZZ_S ?= 600

VENV      := .venv
PIP       := $(VENV)/bin/python -m pip
TOOLCHAIN := $(VENV)/bin/toolchain

.PHONY: setup deploy train test test-power test-board wheel-test app-test fuzz soak check docs bench board board-stop clean

setup: $(VENV)/.installed

deploy: setup
	@$(TOOLCHAIN) deploy $(MODEL) $(if $(TARGET),--target $(TARGET)) $(if $(DEVICE),--device $(DEVICE))

train: setup
	@$(TOOLCHAIN) train $(MODEL)

# Of what calls our code itself, the share of lines and branches that ran must not fall below the floor in pyproject.toml.
# What starts commands is not counted: measuring doubles the time of each.
test: $(VENV)/.installed-dev
	rm -rf .coverage && mkdir .coverage
	$(VENV)/bin/python -m coverage run -m pytest -n 2 --dist worksteal $(addprefix --ignore=,$(COMMAND_TESTS) $(APP_TESTS))
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal $(COMMAND_TESTS)
	$(VENV)/bin/python -m coverage combine --quiet
	$(VENV)/bin/python -m coverage report

# What users install: the wheel, where the checkout cannot be seen.
wheel-test: $(VENV)/.installed-dev
	$(VENV)/bin/python -m tests.wheel.run

# The application's side (docs/application.md): its wheel, and C++17 with sanitizers, held against Python's answers. It needs
# cmake, g++, libssl-dev, nlohmann-json3-dev and npm.
app-test: $(VENV)/.installed-dev build/app/headers
	EDGE_APP_HEADERS=$(CURDIR)/build/app/headers $(VENV)/bin/python -m pytest -n 2 --dist loadfile $(APP_TESTS)

# Every reader of outside bytes, on bytes of nobody's; the tests have a few examples of each. Before that, every bad model
# file that there is a generator of, those that take long too.
fuzz: $(VENV)/.installed-dev
	$(VENV)/bin/python -m tests.hostile_models.run
	$(VENV)/bin/python -m tests.fuzz.run --seconds $(FUZZ_S)

# What is long and what is large (docs/soak.md): fifty deploys, ten thousand samples, a model of a gigabyte. Half an hour.
soak: $(VENV)/.installed-dev
	$(VENV)/bin/python -m benchmarks.soak

# Power cuts during a deploy, on a disk of its own (docs/boards.md); it needs root.
test-power: $(VENV)/.installed-dev
	$(VENV)/bin/python -m tests.agent.power.cuts --cuts 200 --out docs/power_cuts.json

# The fault table once more, on the emulated board's Python and kernels of ARM, and the application in C++ built for it
# (docs/emulated_board.md); it needs root, and g++-aarch64-linux-gnu for the latter.
test-board: $(VENV)/.installed-dev build/app/headers
	@python=$$($(VENV)/bin/python -m toolchain.emulator python) && AGENT_PYTHON=$$python \
	  EDGE_APP_HEADERS=$(CURDIR)/build/app/headers $(VENV)/bin/python -m pytest -n 2 --dist worksteal $(BOARD_TESTS)

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# The docs as pages in build/docs, every link of theirs followed; nothing is loaded from elsewhere.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs --quiet build --strict
	$(VENV)/bin/python -m tests.docs_site build/docs

bench: $(VENV)/.installed-dev
	$(VENV)/bin/python -m benchmarks

# An ARM board without hardware (docs/emulated_board.md); it needs root.
board: setup
	@$(VENV)/bin/python -m toolchain.emulator start $(TARGET)

board-stop: setup
	@$(VENV)/bin/python -m toolchain.emulator stop

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

build/app/headers:
	$(VENV)/bin/python app/cpp/headers.py $@

# A stamp is written last, so an installation that was interrupted is done again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "usage: Python is too old: expected >= 3.11, found $$($(PYTHON) --version)"; \
	       echo "  fix: make PYTHON=/path/to/a/newer/python3"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --constraint constraints.txt --editable '.[build]'
	@touch $@

# --use-pep517: without it the pip of Debian 12 runs the setup.py of seqeval, whose own requirements then lack theirs.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --use-pep517 --constraint constraints.txt --editable '.[build,dev,rtx]'
	@touch $@
