"""Who is lied to, who is not, and what it takes to be shut out: decoy, doubt, proof, trial, repeat offenders, prefixes."""

import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import struct
import sys
import time

import lab as L
import packets as P
from resilience import reachable

# Every unused port is watched, and looks open; whoever proves himself at one is shut out at once.
ALL = {"ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "BLOCK_TCP": "1", "RULE": "classic"}
SERVICES = (22, 80, 2222, 5000)


def states(lab, *arguments, source=None, target=L.TARGET4, timeout=120):
    """nmap's word for each port it was asked about: {port: state}."""
    family = ["-6"] if ":" in target else []
    command = ["nmap", "-n", "-Pn", "--max-retries", "1", "-oX", "-", *family, *arguments]
    if source:
        command += ["-S", source, "-e", "lan0"]
    out = lab.in_attacker(*command, target, timeout=timeout).stdout
    found = {int(port): state for port, state in
             re.findall(r'<port protocol="\w+" portid="(\d+)"><state state="([^"]+)"', out)}
    # Of what most ports are it gives the ranges only.
    for state, reasons in re.findall(r'<extraports state="([^"]+)" count="\d+">(.*?)</extraports>', out, re.S):
        for part in ",".join(re.findall(r'ports="([^"]+)"', reasons)).split(","):
            first, _, last = part.partition("-")
            found.update(dict.fromkeys(range(int(first), int(last or first) + 1), state))
    return found


def serve(lab, ports=SERVICES):
    for port in ports:
        lab.service(port)
        lab.service(port, address="::")


def connect(lab, source, port, target=None, timeout=3.0):
    """A connection from `source`, or None."""
    target = target or (L.TARGET6 if ":" in source else L.TARGET4)
    s = lab.open_socket(lab.attacker, socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(timeout)
    try:
        s.bind((source, 0))
        s.connect((target, port))
        return s
    except OSError:
        s.close()
        return None


def refused(lab, source, port, target=None):
    """Whether the port answers as closed."""
    target = target or (L.TARGET6 if ":" in source else L.TARGET4)
    s = lab.open_socket(lab.attacker, socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(1.0)
    try:
        s.bind((source, 0))
        s.connect((target, port))
        return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    finally:
        s.close()


def ruleset(lab):
    """All rules, without what changes by itself: counters and times."""
    text = lab.in_target("nft", "list", "ruleset").stdout
    return re.sub(r"packets \d+ bytes \d+|expires \w+|timeout \w+ ", "", text)


def foreign(lab):
    """The rules that are not ours."""
    return re.sub(r"table inet portsentry \{.*?\n\}\n", "", ruleset(lab), flags=re.S)


@L.test("deception.every_scan_sees_one_wall")
def wall(lab):
    """No kind of scan tells the services from the rest, from its first packet on."""
    serve(lab)
    lab.service(53, socket.SOCK_DGRAM)
    lab.sentry("-atcp", "-audp", settings=ALL)
    # Silent scans wait for each port, so a few have to do; every port there is is asked in learned.py.
    ports, count = "15-40,75-90,2220-2224,4999-5001,60000", 51
    seen = []
    for family in (0, 1):
        target = (L.TARGET4, L.TARGET6)[family]
        for kind, expected in (("-sS", "open"), ("-sF", "open|filtered"), ("-sN", "open|filtered"), ("-sX", "open|filtered"),
                               ("-sA", "unfiltered"), ("-sW", "closed")):
            source = lab.new_source()[family]
            found = states(lab, kind, "-p", ports, source=source, target=target)
            words = set(found.values())
            L.check(words == {expected} and len(found) == count, "%s over IPv%d: %d ports, %s" % (
                kind, 4 + 2 * family, len(found), {w: list(found.values()).count(w) for w in words}))
            seen.append(kind)
        # FIN/ACK is answered with RST by services, and so by all: also to whoever is in doubt.
        source = lab.new_source()[family]
        for _ in range(2):
            found = states(lab, "-sM", "-p", ports, source=source, target=target)
            L.check(set(found.values()) == {"closed"}, "-sM: %s" % set(found.values()))
            lab.syn(source, 594)
    found = states(lab, "-sS", "-f", "-p", "1-300", source=lab.new_source()[0])
    L.check(set(found.values()) == {"open"}, "in fragments: %s" % set(found.values()))
    found = states(lab, "-sU", "-p", "40-70", source=lab.new_source()[0])
    L.check(set(found.values()) == {"open|filtered"}, "-sU: %s" % found)
    there = lab.link_local(lab.target)
    found = states(lab, "-sS", "-e", "lan0", "-p", "1-300", target=there + "%lan0")
    L.check(set(found.values()) == {"open"}, "link-local: %s" % set(found.values()))
    status = lab.sentries[-1].ask("status")
    L.check(status["deception"]["state"] == "active" and status["blocks"]["made"] == 0, "status: %s" % status["deception"])
    return "%d kinds of scan, %d ports each: one word for all" % (len(set(seen)) + 1, count)


@L.test("deception.doubt_begins_with_a_trigger_port_and_ends")
def doubt(lab):
    serve(lab)
    sentry = lab.sentry("-stcp", "-sudp", settings={"BLOCK_TCP": "1", "RULE": "classic", "DOUBT_TIME": "2s"})
    source = lab.new_source()[0]
    found = states(lab, "-sS", "-p", "20-30,2300", source=source)
    L.check(found == {p: "open" if p == 22 else "closed" for p in [*range(20, 31), 2300]}, "before: %s" % found)
    lab.syn(source, 111)
    found = states(lab, "-sS", "-p", "20-30,2300", source=source)
    L.check(set(found.values()) == {"open"}, "doubted: %s" % found)
    found = states(lab, "-sS", "-p", "23,24", source=lab.new_source()[0])
    L.check(set(found.values()) == {"closed"}, "somebody else: %s" % found)
    why = sentry.ask("why", source)
    L.check(why["doubted_seconds"] is not None and why["origin"] == "unproven" and why["block"] is None, "why: %s" % why)
    L.wait_for(lambda: sentry.ask("why", source)["doubted_seconds"] is None, 4, "the doubt to end")
    found = states(lab, "-sS", "-p", "20-30,2300", source=source)
    L.check(found[23] == "closed" and found[22] == "open", "after: %s" % found)
    sentry.wait_line("Host %s is not blocked: nothing proves" % re.escape(source))


@L.test("deception.a_framed_bystander_loses_nothing")
def framed(lab):
    serve(lab)
    http = lab.service(8080)
    udp = lab.service(5353, socket.SOCK_DGRAM)
    udp.settimeout(2)
    sentry = lab.sentry("-atcp", "-audp", settings={**ALL, "BLOCK_UDP": "1"})
    for bystander in lab.new_source():
        target = L.TARGET6 if ":" in bystander else L.TARGET4
        held = connect(lab, bystander, 22)
        link = lab.link()
        for port in range(1000, 1100):
            link.send(P.segment(bystander, target, 40000, port))
            link.send(P.datagram(bystander, target, 40000, port, b"x"))
        for flags in (0, P.FIN, P.FIN | P.PSH | P.URG, P.FIN | P.ACK, P.ACK):
            link.send(P.segment(bystander, target, 40000, 1500, flags))
        L.wait_for(lambda: sentry.ask("why", bystander)["doubted_seconds"] is not None, 2, "the doubt")
        failed = [p for p in SERVICES * 50 if not reachable(lab, bystander, p, tries=1)]
        L.check(not failed, "%d of 200 connections failed: %s" % (len(failed), failed[:5]))
        if ":" not in bystander:
            c = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_DGRAM)
            c.bind((bystander, 0))
            c.settimeout(2)
            c.sendto(b"question", (L.TARGET4, 5353))
            data, peer = udp.recvfrom(100)
            udp.sendto(b"answer", peer)
            L.check(c.recv(100) == b"answer", "the UDP service does not answer")
        held.send(b"still here")
        L.check(sentry.ask("why", bystander)["block"] is None, "blocked")
    L.check(not sentry.blocked(), "blocked: %s" % sentry.blocked())
    http.close()


@L.test("deception.first_decoy_connection_is_the_last")
def connect_scan(lab):
    """A connect scan is shut out with the first connection it completes to a decoy, and can be asked about."""
    serve(lab)
    sentry = lab.sentry("-atcp", settings=ALL)
    for family in (0, 1):
        source = (L.ATTACKER4, L.ATTACKER6)[family]
        target = (L.TARGET4, L.TARGET6)[family]
        if family:
            # Connections leave from the newest address of a prefix: use that.
            source = lab.open_socket(lab.attacker, socket.AF_INET6, socket.SOCK_DGRAM)
            source.connect((target, 9))
            source = source.getsockname()[0]
        found = states(lab, "-sT", "-p", "1-80", "--max-retries", "0", target=target)
        decoys = [p for p, s in found.items() if s == "open" and p not in SERVICES]
        L.check(len(decoys) <= 1, "IPv%d: %d decoys completed before the block: %s" % (4 + 2 * family, len(decoys), decoys[:9]))
        L.wait_for(lambda: source in sentry.blocked(), 3, lambda: "%s among %s" % (source, sentry.blocked()))
        why = sentry.ask("why", source)
        L.check(why["origin"] == "proven" and why["proof"]["by"] == "decoy" and why["verdict"]["holds"], "why: %s" % why)
    text = sentry.control_command("why", L.ATTACKER4).stdout
    L.check("proven: it completed a TCP handshake with the decoy" in text and "a scan, by the classic rule" in text, text)
    for again in (False, True):
        # One touch is one alert, and the block comes after it, whether it was expected or not.
        mark, other = sentry.mark(), lab.new_source()[0]
        if again:
            connect(lab, other, 700).close()
            L.wait_for(lambda: other in sentry.blocked(), 2, "the block")
            sentry.control_command("unblock", other)
            mark = sentry.mark()
        connect(lab, other, 701)
        L.wait_for(lambda: other in sentry.blocked(), 2, "the block")
        time.sleep(0.3)
        said = [t for t in sentry.texts(since=mark) if other in t]
        L.check(len(said) == 2 and said[0].endswith("to TCP port: 701") and "has been blocked" in said[1], "said: %s" % said)
    out = sentry.control_command("why", "192.0.2.77", ok=None)
    L.check(out.returncode == 1 and "nothing is known" in out.stderr, "why of a stranger: %s" % out.stderr)


@L.test("deception.no_forged_packet_blocks_anybody")
def forged(lab):
    """SYNs, datagrams, stealth probes and blind ACKs in many names, in every mode: nobody is blocked."""
    serve(lab)
    for number, modes in enumerate((["-atcp", "-audp"], ["-stcp", "-sudp"], ["-tcp", "-udp"], ["--stealth"], ["--connect"])):
        sentry = lab.sentry(*modes, name="mode%d" % number, settings={
            "BLOCK_TCP": "1", "BLOCK_UDP": "1", "RULE": "classic"})
        link = lab.link()
        names = ["10.77.0.%d" % n for n in range(101, 151)] + ["203.0.113.%d" % n for n in range(1, 50)]
        for name in names:
            for port in (11, 79, 111, 143, 540):
                link.send(P.segment(name, L.TARGET4, 40000, port, seq=1000))
                # A forger does not see our number, and guesses.
                link.send(P.segment(name, L.TARGET4, 40000, port, P.ACK, seq=1001, ack=0x12345678))
                link.send(P.segment(name, L.TARGET4, 40000, port, P.FIN))
                link.send(P.datagram(name, L.TARGET4, 40000, port, b"x"))
        time.sleep(0.5)
        L.check(not sentry.blocked() and not lab.nft_elements() & set(names) - doubted(lab), "%s: blocked %s" % (modes, sentry.blocked()))
        sentry.stop()


def doubted(lab):
    """Addresses in the sets of doubts."""
    text = lab.in_target("nft", "list", "table", "inet", "portsentry", ok=None).stdout
    found = set()
    for body in re.findall(r"set doubt[46] \{(.*?)\n\t\}", text, re.S):
        found |= set(re.findall(r"([0-9a-f.:]+) (?:timeout \S+ )?expires", body))
    return found


@L.test("deception.udp_needs_proof_by_tcp")
def udp(lab):
    sentry = lab.sentry("-atcp", "-audp", settings={"BLOCK_UDP": "1", "BLOCK_TCP": "1", "RULE": "classic"})
    source = lab.new_source()[0]
    link = lab.link()
    for port in range(500, 520):
        link.send(P.datagram(source, L.TARGET4, 40000, port, b"x"))
    sentry.wait_line("UDP scan from host: [^/]*/%s" % re.escape(source))
    time.sleep(0.3)
    L.check(source not in sentry.blocked(), "blocked by datagrams alone")
    L.check(connect(lab, source, 594), "the decoy did not answer")
    L.wait_for(lambda: source in sentry.blocked(), 2, "the block")


@L.test("deception.listeners_of_connect_mode_prove")
def listener(lab):
    sentry = lab.sentry("-tcp", settings={"BLOCK_TCP": "1", "RULE": "classic"})
    a4, a6 = lab.new_source()
    for source in (a4, a6):
        L.check(connect(lab, source, 111), "no connection")
        L.wait_for(lambda: source in sentry.blocked(), 2, "the block of %s" % source)
    why = sentry.ask("why", a4)
    L.check(why["proof"]["by"] == "listener" and why["proof"]["port"] == 111, "why: %s" % why)


@L.test("deception.one_wrong_port_is_no_scan_by_the_native_rule")
def wrong_port(lab):
    sentry = lab.sentry("-atcp", settings={"BLOCK_TCP": "1"})
    source = lab.new_source()[0]
    L.check(connect(lab, source, 594), "the decoy did not answer")
    L.wait_for(lambda: sentry.ask("why", source)["origin"] == "proven", 2, "the proof")
    time.sleep(0.3)
    L.check(source not in sentry.blocked(), "blocked for one port")
    L.check(sentry.ask("why", source)["verdict"] is None, "a verdict: %s" % sentry.ask("why", source))


BINDS = """
import socket, sys
bad = []
for port in map(int, sys.argv[1:3]):
    for reuse in (1, 0):
        for family, address in ((2, "0.0.0.0"), (10, "::"), (2, sys.argv[3]), (10, sys.argv[4])):
            s = socket.socket(family)
            s.setsockopt(1, 2, reuse)
            try:
                s.bind((address, port))
                s.listen()
            except OSError as error:
                bad.append("%s %d reuse %d: %s" % (address, port, reuse, error))
            s.close()
a, b = socket.socket(), socket.socket()
a.bind(("", int(sys.argv[1])))
a.listen()
try:
    b.bind(("", int(sys.argv[1])))
    b.listen()
    bad.append("two listeners at one port")
except OSError:
    pass
print("; ".join(bad))
"""


@L.test("deception.a_service_takes_its_port")
def takes_its_port(lab):
    """Whatever strangers hold at a decoy (open, or in TIME_WAIT), a service binds its port: with SO_REUSEADDR and without,
    on any address and on its own, both families. Two listeners at one port conflict as ever, and port 0 is closed."""
    sentry = lab.sentry("-atcp")
    a4, a6 = lab.new_source()
    held = [connect(lab, source, 80) for source in (a4, a6)]
    for source in (a4, a6):
        over = connect(lab, source, 81)
        over.send(b"GET / HTTP/1.0\r\n\r\n")
        L.check(over.recv(1000).startswith(b"HTTP/1.1 404"), "no answer on 81")
        over.close()
    time.sleep(0.5)
    said = lab.in_target(sys.executable, "-c", BINDS, "80", "81", L.TARGET4, L.TARGET6).stdout.strip()
    L.check(said == "", said)
    L.check(held[0].fileno() >= 0 and all(refused(lab, s, 0) for s in (a4, a6)), "port 0 answers")
    sentry.stop()


@L.test("deception.decoys_without_blocking")
def log_only(lab):
    """BLOCK 0, as the column says of the advanced modes: unused ports look open to everybody, and nothing else happens."""
    serve(lab, (22, 600))
    sentry = lab.sentry("-atcp", settings={"ADVANCED_EXCLUDE_TCP": "113,139"})
    a4, a6 = lab.new_source()
    for source in (a4, a6):
        for port in (1, 594, 1023, 22, 600):
            L.check(connect(lab, source, port), "%s does not reach port %d" % (source, port))
        for port in (113, 139, 1024, 2222):
            L.check(refused(lab, source, port), "port %d is open to %s" % (port, source))
    ssh = connect(lab, a4, 222)
    L.check(ssh.recv(100).startswith(b"SSH-2.0-"), "no greeting on 222")
    web = connect(lab, a4, 81)
    web.send(b"GET / HTTP/1.0\r\n\r\n")
    L.check(web.recv(1000).startswith(b"HTTP/1.1 404"), "no answer on 81")
    sql = connect(lab, a4, 1)
    sql.settimeout(0.3)
    try:
        L.check(sql.recv(10) == b"", "a silent port spoke")
    except socket.timeout:
        pass
    L.check(not sentry.blocked() and sentry.find("Ignoring TCP response"), "blocked, or not logged")
    status = sentry.ask("status")
    L.check(status["deception"]["connections"] == 9 and status["origin"]["proven"] == 2, "status: %s %s" % (
        status["deception"], status["origin"]))
    sentry.stop()
    L.check(ruleset(lab) == "", "left behind: %s" % ruleset(lab))
    lab.sentry("-atcp", name="banner", settings={"PORT_BANNER": "go away"})
    L.check(connect(lab, a4, 222).recv(100) == b"go away", "PORT_BANNER is not sent")
    lab.sentries[-1].stop()
    sentry = lab.sentry("-atcp", name="silent", settings={"ADVANCED_DECOY": "0"})
    L.check(refused(lab, a4, 594) and ruleset(lab) == "", "ADVANCED_DECOY=0 does not keep still")
    sentry.stop()


@L.test("deception.neighbours_of_the_trap")
def neighbours(lab):
    """Aliases, services of one address, late services, redirected ports, what is only passed on."""
    lab.in_target("ip", "addr", "add", "10.77.0.3/24", "dev", "lan0")
    lab.in_target("ip", "addr", "add", "10.77.0.4/32", "dev", "lo")
    lab.in_attacker("ip", "route", "add", "10.77.0.4", "via", L.TARGET4)
    lab.service(80)
    lab.service(81, address=L.TARGET4)
    # A house behind the target, with a service and a closed port.
    inner = "ps-inner-%d" % os.getpid()
    L.run(["ip", "netns", "add", inner])
    try:
        L.run(["ip", "link", "add", "inner0", "netns", lab.target, "type", "veth", "peer", "name", "inner0", "netns", inner])
        for namespace, last in ((lab.target, 1), (inner, 2)):
            L.run(["ip", "-n", namespace, "addr", "add", "10.66.0.%d/24" % last, "dev", "inner0"])
            L.run(["ip", "-n", namespace, "link", "set", "inner0", "up"])
        L.run(["ip", "-n", inner, "route", "add", "default", "via", "10.66.0.1"])
        lab.in_target("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        lab.in_attacker("ip", "route", "add", "10.66.0.0/24", "via", L.TARGET4)
        s = lab.open_socket(inner, socket.AF_INET, socket.SOCK_STREAM)
        s.bind(("0.0.0.0", 7000))
        s.listen(64)
        lab.in_target("nft", "-f", "-", input="""table ip admin {
 chain d { type nat hook prerouting priority dstnat;
  tcp dport 8080 redirect to :80
  tcp dport 7001 dnat to 10.66.0.2:7000
 }
}
""")
        before = foreign(lab)
        sentry = lab.sentry("-atcp", "-i", "lan0", settings={**ALL, "ADVANCED_DECOY": "0"})
        source = lab.new_source()[0]
        lab.syn(source, 9999)
        L.wait_for(lambda: sentry.ask("why", source)["doubted_seconds"] is not None, 2, "the doubt")
        for port, target in ((80, L.TARGET4), (80, "10.77.0.3"), (80, "10.77.0.4"), (81, L.TARGET4), (8080, L.TARGET4),
                             (7001, L.TARGET4), (7000, "10.66.0.2")):
            L.check(connect(lab, source, port, target), "%s port %d is not reached by a doubted source" % (target, port))
        L.check(refused(lab, source, 7002, "10.66.0.2"), "a closed port of the house behind us was answered")
        late = lab.service(82)
        for _ in range(3):
            L.check(connect(lab, source, 82), "a service that has just started is not reached")
        late.close()
        link = lab.link()
        answers = lab.count("tcp flags & (syn|ack) == syn", "syns")
        L.check(answers() >= 0, "")
        # Ports that only look open: an alias, and one that is served on another address.
        for port, target in ((82, L.TARGET4), (9000, "10.77.0.3"), (9000, "10.77.0.4"), (81, "10.77.0.3")):
            found = states(lab, "-sS", "-p", str(port), source=source, target=target)
            L.check(found == {port: "open"}, "%s port %d: %s" % (target, port, found))
        link.close()
        L.check(not sentry.blocked(), "somebody was blocked: %s" % sentry.blocked())
        L.check(foreign(lab).replace("table inet lab", "") .startswith(before[:40]), "the administrator's rules changed")
        # By way of another interface nobody is lied to.
        s = lab.open_socket(inner, socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(1)
        with contextlib.suppress(ConnectionRefusedError):
            s.connect(("10.66.0.1", 9000))
            raise L.Failure("an interface that is not watched lies")
        sentry.stop()
        L.check("portsentry" not in ruleset(lab), "rules are left")
    finally:
        for pid in lab.pids(inner):
            os.kill(pid, signal.SIGKILL)
        L.run(["ip", "netns", "del", inner])


def table(rules, family="inet", hook="input priority filter; policy accept;", more=""):
    """A table `theirs` with a chain `i`."""
    return "table %s theirs {\n%s chain i {\n  type filter hook %s\n  %s\n }\n}\n" % (family, more, hook, "\n  ".join(rules))


KNOWN = ["ct state established,related accept", "iif lo accept", "tcp dport 22 accept",
         "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"]
BEHIND = "got from the rules of PortSentry to the decoys"
BEFORE = "reached the rules of PortSentry"


@L.test("deception.behind_a_firewall")
def firewall(lab):
    """A firewall that drops what it does not know hides the decoys, whatever it is made with: that is said, and one rule mends it."""
    serve(lab, (22,))
    mend = ("nft", "insert", "rule", "inet", "theirs", "i", "socket", "transparent", "1", "accept")
    policy = "input priority filter; policy drop;"
    # What it is made with, where packets are lost, and what lets the decoys through.
    ways = [
        (table(KNOWN, hook=policy), BEHIND, mend),
        (table(KNOWN + ["counter reject"]), BEHIND, None),
        (table(["goto rules"], more=" chain rules {\n  %s\n  drop\n }\n" % "\n  ".join(KNOWN)), BEHIND, None),
        (table(["tcp dport { 22, 443 } accept", "meta l4proto tcp drop", "udp dport 53 accept"]), BEHIND, None),
        (table(["ct state new tcp dport != { 22, 443 } drop"]), BEHIND, mend),
        (table(["tcp dport != 22 tcp flags & (syn | ack) == syn drop"], hook="prerouting priority raw; policy accept;"),
         BEFORE, None),
        (table(["tcp dport 1-65535 tcp dport != 22 drop"], "netdev", 'ingress device "lan0" priority 0; policy accept;'),
         BEFORE, None)]
    for tool in ("iptables-nft", "iptables-legacy"):
        if shutil.which(tool):
            ways.append((tool, BEHIND, (tool, *"-I INPUT -m socket --transparent -j ACCEPT".split())))
    for number, (rules, where, mend) in enumerate(ways):
        if rules.startswith("table"):
            lab.in_target("nft", "-f", "-", input=rules)
        else:
            for words in ("-P INPUT DROP", "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
                          "-A INPUT -p tcp --dport 22 -j ACCEPT"):
                lab.in_target(rules, *words.split())
        both = rules.startswith("table")
        sentry = lab.sentry("-atcp", name="wall%d" % number, settings=ALL)
        sentry.wait_line("DECOYS ARE HIDDEN by the firewall of this host on lan0 \\(IPv4%s\\): none of [0-9]+ test packets %s"
                         % (", IPv6" if both else "", where))
        L.check("HIDDEN by the firewall" in sentry.control_command("status").stdout, "%s: status does not say so" % rules)
        L.check(sentry.ask("status")["deception"]["hidden"] == ["lan0 IPv4"] + ["lan0 IPv6"] * both, "the JSON does not say so")
        L.check("Decoys: HIDDEN on lan0 IPv4" in sentry.control_command("check").stdout, "%s: check does not say so" % rules)
        L.check(not sentry.find("attackalert"), "a test packet of ours is an alert")
        source = lab.new_source()[0]
        L.check(not connect(lab, source, 594, timeout=0.3), "%s hides nothing" % rules)
        if mend:
            lab.in_target(*mend)
            for family in range(1 + both):
                found = states(lab, "-sS", "-p", "22,594", source=lab.new_source()[family], target=(L.TARGET4, L.TARGET6)[family])
                L.check(found == {22: "open", 594: "open"}, "%s: not mended for IPv%d: %s" % (rules, 4 + 2 * family, found))
            source = lab.new_source()[0]
            L.check(connect(lab, source, 594), "%s: the decoy does not answer" % rules)
            L.wait_for(lambda: source in sentry.blocked(), 2, "the block")
            # At most a test in five seconds.
            sentry.wait_line("decoys are visible again on lan0", timeout=8)
            L.check("HIDDEN" not in sentry.control_command("status").stdout, "%s: status has not seen it" % rules)
            L.check(sentry.ask("status")["deception"]["hidden"] == [], "nor has the JSON")
            sentry.stop()
            sentry.launch()
            L.check(not sentry.find("DECOYS ARE HIDDEN", sentry.launch_mark), "it is said of an open way, too")
        sentry.stop()
        lab.in_target("nft", "flush", "ruleset")
        if rules == "iptables-legacy":
            lab.in_target(rules, "-F", "INPUT")
            lab.in_target(rules, "-P", "INPUT", "ACCEPT")
    return "%d ways of closing" % len(ways)


@L.test("deception.hidden_later")
def hidden_later(lab):
    """A firewall that comes while we run is noticed with the next stranger; one that drops a single source is none."""
    sentry = lab.sentry("-atcp", settings=ALL)
    alone, other = lab.new_source()[0], lab.new_source()[0]
    lab.in_target("nft", "-f", "-", input=table(["ip saddr %s drop" % alone]))
    for port in range(600, 620):
        connect(lab, alone, port, timeout=0.05)
    time.sleep(6)
    L.check(not sentry.find("DECOYS ARE HIDDEN"), "one source that is dropped hides them from all")
    lab.in_target("nft", "flush", "ruleset")
    L.wait_for(lambda: "portsentry" in lab.in_target("nft", "list", "tables").stdout, 5, "our table to be made again")
    lab.in_target("nft", "-f", "-", input=table(KNOWN, hook="input priority filter; policy drop;"))
    mark = sentry.mark()
    connect(lab, other, 620, timeout=0.3)
    sentry.wait_line("DECOYS ARE HIDDEN by the firewall of this host on lan0", timeout=8, since=mark)
    L.check(sum("DECOYS ARE HIDDEN" in text for text in sentry.texts()) == 1, "said more than once")


@L.test("deception.behind_a_bridge")
def bridge(lab):
    """br_netfilter takes from packets of a bridge what our rules decided: decoys answer all the same, and what it does later is noticed."""
    settings = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")
    if lab.in_target("sysctl", "-n", settings[0], ok=(0, 1, 255)).returncode:
        raise L.Skip("no br_netfilter in this kernel")

    def filtered(value):
        lab.in_target("sysctl", "-qw", *["%s=%d" % (name, value) for name in settings])

    filtered(0)
    for words in ("link add br0 type bridge", "addr flush dev lan0", "link set lan0 master br0", "link set br0 up",
                  "addr add %s/24 dev br0" % L.TARGET4, "addr add %s/64 dev br0 nodad" % L.TARGET6):
        lab.in_target("ip", *words.split())
    serve(lab, (22,))
    sentry = lab.sentry("-atcp", settings=ALL)

    client, waiting = lab.new_source(), lab.new_source()[0]

    def is_right(what):
        scanner, banned = lab.new_source(), lab.new_source()
        for family in (0, 1):
            target = (L.TARGET4, L.TARGET6)[family]
            found = states(lab, "-sS", "-p", "22,594", source=scanner[family], target=target)
            L.check(found == {22: "open", 594: "open"}, "%s: IPv%d: %s" % (what, 4 + 2 * family, found))
            L.check(connect(lab, banned[family], 594, target), "%s: the decoy does not answer %s" % (what, banned[family]))
            L.wait_for(lambda: banned[family] in " ".join(sentry.blocked()), 2, "%s: the block of %s" % (what, banned[family]))
            L.check(connect(lab, client[family], 22, target), "%s: a service does not answer" % what)

    is_right("without br_netfilter")
    filtered(1)
    sentry.stop()
    sentry.launch()
    is_right("with br_netfilter")
    L.check(not sentry.find("DECOYS ARE HIDDEN", sentry.launch_mark), "it is said that they are hidden")
    filtered(0)
    sentry.stop()
    sentry.launch()
    filtered(1)
    # The first who gets no answer makes it notice.
    L.wait_for(lambda: connect(lab, waiting, 594, timeout=0.3), 10, "the decoys to answer again")
    is_right("with br_netfilter, later")


@L.test("deception.who_is_spared")
def spared(lab):
    """Gateway, resolver and ignore file are neither doubted nor deceived, and edits count at once."""
    serve(lab)
    friend, resolver, later = lab.new_source()[0], lab.new_source()[0], lab.new_source()[0]
    conf = lab.folder + "/resolv.conf"
    open(conf, "w").write("nameserver %s\n" % resolver)
    lab.in_target("ip", "route", "add", "default", "via", L.ATTACKER4)
    sentry = lab.sentry("-atcp", settings=ALL, ignore="%s\n" % friend,
                        mounts='mount --bind %s "$(readlink -f /etc/resolv.conf)"' % conf)
    for who in (friend, resolver, L.ATTACKER4):
        L.check(refused(lab, who, 594) and refused(lab, who, 9999), "%s is deceived" % who)
    sentry.write(sentry.ignore_file, "%s\n%s\n" % (friend, later))
    L.wait_for(lambda: refused(lab, later, 594), 3, "the new line of the ignore file to count")
    sentry.write(sentry.ignore_file, "")
    L.wait_for(lambda: not refused(lab, friend, 595), 3, "the removed line of the ignore file to count")
    L.check(L.ATTACKER4 not in sentry.blocked() and resolver not in sentry.blocked(), "blocked: %s" % sentry.blocked())


@L.test("deception.safe_list_is_found")
def safe_list(lab):
    """Time and DHCP servers are found in the files of those who use them, and refused blocks are said."""
    time_server, dhcp = lab.new_source()[0], lab.new_source()[0]
    copy = lab.folder + "/etc-copy"
    sentry = lab.sentry("-atcp", settings=ALL, mounts="\n".join([
        "cp -a /etc %s" % copy, "mount --bind %s /etc" % copy, "mkdir -p /etc/chrony", "mount -t tmpfs none /var/lib",
        "mkdir -p /var/lib/dhcp", "echo 'server %s iburst' > /etc/chrony/chrony.conf" % time_server,
        "printf 'lease {\\n  option dhcp-server-identifier %s;\\n}\\n' > /var/lib/dhcp/dhclient.lan0.leases" % dhcp]))
    never = {e["network"]: e["reason"] for e in sentry.ask("status")["never_blocked"]}
    L.check(never.get(time_server) == "a time server in /etc/chrony/chrony.conf", "status: %s" % never)
    L.check(never.get(dhcp) == "the DHCP server in /var/lib/dhcp/dhclient.lan0.leases", "status: %s" % never)
    text = sentry.control_command("status").stdout
    L.check(time_server in text and "time server" in text, "status: %s" % text)
    L.check(refused(lab, time_server, 594), "a time server is deceived")
    out = sentry.control_command("block", dhcp, ok=None)
    L.check(out.returncode == 1 and "the DHCP server" in out.stderr, "block by hand: %s" % out.stderr)


@L.test("deception.peers_who_talk_are_refused_a_block")
def peers(lab):
    """Who talked with a service before is not blocked for touching a decoy; who connects after that is."""
    service = lab.service(22)
    sentry = lab.sentry("-atcp", settings=ALL)
    friend, scanner = lab.new_source()[0], lab.new_source()[0]
    c = connect(lab, friend, 22)
    accepted, _ = service.accept()
    for a, b in ((c, accepted), (accepted, c)):
        a.send(b"words")
        b.recv(10)
    L.check(connect(lab, friend, 594), "the decoy did not answer")
    sentry.wait_line("Host %s is not blocked: it is the peer of an established connection" % re.escape(friend))
    why = sentry.ask("why", friend)
    L.check(why["block"] is None and "established" in why["refused"], "why: %s" % why)
    c.send(b"more words")
    L.check(accepted.recv(20) == b"more words", "the conversation was cut off")
    # A scanner first touches, and talks with a service then: that protects nobody.
    lab.syn(scanner, 594)
    sentry.wait_line("from host: [^/]*/%s to" % re.escape(scanner))
    c2 = connect(lab, scanner, 22)
    a2, _ = service.accept()
    for a, b in ((c2, a2), (a2, c2)):
        a.send(b"words")
        b.recv(10)
    time.sleep(1.1)
    L.check(connect(lab, scanner, 595), "the decoy did not answer")
    L.wait_for(lambda: scanner in sentry.blocked(), 2, "the scanner to be blocked")


@L.test("deception.ends_with_the_sentry")
def ends(lab):
    """After TERM nothing but bans is left, after kill -9 nothing lies, and a start makes all of it again."""
    serve(lab)
    lab.in_target("nft", "-f", "-", input="table inet somebody {\n chain c { type filter hook input priority 0; }\n}\n")
    before = ruleset(lab)
    sentry = lab.sentry("-atcp", settings={**ALL, "DOUBT_TIME": "3s"})
    a, b, c = (lab.new_source()[0] for _ in range(3))
    L.check(connect(lab, a, 594), "the decoy did not answer")
    L.wait_for(lambda: a in sentry.blocked(), 2, "the block")
    lab.syn(b, 600)
    sentry.stop(signal.SIGKILL)
    L.check(refused(lab, b, 9999) and refused(lab, c, 594), "something lies without a sentry")
    L.check(all(reachable(lab, b, p, tries=1) for p in SERVICES), "a service is not reached after kill -9")
    L.check(not reachable(lab, a, 22, tries=1), "the ban did not outlive kill -9")
    L.wait_for(lambda: not doubted(lab), 5, "the doubts to end by themselves")
    sentry.launch()
    found = states(lab, "-sS", "-p", "22,594,9999", source=b)
    L.check(set(found.values()) == {"open"} and len(found) == 3, "after a new start: %s" % found)
    sentry.control_command("unblock", a)
    sentry.stop()
    L.check(ruleset(lab) == before, "left behind: %s" % ruleset(lab))
    L.check(refused(lab, c, 594), "something lies after TERM")


@L.test("deception.foreign_hands")
def hands(lab):
    """A flushed ruleset is mended, and a saved one can be loaded."""
    serve(lab)
    sentry = lab.sentry("-atcp", settings=ALL)
    source = lab.new_source()[0]
    lab.syn(source, 600)
    time.sleep(0.2)
    saved = lab.in_target("nft", "list", "ruleset").stdout
    lab.in_target("nft", "flush", "ruleset")
    begun = time.monotonic()
    L.wait_for(lambda: states(lab, "-sS", "-p", "594", source=source) == {594: "open"}, 5, "the trap again")
    took = time.monotonic() - begun
    lab.in_target("nft", "flush", "ruleset")
    lab.in_target("nft", "-f", "-", input=saved)
    time.sleep(0.5)
    found = states(lab, "-sS", "-p", "22,594,9999", source=lab.new_source()[0])
    L.check(set(found.values()) == {"open"}, "after loading a saved ruleset: %s" % found)
    lab.in_target("nft", "flush", "chain", "inet", "portsentry", "trap_tcp")
    L.wait_for(lambda: states(lab, "-sS", "-p", "594", source=lab.new_source()[0]) == {594: "open"}, 5, "a flushed chain to be mended")
    L.check(sentry.ask("status")["deception"]["state"] == "active", "status")
    return "deceives again %.1f s after `nft flush ruleset`" % took


@L.test("deception.without_the_right_to")
def no_right(lab):
    """No CAP_NET_ADMIN: one line says what is lost, and the rest goes on."""
    sentry = lab.sentry("-atcp", settings={**ALL, "BLOCK_TCP": "0"},
                        mounts='set -- setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$@"')
    said = sentry.wait_line("NO DECEPTION.*")
    source = lab.new_source()[0]
    L.check(refused(lab, source, 594), "it is deceived after all")
    sentry.wait_line("from host: [^/]*/%s to" % re.escape(source))
    time.sleep(1.5)
    L.check(len([t for t in sentry.texts() if "NO DECEPTION" in t]) == 1, "said more than once")
    return said.group(0)[:100]


@L.test("deception.tarpit")
def tarpit(lab):
    """Connections that are held cost nothing worth naming, and are bounded for each source and in all."""
    sentry = lab.sentry("-atcp", settings={"DECOY_TARPIT": "1", "ADVANCED_PORTS_TCP": "65535"})
    sources = [lab.new_source()[0] for _ in range(70)]
    mine = [connect(lab, sources[0], 1000 + n) for n in range(40)]
    time.sleep(0.2)
    status = sentry.ask("status")["deception"]
    L.check(status["held"] == 32, "held of one source: %s" % status)
    # Control: a service keeps what comes.
    lab.service(80).listen(4096)
    L.check(all(connect(lab, sources[0], 80) for _ in range(40)), "the service has not taken forty connections")
    kept = lab.in_target("ss", "-Htn", "state", "established", "sport", "=", ":80").stdout.count("\n")
    L.check(kept == 40, "the control: a service keeps %d of forty connections" % kept)
    before, cpu = L.resident_kib(sentry.pid), L.cpu_seconds(sentry.pid)
    kernel = slab(lab)
    many = [connect(lab, s, 1000 + n) for s in sources[1:] for n in range(30)]
    L.check(all(many), "%d of %d connections failed" % (sum(1 for m in many if not m), len(many)))
    time.sleep(0.3)
    status = sentry.ask("status")["deception"]
    L.check(status["held"] == 2048, "held in all: %s" % status)
    spent = L.cpu_seconds(sentry.pid) - cpu
    # Each peer has much to say; the kernel keeps what fits into the smallest buffer.
    c = many[-1]
    c.settimeout(0.2)
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 1 << 22:
            sent += c.send(b"x" * 4096)
    grown, kernel = L.resident_kib(sentry.pid) - before, slab(lab) - kernel
    cpu = L.cpu_seconds(sentry.pid)
    time.sleep(3)
    idle = L.cpu_seconds(sentry.pid) - cpu
    for m in mine + many:
        if m:
            m.close()
    L.check(idle < 0.05, "%.3f s of CPU in 3 s for holding" % idle)
    L.check(grown < 4096, "%d KiB for 2,048 connections" % grown)
    return "2,048 held by %d KiB of ours; %.0f us each to take, %.1f ms a second to hold all" % (
        grown, spent / len(many) * 1e6, idle / 3 * 1e3)


def slab(lab):
    """KiB in the kernel's caches of TCP sockets."""
    for line in open("/proc/meminfo"):
        if line.startswith("Slab:"):
            return int(line.split()[1])


def capture(lab, body, match, timeout=3, count=1):
    """Packets that the attacker receives while `body` runs, as bytes from the network header."""
    s = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    s.bind(("lan0", 3))
    s.settimeout(0.2)
    body()
    found, end = [], time.monotonic() + timeout
    while len(found) < count and time.monotonic() < end:
        try:
            data, about = s.recvfrom(2048)
        except socket.timeout:
            continue
        if about[2] != 4 and match(data):
            found.append(data)
    s.close()
    return found


def syn_ack(data, v6):
    """What a fingerprint is made of: TTL, DF, window, options; nil for another packet."""
    head = 40 if v6 else (data[0] & 15) * 4
    if len(data) < head + 20 or data[0] >> 4 != (6 if v6 else 4) or data[6 if v6 else 9] != 6:
        return None
    tcp = data[head:]
    if tcp[13] & 0x12 != 0x12:
        return None
    options, rest = [], tcp[20:(tcp[12] >> 4) * 4]
    while rest:
        kind = rest[0]
        if kind in (0, 1):
            options.append(kind)
            rest = rest[1:]
            continue
        # A timestamp changes; its place does not.
        options.append((kind, b"" if kind == 8 else bytes(rest[2:rest[1]])))
        rest = rest[rest[1]:]
    # The flow label is another for each connection.
    ip = (data[7], data[0], data[1] & 0xf0) if v6 else (data[8], data[1], data[6] & 0x40)
    return struct.unpack("!H", tcp[0:2])[0], (ip, tcp[13], struct.unpack("!H", tcp[14:16])[0], tuple(options))


@L.test("deception.a_decoy_answers_like_a_service")
def alike(lab):
    """SYN/ACKs of decoys and services agree in every field that a fingerprint is made of, and in time."""
    serve(lab, (22,))
    lab.sentry("-atcp", settings=ALL)
    a4, a6 = lab.new_source()
    link = lab.link()
    options = {
        "nmap": b"\x02\x04\x05\xb4", "none": b"",
        "linux": b"\x02\x04\x05\xb4\x04\x02\x08\x0a" + struct.pack("!II", 1, 0) + b"\x01\x03\x03\x07",
        "windows": b"\x02\x04\x05\xb4\x01\x03\x03\x08\x01\x01\x04\x02", "odd MSS": b"\x02\x04\x01\x09"}
    compared = 0
    for source, target in ((a4, L.TARGET4), (a6, L.TARGET6)):
        for name, text in options.items():
            answers = {}
            for port in (22, 594):
                frame = syn_with(source, target, 41000 + compared, port, text)
                found = capture(lab, lambda: link.send(frame), lambda d: syn_ack(d, ":" in source))
                L.check(found, "no SYN/ACK from port %d" % port)
                sport, answers[port] = syn_ack(found[0], ":" in source)
                L.check(sport == port, "an answer from port %d" % sport)
            L.check(answers[22] == answers[594], "%s: the service %s, the decoy %s" % (name, answers[22], answers[594]))
            compared += 1
    # Time from SYN to SYN/ACK, in turn.
    s = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    s.bind(("lan0", 3))
    s.settimeout(1)
    times = {22: [], 594: []}
    for n in range(600):
        port = (22, 594)[n % 2]
        frame = syn_with(a4, L.TARGET4, 30000 + n, port, options["nmap"])
        begun = time.perf_counter()
        link.send(frame)
        while True:
            data, about = s.recvfrom(2048)
            answer = about[2] != 4 and syn_ack(data, False)
            if answer and answer[0] == port:
                break
        times[port].append(time.perf_counter() - begun)
    service, decoy = (statistics.median(times[p]) * 1e6 for p in (22, 594))
    L.check(abs(decoy - service) < max(10, 0.25 * service), "a decoy answers after %.1f us, a service after %.1f us" % (decoy, service))
    return "%d pairs of SYN/ACKs alike; answered after %.1f us (service) and %.1f us (decoy)" % (compared, service, decoy)


def syn_with(source, target, sport, dport, options):
    head = struct.pack("!HHIIBBHHH", sport, dport, 7, 0, (20 + len(options)) // 4 << 4, P.SYN, 1024, 0, 0) + options
    value = P.checksum(P._pseudo(source, target, P.TCP, len(head)) + head)
    return P.packet(source, target, P.TCP, head[:16] + struct.pack("!H", value) + head[18:])


@L.test("deception.trial")
def trial(lab):
    """Blocks of a trial end with it, also when nobody is left to lift them; confirmed, they stay."""
    serve(lab)
    sentry = lab.sentry("-atcp", settings=ALL, options=["--trial", "3s"])
    sentry.wait_line("TRIAL: every block made from now on is lifted in 3s")
    a, b = lab.new_source()[0], lab.new_source()[0]
    L.check(connect(lab, a, 594), "the decoy did not answer")
    L.wait_for(lambda: a in sentry.blocked(), 2, "the block")
    sentry.wait_line("TRIAL OVER", 5)
    L.check(not sentry.blocked() and reachable(lab, a, 22), "still blocked after the trial")
    mark = sentry.mark()
    L.check(connect(lab, b, 594), "the decoy did not answer")
    sentry.wait_line("Host %s is not blocked: the trial was not confirmed" % re.escape(b), since=mark)
    L.check("OVER" in sentry.control_command("status").stdout, "status says nothing of the trial")
    sentry.control_command("confirm")
    L.check(connect(lab, b, 595), "the decoy did not answer")
    L.wait_for(lambda: b in sentry.blocked(), 2, "a block after a late confirmation")
    out = sentry.control_command("confirm", ok=None)
    L.check(out.returncode == 1, "a second confirmation was taken")
    sentry.stop()

    sentry = lab.sentry("-atcp", name="confirmed", settings=ALL, options=["--trial", "3s"])
    c, d = lab.new_source()[0], lab.new_source()[0]
    L.check(connect(lab, c, 594), "the decoy did not answer")
    L.wait_for(lambda: c in sentry.blocked(), 2, "the block")
    sentry.control_command("confirm")
    time.sleep(3.2)
    L.check(c in sentry.blocked() and not reachable(lab, c, 22, tries=1), "the confirmed block has ended")
    L.check(not sentry.find("TRIAL OVER"), "the trial ended in spite of the confirmation")
    sentry.stop()

    sentry = lab.sentry("-atcp", name="killed", settings=ALL, options=["--trial", "3s"])
    L.check(connect(lab, d, 594), "the decoy did not answer")
    L.wait_for(lambda: d in sentry.blocked(), 2, "the block")
    sentry.stop(signal.SIGKILL)
    L.check(not reachable(lab, d, 22, tries=1), "the block ended with the sentry")
    L.wait_for(lambda: reachable(lab, d, 22, tries=1), 5, "the kernel to lift a trial's block by itself")


@L.test("deception.repeat_offenders")
def repeats(lab):
    """Each block of the same source lasts twice as long, up to BLOCK_TIME_MAX, also after a restart."""
    sentry = lab.sentry("-atcp", settings={**ALL, "BLOCK_TIME": "1s", "BLOCK_TIME_MAX": "3s"})
    source = lab.new_source()[0]

    def once():
        L.check(connect(lab, source, 594), "the decoy did not answer")
        entry = L.wait_for(lambda: next((e for e in sentry.ask("blocked") if e["network"] == source), None), 2, "the block")
        L.wait_for(lambda: source not in sentry.blocked(), 5, "the end of the block", 0.05)
        return entry["until"] - entry["since"]
    terms = [once(), once()]
    sentry.stop(signal.SIGKILL)
    sentry.launch()
    terms += [once(), once()]
    L.check(terms == [1, 2, 3, 3], "terms: %s s" % terms)
    why = sentry.ask("why", source)
    L.check(why["blocked_before"] == 4, "why: %s" % why)
    return "1 s, 2 s, after kill -9 3 s, 3 s"


@L.test("deception.prefixes_of_ipv6")
def prefixes(lab):
    """Four proven members of a /64 have it blocked whole; forged ones never."""
    serve(lab)
    lab.in_attacker("ip", "-6", "route", "add", "local", "fd99::/48", "dev", "lo")
    lab.in_attacker("sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind")
    lab.in_target("ip", "-6", "route", "add", "fd99::/48", "via", L.ATTACKER6)
    sentry = lab.sentry("-atcp", settings=ALL)
    for n in range(1, 20):
        lab.syn("fd99:0:0:2::%d" % n, 594)
    for n in range(1, 5):
        L.check(connect(lab, "fd99:0:0:1::%d" % n, 594), "the decoy did not answer")
        # The members stay blocked beside it, so that it can be undone alone.
        expected = {"fd99:0:0:1::%d" % m for m in range(1, n + 1)} | ({"fd99:0:0:1::/64"} if n == 4 else set())
        L.wait_for(lambda: sentry.blocked() == expected, 2, lambda: "%s; blocked: %s" % (expected, sentry.blocked()))
    L.check(not reachable(lab, "fd99:0:0:1::99", 22, tries=1), "a neighbour within the /64 gets in")
    L.check(reachable(lab, "fd99:0:0:3::1", 22), "a neighbour outside is shut out")
    L.check("/64" in str(lab.nft_elements()), "the kernel's sets: %s" % lab.nft_elements())
    why = sentry.control_command("why", "fd99:0:0:1::99").stdout
    L.check("as part of fd99:0:0:1::/64" in why, why)
    sentry.stop(signal.SIGKILL)
    sentry.launch()
    L.check(sentry.blocked() == expected, "after a restart: %s" % sentry.blocked())
    sentry.control_command("unblock", "fd99:0:0:1::/64")
    L.check(reachable(lab, "fd99:0:0:1::99", 22), "still shut out")


if __name__ == "__main__":
    raise SystemExit(L.main())
