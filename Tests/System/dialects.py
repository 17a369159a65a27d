"""Both predecessors' words and files, to the letter: compat.md a.6 and d."""

import re
import socket
import struct
import threading
import time

import lab as L
import packets as P

EVENT = ("Scan from: [%s] (%s) protocol: [%s] port: [%d] type: [%s] IP opts: [%s] "
         "ignored: [%s] triggered: [%s] noblock: [%s] blocked: [%s]")


def events(sentry, source):
    return [t for t in sentry.texts("stdout") if "Scan from: [%s]" % source in t]


def expect(sentry, source, *expected):
    L.wait_for(lambda: len(events(sentry, source)) >= len(expected), 3, lambda: "%d events of %s; %s" % (
        len(expected), source, sentry.texts()[-4:]))
    time.sleep(0.1)
    got = events(sentry, source)
    L.check(got == list(expected), "said %s instead of %s" % (got, list(expected)))


@L.test("dialects.events_of_2x")
def modern(lab):
    friend = lab.new_source()[0]
    sentry = lab.sentry("-d", settings={"HISTORY_FILE": None}, ignore=friend + "\n")
    sentry.wait_line(r"^Portsentry is now active and listening\.$", channel="stdout")
    L.check(not sentry.texts("syslog"), "it speaks to syslog too: %s" % sentry.texts("syslog")[:2])
    a4, a6 = lab.new_source()
    lab.syn(a4, 111)
    expect(sentry, a4, EVENT % (a4, a4, "TCP", 111, "TCP SYN/Normal scan", "not set", "false", "true", "true", "false"))
    lab.syn(a6, 111)
    expect(sentry, a6, EVENT % (a6, a6, "TCP", 111, "TCP SYN/Normal scan", "unknown", "false", "true", "true", "false"))
    b4 = lab.new_source()[0]
    link = lab.link()
    link.send(P.datagram(b4, L.TARGET4, 40000, 69, b"x"))
    expect(sentry, b4, EVENT % (b4, b4, "UDP", 69, "UDP", "not set", "false", "true", "true", "false"))
    c4 = lab.new_source()[0]
    link.send(P.ip4(c4, L.TARGET4, P.TCP, P.tcp(c4, L.TARGET4, 1, 79, P.FIN | P.SYN), options=b"\x07\x07\x04\0\0\0\0"))
    odd = "Unknown Type: TCP Packet Flags: SYN: 1 FIN: 1 ACK: 0 PSH: 0 URG: 0 RST: 0"
    expect(sentry, c4, EVENT % (c4, c4, "TCP", 79, odd, "set", "false", "true", "true", "false"))
    lab.syn(friend, 111)
    expect(sentry, friend, EVENT % (friend, friend, "TCP", 111, "TCP SYN/Normal scan", "not set", "true", "unset", "unset", "unset"))
    # As 2.x's own tests 031 to 034 and 016 look for them.
    L.check(sentry.find(r"^Host: %s found in ignore file [^ ]* aborting actions$" % re.escape(friend), channel="stdout"), sentry.texts("stdout")[-3:])
    lab.syn(L.TARGET4, 111)
    sentry.wait_line(r"^debug: Source address %s same as destination address %s, skipping$" % ((re.escape(L.TARGET4),) * 2), channel="stdout")
    L.check(sentry.stop() == 0, "it did not end with 0")
    sentry.wait_line("^Portsentry is shutting down$", channel="stdout")

    sentry = lab.sentry("--stealth", settings={"SCAN_TRIGGER": "2", "BLOCK_TCP": "1", "KILL_ROUTE": "true $TARGET$"})
    d4 = lab.new_source()[0]
    for _ in range(2):
        lab.syn(d4, 111)
        time.sleep(0.1)
    expect(sentry, d4, EVENT % (d4, d4, "TCP", 111, "TCP SYN/Normal scan", "not set", "false", "false", "unset", "unset"),
           EVENT % (d4, d4, "TCP", 111, "TCP SYN/Normal scan", "not set", "false", "true", "false", "true"))
    sentry.wait_line(r'attackalert: Host %s has been blocked via dropped route using command: "true %s"' % (d4, d4))
    history = sentry.history_text().splitlines()
    # 2.x's fail2ban filter bans whoever follows "Scan from:"; below the trigger other words are written.
    words = ["Untriggered scan from", "Scan from"]
    L.check(len(history) == 2 and all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000 %s: \[%s\]" % (w, re.escape(d4)), h)
                                      for w, h in zip(words, history)), "the history holds %r" % history)
    sentry.stop()

    sentry = lab.sentry("--connect", settings={"HISTORY_FILE": None})
    e4, e6 = lab.new_source()
    lab.nmap("-sT", "-p", "111", source=e4)
    expect(sentry, e4, EVENT % (e4, e4, "TCP", 111, "Connect", "unknown", "false", "true", "true", "false"))
    lab.nmap("-sT", "-p", "111", source=e6, target=L.TARGET6)
    expect(sentry, e6, EVENT % (e6, e6, "TCP", 111, "Connect", "unknown", "false", "true", "true", "false"))
    sentry.stop()
    # Both outputs at once.
    sentry = lab.sentry("--stealth", "-l", "stdout", "-l", "syslog")
    f4 = lab.new_source()[0]
    lab.syn(f4, 79)
    for channel in ("stdout", "syslog"):
        sentry.wait_line(r"Scan from: \[%s\]" % f4, channel=channel)


