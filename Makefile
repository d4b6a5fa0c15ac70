# ssechat: `make` builds ./ssechat, `make run` starts it, `make test` runs everything that CI runs.
# `make help` lists the rest.
#
# A build is a folder of objects, $B, with its own compiler and flags. The rules below work for any
# $B; a target such as `debug` calls make again with the variables of its build.

PREFIX  ?= /usr/local
CFLAGS  ?= -O2
LDFLAGS ?= -s
STATIC  ?= -static
B       ?= build

# musl makes a smaller static binary; if it is not installed, the system's libc is used. Debian's
# musl-gcc accepts -static-pie but silently links a dynamic program, so that option uses gcc.
ifeq ($(origin CC),default)
has = $(if $(shell command -v $1),$1)
CC := $(firstword $(if $(filter -static-pie,$(STATIC)),,$(call has,musl-gcc)) $(call has,gcc) cc)
endif
ifeq ($(origin AR),default)
AR := $(shell $(CC) -print-prog-name=ar)
endif
DEBUG_CC ?= $(if $(filter %musl-gcc,$(CC)),gcc,$(CC))
FUZZ_CC  ?= clang

# CPPFLAGS, CFLAGS and LDFLAGS belong to the user and come last; these belong to the project. 64-bit
# times and file offsets matter on 32-bit targets. glibc warns if _FORTIFY_SOURCE is used without
# optimization. musl has no _FORTIFY_SOURCE, and does not apply RELRO to a static program. Little is
# lost: RELRO would cover only 176 bytes, because constants that contain addresses are in .rodata.
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Wcast-qual -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings
LANGUAGE := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -iquote .
OURS     := $(LANGUAGE) $(WARNINGS) -fno-strict-aliasing -ffunction-sections -fdata-sections \
            -fno-asynchronous-unwind-tables
