# What people and CI do with aptrepo. `make` alone tells.

PREFIX ?= /usr/local
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# by name as Debian 12 and newer have them
BUILD_PACKAGES = gcc libc6-dev make pkg-config nettle-dev libclang-dev
TEST_PACKAGES = apt apt-utils curl dpkg-dev gpg gpg-agent gpgv openssl reprepro sqv strace
# it would start a server of its own on a developer's machine
ifdef CI
TEST_PACKAGES += nginx
endif
RUST = 1.90

.PHONY: help check test demo mirror-example install deps rust clean

help:
	@echo 'make deps      install the Debian packages that building and testing need'
	@echo 'make check     formatting, lints, documentation, dependencies'
	@echo 'make test      all tests'
	@echo 'make demo      an archive, a server and a client, step by step (KEEP=1 leaves it there)'
	@echo 'make mirror-example  a few packages of the release that this machine runs, mirrored for real (KEEP=1, SOURCES=...)'
	@echo 'make install   build and install (PREFIX=$(PREFIX), DESTDIR=$(DESTDIR))'
	@echo 'make clean     remove what was built'

check: deps
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path tests/interop/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check; \
	else echo 'cargo-deny is not installed: licences and advisories were not checked'; fi

test: deps
	$(CARGO) test --locked
	$(CARGO) build --locked --manifest-path tests/interop/Cargo.toml --target-dir $(TARGET)/interop
	tests/interop/run $(TARGET)/debug/aptrepo $(TARGET)/interop/debug/aptrepo-interop

demo: deps
	$(CARGO) build --locked --release
	tests/demo.sh $(TARGET)/release/aptrepo

mirror-example: deps
	$(CARGO) build --locked --release
	tests/mirror-example.sh $(TARGET)/release/aptrepo $(SOURCES)

# no `deps`: a package is built without the tools of the tests
install: rust
	$(CARGO) build --locked --release
	install -D -m 755 $(TARGET)/release/aptrepo $(DESTDIR)$(PREFIX)/bin/aptrepo

rust:
	@have=$$($(CARGO) --version 2>/dev/null | cut -d' ' -f2); \
	[ -n "$$have" ] || { echo 'error: cargo is not installed; aptrepo is built with Rust $(RUST) or newer' >&2; exit 1; }; \
	[ "$$(printf '%s\n' $(RUST) "$$have" | sort -V | head -n 1)" = $(RUST) ] || \
	    { echo "error: Rust $$have is too old; aptrepo is built with $(RUST) or newer" >&2; exit 1; }

deps: rust
	@command -v dpkg-query >/dev/null || { \
	    echo 'not a Debian system; needed are what Debian calls: $(BUILD_PACKAGES) $(TEST_PACKAGES)'; exit 0; }; \
	missing=; for package in $(BUILD_PACKAGES) $(TEST_PACKAGES); do \
	    [ "$$(dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; \
	else echo "error: not installed, and only root can:$$missing" >&2; exit 1; fi; \
	get="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -q"; \
	echo "installing$$missing"; \
	$$get install --no-install-recommends $$missing || { $$get update && $$get install --no-install-recommends $$missing; }

clean:
	$(CARGO) clean
