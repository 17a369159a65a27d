"""What does the native rule make of each scan? Real scanners against the live sentry, and the labelled captures by replay.

    python3 Tests/System/coverage.py writes the tables of this module into docs/coverage.md, too.

A row gets worse when it is not seen any more, not named right any more, its origin is less, or when it takes more probes.
"""

import concurrent.futures
import csv
import json
import os
import re
import time

import lab as L
import packets as P

CAPTURES = os.path.join(os.path.dirname(L.ROOT), "shared", "captures", "lab")
ORIGINS = ["-", "unproven", "alive", "proven"]
# Thirty ports that nothing serves, and the first eight of them for whoever takes his time.
PORTS = [str(p) for p in (7, 19, 37, 81, 95, 101, 109, 117, 200, 311, 407, 513, 600, 777, 801, 888, 999, 1025, 1433, 2000, 2323,
                          3001, 3389, 4444, 5555, 6000, 7070, 8081, 9999, 31337)]
SERVICES = (22, 25, 80, 110, 143, 443, 465, 587, 993, 995, 3306, 5432)
MANY, FEW = ",".join(PORTS), ",".join(PORTS[:8])


class Row:
    """One scan. `send(lab, source, target)` makes it. The kernel's own connections know no -S: they go to an address of the
    target that is their own, to which the route names the source."""

    def __init__(self, title, technique, tool, send, v6=False):
        self.title, self.technique, self.tool, self.send, self.v6 = title, technique, tool, send, v6
        self.is_kernels = tool == "connect"


def nmap(*options, ports=None):
    def send(lab, source, target):
        lab.nmap(*options, *(["-p", ports] if ports else []), source=source, target=target, timeout=90)
    return send


def masscan(lab, source, target):
    lab.in_attacker("timeout", "-s", "KILL", "15", "masscan", "--rate", "200", "--retries", "0", "--wait", "0", "-p", MANY, target,
                    "--source-ip", source, "--interface", "lan0", "--router-mac", L.TARGET_MAC.replace(":", "-"), timeout=30, ok=None)


def zmap(lab, source, target):
    for port in PORTS[:5]:
        lab.in_attacker("timeout", "-s", "KILL", "15", "zmap", "-q", "-p", port, "-c", "0", "-r", "100", "-b", "/dev/null", "-i", "lan0",
                        "-G", L.TARGET_MAC, "-S", source, "-o", "/dev/null", target + "/32", timeout=30, ok=None)


def hping3(*flags):
    def send(lab, source, target):
        lab.in_attacker("timeout", "-s", "KILL", "8", "hping3", "-q", "-c", "1", *flags, "--scan", MANY, "-a", source, "-I", "lan0",
                        target, timeout=30, ok=None)
    return send


def frames(make):
    """`make(source, target, port)` returns the bytes of a frame for each of the ports."""
    def send(lab, source, target):
        link = lab.link()
        for port in PORTS[:10]:
            link.send(make(source, target, int(port)))
            time.sleep(0.02)
        link.close()
    return send


def scapy(source, target, port):
    """sr1(IP()/TCP(dport=...)): source port 20, sequence 0, window 8192."""
    return P.ip4(source, target, P.TCP, P.tcp(source, target, 20, port, P.SYN, seq=0, window=8192), ident=1)


def mirai(source, target, port):
    import ipaddress
    return P.ip4(source, target, P.TCP, P.tcp(source, target, 40000 + port % 977, port, P.SYN, seq=int(ipaddress.ip_address(target)),
                                              window=14600 + port % 99), ident=port)