HARDEN   ?= -fstack-protector-strong -fstack-clash-protection \
            $(if $(filter -O1 -O2 -O3 -Os -Oz,$(CFLAGS)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
LINK     ?= -Wl,-z,relro,-z,now,-z,separate-code,-z,noexecstack,--build-id=sha1 \
            -Wl,--gc-sections,--sort-section=alignment
# Padding before functions, loops and jumps, copies of code in several places, and what pays off only
# in long loops would take 25 KB, and as instructions a little time (make bench-instructions); a
# function that is worth a copy wherever it is called is `inline`. clang has only two of these flags.
COMPACT  := -fno-align-functions -fno-tree-vectorize \
            $(if $(findstring clang,$(CC)),,-fno-align-loops -fno-align-jumps -fno-align-labels \
            -fno-inline-functions -fno-move-loop-invariants -fno-tree-pre -freorder-blocks-algorithm=simple)
# In these folders and files -O2 means -Os: next to what their code waits for, such as a disk, or
# computes, such as a signature, the difference does not show.
COLD     := auth/% host/% store/% api/metrics% hub/restore%
POSITION := $(if $(filter -static,$(STATIC)),-fno-pie)$(if $(filter -static-pie,$(STATIC)),-fPIE)
LINKING  := $(STATIC) $(LINK) $(LDFLAGS)
FLAGS    := $(CC) $(OURS) $(COMPACT) $(POSITION) $(HARDEN) $(CPPFLAGS) $(CFLAGS)
DEPFLAGS  = -MMD -MP -MT $@ -MF $@.d
COMPILE   = $(if $(filter $(COLD),$<),$(FLAGS:-O2=-Os),$(FLAGS)) $(DEPFLAGS)

# Sorted, because older versions of make list files in the order of the folder, and the linker would
# then make another binary of the same source.
SOURCES := $(sort $(filter-out test/%,$(wildcard *.c */*.c)))
OBJECTS := $(SOURCES:%.c=$B/%.o) $B/www/www.o
WWW     := $(sort $(filter-out www/www.S,$(wildcard www/*)))
PAGE    := $(WWW:%=build/%.gz) build/www/list
UNITS   := $(basename $(notdir $(wildcard test/unit/*.c)))
TOOLS   := $(filter-out disk faults,$(basename $(notdir $(wildcard test/tools/*.c)))) havoc

all: ssechat

# ==== The rules of every build ===================================================================

ssechat $B/ssechat: $B/sse.o $B/libssechat.a
	$(CC) $(POSITION) $(CFLAGS) $(LINKING) -o $@ $^

# The program without main. Drivers and benchmarks link with it.
$B/libssechat.a: $(filter-out $B/sse.o,$(OBJECTS))
	@rm -f $@
	$(AR) -qcs $@ $^

$B/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$B/www/www.o: www/www.S $(PAGE) $B/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -c -o $@ $<

# -n leaves out the name and time, so that the same page gives the same binary.
build/www/%.gz: www/%
	@mkdir -p $(@D)
	gzip -9nc $< > $@

# Changes only if a file is added or removed.
build/www/list: FORCE
	@mkdir -p $(@D)
	@printf 'page %s\n' $(WWW:www/%=%) | cmp -s - $@ || printf 'page %s\n' $(WWW:www/%=%) > $@

# Drivers of the modules that do no I/O, and the benchmark of the hub, which uses no sockets.
$B/unit/%: test/unit/%.c $B/libssechat.a $B/flags
	@mkdir -p $(@D)
	$(COMPILE) $(LINKING) -o $@ $< $B/libssechat.a

$B/bench/hub: test/bench/hub.c $B/libssechat.a $B/flags
	@mkdir -p $(@D)
	$(COMPILE) $(LINKING) -o $@ $< $B/libssechat.a

# The program, with allocations that fail on demand.
build/faults/ssechat: test/tools/faults.c $B/sse.o $B/libssechat.a $B/flags
	@mkdir -p $(@D)
	$(COMPILE) $(LINKING) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc -o $@ $(filter-out %/flags,$^)

# The program, with a disk that is slow or fails on demand. glibc has names of its own for functions
# with a 64-bit offset.
DISK_CALLS := clock_gettime fdatasync fsync ftruncate ftruncate64 link open open64 pwrite pwrite64 rename \
              syscall unlink
$B/disk/ssechat: test/tools/disk.c $B/sse.o $B/libssechat.a $B/flags
	@mkdir -p $(@D)
	$(COMPILE) $(LINKING) -pthread $(DISK_CALLS:%=-Wl,--wrap=%) -o $@ $(filter-out %/flags,$^)

# Rebuilds everything if the compiler or a flag changes.
now = '$(COLD): $(subst ','\'',$(FLAGS) $(LINKING))'
$B/flags: FORCE
	@mkdir -p $B
	@echo $(now) | cmp -s - $@ || echo $(now) > $@

units: $(UNITS:%=$B/unit/%)
tools: $(TOOLS:%=build/tools/%) build/bench/abuse

# Programs for tests and benchmarks, one file each. They need the kernel's headers, which Debian's
# musl package does not contain.
TOOL = $(DEBUG_CC) $(OURS) -O2 -g $(DEPFLAGS) -pthread

build/tools/%: test/tools/%.c
	@mkdir -p $(@D)
	$(TOOL) -o $@ $<

# havoc has a folder of files, and is compiled as a whole.
HAVOC := $(wildcard test/tools/havoc/*.c)
build/tools/havoc: $(HAVOC) $(wildcard test/tools/*.h test/tools/havoc/*.h)
	@mkdir -p $(@D)
	$(filter-out $(DEPFLAGS),$(TOOL)) -o $@ $(HAVOC)

# So has the abuse benchmark.
ABUSE := $(wildcard test/bench/abuse/*.c)
build/bench/abuse: $(ABUSE) test/bench/abuse/abuse.h test/bench/figures.h test/tools/tool.h
	@mkdir -p $(@D)
	$(filter-out $(DEPFLAGS),$(TOOL)) -o $@ $(ABUSE)

build/bench/%: test/bench/%.c
	@mkdir -p $(@D)
	$(TOOL) -o $@ $< -ldl

# ==== The other builds ===========================================================================

# The debug build has sanitizers, and buffers of a few bytes, so that they grow and wrap around all
# the time. valgrind needs a dynamic program, in which it can replace malloc.
BARE     := STATIC= HARDEN= LINK=-Wl,--gc-sections LDFLAGS=
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
DEBUG    := B=build/debug $(BARE) CC='$(DEBUG_CC)' CFLAGS='-O1 -g -DDEBUG $(SANITIZE)'
VALGRIND := B=build/valgrind $(BARE) CC='$(DEBUG_CC)' CFLAGS='-O1 -g'
COVERAGE := B=build/coverage $(BARE) CC=gcc CFLAGS='-O0 -g --coverage'
FUZZ     := B=build/fuzz $(BARE) CC='$(FUZZ_CC)' \
            CFLAGS='-O1 -g -DDEBUG -DFUZZ -fsanitize=fuzzer-no-link,address,undefined' \
            LDFLAGS='-fsanitize=fuzzer -fno-sanitize-recover=all'
# The smallest binary has no padding, and constants share pages with code.
SMALL    := B=build/small HARDEN= CFLAGS='-Os' LDFLAGS='-s' \
            LINK='-Wl,-z,noseparate-code,-z,norelro,-z,common-page-size=512,--build-id=none \
                  -Wl,--gc-sections,--sort-section=alignment'

# The compressed page is made before anything else, because all builds share it.
debug: $(PAGE)
	$(MAKE) $(DEBUG) build/debug/ssechat

valgrind: $(PAGE)
	$(MAKE) $(VALGRIND) build/valgrind/ssechat

small: $(PAGE)
	$(MAKE) $(SMALL) build/small/ssechat

# Everything that the suite needs, for each of its two builds.
tests: ssechat build/disk/ssechat units tools valgrind
tests-debug: debug tools valgrind
	$(MAKE) $(DEBUG) build/faults/ssechat build/debug/disk/ssechat units

# ==== Tests ======================================================================================

# TESTS names the suites to run; by default all suites run.
test:
	test/needs test
	$(MAKE) tests tests-debug
	test/run $(TESTS)

quick: tests
	test/run --quick $(TESTS)

check: tests
	test/run --build plain $(TESTS)

check-debug: tests-debug
	test/run --build debug $(TESTS)

# Tests the same source on other processors, under qemu.
check-cross:
	test/needs cross
	test/cross

# Runs the long form of the suites that have one, and the tests on other processors.
long:
	test/needs test
	test/needs long
	$(MAKE) tests tests-debug
	test/run --long $(TESTS)
	$(MAKE) check-cross

# Runs the suite on a build that records which lines run. A failing test does not stop the report.
coverage: tools valgrind
	test/needs coverage
	rm -f build/coverage/*.gcda build/coverage/*/*.gcda
	$(MAKE) $(COVERAGE) build/coverage/ssechat units
	-SSECHAT=$(CURDIR)/build/coverage/ssechat UNIT=$(CURDIR)/build/coverage/unit \
	    bats $(or $(TESTS),test test/unit)
	@gcov -n $(patsubst %.c,build/coverage/%.gcda,$(SOURCES)) 2>/dev/null | test/coverage

# Runs each driver for FUZZ_SECONDS. The driver reads its corpus, but writes to a new folder.
FUZZ_SECONDS ?= 60
fuzz: $(PAGE)
	test/needs fuzz
	$(MAKE) $(FUZZ) units
	for unit in $(UNITS); do \
	    rm -rf build/fuzz/corpus-$$unit && mkdir -p build/fuzz/corpus-$$unit && \
	    dict=; [ ! -e test/fuzz/$$unit.dict ] || dict=-dict=test/fuzz/$$unit.dict; \
	    seeds=; [ ! -d test/fuzz/corpus/$$unit ] || seeds=test/fuzz/corpus/$$unit; \
	    build/fuzz/unit/$$unit -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 \
	        -artifact_prefix=build/fuzz/ -print_final_stats=1 -verbosity=0 $$dict \
	        build/fuzz/corpus-$$unit $$seeds || exit 1; \
	done

# Makes pictures of the chat page in its states, in build/screenshots.
screenshots: ssechat
	bats -f '^screenshots' test/page_look.bats

# Kills the server 500 times while clients publish and read.
torture: ssechat build/tools/torture
	build/tools/torture --server ./ssechat --rounds 500 --seconds 1800

# The journal benchmarks write to BENCH_FOLDER, which must be on a real disk. With OTHER=PATH,
# bench-journal compares that build of the server (A) with this one (B).
BENCH_FOLDER ?= build/bench

# `test/needs bench` installs the other servers of the comparison.
bench: ssechat build/bench/load build/bench/floor build/bench/hub
	test/bench/run

bench-hub: build/bench/hub
	build/bench/hub

bench-journal: ssechat build/bench/journal
	build/bench/journal $(OTHER:%=--server %) --server ./ssechat --folder $(BENCH_FOLDER)

# SERVER=PATH names another build of the server, which must also be linked with disk.c.
bench-slow: build/disk/ssechat build/bench/slow
	build/bench/slow --server $(or $(SERVER),build/disk/ssechat) --folder $(BENCH_FOLDER)

# SERVER=PATH names another build of the server.
bench-abuse: ssechat build/bench/abuse
	build/bench/abuse --server $(or $(SERVER),./ssechat)

bench-instructions: ssechat build/bench/load
	test/bench/instructions

# The figures of docs/machines.md, and the times of starts.
bench-boxes: ssechat build/bench/load build/tools/crowd
	BENCH_FOLDER=$(BENCH_FOLDER) test/bench/boxes
	test/bench/proxies

bench-scrape: ssechat build/tools/crowd
	test/bench/scrape

# SERVER=PATH names another build of the server, whose page is measured.
bench-page: ssechat build/tools/crowd
	test/bench/page $(SERVER)

# ==== Checks of the source =======================================================================

ALL_C   := $(wildcard *.[ch] */*.[ch] test/*/*.[ch] test/*/*/*.[ch])
SCRIPTS  = .ci/run $(shell grep -rlE '^\#!.*(sh|bats)$$' test dist) $(wildcard test/lib/*.bash dist/*.bash)

# gcc's analyzer reports an object as leaked if the program keeps only a pointer to a member inside
# it, such as a list link; the sanitizers and valgrind find real leaks.
lint: ssechat
	test/needs lint
	test/layers
	test/formats
	clang-format --dry-run -Werror $(ALL_C)
	for cc in gcc clang; do \
	    $$cc $(LANGUAGE) $(WARNINGS) -O2 -Werror -fsyntax-only $(filter %.c,$(ALL_C)) || exit 1; \
	done
	for c in $(SOURCES); do \
	    gcc $(LANGUAGE) $(WARNINGS) -O1 -fanalyzer -Wno-analyzer-malloc-leak -Werror -c -o /dev/null $$c || \
	        exit 1; \
	done
	clang-tidy --quiet --warnings-as-errors='*' $(SOURCES) -- $(LANGUAGE)
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	    --inline-suppr -D_GNU_SOURCE -I . $(SOURCES)
	shellcheck $(SCRIPTS)

format:
	clang-format -i $(ALL_C)

# =================================================================================================

run: ssechat
	./ssechat

# PREFIX=/usr is for packages; DESTDIR is where they collect their files. The units name the program
# by its path, and the manual the folder of the examples. /etc is left alone: the settings of the
# service are an example among the others.
BINDIR        ?= $(PREFIX)/bin
MANDIR        ?= $(PREFIX)/share/man
DOCDIR        ?= $(PREFIX)/share/doc/ssechat
UNITDIR       ?= $(PREFIX)/lib/systemd/system
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions

VERSION  := $(shell sed -n 's/^.define SSECHAT_VERSION "\(.*\)"/\1/p' host/version.h)
PAGES    := $(wildcard dist/*.8)
SERVICES := $(wildcard dist/*.service dist/*.socket dist/*.timer)
EXAMPLES := $(wildcard dist/Caddyfile dist/*.conf dist/*.cfg dist/*.default)

install: ssechat
	umask 022 && mkdir -p $(addprefix $(DESTDIR),$(BINDIR) $(MANDIR)/man8 $(UNITDIR) $(COMPLETIONDIR) \
	    $(DOCDIR)/examples)
	install -m 755 ssechat dist/ssechat-doctor $(DESTDIR)$(BINDIR)
	install -m 644 $(EXAMPLES) $(DESTDIR)$(DOCDIR)/examples
	install -m 644 dist/ssechat.bash $(DESTDIR)$(COMPLETIONDIR)/ssechat
	install -m 644 $(PAGES) $(DESTDIR)$(MANDIR)/man8
	install -m 644 $(SERVICES) $(DESTDIR)$(UNITDIR)
	sed -i 's|@VERSION@|$(VERSION)|; s|/usr/share/doc/ssechat|$(DOCDIR)|' $(PAGES:dist/%=$(DESTDIR)$(MANDIR)/man8/%)
	sed -i 's|/usr/bin/ssechat|$(BINDIR)/ssechat|g' $(SERVICES:dist/%=$(DESTDIR)$(UNITDIR)/%)

# Removes the files, and folders that are empty then, but none that a system has before any install.
uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,ssechat ssechat-doctor) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man8/,$(notdir $(PAGES))) \
	    $(addprefix $(DESTDIR)$(UNITDIR)/,$(notdir $(SERVICES))) \
	    $(addprefix $(DESTDIR)$(DOCDIR)/examples/,$(notdir $(EXAMPLES))) \
	    $(DESTDIR)$(COMPLETIONDIR)/ssechat
	for dir in $(MANDIR)/man8 $(UNITDIR) $(dir $(UNITDIR)) $(COMPLETIONDIR) $(dir $(COMPLETIONDIR)) \
	    $(DOCDIR)/examples $(DOCDIR) $(dir $(DOCDIR)); do \
	    rmdir $(DESTDIR)$$dir 2>/dev/null || true; \
	done

# The source as a tarball, the same bytes wherever it is made: of the files that git knows, or of all
# files where there is no git; with the time of the last commit, or of the newest file.
NAME   := ssechat-$(VERSION)
HAS_GIT = [ -e .git ] && git rev-parse 2>/dev/null
FILES   = { if $(HAS_GIT); then git ls-files -z; else \
          find . -type d '(' -path ./build -o -path ./.git ')' -prune -o -type f ! -path ./ssechat -printf '%P\0'; \
          fi | LC_ALL=C sort -z; }
NEWEST  = { if $(HAS_GIT); then git log -1 --format=%ct; else \
          $(FILES) | xargs -0 stat -c %Y | sort -n | tail -n 1; fi; }

dist:
	@mkdir -p build
	$(FILES) | tar --null -T - -c --format=ustar --owner=root:0 --group=root:0 --mode=u=rwX,go=rX \
	    --mtime=@$${SOURCE_DATE_EPOCH:-$$($(NEWEST))} --transform='s|^|$(NAME)/|' | gzip -9n > build/$(NAME).tar.gz

# ARCH=arm64 builds the package for another processor.
deb:
	dist/deb $(ARCH)

clean:
	rm -rf build ssechat

help:
	@echo 'make              builds ./ssechat, one static binary'
	@echo '                  STATIC=-static-pie: position independent; STATIC=: dynamic'
	@echo 'make small        builds the smallest binary, build/small/ssechat'
	@echo 'make debug        builds build/debug/ssechat, with sanitizers'
	@echo 'make run          builds ./ssechat and starts it: http://127.0.0.1:8080'
	@echo 'make install      installs to PREFIX=/usr/local, below DESTDIR; make uninstall removes the same files'
	@echo 'make dist         writes the source to build/$(NAME).tar.gz'
	@echo 'make deb          builds a Debian package, build/ssechat_VERSION_ARCH.deb; ARCH=arm64: cross-built'
	@echo 'make clean        removes what make has built'
	@echo
	@echo 'make test         installs the tools that the tests need; runs all tests on both builds'
	@echo 'make quick        runs the suites that take a few seconds each, on the plain build'
	@echo 'make check        runs the suite on the plain build (TESTS=test/www.bats: only that file)'
	@echo 'make check-debug  runs the suite on the debug build'
	@echo 'make check-cross  runs unit suites and a smoke test on other processors, under qemu'
	@echo 'make long         runs the long form of the suites that have one, then check-cross'
	@echo 'make lint         checks the layers and the style; runs compilers and static checkers'
	@echo 'make format       formats the C files with clang-format'
	@echo 'make coverage     reports which lines the suite runs'
	@echo 'make fuzz         runs libFuzzer on the parsers, FUZZ_SECONDS=60 each'
	@echo 'make screenshots  makes pictures of the chat page in build/screenshots'
	@echo 'make torture      kills the server 500 times while clients publish and read'
	@echo 'make bench        compares ssechat with a bare epoll loop and other servers: test/bench/RESULTS.md'
	@echo '                  bench-hub: no sockets; bench-instructions: callgrind'
	@echo '                  bench-journal: the disk, Redis and SQLite; OTHER=PATH: another build, before and after'
	@echo '                  bench-slow: what waits for a slow disk; SERVER=build/disk/ssechat'
	@echo '                  bench-scrape: what a scrape of the metrics costs'
	@echo '                  bench-boxes: memory on small machines, and the times of starts: docs/machines.md'
	@echo '                  bench-page: what a burst of messages costs the page, in a browser; first message'
	@echo '                  bench-abuse: what requests cost, and what others notice of hostile clients'

FORCE:
.PHONY: all units tools debug valgrind small tests tests-debug test quick check check-debug check-cross long \
        coverage fuzz torture screenshots bench bench-hub bench-journal bench-slow bench-abuse bench-boxes \
        bench-instructions bench-page bench-scrape \
        lint format run install uninstall dist deb clean help FORCE
.SECONDARY:

-include $(wildcard $B/*.d $B/*/*.d)
