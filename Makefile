# What people and CI do with aptrepo. `make` alone tells.

PREFIX ?= /usr/local
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# by name as Debian 12 and newer have them
BUILD_PACKAGES = gcc libc6-dev make pkg-config nettle-dev libclang-dev
TEST_PACKAGES = apt apt-utils curl dpkg-dev gpg gpg-agent gpgv openssl reprepro sqv strace
# not on a developer's machine: a server would start by itself, the other is for one test
ifdef CI
TEST_PACKAGES += debmirror nginx
# built once and thrown away: what only the next build would use is left out
export CARGO_INCREMENTAL = 0
endif
BENCH_PACKAGES = apt aptly gpg gpg-agent nginx python3 reprepro
RUST = 1.90

# what `make fuzz` and `make bench` may be told
SECONDS = 60
ENTRIES = $(notdir $(wildcard tests/fixtures/fuzz/*))
N = 60000
PLOT = 200000
RUNS = 3
WORKLOADS = w1 w2 w3 w4 w5 w6 w7 w8 w9 plot

.PHONY: help check deny test fuzz bench micro demo mirror-example install deps bench-deps rust clean

help:
	@echo 'make deps      install the Debian packages that building and testing need'
	@echo 'make check     formatting, lints, documentation, dependencies'
	@echo 'make test      all tests'
	@echo 'make fuzz      libFuzzer on all that reads foreign bytes (SECONDS=$(SECONDS) for each of ENTRIES)'
	@echo 'make bench     aptrepo beside reprepro and aptly (N=$(N), PLOT=$(PLOT), RUNS=$(RUNS), WORKLOADS=…)'
	@echo 'make micro     benchmarks of single functions (ONLY=name)'
	@echo 'make demo      an archive, a server and a client, step by step (KEEP=1 leaves it there)'
	@echo 'make mirror-example  a few packages of the release that this machine runs, mirrored for real (KEEP=1, SOURCES=...)'
	@echo 'make install   build and install (PREFIX=$(PREFIX), DESTDIR=$(DESTDIR))'
	@echo 'make clean     remove what was built'

check: deps
	$(CARGO) fmt --check
	for package in tests/interop tests/fuzz bench/micro; do \
	    $(CARGO) fmt --check --manifest-path $$package/Cargo.toml || exit; done
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --benches --manifest-path bench/micro/Cargo.toml --target-dir $(TARGET) -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps
	$(MAKE) --no-print-directory deny

# nothing is fetched: `cargo deny fetch db` brings the advisories, or brings them up to date
deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo 'SKIPPED: bans, licences, sources and advisories' \
	    'were not checked: there is no cargo-deny (cargo install --locked cargo-deny)' >&2; exit 0; }; \
	$(CARGO) deny --locked check bans licenses sources || exit; \
	if ls -d "$${CARGO_HOME:-$$HOME/.cargo}"/advisory-dbs/*/ >/dev/null 2>&1; \
	then $(CARGO) deny --frozen check advisories; \
	else echo 'SKIPPED: advisories were not checked: there is no copy of them (cargo deny fetch db)' >&2; fi

test: deps
	$(CARGO) test --locked
	$(CARGO) build --locked --manifest-path tests/interop/Cargo.toml --target-dir $(TARGET)/interop
	tests/interop/run $(TARGET)/debug/aptrepo $(TARGET)/interop/debug/aptrepo-interop

# stable Rust has what cargo-fuzz asks nightly Rust for, but for the sanitizers, which look after `unsafe`
FUZZ_FLAGS = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

fuzz: deps
	@command -v c++ >/dev/null || { echo 'error: libFuzzer needs a C++ compiler (g++)' >&2; exit 1; }
	RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --locked --release --target $(HOST) \
	    --manifest-path tests/fuzz/Cargo.toml --target-dir $(TARGET)/fuzz
	@for entry in $(ENTRIES); do \
	    mkdir -p $(TARGET)/fuzz/corpus/$$entry $(TARGET)/fuzz/found; echo "$$entry:"; \
	    TMPDIR=/dev/shm ENTRY=$$entry $(TARGET)/fuzz/$(HOST)/release/aptrepo-fuzz -max_total_time=$(SECONDS) -timeout=10 \
	        -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 -artifact_prefix=$(TARGET)/fuzz/found/$$entry- \
	        $(TARGET)/fuzz/corpus/$$entry tests/fixtures/fuzz/$$entry || exit; \
	done

bench: bench-deps
	$(CARGO) build --locked --release
	python3 bench/run.py --aptrepo $(TARGET)/release/aptrepo --packages $(N) --plot $(PLOT) --runs $(RUNS) $(WORKLOADS)

micro: deps
	$(CARGO) bench --locked --manifest-path bench/micro/Cargo.toml --target-dir $(TARGET)/micro -- $(ONLY)

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

deps: PACKAGES = $(BUILD_PACKAGES) $(TEST_PACKAGES)
bench-deps: PACKAGES = $(BUILD_PACKAGES) $(BENCH_PACKAGES)
deps bench-deps: rust
	@command -v dpkg-query >/dev/null || { \
	    echo 'not a Debian system; needed are what Debian calls: $(PACKAGES)'; exit 0; }; \
	missing=; for package in $(PACKAGES); do \
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
