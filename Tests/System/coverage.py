"""Which probe does which mode see? Real nmap (and frames by hand where nmap cannot) against every mode of the sentry, and
against Debian's PortSentry 1.2 in the same run where that is installed.

    python3 Tests/System/coverage.py [--binary PATH] [--check] [-v]

writes docs/coverage.md from what it measured; --check compares with it instead. Fails when a cell is worse than the better
predecessor, or when something both predecessors miss is not seen in the stealth and advanced modes.
"""

import concurrent.futures
import os
import re
import sys
import time

import lab as L
import packets as P
import verdicts

DOCUMENT = os.path.join(L.ROOT, "docs", "coverage.md")

# Our modes: name, arguments, protocols watched, the predecessors' columns it must not fall behind.
MODES = [
    ("tcp", ["-tcp"], "tcp", ["1.2 tcp", "2.x connect"]),
    ("udp", ["-udp"], "udp", ["1.2 udp", "2.x connect"]),
    ("stcp", ["-stcp"], "tcp", ["1.2 stcp", "2.x stealth"]),
    ("sudp", ["-sudp"], "udp", ["1.2 sudp", "2.x stealth"]),
    ("atcp", ["-atcp"], "tcp", ["1.2 atcp", "2.x stealth"]),
    ("audp", ["-audp"], "udp", ["1.2 audp", "2.x stealth"]),
    ("--connect", ["--connect"], "tcp udp", ["1.2 tcp", "1.2 udp", "2.x connect"]),
    ("--stealth", ["--stealth"], "tcp udp", ["1.2 stcp", "1.2 sudp", "2.x stealth"]),
]
PROTOCOLS = {mode: protocols.split() for mode, _, protocols, _ in MODES}
CLASSIC = ["tcp", "udp", "stcp", "sudp", "atcp", "audp"]
LISTED, ADVANCED = 111, 594  # The probed port: one of the lists, and one that only the advanced modes watch.


answers = {}  # What nmap said of its port, by source: evidence for a cell that is wrong.


def nmap(*arguments, v6=False):
    def send(lab, sources, port):
        for _ in range(3):
            said = lab.nmap(*arguments, "-p", str(port), source=sources[v6], target=L.TARGET6 if v6 else L.TARGET4).stdout
            # On a busy machine nmap gives up on a connection before it is made; a connect mode then has nothing to see.
            if "-sT" not in arguments or "filtered" not in said:
                break
        answers[sources[v6]] = re.findall(r"^\d+/.*", said, re.MULTILINE)
        return sources[v6]
    return send


def by_hand(make, link_local=False, v4=False):
    """`make(source, target, port)` returns the frames."""
    def send(lab, sources, port):
        source, target = (sources[0], L.TARGET4) if v4 else (sources[1], L.TARGET6)
        if link_local:
            source, target = "fe80::" + source.rsplit(":", 1)[1], lab.link_local(lab.target)
        link = lab.link()
        for frame in make(source, target, port):
            link.send(frame)
        link.close()
        return source
    return send


def behind(header, protocol="tcp"):
    """A SYN or a datagram behind one extension header."""
    def make(source, target, port):
        body = (P.tcp(source, target, 40001, port, P.SYN), P.udp(source, target, 40001, port, b"?"))[protocol == "udp"]
        return [P.ip6(source, target, P.TCP if protocol == "tcp" else P.UDP, body, extensions=[header])]
    return make


def two_fragments(source, target, port):
    body = P.tcp(source, target, 40002, port, P.SYN)
    return [P.ip6(source, target, P.TCP, body[:8], extensions=[(P.FRAGMENT, P.fragment_header(0, True))]),
            P.ip6(source, target, P.TCP, body[8:], extensions=[(P.FRAGMENT, P.fragment_header(8, False))])]


def udp_fragments(source, target, port):
    """nmap's -f does not do UDP: a datagram in pieces of eight bytes."""
    body = P.udp(source, target, 40004, port, b"eight by eight??")
    return [P.ip4(source, target, P.UDP, body[i:i + 8], fragment=i, more=i + 8 < len(body)) for i in range(0, len(body), 8)]


