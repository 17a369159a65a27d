#!/bin/sh
# `make test`: everything. Unit tests, then the real binary against real tools in network namespaces, then the fuzzers.
# `make test-quick` (test.sh quick): what needs neither root nor other programs; tests that need more say that they are skipped.
set -eu
cd "$(dirname "$0")/.."
# What begins now, and how far we are.
begun=$(date +%s)
say() { echo "== $1 ($(($(date +%s) - begun)) s)"; }
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
  say "formatting"
  swift format lint --strict --recursive Package.swift Sources Tests
  say "unit tests"
  swift build --build-tests
  unit_tests
  say "what is shipped is read"
  for file in etc/portsentry.conf etc/examples/*.sh scripts/*.sh; do
    case $file in
      *.conf) .build/debug/portsentry check -c "$file" >/dev/null ;;
      *) sh -n "$file" ;;
    esac
  done
  python3 -c 'import ast, glob; [ast.parse(open(name).read(), name) for name in glob.glob("Tests/System/*.py") + glob.glob("Benchmarks/*.py")]'
  exit 0
fi
say "unit tests"
swift build --build-tests
unit_tests as_root
say "the real binary in network namespaces: what measures, alone"
as_root python3 Tests/System/run.py --binary .build/release/portsentry --measuring
# The other tests wait most of the time. What computes for minutes takes what they leave of the processors, and its output is shown when they have ended.
idly() {
  if chrt --idle 0 true 2>/dev/null; then chrt --idle 0 "$@"; else nice -n 19 "$@"; fi
}
side=$(mktemp -d)
aside() { # NAME COMMAND...
  name=$1
  shift
  if idly "$@" > "$side/$name" 2>&1; then : > "$side/$name.ok"; fi
}
{
  aside trials .build/release/trials
  aside replay python3 Benchmarks/replay.py --count
  [ ! -f ../shared/captures/score.py ] || aside score python3 ../shared/captures/score.py -- .build/release/portsentry replay --json
} &
(FUZZ_JOBS=1 aside fuzz sh scripts/fuzz.sh "${FUZZ_RUNS:-20000}x") &
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$side"' EXIT
say "the real binary in network namespaces: all others"
failed=0
as_root python3 Tests/System/run.py --binary .build/release/portsentry --others || failed=1
wait
shown() { # NAME WORDS
  say "$2"
  cat "$side/$1"
  [ -e "$side/$1.ok" ] || { echo "FAILED: $2"; failed=1; }
}
shown trials "what is promised of the detector, simulated"
shown replay "instructions and allocations a packet"
[ ! -f ../shared/captures/score.py ] || shown score "labelled captures"
shown fuzz "fuzzing, a short run: the same inputs at every start"
exit $failed
