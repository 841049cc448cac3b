# natter: 'make demo' shows it, 'make test' checks everything, 'make help' lists the rest.

PREFIX ?= /usr/local
DESTDIR ?=
export PREFIX DESTDIR ZSHDIR SHARED

# The programs never run swift-backtrace: it can hang on a crash in a pipe.
export SWIFT_BACKTRACE = enable=no

programs := .build/release
pages := $(sort $(wildcard man/*.[1-8] man/*/*.[1-8]))
shell_scripts := .ci/run tools/demo tools/server tools/bench/common packaging/deb/check-inside $(wildcard packaging/deb/*.p*) \
    $(filter-out tools/build/extract-phrases tools/check/converters, $(wildcard tools/build/* tools/check/* tools/release/*))
swift_sources := Package.swift Sources $(wildcard Tests) $(wildcard tools/fuzz)

# Names a large real conversation for the tests that want one: an NDJSON file, or an xz of it.
NATTER_CORPUS ?=
ifneq ($(filter %.xz,$(NATTER_CORPUS)),)
corpus := $(CURDIR)/.build/corpus/$(notdir $(basename $(NATTER_CORPUS)))
else
corpus := $(NATTER_CORPUS)
endif

.PHONY: build test-build phrases demo test lint mutants fuzz torture check-openapi check-examples check-converters check-page check-counts check-growth pictures serve bench install uninstall deb check-deb clean packages compiler help
.DEFAULT_GOAL := build

help:
	@echo "make build    .build/release/natter and .build/release/natterd"
	@echo "make demo     build, then run a narrated tour with a temporary server"
	@echo "make test     packages, lint, build and all tests; FILTER=NAME for some of them; NATTER_CORPUS=FILE, an NDJSON"
	@echo "              file of a large conversation or an xz of it, for those that want one"
	@echo "make check-openapi, make check-examples"
	@echo "              of the tests, the API against its description, and the manual's and README's examples"
	@echo "make check-converters  of the tests, the converters of other programs' histories"
	@echo "make check-counts, make check-growth"
	@echo "              of the tests, instructions and system calls of commands and requests against the expected ones, and"
	@echo "              whether requests cost more in a large store"
	@echo "make check-page   of the tests, the web page in chromium"
	@echo "make pictures make the pictures of the web page in docs/ anew"
	@echo "make fuzz     libFuzzer over all parsers of foreign bytes: FUZZ_SECONDS=8 each, 0 only repeats the kept inputs; as"
	@echo "              many at once as there are processors; NAMES=... for some; a part of 'make test'"
	@echo "make lint     Swift, man pages, shell scripts, translations"
	@echo "make phrases  update po/ from the sources; then translate the new phrases in po/*.po"
	@echo "make serve    build, then run a server in the foreground, with its page; ARGS=... for its options"
	@echo "make bench    build, then measure; ROWS=... for some rows of docs/benchmarks.md"
	@echo "make torture  faults on simulated disks for SECONDS=1800, or of SEED=N alone; then kills, several"
	@echo "              servers, changed requests and libFuzzer in proportion, three and a half hours in all;"
	@echo "              PARTS='disks kills bits ...' for some"
	@echo "make mutants  remove one safeguard at a time: do the tests notice? NAMES=... for some of them"
	@echo "make install  programs, man pages, completions, systemd units, below DESTDIR and PREFIX ($(PREFIX))"
	@echo "make uninstall  remove them"
	@echo "make deb      Debian packages of both, in .build/deb; as root, 'make check-deb' tests them"
	@echo "make packages install missing Debian packages that all this needs"
	@echo "make clean    remove everything built"
	@echo "SHARED=1      (with any of these) link natter to shared libraries, for packagers"

packages:
	@tools/build/packages

compiler:
	@command -v swift >/dev/null 2>&1 || { \
	    echo "make: 'swift' is not on PATH; install the Swift toolchain, 6.2 or newer (swift.org/install)" >&2; \
	    exit 1; }

# Package.swift has how each program is linked. The directory is not that of the tests, so that both can be built at once.
build_program := swift build -c release --scratch-path .build/programs --static-swift-stdlib --disable-local-rpath --product
# tools/build/record-order says what the order is for. It is recorded once, because it changes little.
order := .build/natter.order
ordered := $(if $(SHARED),,-Xlinker --symbol-ordering-file=$(CURDIR)/$(order) -Xlinker --no-warn-symbol-ordering)
build: packages compiler
	$(build_program) natterd
	@rm -rf $(programs) && ln -s programs/release $(programs)
ifneq ($(ordered),)
	@[ -s $(order) ] || { $(build_program) natter && tools/build/record-order $(order); } || : >$(order)
endif
	$(build_program) natter $(ordered)
	@tools/build/compile-catalogues $(programs)/../share/locale
	@tools/build/make-manual $(programs) .build/man

phrases: packages
	@mkdir -p .build
	tools/build/extract-phrases >.build/natter.pot
	for catalogue in po/*.po; do \
	    msgmerge --quiet --update --backup=none --no-wrap --no-location --no-fuzzy-matching $$catalogue .build/natter.pot; done

demo: build
	@tools/demo $(programs)

serve: build
	$(programs)/natterd serve $(ARGS)

test: export NATTER_CORPUS := $(corpus)
ifneq ($(FILTER),)
# The tests that are named, and the programs as this build has them, beside the tests.
test: packages compiler $(corpus)
	swift test --filter '$(FILTER)'
else
test: export NATTER_BIN = $(CURDIR)/$(programs)
test: packages compiler $(corpus)
# Each of these has times in which it needs one processor.
	$(MAKE) -j3 lint build test-build
# 'make lint' has checked the other pages; these are rendered by the programs.
	mandoc -T lint -W warning .build/man/*
	tools/check/hardened $(programs)/natterd
	tools/check/run-tests
# The tests of the page wait most of the time, so others run beside them. Each of the counts needs one processor.
	$(MAKE) -j2 --output-sync=line check-page check-converters check-openapi check-examples fuzz
	$(MAKE) -j2 --output-sync=line check-counts check-growth
# The tests' closing line again, behind what came after it.
	@cat .build/tests.summary
endif

test-build: packages compiler
	tools/check/run-tests build

# 8 seconds for each of the nine in 'make test'; 'FUZZ_SECONDS=600 make fuzz' for a long run.
FUZZ_SECONDS ?= 8
fuzz: packages compiler
	tools/check/fuzz $(NAMES) $(FUZZ_SECONDS)

torture: packages compiler
	@tools/check/torture $(if $(SEED),$(or $(SECONDS),0),$(or $(SECONDS),1800)) $(SEED)

mutants: packages compiler
	@tools/check/mutants $(NAMES)

# The API against its description, and the examples of the manual and the README, each with a server of its own.
check-openapi check-examples: build
	@tools/check/$(@:check-%=%) $(programs)

# The converters of other programs' histories. RECORD=1 records anew what they give.
check-converters:
	tools/check/converters

# The web page in a browser, which is installed first.
check-page: build
	@tools/check/page $(programs)

# Pictures of its main views, in docs/.
pictures: build
	@tools/build/pictures $(programs)

# Instructions and system calls of commands and requests, against those that are expected, also in a large store.
check-counts: build
	tools/bench/counts
check-growth: build
	tools/bench/counts --growth

ifneq ($(corpus),$(NATTER_CORPUS))
$(corpus): $(NATTER_CORPUS) | packages
	@mkdir -p $(@D)
	xz -dc $< >$@.part && mv $@.part $@
endif

lint: packages compiler
	swift format lint --strict --recursive $(swift_sources)
ifneq ($(pages),)
	mandoc -T lint -W warning $(pages)
endif
	tools/check/catalogues
	tools/check/imports
	shellcheck $(shell_scripts)

bench: export NATTER_CORPUS := $(corpus)
bench: build $(corpus)
ifneq ($(wildcard tools/bench/run),)
	tools/bench/run $(ROWS)
	$(if $(ROWS),,tools/bench/page)
	$(if $(ROWS),,tools/bench/erase)
	$(if $(ROWS),,tools/bench/counts --growth --full)
endif

# Builds only if nothing was built, so that 'sudo make install' needs no compiler on root's PATH.
install:
	@test -x $(programs)/natter && test -x $(programs)/natterd || $(MAKE) build
	tools/release/install $(programs)

uninstall:
	tools/release/install --remove $(programs)

packaged := .build/packaged

deb:
	@mkdir -p $(packaged)
	PIE=1 $(MAKE) build
	install $(programs)/natterd $(programs)/natter $(packaged)
	$(MAKE) build
	tools/release/make-deb $(packaged)

check-deb: deb
	tools/release/check-deb

clean:
	rm -rf .build
