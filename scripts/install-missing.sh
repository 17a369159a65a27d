#!/bin/sh
# Installs what is missing on Debian and its derivatives: `install-missing.sh build`, `test`, `neighbours`, `fleet`, `package` or `screenshots`.
# Does nothing, and asks for no right, when all is there.
set -eu
cd "$(dirname "$0")/.."

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# apt-get, waiting for whoever has its locks: unattended upgrades hold them for minutes. DPkg::Lock::Timeout does not wait for that of the lists.
apt() {
  tries=0
  while :; do
    if out=$(as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -o DPkg::Lock::Timeout=600 "$@" 2>&1); then return 0; fi
    case $out in
      *"Could not get lock"* | *"Unable to lock"* | *"Unable to acquire"*) ;;
      *) printf '%s\n' "$out" >&2; return 1 ;;
    esac
    tries=$((tries + 1))
    [ $tries -ne 1 ] || echo "apt is used by another program: waiting for it, up to ten minutes"
    if [ $tries -gt 120 ]; then printf '%s\n' "$out" >&2; return 1; fi
    sleep 5
  done
}

missing=""
need() { # COMMAND-OR-FILE PACKAGE
  case $1 in
    /*) [ -e "$1" ] && return 0 ;;
    *) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 && return 0 ;;
  esac
  missing="$missing $2"
}

if ! command -v swift >/dev/null 2>&1; then
  echo "There is no 'swift' on the PATH. PortSentry needs the Swift 6.3 toolchain: https://www.swift.org/install/linux/" >&2
  exit 1
fi
need g++ g++
need make make
need git git
need /usr/include/zlib.h zlib1g-dev
need /usr/include/sqlite3.h libsqlite3-dev
need /usr/include/openssl/ssl.h libssl-dev
if [ "${1:-build}" = test ] || [ "${1:-build}" = neighbours ]; then
  need ip iproute2
  need nmap nmap
  need masscan masscan
  need nft nftables
  need python3 python3
  need unshare util-linux
  need debootstrap debootstrap
fi
if [ "${1:-build}" = test ]; then
  need hping3 hping3
  need zmap zmap
  need curl curl
  need iptables iptables
  need tcpdump tcpdump
  need iperf3 iperf3
  need fail2ban-regex fail2ban
  need tcpdmatch tcpd
  need /usr/share/logwatch/scripts/services/portsentry logwatch
  need mandoc mandoc
  need ethtool ethtool
  need getcap libcap2-bin
  need ps procps
  need strip binutils
  need valgrind valgrind
  need route net-tools
  need systemd-analyze systemd
  need chromium chromium
  need promtool prometheus
  need tmux tmux
  need ufw ufw
  need lnav lnav
  need rsyslogd rsyslog
  need logcheck logcheck
  need curl curl
  need /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core
  need faketime faketime
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
fi
if [ "${1:-build}" = test ] || [ "${1:-build}" = fleet ]; then
  need redis-server redis-server
  need redis-cli redis-tools
  need openssl openssl
  need ip iproute2
  need nft nftables
  need python3 python3
fi
if [ "${1:-build}" = package ]; then
  need debootstrap debootstrap
  need systemd-nspawn systemd-container
  need lintian lintian
  need fail2ban-regex fail2ban
  need /usr/lib/python3/dist-packages/systemd python3-systemd
  need ip iproute2
  need nmap nmap
  need python3 python3
fi
if [ "${1:-build}" = screenshots ]; then
  need pngquant pngquant
fi
if [ -n "$missing" ]; then
  echo "Installing:$missing"
  apt update
  apt install -y --no-install-recommends $missing
fi
case ${1:-build} in test | neighbours) wants_predecessor=1 ;; *) wants_predecessor= ;; esac
if [ -n "$wants_predecessor" ] && [ ! -x .build/portsentry-1.2/usr/sbin/portsentry ] && command -v apt-get >/dev/null; then
  # PortSentry 1.2, the program we replace, to be measured beside us. Unpacked, not installed: nothing of it starts.
  mkdir -p .build/portsentry-1.2
  if (cd .build/portsentry-1.2 && apt-get download -q portsentry >/dev/null 2>&1 && dpkg -x portsentry_*.deb .); then
    echo "Unpacked PortSentry 1.2 from Debian for comparison"
  else
    echo "PortSentry 1.2 is not available here: its columns of the coverage table are not measured" >&2
  fi
fi
if { [ "${1:-build}" = test ] || [ "${1:-build}" = fleet ]; } && [ ! -x .build/crowdsec/usr/bin/crowdsec-firewall-bouncer ]; then
  # CrowdSec reads what we write, and its local API and bouncer do what we tell. Unpacked, not installed: its package starts a service that asks its makers for an account.
  rm -rf .build/crowdsec
  mkdir -p .build/crowdsec
  if (cd .build/crowdsec && apt-get download -q crowdsec crowdsec-firewall-bouncer >/dev/null 2>&1 &&
    for deb in ./*.deb; do dpkg -x "$deb" .; done && rm ./*.deb); then
    echo "Unpacked CrowdSec from Debian: its tests use it"
  else
    echo "CrowdSec is not available here: its test is skipped" >&2
  fi
fi
if [ "${1:-build}" = test ] && ! .build/venv/bin/python -c 'import playwright, axe_playwright_python, stix2, xarf, vrl_python, pcre2, chdb' 2>/dev/null; then
  # What drives the browser and looks at pages in it (axe), the validators of STIX and XARF by their owners, Vector's language, the library of
  # Wazuh's expressions, and ClickHouse as a module: into a place of their own.
  python3 -m venv .build/venv
  # One by one: what is not available here costs its own tests only.
  for package in playwright axe-playwright-python stix2 xarf vrl-python pcre2 chdb-core-lite; do
    .build/venv/bin/pip install -q --disable-pip-version-check "$package" ||
      echo "Python's $package is not available here: the tests that need it are skipped" >&2
  done
fi
# The software among which the sentry is tried, in a root of its own: of the quick scenarios for `test`, which skips those that are not there.
case ${1:-build} in
  test) python3 Tests/System/neighbours.py --install-quick || true ;;
  neighbours) python3 Tests/System/neighbours.py --install ;;
esac