def rows():
    out = []
    techniques = [("-sS", "syn", "nmap"), ("-sT", "connect", "connect"), ("-sF", "fin", "nmap"), ("-sN", "null", "nmap"),
                  ("-sX", "xmas", "nmap"), ("-sM", "maimon", "nmap"), ("-sA", "ack", "nmap"), ("-sW", "ack", "nmap"),
                  ("--scanflags SYNFIN", "odd-flags", "nmap"), ("-sU", "udp", None), ("-sY", "sctp-init", None),
                  ("-sZ", "sctp-cookie-echo", None)]
    for v6 in (False, True):
        prefix = "-6 " if v6 else ""
        for flag, technique, tool in techniques:
            options = ("-sS " + flag if flag.startswith("--") else flag).split()
            out.append(Row("%snmap %s" % (prefix, flag), technique, tool, nmap(*options, "-T4", ports=MANY), v6))
            out.append(Row("%snmap %s, one a second" % (prefix, flag), technique, tool,
                           nmap(*options, "--scan-delay", "1s", ports=FEW), v6))
        for options in ("-f", "-g 53", "--data-length 40", "--ttl 70", "--randomize-hosts -T2", "-T5 --min-rate 5000"):
            if v6 and options in ("-f", "--ttl 70"):
                continue  # nmap does not take IPv6 apart, and with --ttl its neighbour solicitations are void.
            ports = FEW if "-T2" in options else MANY
            out.append(Row("%snmap -sS %s" % (prefix, options), "syn", "nmap", nmap("-sS", *options.split(), ports=ports), v6))
        out.append(Row("%snmap -sV" % prefix, "connect", "connect",
                       nmap("-sT", "-sV", "--version-light", ports=MANY + ",22"), v6))
        out.append(Row("%snmap -sS -O" % prefix, "syn", "nmap", nmap("-sS", "-O", ports="22," + FEW), v6))
        out.append(Row("%snmap -sT of services only" % prefix, "connect", "connect",
                       nmap("-sT", "-T4", ports=",".join(map(str, SERVICES))), v6))
        out.append(Row("%snmap -sS of services only" % prefix, "syn", "nmap",
                       nmap("-sS", "-T4", ports=",".join(map(str, SERVICES))), v6))
    out.append(Row("nmap -sO", "ip-protocol", "nmap", nmap("-sO", "-T4", ports="0-255")))
    out.append(Row("masscan", "syn", "masscan", masscan))
    out.append(Row("zmap, port by port", "syn", "zmap", zmap))
    out.append(Row("hping3 -S --scan", "syn", "hping3", hping3("-S")))
    out.append(Row("hping3 -F --scan", "fin", "hping3", hping3("-F")))
    out.append(Row("hping3 -F -P -U --scan", "xmas", "hping3", hping3("-F", "-P", "-U")))
    out.append(Row("Scapy's defaults, by hand", "syn", "scapy", frames(scapy)))
    out.append(Row("Mirai's marks, by hand", "syn", "mirai", frames(mirai)))
    return out


ROWS = rows()


def measure_live():
    """{title: (technique, tool, origin, probes until verdict)}, None for those that were not seen."""
    out = {}
    # One sentry holds so many log lines and addresses that it is two laboratories, one for each version of IP.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for found in pool.map(live_part, (False, True)):
            out.update(found)
    return out


def live_part(v6):
    wanted = [row for row in ROWS if row.v6 == v6]
    with L.Lab() as lab:
        for port in SERVICES:
            lab.service(port, address="::" if v6 else "0.0.0.0")
        capture = os.path.join(lab.folder, "all.pcap")
        lab.start(lab.target, "tcpdump", "-Z", "root", "-B", "8192", "-U", "-i", "lan0", "-w", capture)
        sources = {row.title: lab.new_source()[v6] for row in wanted}
        targets = {}
        for number, row in enumerate(wanted):
            targets[row.title] = L.TARGET6 if v6 else L.TARGET4
            if row.is_kernels:
                own = "fd77::1:%d" % number if v6 else "10.78.0.%d" % (number + 1)
                lab.in_target("ip", "addr", "add", own + ("/128" if v6 else "/32"), "dev", "lan0", *(["nodad"] if v6 else []))
                lab.in_attacker("ip", "route", "add", own, "dev", "lan0", "src", sources[row.title])
                targets[row.title] = own
        time.sleep(0.5)
        sentry = lab.sentry("run", "-atcp", "-audp", "-l", "stdout", "--log-format", "2", settings={
            "ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "ADVANCED_EXCLUDE_TCP": None,
            "ADVANCED_EXCLUDE_UDP": None, "SCAN_TRIGGER": "65000", "ADVANCED_DECOY": "0"})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda row: row.send(lab, sources[row.title], targets[row.title]), wanted))
        time.sleep(4)  # Half-open connections are asked for after three seconds.
        sentry.stop()
        live = {}
        for text in sentry.texts():
            m = re.search(r"Verdict: (\S+) is a scanner: .*? after (\d+) probes?, origin", text)
            if m and m.group(1) not in live:
                live[m.group(1)] = int(m.group(2))
        said = replayed(capture, sorted(set(targets.values())))
        out = {}
        for row in wanted:
            source = sources[row.title]
            verdict = said.get(source)
            if source not in live or verdict is None:
                out[row.title] = None
                L.say("not seen:", row.title, source, "live" if source not in live else "replay")
                continue
            out[row.title] = (verdict["techniques"], verdict["tool"], verdict["origin"], live[source])
        return out


