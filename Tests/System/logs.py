"""The log for people, the limit in the old words, and a syslog that stops: nothing is lost in silence."""

import os
import re
import signal
import socket
import threading
import time

import crowd as C
import lab as L
import month
import packets as P
import spared

IS_BENCH = bool(os.environ.get("PORTSENTRY_BENCH"))


def about(sentry, source):
    return [t for t in sentry.texts("syslog") if source in t]


@L.test("logs.a_scan_of_all_ports_is_two_lines")
def native(lab):
    lab.service(22)
    sentry = lab.sentry("-atcp", settings={
        "LOG_FORMAT": "native", "ADVANCED_PORTS_TCP": "65535", "ADVANCED_EXCLUDE_TCP": None, "HISTORY_FILE": None})
    friend = lab.new_source()[0]
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p-", "-T5", "--min-rate", "4000", source=source)
    lab.syn(friend, 22)
    sentry.wait_line(r"%s is a scanner: .*scan \(syn\)" % re.escape(source))
    sentry.wait_line(r"%s has stopped scanning: \d\d,\d\d\d ports" % re.escape(source), timeout=100)
    lines = about(sentry, source)
    L.check(len(lines) == 2, "%d lines about one scan: %s" % (len(lines), lines[:5]))
    L.check(not about(sentry, friend), "a line about a client of a service: %s" % about(sentry, friend))
    started = [t for t in sentry.texts("syslog") if t.startswith("Watching")]
    L.check(len(started) == 1, "the start has %s" % started)
    return "; ".join(lines)


@L.test("logs.one_source_is_limited_in_the_old_words")
def limited(lab):
    sentry = lab.sentry("-atcp", settings={"LOG_LIMIT": "20", "ADVANCED_EXCLUDE_TCP": None})
    loud, quiet = lab.new_source()[0], lab.new_source()[0]
    link = lab.link()
    for port in range(1, 301):
        link.send(P.segment(loud, L.TARGET4, 40000, port))
    lab.syn(quiet, 400)
    sentry.wait_line(r"from host: %s/" % re.escape(quiet))
    more = sentry.wait_line(r"and (\d+) more of this source: %s" % re.escape(loud), timeout=70)
    lines = [t for t in about(sentry, loud) if t.startswith("attackalert:")]
    L.check(len(lines) == 20, "%d lines instead of 20" % len(lines))
    # Each probe but the first would have two: the alert, and that it is responded to already.
    L.check(int(more.group(1)) + 20 in range(590, 601), "20 written and %s counted of 300 probes" % more.group(1))
    verdicts = [t for t in about(sentry, loud) if "Verdict:" in t]
    L.check(len(verdicts) == 1 and "PortSentry is now active" in verdicts[0], "verdicts: %s" % verdicts)
    entries = sentry.history_text().count(loud)
    return "20 lines and %s counted; history %d" % (more.group(1), entries)


