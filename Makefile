# SPDX-License-Identifier: Apache-2.0

# `make help` lists the targets. Everything is built and run on the machine itself; what
# a target needs from Debian's packages it installs itself when run as root (test/deps.sh).

PREFIX ?= /usr/local
DESTDIR ?=
BINDIR = $(PREFIX)/bin
UNITDIR = $(PREFIX)/lib/systemd/system
COMPLETIONS = $(PREFIX)/share
# Where sdcontainer@.service and the command look for configurations, whatever the prefix.
CONFIGDIR = /etc/sdcontainer

GO ?= go
GOARCH := $(shell $(GO) env GOARCH 2>/dev/null)
GOFLAGS_BUILD = -trimpath -ldflags='-s -w'
export CGO_ENABLED = 0

COMMAND = bin/sdcontainer
HELPER = nsexec/bin/nsexec-$(GOARCH)
STAGE = bin/stage
VM ?= 13
TIERS ?= pure,bus,root,systemd,vm12,vm13
SDVM = bin/sdvm

.DEFAULT_GOAL := all

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

all: bin/sdcontainer ## the interpreter and the command, in bin/

# sudo and others have a PATH of their own; what is wrong with a go command that is there, it says itself.
go-command:
	@[ -n '$(GOARCH)' ] || $(GO) env GOARCH || { echo "no go command that works, which PATH may lack: make GO=/usr/local/go/bin/go"; exit 1; }

$(HELPER): $(wildcard nsexec/*.c nsexec/*.h) nsexec/Makefile | go-command
	@mkdir -p nsexec/bin
	$(MAKE) --no-print-directory -C nsexec
	@test -e $@ || { echo "no compiler for the interpreter of $(GOARCH): install gcc-aarch64-linux-gnu or gcc-x86-64-linux-gnu"; exit 1; }

# The go command knows best what changed.
bin/sdcontainer: $(HELPER) FORCE
	$(GO) build $(GOFLAGS_BUILD) -o $@ ./cmd/sdcontainer

$(SDVM): FORCE
	@$(GO) build -o $@ ./test/vm/sdvm

install: $(COMMAND) ## install below $(DESTDIR)$(PREFIX), and $(DESTDIR)/etc/sdcontainer
	install -Dm755 $(COMMAND) '$(DESTDIR)$(BINDIR)/sdcontainer'
	for unit in packaging/systemd/*; do \
		sed 's,@bindir@,$(BINDIR),g' "$$unit" | install -Dm644 /dev/stdin '$(DESTDIR)$(UNITDIR)'/"$${unit##*/}" || exit; done
	install -dm755 '$(DESTDIR)$(CONFIGDIR)'
	install -Dm644 packaging/tmpfiles.d/sdcontainer.conf '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/sdcontainer.conf'
	install -Dm644 -t '$(DESTDIR)$(PREFIX)/share/sdcontainer/schema' configs/schema/*.json
	$(COMMAND) completion bash | install -Dm644 /dev/stdin '$(DESTDIR)$(COMPLETIONS)/bash-completion/completions/sdcontainer'
	$(COMMAND) completion zsh | install -Dm644 /dev/stdin '$(DESTDIR)$(COMPLETIONS)/zsh/site-functions/_sdcontainer'
	$(COMMAND) completion fish | install -Dm644 /dev/stdin '$(DESTDIR)$(COMPLETIONS)/fish/vendor_completions.d/sdcontainer.fish'
	for page in $(wildcard docs/man/*); do \
		install -Dm644 "$$page" '$(DESTDIR)$(PREFIX)/share/man/man'"$${page##*.}/$${page##*/}" || exit; done

# What install would write, so that no list of it is needed: the names alone, for which nothing has to be built.
uninstall: ## remove what install wrote; /etc/sdcontainer and the containers stay
	@rm -rf bin/uninstall
	@$(MAKE) --no-print-directory --silent install DESTDIR=bin/uninstall COMMAND=/bin/true
	find bin/uninstall -type f -printf '$(DESTDIR)/%P\0' | xargs -0 rm -f
	rm -rf '$(DESTDIR)$(PREFIX)/share/sdcontainer' bin/uninstall

stage: bin/sdcontainer
	@rm -rf $(STAGE)
	@$(MAKE) --no-print-directory --silent install DESTDIR=$(STAGE) PREFIX=/usr

check: check-format check-vet check-c check-static check-shell check-arm64 check-generated check-fuzz ## every static check, and a short run of each fuzz target of Go

check-format:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt -w is needed on:"; echo "$$out"; exit 1; }

check-vet: $(HELPER)
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -count=1 -run 'TestImportRule' .

# Both architectures everywhere: the sources are the same, the compilers and their defaults are not.
CROSS_amd64 = gcc-aarch64-linux-gnu libc6-dev-arm64-cross
CROSS_arm64 = gcc-x86-64-linux-gnu libc6-dev-amd64-cross

cross:
	@test/deps.sh $(CROSS_$(GOARCH))

check-c: $(HELPER) cross
	@$(MAKE) --no-print-directory -C nsexec check analyze ARCHES='amd64 arm64'

# As check-c for the interpreter: whoever has no dynamic loader gets nothing loaded that lies in a container.
check-static: bin/sdcontainer
	@headers=$$(readelf -ldW $<) || exit; \
		case $$headers in *INTERP* | *NEEDED*) echo "$<: has a dynamic loader, or needs a library"; exit 1 ;; esac

