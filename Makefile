# The front door. Meson does the building; `make help` lists what there is.

BUILD := build
ASAN := build-asan
FUZZ := build-fuzz
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
SEED ?= 1
EPISODES ?= 2000

.PHONY: all demo run test unit system check asan fuzz bench soak fleet install deb pictures crashpoints powerloss world clean help ready

all: $(BUILD)/build.ninja  ## the stripped static binary build/task-executor, and the client build/taskctl
	@ninja -C $(BUILD) -j $(JOBS) --quiet

ready:
	@tools/setup build
	@third_party/fetch

$(BUILD)/build.ninja: | ready
	@meson setup $(BUILD) --prefix $(PREFIX) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

demo: all  ## one task from curl to its end, with all states and its output
	@tools/setup demo
	@tools/demo $(BUILD)/task-executor

run: all  ## an agent on port 5758 of this machine, with its data in ./build/tasks
	$(BUILD)/task-executor --data-dir=$(BUILD)/tasks --listen-addr=127.0.0.1:5758

test: all  ## unit and system tests
	@tools/setup test
	@ninja -C $(BUILD) -j $(JOBS) --quiet tests/unit/unit_tests probes worlds tools/crashpoints/crashpoint_tracer
	@tools/run_tests $(BUILD) --crash-points 300

crashpoints: all  ## kill at every system call of agent and supervisor, and an error from each that can fail (an hour)
	@tools/setup test
	@ninja -C $(BUILD) -j $(JOBS) --quiet tools/crashpoints/crashpoint_tracer
	@tools/crashpoints/run
	@tools/crashpoints/run --errno

check: $(BUILD)/build.ninja  ## format, arrows between rooms, tidy, scripts and man pages
	@tools/setup check
	@tools/check $(BUILD)

asan: | ready  ## unit and system tests and a little of the fuzzers and the simulated world, under ASan and UBSan
	@tools/setup test fuzz
	@tools/sanitized_build $(ASAN)
	@ninja -C $(ASAN) -j $(JOBS) --quiet
	@ninja -C $(ASAN) -j $(JOBS) --quiet tests/unit/unit_tests fuzzers probes tests/world/world
	@TASK_EXECUTOR_SLOW=1 tools/run_tests $(ASAN) --fuzz-runs 20000

fuzz: | ready  ## each fuzzer for FUZZ_SECONDS (60) on its corpus
	@tools/setup fuzz
	@tools/sanitized_build $(FUZZ)
	@ninja -C $(FUZZ) -j $(JOBS) --quiet fuzzers
	@tools/fuzz $(FUZZ) -max_total_time=$(FUZZ_SECONDS)

powerloss: $(BUILD)/build.ninja  ## recovery from every disk that a power loss may leave, in lives of tasks
	@ninja -C $(BUILD) -j $(JOBS) --quiet worlds
	@$(BUILD)/tests/world/powerloss --seed $(SEED)

world: $(BUILD)/build.ninja  ## EPISODES (2000) of a simulated world with faults, from SEED (1) on
	@ninja -C $(BUILD) -j $(JOBS) --quiet worlds
	@$(BUILD)/tests/world/world --seed $(SEED) --episodes $(EPISODES) --jobs $(JOBS)

bench: all  ## the table of figures, each beside a reference of the same run
	@tools/setup bench
	@tools/bench/run $(BUILD)/task-executor

soak: all  ## a million tasks through one agent, which must not grow; a crowd; a slow disk (an hour)
	@tools/setup soak
	@tools/bench/soak $(BUILD)/task-executor

fleet: all  ## 500 agents under one controller, by poll and by watch
	@tools/setup soak
	@tools/fleet/run $(BUILD)/task-executor

install: all  ## to DESTDIR and PREFIX (/usr/local)
	install -D -m 0755 $(BUILD)/task-executor $(DESTDIR)$(PREFIX)/sbin/task-executor
	install -d $(DESTDIR)$(PREFIX)/bin
	ln -sf ../sbin/task-executor $(DESTDIR)$(PREFIX)/bin/taskctl
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(BUILD)/taskctl completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/taskctl
	install -D -m 0644 tools/systemd/task-executor.service $(DESTDIR)$(PREFIX)/lib/systemd/system/task-executor.service
	sed -i 's|/usr/sbin/|$(PREFIX)/sbin/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/task-executor.service
	install -D -m 0644 tools/systemd/task-executor.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/task-executor.socket
	install -D -m 0644 man/taskctl.1 $(DESTDIR)$(PREFIX)/share/man/man1/taskctl.1
	install -D -m 0644 man/task-executor-api.7 $(DESTDIR)$(PREFIX)/share/man/man7/task-executor-api.7
	install -D -m 0644 man/task-executor-security.7 $(DESTDIR)$(PREFIX)/share/man/man7/task-executor-security.7
	install -D -m 0644 man/task-executor.8 $(DESTDIR)$(PREFIX)/share/man/man8/task-executor.8

deb: all  ## a Debian package: build/task-executor_VERSION_ARCH.deb
	@tools/deb $(BUILD)

pictures:  ## the pictures of the README, from their text
	@tools/setup pictures
	@tools/pictures/draw

clean:
	rm -rf $(BUILD) $(ASAN) $(FUZZ)

help:
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14
