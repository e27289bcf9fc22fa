# run   start the server (make run ARGS="--listen 127.0.0.1:8080")
# test  everything: Rust, client libraries from npm, pages in Chromium (installs Debian packages: .ci/packages)
# lint  formatting, clippy, and licences where cargo-deny is installed
# audit known vulnerabilities in what we build on (needs the network and cargo-deny)
# bench the load generator, against us and against Node (make bench ARGS=…)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

STEP := .ci/step
BUILT := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/debug

# npm writes this file last, so it is newer than the lock file only after a complete installation.
LIBRARIES := node_modules/.package-lock.json
# Folders with npm packages of their own: the clients that the tests use, the servers that the bench compares with.
test_packages := $(patsubst %/package-lock.json,%/node_modules/.package-lock.json,$(wildcard tests/*/package-lock.json))
# Python libraries of other makers, each in an environment of its own: they do not agree on what they need.
python_packages := $(patsubst %/requirements.txt,%/venv/installed,$(wildcard tests/*/*/requirements.txt))
# A client on a Rust library of another maker, with dependencies that the server has not.
RUST_CLIENT := tests/makers/rust
bench_packages := $(patsubst %/package-lock.json,%/node_modules/.package-lock.json,$(wildcard bench/package-lock.json bench/*/package-lock.json))

.PHONY: run test lint audit bench
run: $(LIBRARIES)
	cargo run --release -- $(ARGS)

test: $(LIBRARIES) $(test_packages)
	@$(STEP) 'Debian packages for the tests' .ci/packages
	@$(MAKE) $(python_packages)
	@$(STEP) 'build a client on rust_socketio' cargo build --quiet --locked --manifest-path $(RUST_CLIENT)/Cargo.toml --target-dir $(RUST_CLIENT)/target
	@$(STEP) 'build the server, the examples and the tests' cargo build --quiet --workspace --all-targets
	@$(STEP) 'Rust tests' cargo test --quiet --workspace
	@HANDSHAKEN_BIN=$(BUILT)/handshaken CONFORMANCE_BIN=$(BUILT)/examples/conformance \
		$(STEP) 'clients and pages' .ci/page-tests

lint: $(LIBRARIES)
	@$(STEP) 'formatting' cargo fmt --all --check
	@$(STEP) 'clippy' cargo clippy --quiet --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then \
		$(STEP) 'licences and sources' cargo deny --offline --log-level error check licenses bans sources; \
	else \
		echo '  licences and sources: not checked, cargo-deny is missing (cargo install --locked cargo-deny)'; \
	fi

audit:
	@$(STEP) 'known vulnerabilities' cargo deny check advisories

bench: $(LIBRARIES) $(bench_packages)
	cargo run --release --package bench -- $(ARGS)

$(LIBRARIES): package.json package-lock.json
	@$(STEP) 'browser libraries from npm' npm ci --loglevel=error --no-audit --no-fund
	@touch $@

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@$(STEP) 'npm packages of $*' npm ci --loglevel=error --no-audit --no-fund --prefix $*
	@touch $@

# Written last, so that it is newer than the requirements only after a complete installation.
%/venv/installed: %/requirements.txt
	@rm -rf $(@D)
	@$(STEP) 'Python environment of $*' python3 -m venv $(@D)
	@$(STEP) 'Python packages of $*' $(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement $<
	@touch $@
