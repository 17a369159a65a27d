#!/bin/sh
# `make run`: the sentry on this host, in the foreground, log only, with everything it writes under .build/run.
set -eu
cd "$(dirname "$0")/.."
here=${RUN_FOLDER:-$PWD/.build/run}
mkdir -p "$here"
cat > "$here/portsentry.conf" <<EOF
# Written by 'make run': log only. The example with every key explained is etc/portsentry.conf.
ADVANCED_PORTS_TCP="65535"
ADVANCED_PORTS_UDP="1024"
ADVANCED_EXCLUDE_TCP="113,139"
ADVANCED_EXCLUDE_UDP="67,68,137,138,520,521,546,547,631"
IGNORE_FILE="$here/portsentry.ignore"
HISTORY_FILE="$here/portsentry.history"
HISTORY_FORMAT="2"
BLOCKED_FILE="$here/portsentry.blocked"
BLOCK_TCP="0"
BLOCK_UDP="0"
# A try answers nobody. Without this line all those ports look open to scanners.
ADVANCED_DECOY="0"
SCAN_TRIGGER="0"
# For people, and while one tries it each probe, too.
LOG_FORMAT="native"
LOG_PROBES="1"
STATE_DIR="$here"
CONTROL_SOCKET="$here/control.sock"
CONSOLE_LISTEN="127.0.0.1:8087"
EOF
[ -e "$here/portsentry.ignore" ] || echo "# Addresses and networks never acted on, one a line." > "$here/portsentry.ignore"
binary=$PWD/.build/release/portsentry
# So that whoever asks this sentry need not name its configuration; alone it says what to try.
cat > "$here/ask" <<EOF
#!/bin/sh
case "\${1:-}" in
  "")
    cat <<'END'
Try it on this host, or scan it from another one:
    nc -z -v 127.0.0.1 23; nmap -sS -p 1-100 127.0.0.1
    $here/ask status
    $here/ask watch
    $here/ask show 127.0.0.1
    $here/ask report --html report.html
    $here/ask console --url
All that portsentry can do: $here/ask --help
What was seen is kept in $here, for the next time too.
END
    ;;
  help | -h | --help) exec "$binary" "\$@" ;;
  *) exec "$binary" "\$@" -c "$here/portsentry.conf" ;;
esac
EOF
chmod +x "$here/ask"
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo "
# One line; the sentry has five more.
echo "Log only, nothing is blocked or answered; Ctrl-C ends it. What to try, in another terminal: $sudo$here/ask"
# Loopback and our own address too (-i ALL -L), so that it can be tried without a second machine.
set -- run -atcp -audp --foreground -i ALL -L -l stdout -c "$here/portsentry.conf"
if [ "$(id -u)" -eq 0 ]; then exec "$binary" "$@"; fi
echo "Capturing packets needs root: sudo may ask for your password."
exec sudo "$binary" "$@"
