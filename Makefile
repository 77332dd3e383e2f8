# One command per wish. Everything happens in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Without byte code each process of each server compiles all of it anew, and each pytest all tests: a third of `make test`.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup setup-test run cluster-demo cluster-demo-stop checked test test-slow test-all campaigns markings fuzz licenses lint collect format bench bench-check lock clean

setup: $(VENV)/.run-ready
setup-test: $(VENV)/.test-ready

$(VENV)/.run-ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.test-ready: requirements-test.lock $(VENV)/.run-ready
	$(BIN)/pip install -q --require-hashes -r requirements-test.lock
	touch $@

$(VENV)/.fuzz-ready: requirements-fuzz.lock $(VENV)/.test-ready
	$(BIN)/pip install -q --require-hashes -r requirements-fuzz.lock
	touch $@

run: setup
	$(BIN)/mic-mail demo

# Three machines on this one, each with etcd, PostgreSQL under Patroni and mic-mail, behind HAProxy.
cluster-demo: setup-test
	PYTHONPATH=tests $(BIN)/python -m cluster.demo

cluster-demo-stop: setup-test
	PYTHONPATH=tests $(BIN)/python -m cluster.demo stop

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) -s licenses > /dev/null

# The licence of each package that is needed to run. Whoever adds one, or finds that one has changed its licence, looks whether the
# whole may still be passed on as README says, and then puts its line on the list.
ALLOWED := docs/licenses.csv
licenses: setup-test
	$(BIN)/pip-licenses --from=mixed --format=csv --no-version \
		--packages $$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' requirements-cluster.lock) > $(VENV)/licenses.csv
	cat $(VENV)/licenses.csv
	if grep -vxF -f $(ALLOWED) $(VENV)/licenses.csv >&2; then echo "not in $(ALLOWED)" >&2; exit 1; fi

format: setup-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Compiles the tests, which takes most of a minute, while others look at them; else each process below would do it for itself.
collect: setup-test
	$(BIN)/pytest --collect-only -qq > $(VENV)/collected || { cat $(VENV)/collected; exit 1; }

# Files side by side, in their order: first those with servers of many processes, which wait a lot: so there are two more than
# processors. Last come the short ones of units, so that no long one is left when the others are done.
PROCESSORS := $(shell nproc 2>/dev/null || echo 2)
SIDE_BY_SIDE := --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Once, however many of the targets below are asked for.
checked: setup-test
	$(MAKE) -j2 lint collect

test: checked
	$(BIN)/pytest -m "not slow and not campaign" --clauses -n $(shell expr $(PROCESSORS) + 2) $(SIDE_BY_SIDE)

# What is slow fills the machine: no more of them than processors.
test-slow: checked
	$(BIN)/pytest -m "slow and not campaign" -n $(PROCESSORS) $(SIDE_BY_SIDE)

test-all: test test-slow

# Many rounds, seeds and steps of what the tests above prove with few: by hand, see docs/development.md.
campaigns: checked
	$(BIN)/pytest -m campaign -n $(PROCESSORS) $(SIDE_BY_SIDE)

# How the check of markings (Reg. 4.1) does on our own labelled corpus: precision, recall, and every sample that it gets wrong.
markings: setup-test
	$(BIN)/pytest -s -n0 tests/regulation/test_markings_corpus.py

# Seconds for each of the twelve fuzzers; what makes one crash is kept in .venv and shown. With a SEED other than 0 they throw
# the same dice each time, as .ci/run does: there a change is judged, not chance.
SECONDS := 30
SEED := 0
fuzz: $(VENV)/.fuzz-ready
	for target in tests/fuzz/atheris_*.py; do \
		$(BIN)/python $$target -seed=$(SEED) -max_total_time=$(SECONDS) -print_final_stats=1 -verbosity=1 \
			-artifact_prefix=$(VENV)/ || exit 1; \
	done

# Every row of bench/rows.py beside the peers that are installed, half an hour, as root; keeps the results, makes docs/performance.md.
bench: setup-test
	$(BIN)/python bench/run.py

# Before anything is called done, on a quiet machine: fails where a checked ratio has fallen by more than a quarter.
bench-check: setup-test
	$(BIN)/python bench/run.py --check

# Needs uv on the PATH; writes the lock files anew for every supported Python.
lock:
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --extra build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --extra build --extra cluster pyproject.toml -c requirements.lock -o requirements-cluster.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --extra build --extra test --extra licenses pyproject.toml -c requirements-cluster.lock -o requirements-test.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --extra fuzz pyproject.toml -c requirements-test.lock -o requirements-fuzz.lock

clean:
	rm -rf $(VENV) demo-data cluster-demo