HOP, DST = (P.HOP_BY_HOP, P.OPTIONS_8), (P.DESTINATION_OPTIONS, P.OPTIONS_8)
ATOMIC = (P.FRAGMENT, P.fragment_header(0, False))
SYN, FIN, XMAS, NULL, ACK, MAIMON = "SYN/Normal", "FIN", "XMAS", "NULL", "ACK", "Maimon"
NO = "no"

# Row: title, protocol, how it is sent, what a stealth mode of ours must say (None: must stay silent),
# what 2.x says in (connect, stealth) as compat.md b.1 and W4 record it.
ROWS = [
    ("-sS", "tcp", nmap("-sS"), SYN, (NO, SYN)),
    ("-sT", "tcp", nmap("-sT"), SYN, ("Connect", SYN)),
    ("-sF", "tcp", nmap("-sF"), FIN, (NO, FIN)),
    ("-sX", "tcp", nmap("-sX"), XMAS, (NO, XMAS)),
    ("-sN", "tcp", nmap("-sN"), NULL, (NO, NULL)),
    ("-sA", "tcp", nmap("-sA"), ACK, (NO, NO)),
    ("-sW", "tcp", nmap("-sW"), ACK, (NO, NO)),
    ("-sM", "tcp", nmap("-sM"), MAIMON, (NO, NO)),
    ("-sS -f", "tcp", nmap("-sS", "-f"), SYN, (NO, NO)),
    ("-sX -f", "tcp", nmap("-sX", "-f"), XMAS, (NO, NO)),
    ("SYN+ECE+CWR", "tcp", nmap("-sS", "--scanflags", "SYNECECWR"), SYN, (NO, SYN)),
    ("SYN+FIN", "tcp", nmap("-sS", "--scanflags", "SYNFIN"), "Unknown Type", (NO, "Unknown Type")),
    ("-sS, IP options", "tcp", nmap("-sS", "--ip-options", "T"), SYN, (NO, SYN)),
    ("-sU", "udp", nmap("-sU"), "UDP", ("Connect", "UDP")),
    ("UDP in 8-byte fragments", "udp", by_hand(udp_fragments, v4=True), "UDP", ("Connect", NO)),
    ("-6 -sS", "tcp", nmap("-sS", v6=True), SYN, (NO, SYN)),
    ("-6 -sT", "tcp", nmap("-sT", v6=True), SYN, ("Connect", SYN)),
    ("-6 -sF", "tcp", nmap("-sF", v6=True), FIN, (NO, FIN)),
    ("-6 -sX", "tcp", nmap("-sX", v6=True), XMAS, (NO, XMAS)),
    ("-6 -sN", "tcp", nmap("-sN", v6=True), NULL, (NO, NULL)),
    ("-6 -sA", "tcp", nmap("-sA", v6=True), ACK, (NO, NO)),
    ("-6 -sW", "tcp", nmap("-sW", v6=True), ACK, (NO, NO)),
    ("-6 -sM", "tcp", nmap("-sM", v6=True), MAIMON, (NO, NO)),
    ("-6 -sU", "udp", nmap("-sU", v6=True), "UDP", ("Connect", "UDP")),
    ("SYN behind hop-by-hop options", "tcp", by_hand(behind(HOP)), SYN, (NO, NO)),
    ("SYN behind destination options", "tcp", by_hand(behind(DST)), SYN, (NO, NO)),
    ("SYN in an atomic fragment", "tcp", by_hand(behind(ATOMIC)), SYN, (NO, NO)),
    ("SYN in two IPv6 fragments", "tcp", by_hand(two_fragments), SYN, (NO, NO)),
    ("SYN to a link-local address", "tcp",
     by_hand(lambda s, t, p: [P.segment(s, t, 40003, p)], link_local=True), SYN, (NO, NO)),
    ("UDP behind destination options", "udp", by_hand(behind(DST, "udp")), "UDP", ("Connect", NO)),
    ("UDP in an atomic fragment", "udp", by_hand(behind(ATOMIC, "udp")), "UDP", ("Connect", NO)),
    ("UDP to a link-local address", "udp",
     by_hand(lambda s, t, p: [P.datagram(s, t, 40003, p, b"?")], link_local=True), "UDP", ("Connect", NO)),
    ("-sS --badsum", "tcp", nmap("-sS", "--badsum"), None, (NO, SYN)),
    ("-sU --badsum", "udp", nmap("-sU", "--badsum"), None, (NO, "UDP")),
    ("SYN+ACK out of the blue", "tcp", nmap("-sS", "--scanflags", "SYNACK"), None, (NO, NO)),
    ("RST out of the blue", "tcp", nmap("-sS", "--scanflags", "RST"), None, (NO, NO)),
]