@L.test("logs.syslogd_stops_for_ten_seconds")
def stopped(lab):
    sentry = lab.sentry("--stealth", "-l", "syslog", settings={"LOG_LIMIT": "0", "TCP_PORTS": "1000-9999"})
    path = sentry.folder + "/log.sock"
    source = lab.new_source()[0]
    link = lab.link()

    def probes(first, count):
        for number in range(count):
            link.send(P.segment(source, L.TARGET4, 30000 + number % 30000, 1000 + (first + number) % 9000))

    probes(0, 2000)
    # What lies unread in the socket when it is closed was delivered, and is lost to this test.
    L.wait_for(lambda: len(sentry.texts("syslog")) == sentry.ask("status")["log"]["written"] > 2000, 10, "the first 2,000 lines")
    # syslogd stops: its socket is gone, as are the messages that it had not read.
    sentry._sockets[0].close()
    os.unlink(path)
    time.sleep(0.3)  # Our own reader's poll keeps the socket alive so long.
    begun = time.monotonic()
    probes(2000, 30000)
    time.sleep(max(0, 10 - (time.monotonic() - begun)))
    held = sentry.ask("status")["log"]
    L.check(held["waiting"] > 5000, "nothing waits: %s" % held)
    text = sentry.control_command("status").stdout
    L.check("waiting for syslog" in text, "status does not say it: %s" % text)
    with lab.inside(lab.target):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)
    server.bind(path)
    server.settimeout(0.1)
    sentry._sockets.append(server)
    threading.Thread(target=sentry._read_socket, args=(server, "syslog"), daemon=True).start()
    probes(32000, 2000)
    L.wait_for(lambda: sentry.ask("status")["log"]["waiting"] == 0, 20, "the queue to be empty")
    time.sleep(0.5)
    log = sentry.ask("status")["log"]
    notes = [t for t in sentry.texts("syslog") if "could not be sent to syslog" in t]
    said = sum(int(t.split()[0]) for t in notes)
    delivered = len(sentry.texts("syslog")) - len(notes)
    L.check(said == log["lost"] and log["lost"] > 0, "the log says %d lost, status %d" % (said, log["lost"]))
    L.check(delivered + log["lost"] == log["written"], "%d delivered + %d counted, %d written" % (
        delivered, log["lost"], log["written"]))
    metrics = sentry.control_command("metrics").stdout
    L.check(re.search(r'lost_total\{what="log"\} %d\b' % log["lost"], metrics), "the metrics do not have it: %s" % metrics[:300])
    lines = about(sentry, source)
    ports = [int(re.search(r"port: \[(\d+)\]", t).group(1)) for t in lines if "Scan from" in t][:2000 + held["waiting"]]
    L.check(all(b == a + 1 or (a, b) == (9999, 1000) for a, b in zip(ports, ports[1:])), "the order has changed")
    return "%d delivered + %d counted = %d written" % (delivered, log["lost"], log["written"])


def option(kind, *values):
    return bytes([kind, 2 + len(bytes(values)), *values])


MSS = option(2, 1460 >> 8, 1460 & 255)
LOOKS = {  # Window, TTL, options, as Radiation.swift says who they are.
    "zmap": (65535, 240, b""), "zmapWindows": (65535, 52, MSS + b"\1" + option(3, 8) + b"\1\1" + option(4)),
    "masscan": (1024, 240, b""), "mirai": (1400, 52, b""), "nmap": (1024, 45, MSS), "linux": (64240, 52, MSS),
    "backscatter": (64240, 52, MSS),
}


def frame(source, sport, port, kind):
    """A packet of the day as it comes over the wire."""
    if kind == "datagram":
        return P.datagram(source, L.TARGET4, sport, port, b"\r\n\r\n")
    window, ttl, options = LOOKS[kind]
    target = int.from_bytes(socket.inet_aton(L.TARGET4), "big")
    sequence = {"mirai": target, "nmap": 0x12345678}.get(kind, (sport * 40503 + port * 2654435761) & 0xffffffff)
    ident = {"zmap": 54321, "masscan": (target ^ port ^ sequence) & 0xffff}.get(kind, sequence >> 9 & 0xffff)
    flags = P.SYN | P.ACK if kind == "backscatter" else P.SYN
    return P.packet(source, L.TARGET4, P.TCP, P.tcp(source, L.TARGET4, sport, port, flags, seq=sequence, window=window, options=options),
                    ident=ident, ttl=ttl)


def packets_of_a_day(part):
    """What `simulate day` prints: [(source, its port, our port, kind, whether it connects)]."""
    out = L.run([month.generator(), "day", str(part)], timeout=60).stdout
    return [(s, int(a), int(b), kind, connects == "1") for _, s, a, b, kind, connects in map(str.split, out.splitlines())]


def connect(lab, source, port):
    """A connection that the kernel of its side completes by itself."""
    s = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
    s.setblocking(False)
    s.bind((source, 0))
    s.connect_ex((L.TARGET4, port))
    return s


def play(lab, packets):
    """Sends a day's packets in their order, as fast as the sentry takes them."""
    link, connections = lab.link(), []
    for number, (source, sport, port, kind, connects) in enumerate(packets):
        if connects:
            connections.append(connect(lab, source, port))
        else:
            link.send(frame(source, sport, port, kind))
        if number % 64 == 63:
            time.sleep(0.004)
    return connections


