# What one can do here. `make run` and `make test` install what is missing first.
# One static program: it needs no library of the machine it runs on. Functions of the same code are kept once (--icf), and tables that
# nothing reads are left out.
RELEASE = swift build -c release -Xswiftc -static-executable -Xswiftc -use-ld=lld -Xlinker --icf=safe -Xlinker -T$(CURDIR)/scripts/release.ld

CAPTURES = ../shared/captures

.PHONY: run test test-quick attack build tools demo coverage neighbours score curve trials screenshots sanitize fuzz lint format install uninstall deb tarball image package-test clean
.PHONY: fleet-demo fleet-test fleet-simulation bench bench-replay bench-journal bench-innocents bench-learned bench-after-ban bench-legitimate bench-kills bench-syn-flood bench-path bench-day

run: build ## watch this host now, log only
	@sh scripts/run.sh

test: dependencies-test tools ## every test: units, namespaces with real scanners, fuzzing
	@sh scripts/test.sh

test-quick: dependencies-build ## formatting, and the tests that need no root: under three minutes once it is built
	@sh scripts/test.sh quick

build: dependencies-build ## the release binary: .build/release/portsentry
	$(RELEASE) --product portsentry

# At once with the release: one build goes on where another would wait for a single module.
tools: dependencies-build ## the release binary, and what measures: traces, trials, a simulated month
	$(RELEASE)

demo: dependencies-test build ## two namespaces, a real nmap, an alert, a block and its release
	@python3 Tests/System/demo.py --binary .build/release/portsentry

coverage: dependencies-test build ## measure docs/coverage.md anew
	python3 Tests/System/coverage.py --binary .build/release/portsentry

bench: dependencies-test build ## the figures of docs/figures.md, held to their limits; wants a quiet machine
	PORTSENTRY_BENCH=1 python3 Tests/System/run.py --binary .build/release/portsentry footprint latency full_scan

# What deception and proof promise, one command each, at full size, beside PortSentry 1.2 where that can do it. `make test` runs them small.
BENCH = PORTSENTRY_BENCH=1 python3 Tests/System/run.py --binary .build/release/portsentry

bench-innocents: dependencies-test build ## nobody is blocked who did not scan: 100,000 forged SYNs, live decoys, framed gateways
	$(BENCH) innocents.

bench-learned: dependencies-test build ## what nmap and masscan can tell of twelve services among decoys, in bits
	$(BENCH) learned.

bench-after-ban: dependencies-test build ## what a source still reaches after the packet that proved it
	$(BENCH) after_ban.

bench-legitimate: dependencies-test build ## what honest traffic pays: failures and latency, with and without a sentry
	$(BENCH) legitimate.

bench-kills: dependencies-test build ## kill -9 fifty times in the midst of attacks
	$(BENCH) kills.

bench-path: dependencies-test build ## what one honest packet pays, part by part, in nanoseconds; throughput beside none
	$(BENCH) path.

bench-day: dependencies-test tools ## a day of the Internet, 167,000 packets, through a living sentry: its log
	$(BENCH) logs.a_day

bench-syn-flood: dependencies-test build ## a minute of SYN flood against decoys: memory, CPU, and the scanner in it
	$(BENCH) flood.

attack: dependencies-test build ## what somebody may try against the sentry itself: the table of docs/attacks.md, each row tried
	python3 Tests/System/run.py --binary .build/release/portsentry $$(python3 Tests/System/attack.py --names)
	python3 Tests/System/attack.py --table > docs/attacks.md

fleet-demo: dependencies-fleet build ## five hosts and a real Redis: a sweep, the ban on all, the unban on all
	@python3 Tests/System/fleet_demo.py --binary .build/release/portsentry

fleet-test: dependencies-fleet build ## what the fleet promises, measured: a hundred hosts, 100,000 bans, liars, floods, an engine killed and emptied, TLS; takes half an hour
	PORTSENTRY_BENCH=1 python3 Tests/System/run.py --jobs 1 --binary .build/release/portsentry fleet. fleet_size. fleet_tls.

