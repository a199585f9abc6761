# All set-up is in here: Python 3.11 or newer and make are enough to begin with.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart readme docs test lint install lock clean

# Trains 60 runs on real handwriting and prints the verdicts.
quickstart: install
	$(BIN)/bench run suites/quickstart.yaml

# What the README shows of the quickstart and of other commands, as they print it here and now.
readme: quickstart
	$(BIN)/bench report suites/quickstart.yaml --figures >/dev/null
	$(BIN)/python docs/refresh.py

# These pages as a site, build/docs/index.html: opens from disk. What does not hold together is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Style, types, then every test.
test: lint
	$(BIN)/python -m pytest -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/.installed

# Versions come from constraints.txt, so that everyone gets what was tested. torch and torchvision are
# resolved together: builds from different places do not fit each other.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bench needs Python 3.11 or newer; say which one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@

# Takes the newest versions that pyproject.toml allows; run the tests before committing the result.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet '.[dev]'
	.venv-lock/bin/python -m pip freeze --exclude lossbench | grep -v ' @ ' > constraints.txt
	rm -rf .venv-lock

clean:
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache
