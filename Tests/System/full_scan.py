"""A scan of all ports at full speed, and a flood of invented sources: every probe is recorded or counted as dropped."""

import re
import time

import lab as L


def settled(read, quiet=2, timeout=30):
    """The value of `read()` once it has not changed for `quiet` seconds."""
    end, last, since = time.monotonic() + timeout, read(), time.monotonic()
    while time.monotonic() < end:
        time.sleep(0.1)
        now = read()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since >= quiet:
            break
    return last


def lines_in(path, needle):
    """In a file, and in what FILE_SIZE has put aside of it."""
    found = 0
    for name in (path, path + ".old"):
        try:
            with open(name, "rb") as f:
                found += f.read().count(needle)
        except FileNotFoundError:
            pass
    return found


def watch_all(lab):
    return lab.sentry("-atcp", settings={
        "ADVANCED_PORTS_TCP": "65535", "ADVANCED_EXCLUDE_TCP": None, "HISTORY_FORMAT": "2", "TCP_PORTS": "11", "FILE_RATE": "0"})


def account(sentry, probes, needle, what):
    sent = probes()
    end = time.monotonic() + 30
    while True:
        dropped = sentry.dropped()
        # What the reader of the log was too slow for is in the history, which is what is counted here.
        dropped.pop("dropped.log", None)
        recorded, lost = lines_in(sentry.history, needle), sum(dropped.values())
        if recorded + lost >= sent or time.monotonic() > end:
            break
        time.sleep(0.3)
    L.check(sent > 60000, "only %d probes were sent" % sent)
    L.check(recorded + lost == sent, "%d %s, %d recorded and %d counted as dropped (%s): %+d" % (
        sent, what, recorded, lost, {k: v for k, v in dropped.items() if v}, recorded + lost - sent))
    return sent, recorded, lost


@L.test("full_scan.every_probe_is_accounted_for")
def full_scan(lab):
    lab.service(22)
    lab.service(80)
    sentry = watch_all(lab)
    source = lab.new_source()[0]
    probes = lab.count("ip saddr %s tcp flags & (fin|syn|rst|ack) == syn tcp dport != { 22, 80 }" % source)
    begun = time.monotonic()
    lab.nmap("-sS", "-p-", "-T5", "--min-rate", "60000", source=source)
    took = time.monotonic() - begun
    sent, recorded, lost = account(sentry, probes, b"Scan from: [%s] " % source.encode(), "probes")
    L.check(sentry.process.poll() is None, "the sentry ended with %s" % sentry.process.returncode)
    ports = set(re.findall(r"\[%s\].*?port: \[(\d+)\]" % re.escape(source), sentry.history_text()))
    return "%d probes in %.1f s: %d recorded (%d ports), %d counted as dropped" % (sent, took, recorded, len(ports), lost)


@L.test("full_scan.masscan_at_full_speed")
def masscan(lab):
    sentry = watch_all(lab)
    source = lab.new_source()[0]
    probes = lab.count("ip saddr %s tcp flags & (fin|syn|rst|ack) == syn tcp dport 1-65534" % source)
    # It does not end by itself where nothing answers.
    lab.in_attacker("timeout", "-s", "KILL", "6", "masscan", "--rate", "200000", "-p", "1-65534", L.TARGET4, "--source-ip", source, "--interface", "lan0",
                    "--router-mac", L.TARGET_MAC.replace(":", "-"), "--wait", "0", timeout=60, ok=None)
    sent, recorded, lost = account(sentry, probes, b"Scan from: [%s] " % source.encode(), "probes of masscan")
    return "%d probes: %d recorded, %d counted as dropped" % (sent, recorded, lost)


@L.test("full_scan.flood_of_invented_sources")
def flood(lab):
    sentry = watch_all(lab)
    before = L.resident_kib(sentry.pid)
    probes = lab.count("tcp dport 111 tcp flags & (fin|syn|rst|ack) == syn")
    lab.in_attacker("timeout", "-s", "INT", "3", "hping3", "--flood", "--rand-source", "-S", "-p", "111", "-q", L.TARGET4,
                    ok=None, timeout=20)
    sent = probes()

    def counted():
        return lines_in(sentry.history, b"Scan from: ["), sentry.dropped()

    # Until as many are accounted for as have to be, and then until no more come.
    end = time.monotonic() + 30
    while time.monotonic() < end and counted()[0] + sum(counted()[1].values()) < sent * 0.80:
        time.sleep(0.2)
    recorded, dropped = settled(counted)
    lost = sum(dropped.values())
    grown = L.resident_kib(sentry.pid) - before
    L.check(sentry.process.poll() is None, "the sentry ended with %s" % sentry.process.returncode)
    # Sources that cannot be (multicast, our own network's broadcast, 0/8, 127/8 ...) are refused by the kernel and by us.
    L.check(recorded + lost >= sent * 0.80, "%d SYNs from invented sources, %d recorded, %d dropped (%s)" % (
        sent, recorded, lost, dropped))
    # 17 MB of sources and 1 MB of campaigns when they are full, 8 MB of probes that wait for us, what files and journal hold back.
    L.check(grown < 64 * 1024, "memory grew by %d KiB" % grown)
    return "%d SYNs in 3 s: %d recorded, %d counted as dropped, memory %+d KiB" % (sent, recorded, lost, grown)


if __name__ == "__main__":
    raise SystemExit(L.main())