@L.test("dialects.syslog_of_1_2")
def classic(lab):
    sentry = lab.sentry("-stcp", "-sudp", settings={"TCP_PORTS": "11,111", "UDP_PORTS": "69"})
    with sentry.condition:
        raw = [text for _, channel, text in sentry.entries if channel == "syslog"]
    L.check(raw and all(re.match(r"<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d portsentry\[%d\]: " % sentry.pid, t) for t in raw),
            "syslog got %s" % raw[:3])
    start = sentry.texts("syslog")
    expected = ["adminalert: PortSentry 1.2 is starting.", "adminalert: Going into stealth listen mode on TCP port: 11",
                "adminalert: Going into stealth listen mode on TCP port: 111", "adminalert: Going into stealth listen mode on UDP port: 69",
                "adminalert: PortSentry is now active and listening."]
    missing = [e for e in expected if e not in [t.rstrip() for t in start]
               and not (e.endswith("1.2 is starting.") and any(re.match(r"adminalert: PortSentry \S+ is starting\.$", t) for t in start))]
    L.check(not missing, "missing at the start: %s; said %s" % (missing, start))
    link = lab.link()
    for flags, text in ((P.SYN, "attackalert: TCP SYN/Normal scan from host: "), (P.FIN, "attackalert: TCP FIN scan from host: "),
                        (P.FIN | P.URG | P.PSH, "attackalert: TCP XMAS scan from host: "), (0, "attackalert:  TCP NULL scan from host: "),
                        (P.ACK, "attackalert: TCP ACK scan from host: "), (P.FIN | P.ACK, "attackalert: TCP Maimon scan from host: "),
                        (P.SYN | P.FIN, "attackalert: Unknown Type: TCP Packet Flags: SYN: 1 FIN: 1 ACK: 0 PSH: 0 URG: 0 RST: 0 from host: ")):
        source = lab.new_source()[0]
        link.send(P.segment(source, L.TARGET4, 1, 111, flags))
        line = text + "%s/%s to TCP port: 111" % (source, source)
        sentry.wait_line("^" + re.escape(line) + "$|: " + re.escape(line) + "$", timeout=1)
    source = lab.new_source()[0]
    link.send(P.datagram(source, L.TARGET4, 1, 69))
    sentry.wait_line(re.escape("attackalert: UDP scan from host: %s/%s to UDP port: 69" % (source, source)))
    source = lab.new_source()[0]
    link.send(P.ip4(source, L.TARGET4, P.TCP, P.tcp(source, L.TARGET4, 1, 111, P.SYN), options=b"\x07\x07\x04\0\0\0\0"))
    sentry.wait_line(re.escape("attackalert: Packet from host: %s/%s to TCP port: 111 has IP options set (detection avoidance technique)." % (source, source)))
    L.check(not [t for t in raw if "\n" in t], "a line of syslog with a newline in it")


