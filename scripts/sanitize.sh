#!/bin/sh
# Reads every capture under the folder with a program built with the address sanitizer. A fault, an error of the sanitizer or ten
# seconds for one file fails.
set -eu
cd "$(dirname "$0")/.."
count=0 bad=0
for file in $(find "${1:?usage: sanitize.sh CAPTURES}" -name '*.pcap' -o -name '*.pcapng' -o -name '*.pcap.gz' -o -name '*.cap' -o -name '*.bin' | sort); do
  count=$((count + 1)) status=0
  timeout 10 .build/asan/release/portsentry replay --json --all "$file" >/dev/null 2>.build/asan/said || status=$?
  # 65: it is no capture at all, which some of the malformed are not.
  if { [ $status -ne 0 ] && [ $status -ne 65 ]; } || grep -q "AddressSanitizer" .build/asan/said; then
    bad=$((bad + 1))
    echo "$file: status $status"
    head -3 .build/asan/said
  fi
done
echo "$count files, $bad bad"
[ $count -gt 0 ] && [ $bad -eq 0 ]
