# What people run. Everything that is missing is installed first, into $(VENV) and through
# apt-get; nothing running on this machine is touched.
#
#   make demo [KEEP=1]        the main job on a private etcd and a private nginx, as a timeline
#   make test                 style, types, layers, then all tests; make test-fast: no services
#   make bench [PEER="confd=/path other=/path"]     of the wheel, as users install it
#   make fuzz [SECONDS=600]   hostile bytes for every parser of what others send, as long as you like
#   make wheel                dist/pyconfd_etcd-*.whl; make sbom: with dist/pyconfd_etcd-*.cdx.json, what is in it
#   make site                 build/site: the documentation as a site
#   make deb                  dist/pyconfd_*.deb, with all that it needs, for the Debian of this machine
#   make release VERSION=1.2.3 [DRY=1]     version, changelog, tag; sdist, wheel, SBOM, checksums in dist
#   make soak [MINUTES=10]    a broken cluster for as long as you like
#   make lint                 style, types, layers
#   make generated            tables of the pages, schemas, manual, what is public: from the options and keys

VENV ?= .venv
BIN = $(VENV)/bin
MINUTES ?= 10
SECONDS ?= 600
# Of a release; DRY=1 makes it and leaves the repository as it is.
VERSION ?=
DRY ?=
# Tests side by side, a file at a time; most of them wait for a daemon, so more than there are cores.
JOBS ?= 4
PYTEST_ARGS ?=
# A worker that dies ends the run, with the name of its test: xdist's replacement of one is never given
# the rest of its file, and the run would wait for ever.
XDIST = -n $(JOBS) --dist loadfile --max-worker-restart=0
BENCH_VENV = $(CURDIR)/build/bench
SITE_VENV = $(CURDIR)/build/site-tools
TOOLS_VENV = $(CURDIR)/build/tools
PIP = --disable-pip-version-check -qq

.PHONY: demo test test-fast generated fuzz bench wheel sbom deb release site audit soak lint lock venv clean

demo: venv
	@packaging/install-missing.sh demo
	@$(BIN)/pyconfd demo $(if $(KEEP),--keep)

# Programs that tests start have byte code, as users have it, also where Python may not write any:
# without it a start takes twice the CPU.
BYTECODE = $(BIN)/python -m compileall -q pyconfd tests

test: venv lint
	@packaging/install-missing.sh test
	@$(BYTECODE)
	$(BIN)/python -m pytest $(XDIST) $(PYTEST_ARGS)

test-fast: venv
	@$(BYTECODE)
	$(BIN)/python -m pytest $(XDIST) -m "not integration and not slow" $(PYTEST_ARGS)

fuzz: venv
	PYCONFD_FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest -q -s -m slow tests/fuzz tests/recipes/test_hostile_keys.py \
		tests/properties/test_hostile_values.py

# The wheel in an environment of its own, with byte code, is what users have.
bench: wheel
	@packaging/install-missing.sh bench
	@$(BIN)/python -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip $(PIP) install -c requirements-dev.lock dist/pyconfd_etcd-*.whl
	PYCONFD_BENCH_PYTHON=$(BENCH_VENV)/bin/python $(BIN)/python -m bench $(foreach peer,$(PEER),--peer $(peer)) $(BENCH_ARGS)
	PYCONFD_BENCH_PYTHON=$(BENCH_VENV)/bin/python $(BIN)/python -m bench.growth --svg build/growth.svg
	$(BIN)/python -m bench.registration
	$(BIN)/python -m bench.runtime
	$(BIN)/python -m bench.console

wheel: venv
	@rm -f dist/pyconfd_etcd-*.whl
	@$(BIN)/python -m pip $(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

sbom: wheel
	@PYTHON=$(BIN)/python packaging/sbom.sh dist/pyconfd_etcd-*.whl

# Of Debian's own interpreter, which is what runs it.
deb: wheel
	@PYTHON=$(BIN)/python packaging/deb.sh dist/pyconfd_etcd-*.whl dist

release: venv
	@$(BIN)/python packaging/release.py $(if $(DRY),--dry-run) "$(VERSION)"

# The pages of docs as a site, with links that hold.
site:
	@python3 -m venv $(SITE_VENV)
	@$(SITE_VENV)/bin/python -m pip $(PIP) install $$(python3 packaging/requirements.py --group docs)
	@NO_MKDOCS_2_WARNING=1 $(SITE_VENV)/bin/mkdocs build --strict --quiet

# Known holes of what is installed with it.
audit:
	@python3 -m venv --clear $(TOOLS_VENV) && $(TOOLS_VENV)/bin/python -m pip $(PIP) install pip-audit
	$(TOOLS_VENV)/bin/pip-audit --no-deps --disable-pip -r requirements-dev.lock

soak: venv
	@packaging/install-missing.sh test
	$(BIN)/python -m tests.programs.soak --minutes $(MINUTES)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

generated: venv
	$(BIN)/python -m tests.support.docs
	$(BIN)/python -m generate

venv:
	@packaging/make-venv.sh $(VENV)

# The newest releases of everything; commit the result when `make test` passes on it.
lock:
	packaging/lock.sh

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