def number(text):
    return int(re.search(r"[\d,]+", text).group(0).replace(",", ""))


@L.test("logs.a_day_of_the_internet")
def day(lab):
    """Through a living sentry that blocks, as fast as it can: here a part, by make bench-day all. Every block, loss and refusal is in the log.
    What the log has by the clock of that day, on which its limits depend, is in DayTests, with the same packets."""
    lab.in_attacker("ip", "route", "add", "local", "10.78.0.0/16", "dev", "lo")
    lab.in_target("ip", "route", "add", "default", "via", L.ATTACKER4)
    spared.echo(lab.service(993))
    packets = packets_of_a_day(1 if IS_BENCH else 0.05)
    connecting = {p[0] for p in packets if p[4]}
    sentry = lab.sentry("-atcp", "-audp", settings={
        "LOG_FORMAT": "native", "ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "ADVANCED_EXCLUDE_TCP": None,
        "HISTORY_FILE": None, "BLOCK_TCP": "1"})
    # Somebody in whose name somebody else scans, who then works here and mistypes a port.
    customer = "10.78.200.1"
    link = lab.link()
    for port in range(1000, 1020):
        link.send(frame(customer, 40000, port, "linux"))
    sentry.wait_line(re.escape(customer) + " is a scanner")
    session = spared.connect(lab, customer, 993)
    L.check(session and session.recv(64) == b"hello\n" and spared.talks(session), "no session to begin with")
    time.sleep(1.2)  # Who is in conversation is looked up once a second.
    slip = connect(lab, customer, 3000)
    sentry.wait_line(re.escape(customer) + " was not blocked: it works with a service here")
    connections = play(lab, packets) + [slip]
    L.wait_for(lambda: sentry.blocked() == connecting, 20, lambda: "blocks: missing %s, beside %s" % (
        connecting - sentry.blocked(), sentry.blocked() - connecting), 0.2)
    # The sentry stops for as long as it takes to fill the kernel's ring.
    flood = C.Cannon(lab, C.syns(["198.51.100.%d" % n for n in range(1, 200)], range(1, 65536)))
    sentry.send_signal(signal.SIGSTOP)
    try:
        flood.fire(300_000)
    finally:
        sentry.send_signal(signal.SIGCONT)
    sentry.wait_line(r"packets were lost in the kernel", timeout=20)
    for s in connections:
        s.close()
        lab.sockets.remove(s)
    status = L.wait_for(lambda: (lambda s: s["probes"]["waiting"] == 0 and s)(sentry.ask("status")), 20, "the queue to be empty", 0.2)
    L.check(sentry.blocked() == connecting, "blocked beside them: %s" % (sentry.blocked() ^ connecting))
    L.check(sentry.stop(timeout=20) == 0, "no clean end")
    lines = sentry.texts("syslog")
    L.check(status["log"]["lost"] == 0, status["log"])
    blocks = [t for t in lines if t.startswith("Blocked ")]
    L.check(sorted(t.split()[1] for t in blocks) == sorted(connecting), "%d lines about %d blocks" % (len(blocks), len(connecting)))
    lost = {"ring_full": sum(number(t) for t in lines if "packets were lost in the kernel" in t),
            "queue_full": sum(number(t) for t in lines if "probes were lost" in t)}
    L.check(lost["ring_full"] > 0 and lost == {k: status["dropped"][k] for k in lost}, "the log says %s lost, status %s" % (lost, status["dropped"]))
    begun, ended = ([t.split()[0] for t in lines if words in t] for words in (" is a scanner: ", " has stopped scanning: "))
    L.check(sorted(begun) == sorted(ended) and len(begun) > 20, "begun and not ended, or the other way round: %s" % (set(begun) ^ set(ended)))
    L.check(len(lines) <= 1500, "%d lines" % len(lines))
    return "%d packets of %d sources, %d blocks: %d lines" % (len(packets), len({p[0] for p in packets}), len(connecting), len(lines))