def reported(sentry, source):
    """What a sentry said of a source: the type in few words, or `no`."""
    place = re.escape(source)
    for text in sentry.texts():
        m = re.search(r"Scan from: \[%s\].* type: \[(.*?)\]" % place, text) or \
            re.search(r"attackalert: +(.*?) from host: [^/ ]*/%s to" % place, text)
        if m:
            kind = m.group(1)
            if kind.startswith("Unknown Type"):
                return "Unknown Type"
            return re.sub(r"^TCP | scan$", "", kind)
    return NO


def measure(mode, arguments, predecessor):
    """One column: {row title: cell}."""
    with L.Lab() as lab:
        settings = {"TCP_PORTS": "11,79,%d,143" % LISTED, "UDP_PORTS": "11,69,%d" % LISTED}
        port = LISTED
        if mode in ("atcp", "audp"):
            settings.update({"TCP_PORTS": "11", "UDP_PORTS": "11", "ADVANCED_PORTS_TCP": "1024", "ADVANCED_PORTS_UDP": "1024",
                             "ADVANCED_EXCLUDE_TCP": "113,139", "ADVANCED_EXCLUDE_UDP": "520,138,137,67"})
            port = ADVANCED
        sentry = lab.sentry(*arguments, settings=settings, predecessor=predecessor)

        def one(row):
            return row[0], row[2](lab, row_sources[row[0]], port)
        row_sources = {row[0]: lab.new_source() for row in ROWS}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            sources = dict(pool.map(one, ROWS))
        # The last line is a sign that all earlier ones have been read: one more connection is seen in every mode.
        final = lab.new_source()[0]
        connected = "udp" not in mode
        if connected:
            lab.nmap("-sT", "-p", str(port), source=final)
        else:
            lab.nmap("-sU", "-p", str(port), source=final)
        L.wait_for(lambda: reported(sentry, final) != NO, 3, "the closing probe of %s to be reported; said: %s" % (
            mode, sentry.texts()[-3:]))
        # Lines of ours come in their own time on a busy machine; what is not to be reported has had as long.
        wanted = [sources[row[0]] for row in ROWS if not predecessor and row[3] is not None and row[1] in PROTOCOLS[mode]]
        end = time.monotonic() + 3
        while any(reported(sentry, source) == NO for source in wanted) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.2)
        cells = {title: reported(sentry, source) for title, source in sources.items()}
        for title, source in sources.items():
            if cells[title] == NO and source in answers:
                L.say(mode, title, "not reported; nmap:", answers[source])
        return cells


def measure_all():
    """{column: {row: cell}} for our modes and, where installed, for 1.2's."""
    jobs = [(name, name, arguments, False) for name, arguments, _, _ in MODES] if L.binary else []
    if os.path.exists(L.DEBIAN):
        jobs += [("1.2 " + name, name, ["-" + name], True) for name in CLASSIC]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        columns = dict(zip([j[0] for j in jobs], pool.map(lambda j: measure(*j[1:]), jobs)))
    columns["2.x connect"] = {row[0]: row[4][0] for row in ROWS}
    columns["2.x stealth"] = {row[0]: row[4][1] for row in ROWS}
    return columns


def faults(columns):
    """Cells that are worse than the better predecessor, or that the issue promises and are not there."""
    found = []
    for name, _, protocols, elders in MODES:
        for title, protocol, _, expected, _ in ROWS:
            if name not in columns:
                continue
            cell = columns[name][title]
            if protocol not in protocols.split() or expected is None:
                if cell != NO:
                    found.append("%s reports %s as %s, a false alarm" % (name, title, cell))
                continue
            best = {columns[e][title] for e in elders if e in columns} - {NO}
            if best and cell not in best:
                found.append("%s says `%s` of %s, where a predecessor says %s" % (name, cell, title, sorted(best)))
            elif name not in ("tcp", "udp", "--connect") and cell != expected:
                found.append("%s says `%s` of %s instead of %s" % (name, cell, title, expected))
    return found


