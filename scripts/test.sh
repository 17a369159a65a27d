#!/bin/sh
# `make test`: everything. Unit tests, then the real binary against real tools in network namespaces, then the fuzzers.
# `make test-quick` (test.sh quick): what needs neither root nor other programs; tests that need more say that they are skipped.
set -eu
cd "$(dirname "$0")/.."
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo env "PATH=$PATH" "$@"; fi
}
# The tests that end a process of their own run apart: their library waits for any child, and would wait for ever behind one that another
# test has not taken back.
unit_tests() {
  apart='ConfinementTests|RightsTests|ConfinedClientTests|BackgroundTests'
  "$@" swift test --skip-build --skip "$apart"
  "$@" swift test --skip-build --filter "$apart"
}
if [ "${1:-}" = quick ]; then
  echo "== formatting"
  swift format lint --strict --recursive Package.swift Sources Tests
  echo "== unit tests"
  swift build --build-tests
  unit_tests
  echo "== what is shipped is read"
  for file in etc/portsentry.conf etc/examples/*.sh scripts/*.sh; do
    case $file in
      *.conf) .build/debug/portsentry check -c "$file" >/dev/null ;;
      *) sh -n "$file" ;;
    esac
  done
  python3 -c 'import ast, glob; [ast.parse(open(name).read(), name) for name in glob.glob("Tests/System/*.py") + glob.glob("Benchmarks/*.py")]'
  exit 0
fi
# What uses one processor goes on beside what uses another; its output is shown when it has ended. The release build is one such thing:
# the fuzzers are built and run meanwhile.
side=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$side"' EXIT
beside() { # NAME COMMAND...
  name=$1
  shift
  ("$@" > "$side/$name" 2>&1 && : > "$side/$name.ok") &
}
tell() { # NAME...
  for name in "$@"; do
    cat "$side/$name"
    [ -e "$side/$name.ok" ]
  done
}
began=$(date +%s)
part() { echo "== $1 ($(($(date +%s) - began)) s since the beginning)"; }
beside fuzz env FUZZ_JOBS=1 sh scripts/fuzz.sh "${FUZZ_RUNS:-20000}x"
part "the program, and what measures"
make --no-print-directory build tools
part "unit tests"
swift build --build-tests
unit_tests as_root
part "what is promised of the detector, simulated; instructions and allocations a packet; labelled captures; fuzzing, the same inputs at every start"
beside trials .build/release/trials
beside replay python3 Benchmarks/replay.py --count
if [ -f ../shared/captures/score.py ]; then
  beside score python3 ../shared/captures/score.py -- .build/release/portsentry replay --json
fi
wait
tell trials replay
if [ -f ../shared/captures/score.py ]; then tell score; fi
tell fuzz
part "the real binary in network namespaces"
as_root python3 Tests/System/run.py --binary .build/release/portsentry
part "all passed"