fleet-simulation: ## fleets of 100 to 100,000 hosts in simulated time: the table of docs/decisions/0003-fleet.md, and its plot
	swift build --build-tests
	PORTSENTRY_BENCH=1 swift test --skip-build --filter SimulationTests/theTable | python3 Benchmarks/fleet.py

neighbours: dependencies-neighbours build ## among real software, honest clients and scanners: docs/neighbours.md (PORTSENTRY2=PATH: beside 2.x too)
	python3 Tests/System/neighbours.py --binary .build/release/portsentry

bench-journal: dependencies-test tools ## the journal: a month of 5 million probes, a flood, 100 kills, 100 power cuts; takes ten minutes
	swift build --build-tests
	PORTSENTRY_BENCH=1 swift test --skip-build --filter RobustnessTests
	PORTSENTRY_BENCH=1 python3 Tests/System/run.py --binary .build/release/portsentry month journal.a_flood journal.kill_nine

screenshots: dependencies-test dependencies-screenshots tools ## docs/images and docs/watch.md, anew
	python3 Tests/System/screenshots.py --binary .build/release/portsentry

bench-replay: dependencies-test tools ## replay beside a plain C loop and tcpdump: times, instructions, allocations
	python3 Benchmarks/replay.py --count
	python3 Benchmarks/replay.py

trials: tools ## slow scans, honest clients, forged sources, one scan from many addresses: simulated
	.build/release/trials

score: dependencies-build build ## every verdict on labelled captures (CAPTURES=../shared/captures)
	python3 $(CAPTURES)/score.py -- .build/release/portsentry replay --json

sanitize: dependencies-build ## all captures through replay under the address sanitizer
	swift build -c release --sanitize address --scratch-path .build/asan --product portsentry
	@sh scripts/sanitize.sh $(CAPTURES)

curve: dependencies-build build ## docs/images/threshold.svg: false accusations against recall over the thresholds
	python3 Benchmarks/curve.py $(CAPTURES)

fuzz: ## each fuzzer for ten minutes (FUZZ_SECONDS=600)
	sh scripts/fuzz.sh $${FUZZ_SECONDS:-600}

lint: ## formatting, as the tests want it
	swift format lint --strict --recursive Package.swift Sources Tests

format: ## mend the formatting
	swift format --in-place --recursive Package.swift Sources Tests

DESTDIR =
PREFIX = /usr
install: build ## install everything under DESTDIR, for PREFIX (/usr); settings only where there are none
	sh scripts/layout.sh "$(DESTDIR)" $(PREFIX) .build/release/portsentry
	[ -e $(DESTDIR)/etc/portsentry/portsentry.conf ] || install -D -m 640 etc/portsentry.conf $(DESTDIR)/etc/portsentry/portsentry.conf
	[ -e $(DESTDIR)/etc/portsentry/portsentry.ignore ] || install -D -m 640 etc/portsentry.ignore $(DESTDIR)/etc/portsentry/portsentry.ignore
	[ -e $(DESTDIR)/etc/default/portsentry ] || install -D -m 644 etc/portsentry.default $(DESTDIR)/etc/default/portsentry

uninstall: ## take away what `make install` put there; settings and what was seen stay
	sh scripts/layout.sh "$(DESTDIR)" $(PREFIX)

deb: dependencies-build build ## a Debian package: .build/packages/portsentry_VERSION-1_ARCH.deb
	@sh scripts/package.sh deb

tarball: dependencies-build build ## an archive to unpack over /: the same bytes at every call
	@sh scripts/package.sh tarball

IMAGE = podman build
image: build ## an image for containers: see Containerfile (IMAGE="docker build")
	mkdir -p .build/image
	strip --strip-all -o .build/image/portsentry .build/release/portsentry
	$(IMAGE) -f Containerfile -t portsentry .

package-test: dependencies-package deb tarball ## install, upgrade from 1.2, remove, purge, in roots of Debian 12 and 13
	python3 Tests/System/package.py

clean:
	rm -rf .build

dependencies-%:
	@sh scripts/install-missing.sh $*
