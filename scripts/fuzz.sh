#!/bin/sh
# Fuzzes every parser of foreign bytes. One line for each target; exit 1 on a finding, whose input stays in .build/fuzz/findings.
#   fuzz.sh SECONDS [TARGET...]   as long as that; what it learns is kept in .build/fuzz/learnt.
#   fuzz.sh RUNSx [TARGET...]     so many inputs (a quarter for the slow ones), the same at every start: the seeds of Fuzz/corpus, a fixed seed, nothing learnt before.
# A finding becomes a file of Fuzz/corpus and a unit test.
set -eu
cd "$(dirname "$0")/.."
out=.build/fuzz

# One target, with a line about it in a file of its own: how this script calls itself.
if [ "${1:-}" = --one ]; then
  seconds=$2 target=$3 fresh=$out/fresh/$3
  case $seconds in
    # Swift's hashes are seeded anew at each start unless told, and the order of a Set would be another.
    *x)
      runs=${seconds%x}
      # An input of these is whole captures, or a detector with all its tables: milliseconds instead of microseconds.
      case $target in memory | replay) runs=$((runs / 4)) ;; esac
      mkdir -p "$fresh"; learnt=$fresh; extent="-runs=$runs -seed=1"; export SWIFT_DETERMINISTIC_HASHING=1
      ;;
    *) learnt=$out/learnt/$target; mkdir -p "$learnt"; extent="-max_total_time=$seconds" ;;
  esac
  log=$out/$target.log
  # A timeout is of the clock on the wall: on a busy machine a run of milliseconds may stand still for many seconds.
  if SWIFT_BACKTRACE=enable=no FUZZ_TARGET=$target "$out/fuzz" $extent -rss_limit_mb=1024 -timeout=100 -max_len=4096 \
    -artifact_prefix="$out/findings/$target-" -print_final_stats=1 "$learnt" "Fuzz/corpus/$target" > "$log" 2>&1
  then
    echo "fuzz $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions, nothing found" > "$out/$target.said"
  else
    {
      echo "fuzz $target: FOUND something: $(ls -t "$out/findings/$target-"* 2>/dev/null | head -n 1) (see $log)"
      grep -m 3 -E "Fatal error|ERROR|SUMMARY" "$log" || tail -n 5 "$log"
    } > "$out/$target.said"
    : > "$out/$target.failed"
  fi
  exit 0
fi

seconds=${1:-8}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(ls Fuzz/corpus)
rm -rf "$out/fresh"
mkdir -p "$out/findings"

# Built without SwiftPM: `-sanitize=fuzzer` brings its own main, and all modules must be instrumented. The package name
# gives access to what is `package`.
if [ ! -x "$out/fuzz" ] || [ -n "$(find Fuzz/*.swift Sources "$0" -newer "$out/fuzz" -type f | head -n 1)" ]; then
  printf 'module CLinux { header "%s/Sources/CLinux/include/CLinux.h" export * }\n' "$PWD" > "$out/module.modulemap"
  printf 'module CZlib { header "%s/Sources/CZlib/CZlib.h" link "z" export * }\n' "$PWD" > "$out/zlib.modulemap"
  flags="-swift-version 6 -package-name portsentry -parse-as-library -O -wmo -sanitize=fuzzer,address -enable-experimental-feature Lifetimes
    -I $out -Xcc -fmodule-map-file=$out/module.modulemap -Xcc -fmodule-map-file=$out/zlib.modulemap -Xcc -ISources/CLinux/include -suppress-warnings"
  objects=""
  for module in Wire Memory Fleet Platform Detection Capture Response EventLog Notify CrowdSec Configuration Confinement Enforcement GeoIP Page Daemon Carrier; do
    sources=$(find "Sources/$module" -name '*.swift')
    # Of the daemon only what reads messages or captures.
    [ "$module" = Daemon ] && sources="Sources/Daemon/ControlSocket.swift Sources/Daemon/LoginTickets.swift Sources/Daemon/ServiceNotifier.swift Sources/Daemon/Replay.swift"
    [ "$module" = Page ] && sources=Sources/Page/HTTPRequest.swift
    # Of the carrier only what reads replies.
    [ "$module" = Carrier ] && sources="Sources/Carrier/RESPReader.swift Sources/Carrier/RESPValue.swift"
    # Of the enforcer only its messages, and what they tell of a process.
    [ "$module" = Enforcement ] && sources="Sources/Enforcement/EnforcerOrder.swift Sources/Enforcement/EnforcerReply.swift Sources/Enforcement/MessageBytes.swift"
    [ "$module" = Confinement ] && sources="Sources/Confinement/ProcessState.swift Sources/Confinement/Capabilities.swift"
    # Of capture only what reads files.
    [ "$module" = Capture ] && sources="Sources/Capture/ByteStream.swift Sources/Capture/CaptureFile.swift"
    swiftc $flags -module-name "$module" -emit-module -emit-module-path "$out/$module.swiftmodule" -c \
      -o "$out/$module.o" $sources
    objects="$objects $out/$module.o"
  done
  swiftc $flags -use-ld=lld -module-name Fuzz -o "$out/fuzz" Fuzz/*.swift $objects
fi

# As many at once as there are processors (FUZZ_JOBS), each of which one target uses; the next begins when one has ended, and slow ones come first, so
# that none is left alone at the end.
rm -f "$out"/*.failed "$out"/*.said
for target in "$@"; do
  case $target in fleet-ledger | replay | memory) echo "0 $target" ;; *) echo "1 $target" ;; esac
done | sort -s -k 1,1 | cut -d' ' -f2 | xargs -P "${FUZZ_JOBS:-$(nproc 2>/dev/null || echo 1)}" -n 1 sh scripts/fuzz.sh --one "$seconds" || true
rm -rf "$out/fresh"
failed=0
for target in "$@"; do
  # A fuzzer whose own shell was ended has said nothing.
  cat "$out/$target.said" 2>/dev/null || { echo "fuzz $target: ended early"; : > "$out/$target.failed"; }
  [ ! -e "$out/$target.failed" ] || failed=1
done
exit $failed