@L.test("dialects.history_forms")
def history(lab):
    first = r"\d{10} - \d\d/\d\d/\d{4} \d\d:\d\d:\d\d Host: %s/%s Port: 111 TCP Blocked"
    second = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000 Scan from: \[%s\] .* blocked: \[true\]"
    unblocked = second.replace("true", "false")
    for mode, block, form, patterns in (
            ("-stcp", "1", "1.2", [first]), ("-stcp", "1", "2", [second]), ("-stcp", "1", "both", [first, second]),
            ("--stealth", "1", "both", [first, second]), ("--stealth", "0", "both", [first, unblocked])):
        sentry = lab.sentry(mode, name="form-%s%s%s" % (mode, block, form), settings={
            "BLOCK_TCP": block, "BLOCK_METHOD": "nftables", "PROOF": "none", "HISTORY_FORMAT": form})
        for source in lab.new_source():
            before = sentry.history_text()
            lab.syn(source, 111)
            L.wait_for(lambda: len(sentry.history_text().splitlines()) >= len(before.splitlines()) + len(patterns), 3,
                       lambda: "HISTORY_FORMAT=%s: a line; the file holds %r" % (form, sentry.history_text()))
            L.check(sentry.history_text().startswith(before), "the history was rewritten")
            lines = sentry.history_text()[len(before):].splitlines()
            for pattern in patterns:
                e = re.escape(source)
                L.check(any(re.fullmatch(pattern % ((e, e) if pattern is first else e), l) for l in lines),
                        "HISTORY_FORMAT=%s wrote %r" % (form, lines))
        sentry.stop()


@L.test("dialects.blocked_files")
def blocked(lab):
    """Both formats are read, and the one of the dialect in use is written."""
    a, b = lab.new_source(), lab.new_source()
    sentry = lab.sentry("-stcp", settings={"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none"})
    lab.syn(a[0], 111)
    path = sentry.blocked_file + ".stcp"

    def text(p):
        try:
            return open(p, "rb").read()
        except FileNotFoundError:
            return b""
    L.wait_for(lambda: text(path), 3, "portsentry.blocked.stcp")
    L.check(re.fullmatch(rb"\d{10} - \d\d/\d\d/\d{4} \d\d:\d\d:\d\d Host: %s/%s Port: 111 TCP Blocked\n" % (a[0].encode(), a[0].encode()), text(path)),
            "portsentry.blocked.stcp holds %r" % text(path))
    sentry.stop()
    folder = lab.folder + "/modern"
    import os
    os.makedirs(folder)
    records = b""
    for address in (b[0], b[1]):
        v6 = ":" in address
        family = socket.AF_INET6 if v6 else socket.AF_INET
        records += struct.pack("=H", family) + socket.inet_pton(family, address)
    open(folder + "/portsentry.blocked", "wb").write(records)
    open(folder + "/portsentry.ignore", "w").close()
    lab.in_target("nft", "flush", "ruleset")
    sentry = lab.sentry("--stealth", folder=folder, settings={"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none"})
    L.wait_for(lambda: set(b) <= lab.nft_elements(), 3, lambda: "2.x's blocked file to be in force; in the kernel: %s" % lab.nft_elements())
    c = lab.new_source()
    lab.syn(c[1], 111)
    record = struct.pack("=H", socket.AF_INET6) + socket.inet_pton(socket.AF_INET6, c[1])
    L.wait_for(lambda: record in text(sentry.blocked_file), 3, lambda: "2.x's record in portsentry.blocked, which holds %r" % text(sentry.blocked_file))
    L.check(len(text(sentry.blocked_file)) == len(records) + 18, "portsentry.blocked holds %r" % text(sentry.blocked_file))


class Names(threading.Thread):
    """A name server as an attacker may run one. PTR answers by address; None: no answer at all."""

    def __init__(self, lab, pointers, forward):
        super().__init__(daemon=True)
        self.pointers, self.forward, self.asked = pointers, forward, []
        self.s = lab.open_socket(lab.target, socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind(("127.0.0.1", 53))
        self.start()

    def run(self):
        while True:
            try:
                data, peer = self.s.recvfrom(2048)
            except OSError:
                return
            labels, i = [], 12
            while data[i]:
                labels.append(data[i + 1:i + 1 + data[i]])
                i += 1 + data[i]
            name, (kind,), question = b".".join(labels), struct.unpack("!H", data[i + 1:i + 3]), data[12:i + 5]
            self.asked.append((name, kind))
            answer = b""
            if kind == 12:
                m = re.match(rb"(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$", name)
                address = b".".join(reversed(m.groups())).decode() if m else None
                if address in self.pointers:
                    host = self.pointers[address]
                    if host is None:
                        continue
                    answer = b"".join(bytes([len(l)]) + l for l in host.split(b".")) + b"\0"
            elif kind == 1 and name in self.forward:
                answer = socket.inet_aton(self.forward[name])
            head = data[:2] + struct.pack("!HHHHH", 0x8180 if answer else 0x8183, 1, 1 if answer else 0, 0, 0)
            record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(answer)) + answer if answer else b""
            self.s.sendto(head + question + record, peer)


