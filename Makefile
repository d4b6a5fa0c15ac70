# ssechat: `make` builds ./ssechat, `make run` starts it, `make test` is everything that CI runs.
# `make help` lists the rest.

PREFIX  ?= /usr/local
CFLAGS  ?= -O2 $(if $(findstring clang,$(CC)),,-fno-align-functions -fno-align-jumps -fno-align-loops)
LDFLAGS ?= -s -Wl,-z,noseparate-code,-z,norelro,-z,common-page-size=512,--build-id=none
FUZZ_SECONDS ?= 60

# By default the binary is small: nothing is padded, the data begins in the code's last page, and
# constants lie beside the code, in memory that can be executed; `make LDFLAGS=-s` gives each pages of
# their own, for 10 KB more. The user's CFLAGS stay the user's; these are ours.
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Wcast-qual -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings
OURS     := -std=gnu11 -D_GNU_SOURCE -iquote . $(WARNINGS) -fno-strict-aliasing -ffunction-sections \
            -fdata-sections -fno-asynchronous-unwind-tables -MMD -MP
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# musl makes the smaller static binary; where it is not installed, the system's libc does.
ifeq ($(origin CC),default)
CC := $(if $(shell command -v musl-gcc),musl-gcc,$(if $(shell command -v gcc),gcc,cc))
endif
DEBUG_CC ?= $(if $(filter musl-gcc,$(CC)),gcc,$(CC))
FUZZ_CC  ?= clang

MODULES := auth/access net/address api/answer base/bytes net/client base/crc32 base/date api/files hub/frame hub/history http hub base/inflate store/journal json net/lease net/listen base/log api/messages host/options api/parameters net/peers base/print hub/presence hub/ring api/routes hub/rules sse hub/stream base/table base/text auth/token
# What is on no delivery's way.
SMALL   := auth/access net/address api/answer base/date api/files hub/history base/inflate store/journal net/lease net/listen base/log api/messages host/options api/parameters net/peers hub/presence api/routes hub/rules sse auth/token
PAGE    := index.html style.css chat.js icon.svg
UNITS   := http json text frame hub token address journal inflate bytes

OBJECTS := $(MODULES:%=build/%.o) build/www.o
DEBUG   := $(MODULES:%=build/debug/%.o) build/www.o
GZIPPED := $(PAGE:%=build/www/%.gz)

all: ssechat

ssechat: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -static -Wl,--gc-sections -o $@ $(OBJECTS)

# These are made small rather than fast, if nobody says otherwise.
ifeq ($(origin CFLAGS),file)
$(SMALL:%=build/%.o): CFLAGS := $(CFLAGS:-O2=-Os)
endif

build/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(OURS) -c -o $@ $<

build/www.o: www/www.S $(GZIPPED)
	@mkdir -p $(@D)
	$(CC) -c -o $@ $<

# -n: no name and no time in it, so that the same page makes the same binary.
build/www/%.gz: www/%
	@mkdir -p $(@D)
	gzip -9nc $< > $@

# The debug build: address and undefined-behaviour sanitizers, and buffers of a few bytes, so that
# growth and wrap run all the time.
debug: build/debug/ssechat

build/debug/ssechat: $(DEBUG)
	$(DEBUG_CC) -g $(SANITIZE) -o $@ $(DEBUG)

build/debug/%.o: %.c
	@mkdir -p $(@D)
	$(DEBUG_CC) $(CPPFLAGS) -O1 -g -DDEBUG $(OURS) $(SANITIZE) -c -o $@ $<

# The same with memory that runs out on demand: see test/faults.c.
build/faults/ssechat: $(DEBUG) test/faults.c
	@mkdir -p $(@D)
	$(DEBUG_CC) -O1 -g $(filter-out -MMD -MP,$(OURS)) $(SANITIZE) \
	    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc -o $@ $(DEBUG) test/faults.c

# Drivers for the pure modules; each is also a fuzz target.
UNIT_http := http.c base/date.c base/text.c base/bytes.c base/print.c
UNIT_json := json.c base/text.c base/bytes.c base/print.c
UNIT_text := base/text.c base/bytes.c base/print.c
UNIT_token := auth/token.c json.c hub/rules.c base/text.c base/bytes.c base/print.c
UNIT_frame := hub/frame.c base/date.c json.c base/text.c base/table.c hub/rules.c base/bytes.c base/print.c
UNIT_inflate := base/inflate.c base/crc32.c base/bytes.c base/print.c
UNIT_bytes := base/bytes.c base/print.c base/date.c
UNIT_address := net/address.c http.c base/date.c base/text.c base/bytes.c base/print.c
UNIT_hub := hub.c base/date.c hub/history.c hub/stream.c hub/presence.c hub/ring.c hub/frame.c json.c base/text.c base/table.c base/bytes.c base/print.c
UNIT_journal := store/journal.c base/crc32.c base/log.c hub/rules.c $(UNIT_hub)

units: $(UNITS:%=build/unit/%)
debug-units: $(UNITS:%=build/debug/unit/%)

.SECONDEXPANSION:
build/unit/%: test/unit/%.c $$(UNIT_%) $(wildcard *.h */*.h)
	@mkdir -p $(@D)
	$(DEBUG_CC) $(CPPFLAGS) -O2 -g $(filter-out -MMD -MP,$(OURS)) -o $@ $< $(UNIT_$*)

build/debug/unit/%: test/unit/%.c $$(UNIT_%) $(wildcard *.h */*.h)
	@mkdir -p $(@D)
	$(DEBUG_CC) $(CPPFLAGS) -O1 -g -DDEBUG $(filter-out -MMD -MP,$(OURS)) $(SANITIZE) -o $@ $< $(UNIT_$*)

build/fuzz/%: test/unit/%.c $$(UNIT_%) $(wildcard *.h */*.h)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(CPPFLAGS) -O1 -g -DDEBUG -DFUZZ $(filter-out -MMD -MP,$(OURS)) \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(UNIT_$*)

# Programs that the tests need: many streams, damaged journals, senders of a byte a second, servers
# without memory, storms of damaged requests, a server that is killed and killed.
TOOLS := crowd journal_probe slow starve storm torture

build/test/%: test/%.c $(wildcard test/*.h)
	@mkdir -p $(@D)
	$(DEBUG_CC) -O2 -g $(filter-out -MMD -MP,$(OURS)) -o $@ $< $(LDLIBS)

build/test/torture: LDLIBS += -pthread

build/bench/%: test/bench/%.c $(wildcard test/*.h)
	@mkdir -p $(@D)
	$(DEBUG_CC) -O2 -g $(filter-out -MMD -MP,$(OURS)) -o $@ $<

build/bench/hub: test/bench/hub.c $(UNIT_hub) $(wildcard *.h */*.h)
	@mkdir -p $(@D)
	$(DEBUG_CC) $(CFLAGS) -g $(filter-out -MMD -MP,$(OURS)) -o $@ $< $(UNIT_hub)

