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
echo "== unit tests"
swift build --build-tests
unit_tests as_root
# What needs one processor alone goes on beside something else, and its output is shown when it has ended.
side=$(mktemp -d)
(sh scripts/fuzz.sh "${FUZZ_RUNS:-20000}x" > "$side/fuzz" 2>&1 && : > "$side/fuzz.ok") &
fuzzing=$!
trap 'kill "$fuzzing" 2>/dev/null || true; rm -rf "$side"' EXIT
echo "== what is promised of the detector, simulated; instructions and allocations a packet"
.build/release/trials
python3 Benchmarks/replay.py --count
if [ -f ../shared/captures/score.py ]; then
  echo "== labelled captures"
  python3 ../shared/captures/score.py -- .build/release/portsentry replay --json
fi
echo "== fuzzing, a short run: the same inputs at every start"
wait "$fuzzing" || true
cat "$side/fuzz"
[ -e "$side/fuzz.ok" ]
echo "== the real binary in network namespaces"
as_root python3 Tests/System/run.py --binary .build/release/portsentry