def replayed(path, local):
    """{source: the verdict that it is a scanner} of a capture."""
    command = [L.binary, "replay", "--json"]
    for address in local:
        command += ["--local", address]
    found = {}
    for line in L.run(command + [path], timeout=120).stdout.splitlines():
        verdict = json.loads(line)
        if verdict["class"] != "scan":
            continue
        for source in verdict.get("sources") or [verdict["source"]]:
            found.setdefault(source, verdict)
    return found


def measure_captures():
    """A row for each labelled scan: (file, what the label says, attackers, seen, technique, tool, origin, probes)."""
    out = []
    table = os.path.join(CAPTURES, "manifest.csv")
    if not os.path.exists(table):
        return None
    with open(table) as file:
        for row in csv.DictReader(file):
            if row["expect"] != "report":
                continue
            local = [w for w in row["target"].split()]
            found = replayed(os.path.join(CAPTURES, row["file"]), local)
            attackers = row["attackers"].split()
            seen = [found[a] for a in attackers if a in found]
            first = seen[0] if seen else None
            until = [v["probes_until_verdict"] for v in seen if "probes_until_verdict" in v]
            out.append((row["file"].split(".pcap")[0], len(attackers), len(seen), first["technique"] if first else "-",
                        first["tool"] if first else "-", first["origin"] if first else "-", max(until) if until else "as one" if seen else "-"))
    return out


# The document

LIVE_HEAD = "| scan | seen | technique | tool | origin | probes until verdict |"
CAPTURE_HEAD = "| capture | attackers seen | technique | tool | origin | probes until verdict |"


def live_table(found):
    out = [LIVE_HEAD, "|---" * 6 + "|"]
    for row in ROWS:
        cell = found[row.title]
        if cell is None:
            out.append("| %s | no | - | - | - | - |" % row.title)
            continue
        techniques, tool, origin, probes = cell
        named = row.technique if row.technique in techniques else "(%s)" % ",".join(techniques)
        whose = tool if row.tool in (None, tool) else "(%s)" % tool
        out.append("| %s | yes | %s | %s | %s | %d |" % (row.title, named, whose, origin, probes))
    return "\n".join(out)


def capture_table(found):
    out = [CAPTURE_HEAD, "|---" * 6 + "|"]
    for name, attackers, seen, technique, tool, origin, probes in found:
        out.append("| %s | %d of %d | %s | %s | %s | %s |" % (name, seen, attackers, technique, tool, origin, probes))
    return "\n".join(out)


def cells(text, head):
    """{first cell: the others} of the table with this head."""
    found = {}
    if head not in text:
        return found
    for line in text[text.index(head):].splitlines()[2:]:
        if not line.startswith("|"):
            break
        first, *others = [c.strip() for c in line.strip("|").split("|")]
        found[first] = others
    return found


def worse(old, new):
    """Rows of a table that were better before: [reason]. Both are texts with the same head."""
    out = []
    for head in (LIVE_HEAD, CAPTURE_HEAD):
        before, now = cells(old, head), cells(new, head)
        for title, was in before.items():
            if title not in now:
                # Captures are not on every machine.
                if head == LIVE_HEAD:
                    out.append("%s is not measured any more" % title)
                continue
            cell = now[title]
            if was[0] != cell[0] and (head == LIVE_HEAD and was[0] == "yes" or head == CAPTURE_HEAD and int(was[0].split()[0]) > int(cell[0].split()[0])):
                out.append("%s: seen was %s, is %s" % (title, was[0], cell[0]))
            for i in (1, 2):
                # A stable name of an unknown program may change with what was seen first.
                if not was[i].startswith(("(", "unnamed", "-")) and was[i] != cell[i]:
                    out.append("%s: was called %s, is called %s" % (title, was[i], cell[i]))
            if ORIGINS.index(cell[3]) < ORIGINS.index(was[3]):
                out.append("%s: origin was %s, is %s" % (title, was[3], cell[3]))
            # Live scans run side by side, so that a packet more may come before the answer.
            slack = 2 if head == LIVE_HEAD else 0
            if was[4].isdigit() and (not cell[4].isdigit() or int(cell[4]) > int(was[4]) + slack):
                out.append("%s: took %s probes, takes %s" % (title, was[4], cell[4]))
    return out


@L.test("verdicts")
def verdicts(lab):
    """Every scan of docs/coverage.md is seen, named and proven as it says there."""
    captures = measure_captures()
    with open(os.path.join(L.ROOT, "docs", "coverage.md")) as file:
        old = file.read()

    new = live_table(measure_live())
    wrong = worse(old, new if captures is None else new + "\n\n" + capture_table(captures))
    L.check(not wrong, "; ".join(wrong[:30]))
    return "%d live scans%s, none seen later or named worse than docs/coverage.md says" % (
        len(ROWS), "" if captures is None else " and %d captures" % len(captures))
