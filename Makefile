# Everything a working copy can do. The first of them installs what is missing: see .ci/prepare.

VENV ?= .cache/venv
PYTEST_ARGS ?=

export VENV

.DEFAULT_GOAL := help
.PHONY: help run test test-condor test-host test-vm bench host lint man dist rpm deb clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run:  ## watch pilots come and go on this host, for about a minute
	@.ci/prepare run
	@$(VENV)/bin/python -m plancton_tick.ctl.demo

test:  ## run all tests, on an engine and a host with systemd of their own (as root)
	@.ci/prepare test
	@$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

test-host:  ## run only those on the host with systemd, in a container (as root)
	@.ci/prepare test
	@$(VENV)/bin/python -m pytest tests/host $(PYTEST_ARGS)

test-vm:  ## run the tests on a virtual machine, in software alone, for ten minutes or more (as root)
	@.ci/prepare test-vm
	@$(VENV)/bin/python -m pytest tests/vm $(PYTEST_ARGS)

test-condor:  ## run only those of HTCondor pilots, in a pool of their own (as root)
	@.ci/prepare test
	@$(VENV)/bin/python -m pytest tests/condor $(PYTEST_ARGS)

bench:  ## measure what a tick costs
	@.ci/prepare bench
	@$(VENV)/bin/python -m tests.bench
	@$(VENV)/bin/python -m tests.bench_host

host:  ## boot a host with systemd and Plancton in a container, and open a shell in it (as root)
	@.ci/prepare bench
	@$(VENV)/bin/python -m tests.host

lint:  ## check style and types
	@.ci/prepare lint
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

man:  ## build the man pages, in build/man
	@.ci/prepare man
	@mkdir -p build/man
	@set -e; for page in docs/man/*.md; do \
		go-md2man -in "$$page" -out "build/man/$$(basename "$$page" .md)"; \
	done

dist:  ## make the source archive, in dist
	@.ci/prepare dist
	@rpm/archive dist

rpm:  ## build the RPM and its source RPM, in dist
	@.ci/prepare rpm
	@rpm/build dist

deb:  ## build a Debian package of the same files, in dist
	@.ci/prepare deb
	@rpm/deb "$$(rpm/build dist)"

clean:  ## remove what the others made here
	@[ ! -d .cache/engine ] || $(VENV)/bin/python -c 'from plancton_tick.ctl import private_engine; \
		private_engine.PrivateEngine(".cache/engine").destroy()'
	rm -rf --one-file-system .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
