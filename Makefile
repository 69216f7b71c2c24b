# On a fresh machine with Python 3.11 or 3.12:  make demo   and   make test   (both make .venv first).

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3 python,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $(name))))
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: help demo quick test check format tables clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    segment sample images, into demo/"
	@echo "make quick   run the tests of core, data, metrics and losses in under a minute, without the slowest"
	@echo "make quick-ROOM  the same for one room, such as quick-models"
	@echo "make test    run the tests"
	@echo "make check   check format, style, types and the layers of the rooms"
	@echo "make format  format the code"
	@echo "make tables  fill the tables of README, docs and cards from benchmarks/results"
	@echo "make clean   remove .venv, demo/ and caches"

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or 3.12; found none (or give: make PYTHON=/path/to/python3.11)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/python examples/demo.py --out demo

# Two processes, for two cores. The second rule takes the names of rooms, joined by -.
quick: $(READY)
	@$(MAKE) --no-print-directory --keep-going --output-sync -j 2 quick-core-data quick-metrics-losses

quick-%: $(READY)
	$(BIN)/python -m pytest -q -m 'not not_quick and not slow and not gpu' \
		$(foreach room,$(subst -, ,$*),tests/unit/$(room) src/seriatim/$(room))

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tables: $(READY)
	$(BIN)/python benchmarks/fill_tables.py

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache
