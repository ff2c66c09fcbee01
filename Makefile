# vipcast.  `make demo` and `make test` do all the set-up that they need, as root on Debian 12.
PYTHON  := /usr/bin/python3
VENV    := .venv
BIN     := $(VENV)/bin
DESTDIR :=
PREFIX  := /usr
LIBDIR  := $(PREFIX)/lib/vipcast
UNITDIR := $(PREFIX)/lib/systemd/system
SHARE   := $(PREFIX)/share
# (zsh looks for those of packages elsewhere)
ZSH     := $(SHARE)/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
# the date on the manual pages, and of every file in the package: that of the newest change
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

RELEASED := CHANGELOG.md LICENSE Makefile README.md agents daemon datapath debian docs pyproject.toml requirements systemd

BPF     := datapath/bpf/slots.bpf.o

.PHONY: deb lint-deb test-deb test-docker test-systemd test-guide demo test test-one bench bench-moves bench-datapath bench-leases bench-addresses lint fmt lock sim fuzz fuzz-scheduler golden scale evidence soak lab-shell lab-down install uninstall clean setup root bpf bpf-if-possible compiled

setup: $(VENV)/.ready bpf-if-possible

# The environment lives in this tree; two makes at once wait for each other.
$(VENV)/.ready: pyproject.toml requirements/dev.txt
	@tests/lab/provision.sh demo
	@echo "Preparing $(VENV)"
	@mkdir -p $(VENV) && exec 9>$(VENV)/.lock && flock 9 && \
	 { test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV); } && \
	 $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt && \
	 $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . && \
	 touch $@

# A laboratory starts some ten programs, and nobody there may write byte code: a third of a start is compiling.
compiled:
	@$(BIN)/python -m compileall -q -j 0 daemon datapath agents tests

bpf: $(BPF) ## the program of the bpf engine; needs clang and libbpf-dev here, nothing on the hosts

# One whole object or none, also for two makes at once.
$(BPF): datapath/bpf/slots.bpf.c
	clang -O2 -g -Wall -Wextra -Werror -target bpf -mcpu=v3 -ffile-prefix-map=$(CURDIR)=. \
	    -I/usr/include/$$(uname -m)-linux-gnu -c $< -o $@.$$$$ && mv $@.$$$$ $@ || { rm -f $@.$$$$; exit 1; }

# Without clang there is no object, and `auto` takes another engine.
bpf-if-possible:
	@if command -v clang >/dev/null && test -e /usr/include/bpf/bpf_helpers.h; then \
	    $(MAKE) --no-print-directory --silent bpf; fi

root:
	@test "$$(id -u)" = 0 || { echo "Network namespaces need root: sudo make $(MAKECMDGOALS)" >&2; exit 1; }

demo: root setup ## the nine steps on four lab hosts; KEEP=1 leaves them up
	@tests/lab/provision.sh demo
	@$(MAKE) --no-print-directory compiled
	@$(BIN)/python -m tests.lab.demo $(if $(filter-out 0,$(KEEP)),--keep)

# Two workers: a test with a laboratory waits more than it computes, and laboratories do not know of each other.
test: root setup ## everything that .ci/run checks
	@tests/lab/provision.sh test
	@$(MAKE) --no-print-directory bpf lint compiled
	@# three workers on any machine: laboratories wait for timers more than they compute
	$(BIN)/pytest -n 3 --dist loadgroup --durations 25

test-one: root setup ## the tests whose name or file has T in it
	@tests/lab/provision.sh test
	@$(MAKE) --no-print-directory bpf
	$(BIN)/pytest -k "$(T)"

bench: root setup ## measurements, as ratios; RUNS=10
	@tests/lab/provision.sh bench
	@$(BIN)/python -m bench --runs $(or $(RUNS),10) $(BENCH)

bench-moves: ## 1,000 moves of each engine under 20,000 SYN/s (raw: 2,000), idle and busy; RUNS=100
	@$(MAKE) --no-print-directory bench BENCH=moves RUNS=$(or $(RUNS),100)

bench-datapath: root setup ## docs/performance/datapath.md and its plots; some five minutes; RUNS=10
	@tests/lab/provision.sh bench
	@$(MAKE) --no-print-directory bpf
	@$(BIN)/python -m bench.datapath --runs $(or $(RUNS),10)

bench-addresses: root setup bpf ## how long hundreds of addresses hold the daemon's loop; a minute; COUNTS="100 400"
	@$(BIN)/python -m bench.addresses $(COUNTS)

