# vipcast.  `make demo` and `make test` do all the set-up that they need, as root on Debian 12.
PYTHON  := /usr/bin/python3
VENV    := .venv
BIN     := $(VENV)/bin
DESTDIR :=
LIBDIR  := /usr/lib/vipcast
UNITDIR := /usr/lib/systemd/system
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

BPF     := datapath/bpf/slots.bpf.o

.PHONY: demo test test-one bench lint fmt lock sim fuzz golden scale evidence lab-shell lab-down install clean setup root bpf bpf-if-possible

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
	@$(BIN)/python -m tests.lab.demo $(if $(filter-out 0,$(KEEP)),--keep)

# Two workers: a test with a laboratory waits more than it computes, and laboratories do not know of each other.
test: root setup ## everything that .ci/run checks
	@tests/lab/provision.sh test
	@$(MAKE) --no-print-directory bpf lint
	$(BIN)/pytest -n 2 --dist loadgroup --durations 25

test-one: root setup ## the tests whose name or file has T in it
	@tests/lab/provision.sh test
	@$(MAKE) --no-print-directory bpf
	$(BIN)/pytest -k "$(T)"

bench: root setup ## measurements, as ratios; RUNS=10
	@tests/lab/provision.sh bench
	@$(BIN)/python -m bench --runs $(or $(RUNS),10) $(BENCH)

sim: setup ## the deterministic simulation, on all cores: SEEDS=10000 SEED_BASE=0
	@$(BIN)/python -m tests.simulation.campaign --seeds $(or $(SEEDS),500) --base $(or $(SEED_BASE),0)

golden: setup ## write the golden traces of the simulation anew
	@$(BIN)/python -m tests.simulation.goldens

scale: setup ## what 3 to 128 nodes cost: docs/performance/scale.md and its plot
	@$(BIN)/python -m tests.simulation.scale

evidence: setup ## which omission of a rule is found by what: docs/promises-evidence.md
	@$(BIN)/python -m tests.simulation.evidence

fuzz: setup ## bad datagrams at the seal and the decoder: COUNT=1000000 SEED=0
	@$(BIN)/python -m tests.fuzz --count $(or $(COUNT),1000000) --seed $(or $(SEED),0)

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

install: bpf-if-possible ## under DESTDIR: programs, agents and systemd units; nothing is started
	install -d $(DESTDIR)$(LIBDIR) $(DESTDIR)/usr/bin $(DESTDIR)/usr/sbin $(DESTDIR)$(UNITDIR)
	build=$$(mktemp -d) && trap 'rm -rf $$build' EXIT && $(PYTHON) -m venv $$build && \
	 $$build/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-compile \
	    --upgrade --target $(DESTDIR)$(LIBDIR) -r requirements/runtime.txt
	rm -rf $(DESTDIR)$(LIBDIR)/bin $(foreach part,daemon datapath agents,$(DESTDIR)$(LIBDIR)/$(part))
	cp -r daemon datapath agents $(DESTDIR)$(LIBDIR)/
	find $(DESTDIR)$(LIBDIR) -name __pycache__ -prune -exec rm -rf {} +
	install -d $(DESTDIR)$(LIBDIR)/vipcast.dist-info
	printf 'Metadata-Version: 2.1\nName: vipcast\nVersion: $(VERSION)\n' >$(DESTDIR)$(LIBDIR)/vipcast.dist-info/METADATA
	$(call launcher,daemon.cli.main,/usr/bin/vipcast)
	$(call launcher,daemon.main,/usr/sbin/vipcastd)
	$(call launcher,agents.runner,/usr/sbin/vipcast-runner)
	install -m 644 systemd/*.service $(DESTDIR)$(UNITDIR)/

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