def table(columns):
    names = [c for c in [m[0] for m in MODES] + ["1.2 " + c for c in CLASSIC] + ["2.x connect", "2.x stealth"] if c in columns]
    out = ["| probe | " + " | ".join("**%s**" % n if not n[0].isdigit() else n for n in names) + " |",
           "|---" * (len(names) + 1) + "|"]
    for title, protocol, _, expected, _ in ROWS:
        cells = []
        for n in names:
            cell = columns[n][title]
            cells.append(cell + " (false)" if expected is None and cell != NO else cell)
        out.append("| %s | %s |" % (title, " | ".join(cells)))
    return "\n".join(out)


def versions():
    def first(*command):
        try:
            return L.run(list(command), ok=None).stdout.strip().splitlines()[0]
        except (OSError, IndexError):
            return "not installed"
    debian = L.run(["dpkg-query", "-W", "-f", "${Version}", "portsentry"], ok=None).stdout or "not installed"
    return [first(L.binary, "--version") if L.binary else "not built", "PortSentry 1.2 of Debian: " + debian,
            first("nmap", "--version"), "Linux " + os.uname().release]


def document(columns, live, captures):
    return """# What is seen

Written by `make coverage` from what it measured; do not edit. `make test` fails when a row is worse than here.

## What the native rule makes of each scan

Real scanners from one address each against the live sentry (`-atcp -audp`, all ports, log only) in network namespaces; twelve
services run. `technique` and `tool` are what the verdict says; in parentheses where that is not what was sent. `origin` says whether
the source has shown that it receives our answers; half-open scans never do. `probes until verdict`: packets that counted when the
verdict fell.

%s

## Labelled captures

%s

## What each mode sees

One probe each, under the rules of 1.2 and 2.x. A cell says what the sentry reported, or `no`.

%s

A `-`word or `-6` is what nmap was called with; the other rows are frames made by hand. `(false)` marks an alarm that is wrong: the
packet has a bad checksum, so no host would have accepted it, or it is an answer that a spoofed stranger provoked. The connect modes
(`tcp`, `udp`, `--connect`) have real sockets and see what the kernel hands them: a completed connection or a datagram. `-sW` sends the
same packet as `-sA` and differs only in how nmap reads the answer.

How it was measured: two network namespaces joined by a veth pair, offloads as they are by default; one sentry for each column, log only;
one source address for each cell; port %d (advanced modes: %d). The columns of 1.2 come from Debian's package in the same run. Those of
2.x were not measured in this run: they are quoted from an earlier measurement of 2.0.7. Its cells for fragments, extension headers,
link-local addresses and bad checksums in connect mode are inferred (the kernel puts such packets together or drops them first).

%s
""" % (verdicts.live_table(live), verdicts.capture_table(captures) if captures else "They were not at hand.", table(columns),
       LISTED, ADVANCED, "\n".join("- " + v for v in versions()))


@L.test("coverage")
def coverage(lab):
    wrong = faults(measure_all())
    L.check(not wrong, "; ".join(wrong[:60]))
    return "%d probes in %d modes, each at least as good as both predecessors" % (len(ROWS), len(MODES))


def main():
    arguments = sys.argv[1:]
    only_check = "--check" in arguments
    L.verbose = "-v" in arguments
    L.binary = L.find_binary(arguments[arguments.index("--binary") + 1] if "--binary" in arguments else None)
    if os.geteuid() != 0:
        print("This makes network namespaces, for which it needs root.")
        return 77
    import atexit
    atexit.register(L.cleanup)
    columns = measure_all()
    live, captures = (verdicts.measure_live(), verdicts.measure_captures()) if L.binary and not only_check else ({}, None)
    print(table(columns))
    wrong = faults(columns)
    for text in wrong:
        print("worse:", text)
    if not L.binary:
        print("no portsentry built: nothing written")
        return 1
    if only_check:
        old = open(DOCUMENT).read() if os.path.exists(DOCUMENT) else ""
        if table(columns) not in old:
            print("docs/coverage.md says something else than what was measured now")
            return 1
    elif not wrong:
        os.makedirs(os.path.dirname(DOCUMENT), exist_ok=True)
        with open(DOCUMENT, "w") as f:
            f.write(document(columns, live, captures))
        print("written to docs/coverage.md")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