bench-leases: root setup ## what is accepted after a lease: docs/performance/leases.md; some six minutes; TRIALS=100
	@$(MAKE) --no-print-directory bpf
	@$(BIN)/python -m bench.leases --trials $(or $(TRIALS),100)

sim: setup ## the deterministic simulation, on all cores: SEEDS=10000 SEED_BASE=0
	@$(BIN)/python -m tests.simulation.campaign --seeds $(or $(SEEDS),500) --base $(or $(SEED_BASE),0)

golden: setup ## write the golden traces of the simulation anew
	@$(BIN)/python -m tests.simulation.goldens

scale: setup ## what 3 to 128 nodes cost: docs/performance/scale.md and its plot
	@$(BIN)/python -m tests.simulation.scale

soak: root setup ## real daemons of all engines under random faults for MINUTES=10, from SEED=0 on
	@tests/lab/provision.sh test
	@$(MAKE) --no-print-directory bpf
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) --seed $(or $(SEED),0)

evidence: setup ## which omission of a rule is found by what: docs/promises-evidence.md
	@$(BIN)/python -m tests.simulation.evidence

fuzz: setup ## bad datagrams at the seal and the decoder: COUNT=1000000 SEED=0
	@$(BIN)/python -m tests.fuzz --count $(or $(COUNT),1000000) --seed $(or $(SEED),0)

fuzz-scheduler: setup ## random clusters beside Pacemaker's crm_simulate: COUNT=1000 SEED=0 MINUTES=0 KEEP=folder; NEIGHBOURS=1: changed cases of the suite
	@$(BIN)/python -m tests.scheduler_suite.fuzz --count $(or $(COUNT),1000) --seed $(or $(SEED),0) \
	    --minutes $(or $(MINUTES),0) $(if $(KEEP),--keep $(KEEP)) $(if $(NEIGHBOURS),--neighbours)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/lab bench
	$(BIN)/lint-imports

lock: ## pin the dependencies of pyproject.toml anew, with hashes
	$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet --disable-pip-version-check uv
	build/lock/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	    --python $(PYTHON) --all-extras pyproject.toml -o requirements/dev.txt
	build/lock/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	    --python $(PYTHON) pyproject.toml -o requirements/runtime.txt

fmt: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lab-shell: root setup ## a shell in a lab host: HOST=a1
	@tests/lab/provision.sh demo
	@$(BIN)/python -m tests.lab.shell $(or $(HOST),a1)

lab-down: root setup ## end the laboratories that KEEP=1 left
	@$(BIN)/python -m tests.lab.down

