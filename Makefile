# SPDX-License-Identifier: GPL-2.0-or-later
# make run    a real program on the model, with its summary
# make test   the whole suite on the pure Python kernel, then on the compiled one
# make fsx    100,000 random operations on one file of each file system, against a copy of its bytes; power cuts on ext4
# make selftests   the kernel's own tests of memory management, natively and on the model
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KERNEL := $(shell find src/mmscope/kernel -name '*.py')
PYTEST := $(BIN)/python -m pytest -q
# Without a C compiler there is nothing to test a second time.
COMPILED = ls src/mmscope_kernel__mypyc*.so > /dev/null 2>&1 || { echo "no compiled kernel here: tested pure only"; exit 0; };

.PHONY: run test test-long fsx selftests check lint compiled clean

run: $(VENV)/.compiled
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/run.sh

test: $(VENV)/.compiled lint
	MMSCOPE_PURE=1 $(PYTEST) -m 'not long'
	$(COMPILED) $(PYTEST) -m 'not long'

# The same with the tests that take longer: before an issue is called resolved.
test-long: $(VENV)/.compiled lint
	MMSCOPE_PURE=1 $(PYTEST)
	$(COMPILED) $(PYTEST)

# Another run: make fsx FSX='--ops 1000000 --seed 7'
FSX ?= --ops 100000
fsx: $(VENV)/.compiled
	$(BIN)/python -m mmscope.oracle.fsx $(FSX) --fs ext4
	$(BIN)/python -m mmscope.oracle.fsx $(FSX) --fs tmpfs

# The kernel's own selftests of mm, natively and on the model. Needs Debian's apt-get and the network for their sources.
selftests: $(VENV)/.compiled
	$(BIN)/python scripts/selftests.py

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Translate kernel/ with mypyc, in place. Without a C compiler this is a no-op that says so.
compiled: $(VENV)/.compiled

$(VENV)/.compiled: $(VENV)/.installed $(KERNEL) setup.py
	@echo "compiling kernel/ (a minute or two)"
	$(BIN)/python setup.py -q build_ext --inplace > $(VENV)/build.log 2>&1 || { tail -n 40 $(VENV)/build.log; exit 1; }
	@grep '^mmscope:' $(VENV)/build.log || true
	@$(BIN)/python -m compileall -q src/mmscope
	@touch $@

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip -q --disable-pip-version-check install 'setuptools>=77'
	MMSCOPE_PURE=1 $(BIN)/python -m pip -q --disable-pip-version-check install -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build src/*.so src/*.egg-info
	find src -name '*.so' -delete