check-shell:
	@test/deps.sh shellcheck
	shellcheck -e SC2016 $$(git ls-files -co --exclude-standard '*.sh' .ci/run)

check-arm64: cross
	@$(MAKE) --no-print-directory nsexec/bin/nsexec-arm64 GOARCH=arm64
	@GOARCH=arm64 $(GO) list -f '{{.EmbedFiles}}' ./nsexec | grep -q nsexec-arm64 || { echo "no interpreter in the command for arm64"; exit 1; }
	GOARCH=arm64 $(GO) build -o /dev/null ./cmd/sdcontainer
	GOARCH=arm64 $(GO) vet ./...

# Only what generators write is compared, so that work in progress elsewhere is no complaint.
check-generated: docs
	@git diff --exit-code -- $(GENERATED) || { echo "run make docs and commit the result"; exit 1; }

# Counted, since on a busy machine a short time may be none.
check-fuzz: $(HELPER)
	$(GO) run ./test/fuzz -time 700x -run '\.Fuzz'

GENERATED = docs/ordering.md docs/security-tests.md docs/inside.md docs/figures.md docs/figures.svg docs/reference docs/man configs/schema internal/seccomp

docs: bin/sdcontainer ## regenerate the generated pages
	$(GO) generate ./...
	$(GO) run ./test/security . docs/security-tests.md
	$(GO) run ./test/inside test/vm/guest/testdata docs/inside.md
	$(GO) run ./test/figures
	$(GO) test -count=1 -run '^TestOrderingPage$$' . -update
	$(GO) test -count=1 -run '^TestReference$$' ./scope -update

test: bin/sdcontainer stage $(SDVM) ## every tier; TIERS=pure,root RUN=TestX to choose; SHARE=all for every test in both guests
	@test/deps.sh qemu-system-x86 mmdebstrap e2fsprogs xz-utils busybox-static dbus systemd debian-archive-keyring iproute2
	@case '$(TIERS)' in *vm*) $(SDVM) build $(patsubst vm%,%,$(filter vm%,$(subst $(comma), ,$(TIERS)))) ;; esac
	@$(GO) run ./test/tiers -tiers '$(TIERS)' -run '$(RUN)' -share '$(SHARE)' -stage $(STAGE) $(PKG)

comma := ,

vmtest: ## tests of one guest: make vmtest RUN=TestOOM VM=13
	@$(MAKE) --no-print-directory test TIERS=vm$(VM) RUN='$(RUN)'

vm-deps:
	@test/deps.sh qemu-system-x86 mmdebstrap e2fsprogs xz-utils debian-archive-keyring

vm: stage $(SDVM) vm-deps ## a shell in a guest with the current build; VM=12 or 13
	@$(SDVM) shell $(VM) -push $(STAGE)=/ -push configs/examples=/root/examples

demo: stage $(SDVM) ## two workloads shown and verified in a guest; HOST=1 to use this machine, ROOTS=DIR its busybox and debian roots
	@test/demo/run.sh $(SDVM) $(STAGE)

# One run for each call, and 10000 attempts at each race: an hour and forty minutes on two processors.
soak: stage $(SDVM) vm-deps ## the command interrupted at every system call, a crowd, a storm, races; RUN=TestKill/stop to choose, without the races
	@test/deps.sh busybox-static dbus systemd iproute2
	@$(SDVM) build 13
	@$(GO) run ./test/soak -run '$(RUN)'

# Not a test: a guest with docker in it, and minutes under emulation.
inside: $(SDVM) vm-deps ## what a payload sees under podman, docker and nspawn, for docs/inside.md
	@$(GO) test -c -o bin/inside.test ./test/vm/guest
	@test/inside/measure.sh $(SDVM) bin/inside.test test/vm/guest/testdata
	@$(GO) run ./test/inside test/vm/guest/testdata docs/inside.md

bench: stage $(SDVM) vm-deps ## starts, exec, ps and services against crun, runc, systemd-nspawn, podman and others; BENCH="-only exec" for one
	@$(SDVM) build 13
	@$(GO) run ./test/bench $(BENCH)

FUZZTIME ?= 30s
FUZZ ?= -runs 100000000
fuzz: $(HELPER) ## every fuzz target, FUZZTIME=30s or 1000x each, the parser in C 10^8 times; RUN=FuzzX to choose, FUZZ="-runs N -keep"
	@test/deps.sh clang libclang-rt-dev
	@mkdir -p bin
	@$(GO) run ./test/fuzz -time '$(FUZZTIME)' -run '$(RUN)' $(FUZZ) $(PKG)

coverage: $(HELPER) ## lines and branches of C that the tests reach; needs root
	@test/deps.sh clang libclang-rt-dev llvm
	@mkdir -p bin
	@nsexec/cover.sh bin ./nsexec ./rootfs ./caps .

figures: ## docs/figures.md from what test, bench, soak, fuzz and coverage left in bin/
	$(GO) run ./test/figures -take bin
	$(GO) run ./test/security . docs/security-tests.md

release-check: SHARE = all
release-check: check test ## what a release needs on top of check and test
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

clean: ## remove what was built; the guests stay in the cache
	rm -rf bin nsexec/bin/nsexec-*

FORCE:
.PHONY: go-command help all install uninstall stage check check-format check-vet check-c check-static check-shell check-arm64 check-generated check-fuzz docs test vmtest vm-deps vm demo inside bench soak fuzz coverage figures release-check clean cross FORCE
