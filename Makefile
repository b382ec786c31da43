# Two commands for a fresh machine: `make demo` and `make test`. Both make .venv first.
# A laptop without a GPU gets torch's small CPU build with TORCH_INDEX=<the CPU address on pytorch.org's install page>.
PYTHON ?= python3
TORCH_INDEX ?=
PIP = .venv/bin/pip --disable-pip-version-check install --quiet -c constraints.txt
IN = .venv/bin

.PHONY: demo test check bench chaos load browser audit locks course docs clean

demo: .venv/ready
	$(IN)/unrolled demo language

# a process for each core, at most eight, each with one thread, since torch's and Numba's would stand in one another's way
test: .venv/ready
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(IN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

check: .venv/ready
	$(IN)/ruff check unrolled tests bench examples locks
	$(IN)/ruff format --check unrolled tests bench examples locks

bench: .venv/ready
	$(PIP) -e '.[dev,bench]'
	$(IN)/python -m bench $(BENCH)

chaos: .venv/ready
	$(IN)/python -m pytest -m slow -rP -n auto --dist load tests/test_chaos.py tests/test_fuzz.py
	$(MAKE) load

# the server under load, alone, since what else runs is in the figures; MINUTES=60 is an hour of each that goes on for a time
MINUTES ?= 1
load: .venv/ready
	UNROLLED_MINUTES=$(MINUTES) $(IN)/python -m pytest -m slow -rP tests/test_load.py

audit: .venv/ready
	$(PIP) pip-audit
	$(IN)/pip-audit --strict --no-deps --disable-pip -r locks/linux-x86_64.txt -r locks/torch.txt

# hashes of all wheels, written anew after constraints.txt has changed
locks: .venv/ready
	$(IN)/python locks/make.py

# needs the distribution's Chromium: apt-get install chromium
browser: .venv/ready
	$(IN)/python -m pytest -m browser tests/test_serve.py tests/test_export_page.py

# every script of the course in an empty folder; one a core; -s shows how long each takes
course: .venv/ready
	$(IN)/python -m pytest -m slow -s tests/test_examples.py

docs: .venv/ready
	$(IN)/python docs/generate.py

# torch first, by itself: a package that finds it there leaves it alone
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),PIP_INDEX_URL=$(TORCH_INDEX)) $(PIP) torch
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache
