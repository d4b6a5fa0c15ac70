# ssechat: `make` builds ./ssechat, `make run` starts it, `make test` is everything that CI runs.
# `make help` lists the rest.

PREFIX  ?= /usr/local
CFLAGS  ?= -O2
FUZZ_SECONDS ?= 60

# The user's CFLAGS stay the user's; these are ours.
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Wcast-qual -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings
OURS     := -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -fno-strict-aliasing -ffunction-sections \
            -fdata-sections -MMD -MP
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# musl makes the smaller static binary; where it is not installed, the system's libc does.
ifeq ($(origin CC),default)
CC := $(if $(shell command -v musl-gcc),musl-gcc,$(if $(shell command -v gcc),gcc,cc))
endif
DEBUG_CC ?= $(if $(filter musl-gcc,$(CC)),gcc,$(CC))
FUZZ_CC  ?= clang

MODULES := bytes client files frame http hub json listen log options presence ring routes rules sse \
           stream table text
PAGE    := index.html style.css chat.js icon.svg
UNITS   := http json text

OBJECTS := $(MODULES:%=build/%.o) build/www.o
DEBUG   := $(MODULES:%=build/debug/%.o) build/www.o
GZIPPED := $(PAGE:%=build/www/%.gz)

all: ssechat

ssechat: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -static -Wl,--gc-sections -o $@ $(OBJECTS)

build/%.o: %.c | build
	$(CC) $(CPPFLAGS) $(CFLAGS) $(OURS) -c -o $@ $<

build/www.o: www.S $(PAGE:%=www/%) $(GZIPPED) | build
	$(CC) -c -o $@ www.S

# -n: no name and no time in it, so that the same page makes the same binary.
build/www/%.gz: www/% | build
	gzip -9nc $< > $@

build:
	mkdir -p build/www build/unit build/debug/unit build/fuzz

# The debug build: address and undefined-behaviour sanitizers, and buffers of a few bytes, so that
# growth and wrap run all the time.
debug: build/debug/ssechat

build/debug/ssechat: $(DEBUG)
	$(DEBUG_CC) -g $(SANITIZE) -o $@ $(DEBUG)

build/debug/%.o: %.c | build
	$(DEBUG_CC) $(CPPFLAGS) -O1 -g -DDEBUG $(OURS) $(SANITIZE) -c -o $@ $<

# Drivers for the pure modules; each is also a fuzz target.
UNIT_http := http.c bytes.c
UNIT_json := json.c bytes.c
UNIT_text := text.c bytes.c

units: $(UNITS:%=build/unit/%)
debug-units: $(UNITS:%=build/debug/unit/%)

.SECONDEXPANSION:
build/unit/%: test/unit/%.c $$(UNIT_%) $(wildcard *.h) | build
	$(DEBUG_CC) $(CPPFLAGS) -O2 -g $(filter-out -MMD -MP,$(OURS)) -o $@ $< $(UNIT_$*)

build/debug/unit/%: test/unit/%.c $$(UNIT_%) $(wildcard *.h) | build
	$(DEBUG_CC) $(CPPFLAGS) -O1 -g -DDEBUG $(filter-out -MMD -MP,$(OURS)) $(SANITIZE) -o $@ $< $(UNIT_$*)

build/fuzz/%: test/unit/%.c $$(UNIT_%) $(wildcard *.h) | build
	$(FUZZ_CC) $(CPPFLAGS) -O1 -g -DDEBUG -DFUZZ $(filter-out -MMD -MP,$(OURS)) \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(UNIT_$*)

run: ssechat
	./ssechat

clean:
	rm -rf build ssechat

.PHONY: all debug units debug-units run clean
.SECONDARY:

-include $(wildcard build/*.d build/debug/*.d)