# For valgrind: a dynamic program, so that it can watch malloc.
build/valgrind/ssechat: $(MODULES:%=%.c) $(wildcard *.h */*.h) build/www.o
	@mkdir -p $(@D)
	$(DEBUG_CC) -O1 -g $(filter-out -MMD -MP,$(OURS)) -o $@ $(MODULES:%=%.c) build/www.o

run: ssechat
	./ssechat

# The suite, twice: as it is shipped, and with the sanitizers watching.
test:
	test/needs test
	$(MAKE) check
	$(MAKE) check-debug

TESTS ?= test
BATS  := bats --print-output-on-failure

check: ssechat units $(TOOLS:%=build/test/%) build/valgrind/ssechat
	SSECHAT=$(CURDIR)/ssechat UNIT=$(CURDIR)/build/unit $(BATS) $(TESTS)

check-debug: debug debug-units $(TOOLS:%=build/test/%) build/valgrind/ssechat build/faults/ssechat
	SSECHAT=$(CURDIR)/build/debug/ssechat UNIT=$(CURDIR)/build/debug/unit $(BATS) $(TESTS)

# Each target runs for FUZZ_SECONDS, on a copy of its corpus, which is where it starts.
fuzz:
	test/needs fuzz
	$(MAKE) $(UNITS:%=build/fuzz/%)
	for unit in $(UNITS); do \
	    rm -rf build/fuzz/corpus-$$unit && mkdir -p build/fuzz/corpus-$$unit && \
	    dict=; [ ! -e test/fuzz/$$unit.dict ] || dict=-dict=test/fuzz/$$unit.dict; \
	    seeds=; [ ! -d test/fuzz/corpus/$$unit ] || seeds=test/fuzz/corpus/$$unit; \
	    build/fuzz/$$unit -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 \
	        -artifact_prefix=build/fuzz/ -print_final_stats=1 -verbosity=0 $$dict \
	        build/fuzz/corpus-$$unit $$seeds || exit 1; \
	done

# The server is killed 500 times while people publish and read.
torture: ssechat build/test/torture
	build/test/torture --server ./ssechat --rounds 500 --seconds 1800

# The journal's bench wants a disk, not memory: BENCH_FOLDER is where it writes.
BENCH_FOLDER ?= build/bench

# With `test/needs bench` there is also something to compare with.
bench: ssechat build/bench/load build/bench/floor build/bench/hub
	test/bench/run

bench-hub: build/bench/hub
	build/bench/hub

bench-journal: ssechat build/bench/journal
	build/bench/journal --server ./ssechat --folder $(BENCH_FOLDER)

SOURCES := $(wildcard *.c *.h */*.c */*.h test/unit/*.c test/unit/*.h test/bench/*.c)
SCRIPTS := .ci/run test/needs test/bench/run $(wildcard test/*.bash test/*.bats test/page/*.bash)

# The analyzer cannot follow memory into lists whose links lie inside of it, and calls that a leak;
# for leaks there are the sanitizers and valgrind.
lint:
	test/needs lint
	clang-format --dry-run -Werror $(SOURCES)
	for cc in gcc clang; do \
	    $$cc $(filter-out -MMD -MP,$(OURS)) -O2 -Werror -fsyntax-only $(filter %.c,$(SOURCES)) || exit 1; \
	done
	for c in $(MODULES:%=%.c); do \
	    gcc $(filter-out -MMD -MP,$(OURS)) -O1 -fanalyzer -Wno-analyzer-malloc-leak -Werror -c -o /dev/null $$c \
	        || exit 1; \
	done
	clang-tidy --quiet --warnings-as-errors='*' $(MODULES:%=%.c) -- -std=gnu11 -D_GNU_SOURCE -iquote .
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	    --inline-suppr -D_GNU_SOURCE -I . $(MODULES:%=%.c)
	shellcheck $(SCRIPTS)

format:
	clang-format -i $(SOURCES)

install: ssechat
	install -D -m 755 ssechat $(DESTDIR)$(PREFIX)/bin/ssechat

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/ssechat

clean:
	rm -rf build ssechat

help:
	@echo 'make            builds ./ssechat, one static binary'
	@echo 'make run        builds and starts it: http://127.0.0.1:8080'
	@echo 'make test       everything; installs what the tests need'
	@echo 'make check      the tests on the plain build  (TESTS=test/www.bats: only those)'
	@echo 'make check-debug  the tests on the build with sanitizers'
	@echo 'make debug      that build: build/debug/ssechat'
	@echo 'make fuzz       libFuzzer on the parsers, FUZZ_SECONDS=60 each'
	@echo 'make torture    kills the server 500 times while people publish and read'
	@echo 'make bench      measures, beside the floor and what else there is; RESULTS.md'
	@echo 'make bench-hub  a million cursors without sockets; make bench-journal: the disk'
	@echo 'make lint       compilers and checkers; make format: clang-format'
	@echo 'make install    to PREFIX=/usr/local; make uninstall'
	@echo 'make clean      removes what was built'

.PHONY: all debug units debug-units run test check check-debug fuzz torture bench bench-hub \
        bench-journal lint format install uninstall clean help
.SECONDARY:

-include $(wildcard build/*.d build/*/*.d build/debug/*.d build/debug/*/*.d)