# pip's own records name the folder of this build, and what is installed here pip will never look after.
install: bpf-if-possible ## under DESTDIR, with PREFIX=/usr: programs, agents and systemd units; nothing is started
	install -d $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(UNITDIR)
	build=$$(mktemp -d) && trap 'rm -rf $$build' EXIT && $(PYTHON) -m venv $$build && \
	 $$build/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-compile \
	    --upgrade --target $(DESTDIR)$(LIBDIR) -r requirements/runtime.txt
	rm -f $(foreach list,RECORD REQUESTED INSTALLER,$(DESTDIR)$(LIBDIR)/*.dist-info/$(list))
	rm -rf $(DESTDIR)$(LIBDIR)/bin $(foreach part,daemon datapath agents,$(DESTDIR)$(LIBDIR)/$(part))
	cp -r daemon datapath agents $(DESTDIR)$(LIBDIR)/
	find $(DESTDIR)$(LIBDIR) -name __pycache__ -prune -exec rm -rf {} +
	install -d $(DESTDIR)$(LIBDIR)/vipcast.dist-info
	printf 'Metadata-Version: 2.1\nName: vipcast\nVersion: $(VERSION)\n' >$(DESTDIR)$(LIBDIR)/vipcast.dist-info/METADATA
	$(call launcher,daemon.cli.main,$(PREFIX)/bin/vipcast)
	$(call launcher,daemon.main,$(PREFIX)/sbin/vipcastd)
	$(call launcher,agents.runner,$(PREFIX)/sbin/vipcast-runner)
	install -m 644 systemd/*.service systemd/*.target $(DESTDIR)$(UNITDIR)/
	sed -i -E 's|^(Exec[A-Za-z]+=)/usr/(s?bin/vipcast)|\1$(PREFIX)/\2|' $(DESTDIR)$(UNITDIR)/vipcast*.service
	install -d $(DESTDIR)/etc/vipcast
	install -D -m 644 systemd/vipcast.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/vipcast.conf
	install -D -m 644 systemd/vipcast.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/vipcast.conf
	install -D -m 644 systemd/vipcast.preset $(DESTDIR)$(PREFIX)/lib/systemd/system-preset/90-vipcast.preset
	cd $(DESTDIR)$(LIBDIR) && $(PYTHON) -BsE -c 'import sys; sys.path.insert(0, "."); \
	    from daemon.manpages import main; sys.exit(main())' "$$OLDPWD/build/man" "$$(date -u -d @$(SOURCE_DATE_EPOCH) +%F)"
	install -d $(DESTDIR)$(SHARE)/man/man5 $(DESTDIR)$(SHARE)/man/man8
	install -m 644 build/man/*.5 $(DESTDIR)$(SHARE)/man/man5/
	install -m 644 build/man/*.8 $(DESTDIR)$(SHARE)/man/man8/
	install -D -m 644 daemon/cli/completion/vipcast.bash $(DESTDIR)$(SHARE)/bash-completion/completions/vipcast
	install -D -m 644 daemon/cli/completion/_vipcast $(DESTDIR)$(ZSH)/_vipcast
	install -D -m 644 daemon/cli/completion/vipcast.fish $(DESTDIR)$(SHARE)/fish/vendor_completions.d/vipcast.fish

uninstall: ## what `make install` with the same DESTDIR and PREFIX has put there; settings, key and memory stay
	rm -rf $(DESTDIR)$(LIBDIR)
	cd $(DESTDIR)$(PREFIX) && rm -f bin/vipcast sbin/vipcastd sbin/vipcast-runner lib/sysusers.d/vipcast.conf \
	    lib/tmpfiles.d/vipcast.conf lib/systemd/system-preset/90-vipcast.preset
	rm -f $(foreach unit,$(wildcard systemd/*.service systemd/*.target),$(DESTDIR)$(UNITDIR)/$(notdir $(unit)))
	rm -f $(DESTDIR)$(ZSH)/_vipcast
	cd $(DESTDIR)$(SHARE) && rm -f man/man5/vipcast*.5 man/man8/vipcast*.8 \
	    bash-completion/completions/vipcast fish/vendor_completions.d/vipcast.fish

# Of a copy of what a release has, so that neither its folder nor what lies about there gets into the package.
deb: ## dist/vipcast_*.deb for Debian 12; the same commit gives the same bytes
	@tests/lab/provision.sh deb
	rm -rf build/deb && mkdir -p build/deb/vipcast dist
	tar -c --exclude=__pycache__ --exclude='*.o' $(RELEASED) | tar -x -C build/deb/vipcast
	cd build/deb/vipcast && dpkg-buildpackage --build=binary --no-sign --jobs=auto
	cp build/deb/vipcast_*.deb dist/

lint-deb: deb ## what Debian's own checker says of the package
	lintian --fail-on error,warning --tag-display-limit 0 build/deb/vipcast_*.changes

test-deb: root setup ## the package: built twice, judged by lintian, installed on a clean Debian and taken away again
	@tests/lab/provision.sh deb
	$(BIN)/pytest -m package -p no:cacheprovider tests/package

test-docker: root setup ## the real dockerd beside us, and a container behind the shared address
	@tests/lab/provision.sh test
	@tests/lab/provision.sh docker
	@$(MAKE) --no-print-directory bpf
	$(BIN)/pytest -m docker -p no:cacheprovider tests/netns/test_field_docker.py

test-systemd: root setup ## hosts that systemd runs: stops, restarts, reboots, a hung core, under traffic
	@tests/lab/provision.sh test
	@$(MAKE) --no-print-directory bpf
	$(BIN)/pytest -m "systemd or not systemd" -p no:cacheprovider tests/systemd

test-guide: root setup ## every command of README and guide, typed on hosts that systemd runs
	@tests/lab/provision.sh test
	@$(MAKE) --no-print-directory bpf
	$(BIN)/pytest -m guide -p no:cacheprovider tests/guide

# The programs find their libraries in a directory of their own, never on a shared Python path.
define launcher
	printf '%s\n' '#!/usr/bin/python3 -sE' 'import sys' 'sys.path.insert(0, "$(LIBDIR)")' \
	    'from $(1) import main' 'sys.exit(main())' >$(DESTDIR)$(2)
	chmod 755 $(DESTDIR)$(2)
endef

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f $(BPF)
	find . -name __pycache__ -prune -exec rm -rf {} +
