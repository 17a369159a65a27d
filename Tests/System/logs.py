"""The log for people, the limit in the old words, and a syslog that stops: nothing is lost in silence."""

import os
import re
import socket
import threading
import time

import lab as L
import packets as P


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