@L.test("dialects.resolve_host")
def resolve(lab):
    good, liar, hostile, silent, last = (lab.new_source()[0] for _ in range(5))
    evil = b"x\n\x1b[31m$(touch pwned)`id`.example"
    Names(lab, {good: b"attacker.example", liar: b"www.bank.example", hostile: evil, silent: None},
          {b"attacker.example": good, b"www.bank.example": "192.0.2.1", evil: hostile})
    conf, hosts = lab.folder + "/resolv.conf", lab.folder + "/nsswitch.conf"
    open(conf, "w").write("nameserver 127.0.0.1\noptions timeout:5 attempts:2\n")
    open(hosts, "w").write("hosts: files dns\n")
    sentry = lab.sentry("-stcp", settings={"RESOLVE_HOST": "1", "BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none"}, mounts=
                        'mount --bind %s "$(readlink -f /etc/resolv.conf)"; [ -e /etc/nsswitch.conf ] && mount --bind %s /etc/nsswitch.conf' % (conf, hosts))
    lab.syn(good, 111)
    sentry.wait_line(r"from host: attacker\.example/%s to TCP port: 111" % good)
    lab.syn(silent, 111)
    time.sleep(0.05)
    begun = time.monotonic()
    lab.syn(last, 111)
    L.wait_for(lambda: {silent, last} <= lab.nft_elements(), 1, "the block, which needs no name", 0.02)
    blocked = time.monotonic() - begun
    sentry.wait_line(r"from host: %s/%s to" % (last, last), timeout=10)
    took = time.monotonic() - begun
    L.check(took < 4.5, "an alert waited %.1f s behind a name server that does not answer" % took)
    lab.syn(liar, 111)
    sentry.wait_line(r"from host: %s/%s to" % (liar, liar), timeout=6)
    lab.syn(hostile, 111)
    line = sentry.wait_line(r"from host: .*/%s to" % hostile, timeout=6)
    everything = "\n".join(sentry.texts()) + sentry.history_text()
    L.check("\x1b" not in everything and "$(" not in line.string and "`" not in line.string, "a hostile name got through: %r" % line.string)
    L.check("www.bank.example" not in everything, "a name that does not resolve back was believed")
    sentry.wait_line(r"from host: %s/%s to" % (silent, silent), timeout=15)
    return "confirmed name used; lying, hostile and silent name servers harmless; behind the silent one the next block took %.0f ms, its alert %.0f ms" % (blocked * 1e3, took * 1e3)


@L.test("dialects.two_processes_as_in_1_2")
def two(lab):
    """1.2 was started once for TCP and once for UDP."""
    sentry = lab.sentry("-stcp", foreground=False, wait=False)
    L.check(sentry.process.returncode == 0, "`portsentry -stcp` gave %s: %s" % (sentry.process.returncode, sentry.texts()))
    second = lab.in_target(L.binary, "-sudp", "-c", sentry.config, ok=None, timeout=10)
    L.check(second.returncode == 0, "`portsentry -sudp` beside it gave %d: %s" % (second.returncode, (second.stderr + second.stdout)[-300:]))
    a, b = lab.new_source()[0], lab.new_source()[0]
    lab.syn(a, 111)
    sentry.wait_line("TCP SYN/Normal scan from host: %s/" % a)
    link, begun = lab.link(), time.monotonic()
    # The kernel reads the programs at the interfaces anew for UDP: a tenth of a second, in which nothing of it is seen.
    while not sentry.find("UDP scan from host: %s/" % b):
        L.check(time.monotonic() - begun < 2, "UDP is not watched two seconds later: %s" % " | ".join(sentry.texts()[-5:]))
        link.send(P.datagram(b, L.TARGET4, 1, 69))
        time.sleep(0.02)
    return "the first datagram seen was sent %.2f s after the call" % (time.monotonic() - begun)


if __name__ == "__main__":
    raise SystemExit(L.main())
