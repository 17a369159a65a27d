"""Ways past the sentry that use what it is made of: cookies, fragments, many addresses, patience, neighbours, and what it sends by
itself."""

import collections
import ipaddress
import os
import socket
import struct
import time

import crowd as C
import lab as L
import oracles as O
import packets as P
from attack import own
from deception import connect, doubted
from learned import learned
from resilience import reachable
from spared import echo, talks

CLASSIC = {"ADVANCED_PORTS_TCP": "65535", "ADVANCED_EXCLUDE_TCP": None, "BLOCK_TCP": "1", "RULE": "classic"}
NATIVE = {**CLASSIC, "RULE": "native"}


def exchange(lab, peer, link, syn=None, ack=None):
    """A handshake by hand: whoever sees the answer (or guesses it) acknowledges it. False where there was none."""
    ear = O.Ear(lab)
    for packet in syn or [peer.syn(options=O.MSS)]:
        link.send(packet)

    def answer():
        for packet in ear.hear():
            found = O.parse(packet)
            if found and found[0] == peer.source and found[2] == peer.port and found[1][0] != "icmp":
                return found[4]

    try:
        peer.isn = L.wait_for(answer, 2, "")
    except L.Failure:
        return False
    finally:
        ear.close()
    for packet in ack() if ack else [peer.syn(flags=P.ACK, seq=1, ack=1)]:
        link.send(packet)
    return True


@L.test("evasion.guessed_cookie")
def guessed_cookie(lab):
    """An ACK in a bystander's name that hits a SYN cookie is no proof; two of them are, and so is a handshake without a cookie."""
    C.settle(lab)
    for modes, port in ((["-atcp"], 594), (["-tcp"], 111)):
        # A change while it runs is seen within a minute.
        lab.in_target("sysctl", "-qw", "net.ipv4.tcp_syncookies=2")
        sentry = lab.sentry(*modes, name="mode" + modes[0], settings=CLASSIC)
        # In this state of the kernel every SYN/ACK is a cookie. A forger needs 2^29 tries for what we read off the cable.
        link = lab.link()
        for family in O.FAMILIES:
            first = O.Peer(family, port)
            L.check(exchange(lab, first, link), "no SYN/ACK")
            again = O.Peer(family, port)
            again.source, again.sport, again.isn = first.source, first.sport, first.isn
            link.send(again.syn(flags=P.ACK, seq=1, ack=1))
            L.wait_for(lambda: sentry.find("from host: [^/]*/%s to" % first.source), 3, "the touch to be told")
            time.sleep(0.5)
            L.check(sentry.blocked() == set(), "%s: blocked by one ACK: %s" % (modes, sentry.blocked()))
            why = sentry.ask("why", first.source)
            L.check(why["origin"] == "unproven", "%s: %s" % (modes, why))
            L.check(reachable_by_hand(lab, first, link), "the bystander is shut out by the gate")
            second = O.Peer(family, port)
            second.source = first.source
            L.check(exchange(lab, second, link), "no SYN/ACK")
            L.wait_for(lambda: first.source in sentry.blocked(), 3, "%s: the block after two" % modes)
            sentry.control_command("unblock", first.source)
        # Control: without a cookie one handshake is proof.
        lab.in_target("sysctl", "-qw", "net.ipv4.tcp_syncookies=1")
        peer = O.Peer(4, port)
        L.check(exchange(lab, peer, link), "no SYN/ACK")
        L.wait_for(lambda: peer.source in sentry.blocked(), 3, "the control: a block without a cookie")
        link.close()
        sentry.stop()
    return "decoys and listeners of connect mode, both families: one is no proof, two are"


def reachable_by_hand(lab, peer, link):
    """Whether a SYN from this source is answered."""
    other = O.Peer(peer.family, peer.port)
    other.source = peer.source
    ok = exchange(lab, other, link, ack=lambda: [other.syn(flags=P.RST, seq=1)])
    return ok


@L.test("evasion.handshakes_that_are_hard_to_read")
def hard_to_read(lab):
    """Handshakes in fragments and behind extension headers of any length are contacts like others: blocked by the third port or the first."""
    C.settle(lab)
    dest, hop = P.DESTINATION_OPTIONS, P.HOP_BY_HOP

    def cut(peer, flags, seq=0, ack=None):
        body = peer.tcp(flags=flags, seq=seq, ack=ack, options=O.LINUX if flags == P.SYN else O.NOP * 20)
        ident = 0x5000 + O.Peer.serial * 2 + (ack is not None)
        if peer.family == 4:
            return [peer.ip(body[8:], fragment=8, more=False, ident=ident), peer.ip(body[:8], fragment=0, more=True, ident=ident)]
        # The kernel wants the whole of TCP's fixed header in the first one.
        return [
            peer.ip(body[a:b], extensions=[(P.FRAGMENT, P.fragment_header(a, b < len(body), ident))]) for a, b in ((24, len(body)), (0, 24))
        ]

    def behind(number, length):
        return lambda peer, flags, seq=0, ack=None: [
            peer.ip(peer.tcp(flags=flags, seq=seq, ack=ack), extensions=[O.extension(number, length)])
        ]

    ways = {
        "fragments": (cut, O.FAMILIES),
        **{
            "%s of %d" % (name, n): (behind(number, n), (6,))
            for name, number in (("destination", dest), ("hop-by-hop", hop))
            for n in (8, 128, 256, 1024, 1320)
        },
    }
    for settings, needed in ((NATIVE, 3), (CLASSIC, 1)):
        sentry = lab.sentry("-atcp", name=settings["RULE"], settings=settings)
        link = lab.link()
        for name, (make, families) in ways.items():
            for family in families:
                source = O.Peer(family, 1).source
                for number, port in enumerate((2324, 5556, 8546)[:needed]):
                    # Control: one port, or none, is no scan.
                    L.check(number > 1 or source not in sentry.blocked(), "%s over IPv%d: blocked after %d" % (name, family, number))
                    if source in sentry.blocked():
                        break  # Fragments that small are evidence, too.
                    peer = O.Peer(family, port)
                    peer.source = source
                    L.check(
                        exchange(lab, peer, link, make(peer, P.SYN), lambda: make(peer, P.ACK, 1, 1)),
                        "%s over IPv%d: no answer" % (name, family),
                    )
                L.wait_for(
                    lambda: source in sentry.blocked(),
                    3,
                    lambda: "%s rule, %s over IPv%d: the block; %s" % (settings["RULE"], name, family, sentry.ask("why", source)),
                )
        link.close()
        sentry.stop()
    return "%d ways: blocked by the first port (classic rule) or the third (native)" % len(ways)


@L.test("evasion.rotation")
def rotation(lab):
    """A scan whose every connection comes from another address: of one /64, of one IPv4 /24, two ports each."""
    C.settle(lab)
    own(lab, "fd7b::/32")
    lab.in_attacker("ip", "route", "add", "local", "10.78.50.0/24", "dev", "lo")
    ports, lines = [p for p in range(1000, 1400)], []
    for name, settings, sources, each, most in (
        ("a /64, one port each, classic rule", CLASSIC, ["fd7b:0:0:1::%x" % n for n in range(1, 60)], 1, 8),
        ("a /64, one port each, native rule", NATIVE, ["fd7b:0:0:2::%x" % n for n in range(1, 60)], 1, 8),
        ("a /24, two ports each, native rule", NATIVE, ["10.78.50.%d" % n for n in range(1, 61)], 2, 120),
    ):
        sentry = lab.sentry("-atcp", name="r%d" % len(lines), settings=settings)
        told, asked = 0, iter(ports)
        for source in sources:
            for _ in range(each):
                s = connect(lab, source, next(asked), timeout=0.2)
                told += s is not None
                if s:
                    s.close()
                    lab.sockets.remove(s)
            time.sleep(0.05)
        L.check(told <= most, "%s: %d connections completed" % (name, told))
        L.wait_for(lambda: sentry.find("act as one"), 5, "%s: the verdict about all of them" % name)
        # Of a /24, in which neighbours have nothing to do with one another, each is blocked for his own contact; but for those
        # before the verdict.
        alone = len(sentry.blocked())
        L.check(
            any("/64" in b for b in sentry.blocked()) if each == 1 else alone >= len(sources) - 8,
            "%s: blocked: %s" % (name, sentry.blocked()),
        )
        lines.append("%s: %d of %d connections, %d blocked" % (name, told, each * len(sources), alone))
        sentry.stop()
    # Control: strangers who have nothing in common, two unused ports each, are no scan.
    sentry = lab.sentry("-atcp", name="strangers", settings=NATIVE)
    for n in range(8):
        source = "fd7b:0:%x::1" % (n + 16)
        for port in (1500, 1501):
            s = connect(lab, source, port)
            L.check(s, lambda: "%s was refused: %s" % (source, sentry.ask("blocked")))
            s.close()
    time.sleep(0.5)
    L.check(not sentry.blocked(), "the control: %s" % sentry.blocked())
    return "; ".join(lines)


def write_pcap(path, packets):
    """A capture file of (second, IP packet) in raw frames."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for when, packet in packets:
            f.write(struct.pack("<IIII", int(when), int(when % 1 * 1e6), len(packet), len(packet)) + packet)


@L.test("evasion.patience")
def patience(lab):
    """One unused port an hour, a day, a week: the verdict comes with the third all the same; two are none, however close."""
    scanner, path = "203.0.113.7", lab.folder + "/slow.pcap"
    start = 1_700_000_000
    answered = lambda when, source, port: [
        (when, P.segment(source, L.TARGET4, 40_000, port)),
        (when + 0.001, P.segment(L.TARGET4, source, port, 40_000, P.RST | P.ACK)),
    ]

    def verdicts(gap, ports):
        packets = [p for n, port in enumerate(ports) for p in answered(start + n * gap, scanner, port)]
        write_pcap(path, packets)
        out = lab.in_target(L.binary, "replay", "--json", path, timeout=60, ok=None)
        return scanner in out.stdout and '"scan"' in out.stdout, out

    for gap, word in ((3600, "an hour"), (86_400, "a day"), (604_800, "a week")):
        found, out = verdicts(gap, (2324, 5556, 8546))
        L.check(found, "three ports, %s apart: %s" % (word, out.stdout[-500:] + out.stderr[-300:]))
        found, out = verdicts(gap, (2324, 5556))
        L.check(not found, "the control: two ports, %s apart: %s" % (word, out.stdout[-500:]))
    return "an hour, a day and a week between ports: named at the third"


@L.test("evasion.services_only")
def services_only(lab):
    """Whoever asks nothing but services is no scanner, and learns no more than those: an address of his pays for each port that is none."""
    for port in (22, 80, 443):
        lab.service(port)
        lab.service(port, address="::")
    sentry = lab.sentry("-atcp", settings=NATIVE)
    # Test packets of the sentry's own raise doubts among neighbours, this one's /64 for instance.
    C.settle(lab)
    sources = "10.78.0.77", "fd78:0:0:77::1"
    for source in sources:
        for port in (22, 80, 443) * 10:
            s = connect(lab, source, port)
            L.check(s, "a service was refused")
            s.close()
    time.sleep(0.5)
    L.check(
        not sentry.blocked() and not doubted(lab) & {*sources, "fd78:0:0:77::"},
        "blocked or doubted for asking services: %s %s" % (sentry.blocked(), doubted(lab)),
    )
    # Control: one wrong guess, by the classic rule.
    sentry.stop()
    sentry = lab.sentry("-atcp", name="classic", settings=CLASSIC)
    source = lab.new_source()[0]
    L.check(connect(lab, source, 22) and connect(lab, source, 8443), "no connection")
    L.wait_for(lambda: source in sentry.blocked(), 3, "the control: a wrong guess")
    return "60 connections to services: nobody blocked or doubted; one beside them: blocked"


@L.test("evasion.behind_one_address")
def behind_one_address(lab):
    """A scanner behind a NAT gets the whole house blocked, as long as somebody in it has no session with a service: open sessions go on, and
    while one lasts his scan before it is all that counts."""
    inner = ["ps-house-%d-%d" % (os.getpid(), n) for n in range(2)]
    try:
        for n, name in enumerate(inner):
            L.run(["ip", "netns", "add", name])
            L.run(["ip", "link", "add", "h%d" % n, "netns", lab.attacker, "type", "veth", "peer", "name", "eth0", "netns", name])
            L.run(["ip", "-n", lab.attacker, "addr", "add", "192.168.%d.1/24" % n, "dev", "h%d" % n])
            L.run(["ip", "-n", lab.attacker, "link", "set", "h%d" % n, "up"])
            for words in ("addr add 192.168.%d.2/24 dev eth0" % n, "link set eth0 up", "route add default via 192.168.%d.1" % n):
                L.run(["ip", "-n", name, *words.split()])
        lab.in_attacker("sysctl", "-qw", "net.ipv4.ip_forward=1")
        lab.in_attacker(
            "nft",
            "-f",
            "-",
            input="table ip nat {\n chain post {\n  type nat hook postrouting priority srcnat;\n"
            "  ip saddr 192.168.0.0/16 oifname lan0 snat to 10.77.0.200\n }\n}\n",
        )
        lab.in_attacker("ip", "addr", "add", "10.77.0.200/24", "dev", "lan0", ok=None)
        echo(lab.service(993))
        sentry = lab.sentry("-atcp", settings={**NATIVE, "BLOCK_TIME": "1h"})

        def ask(house, port, timeout=2):
            s = lab.open_socket(house, socket.AF_INET, socket.SOCK_STREAM)
            s.settimeout(timeout)
            try:
                s.connect((L.TARGET4, port))
                return s
            except OSError:
                return None

        # A neighbour works here; then the other one scans.
        session = ask(inner[0], 993)
        L.check(session and session.recv(64) == b"hello\n" and talks(session), "no session to begin with")
        time.sleep(1.2)
        for port in (2324, 5556, 8546, 37215, 52869):
            ask(inner[1], port, 0.3)
        time.sleep(0.5)
        spared = "10.77.0.200" not in sentry.blocked()
        L.check(talks(session, b"still"), "the neighbour's session was cut")
        session.close()
        time.sleep(1.5)
        for port in (2325, 5557, 8547, 37216):
            ask(inner[1], port, 0.3)
        L.wait_for(lambda: "10.77.0.200" in sentry.blocked(), 3, "the block once nobody works")
        L.check(ask(inner[0], 993, 0.5) is None, "the house is blocked as a whole: that is what is said of it")
        return "%s while a neighbour works; his session goes on; blocked as a whole afterwards" % ("not blocked" if spared else "blocked")
    finally:
        for name in inner:
            L.run(["ip", "netns", "del", name], ok=None)


# What the host sends for what it is sent


@L.test("evasion.reflection")
def reflection(lab):
    """Packets and bytes that a forged packet draws: a decoy sends what a service sends, to an address that is silent and to one that answers
    with RST."""
    C.settle(lab)
    lab.service(O.SERVICE)
    lab.service(O.SERVICE, address="::")
    sentry = lab.sentry(
        "-atcp",
        "-audp",
        settings={**CLASSIC, "PORT_BANNER": "a banner of some length, which is what somebody would like to have reflected"},
    )
    s = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    s.bind(("lan0", 0))
    s.setblocking(False)

    def drawn(source, frame, seconds):
        link = lab.link()
        packed = ipaddress.ip_address(source).packed
        link.send(frame)
        end, count, size = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            try:
                packet, about = s.recvfrom(4096)
            except BlockingIOError:
                time.sleep(0.002)
                continue
            target = packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
            if about[2] != 4 and target == packed:
                count, size = count + 1, size + len(packet)
        link.close()
        return count, size

    rows = {}
    for family in O.FAMILIES:
        for who in ("silent", "answering"):
            for port in (O.SERVICE, O.DECOY):
                peer = O.Peer(family, port)
                if who == "answering":
                    peer.source = "10.78.0.%d" % (port % 250) if family == 4 else "fd78:0:0:%x::1" % port
                packet = peer.syn(options=O.LINUX)
                rows[family, who, port] = (len(packet), *drawn(peer.source, packet, 3.5 if who == "silent" else 1))
            service, decoy = rows[family, who, O.SERVICE], rows[family, who, O.DECOY]
            L.check(service == decoy, "IPv%d, %s: the service %s, the decoy %s" % (family, who, service, decoy))
        for name, frame in (
            ("UDP", lambda p: P.datagram(p.source, O.target(family), 40_000, 7777, b"x" * 20)),
            ("FIN", lambda p: p.syn(flags=P.FIN)),
            ("ACK", lambda p: p.syn(flags=P.ACK, ack=1)),
        ):
            peer = O.Peer(family, O.DECOY)
            packet = frame(peer)
            count, size = drawn(peer.source, packet, 0.6)
            # What a closed port of any host sends: one ICMP message that quotes the packet.
            L.check(count <= 1 and size <= len(packet) + 48, "%s over IPv%d draws %d bytes for %d" % (name, family, size, len(packet)))
    L.check(not sentry.blocked(), "blocked: %s" % sentry.blocked())
    one, many = rows[4, "answering", O.DECOY], rows[4, "silent", O.DECOY]
    L.check(one[1] == 1 and one[2] <= one[0], "an answering address gets %s" % (one,))
    return (
        "a SYN of %d bytes draws %d packet of %d from decoy and service where the address answers, %d of %d in 3.5 s where it is silent; "
        "UDP, FIN and ACK one packet at most"
        % (one[0], one[1], one[2], many[1], many[2])
    )


# What can be filled


@L.test("evasion.full_sets_of_doubts")
def full_doubts(lab):
    """More invented sources than there is room for doubts: then everybody is lied to; honest visitors lose nothing, and a scan learns
    nothing."""
    C.settle(lab)
    services = {1022, 2222, 5000}
    for port in services:
        echo(lab.service(port))
    sentry = lab.sentry("-atcp", settings=CLASSIC)
    O.drain(lab, "198.18.0.0/15")
    O.flood(lab, 90_000)
    sentry.wait_line("more sources were doubted than there is room for", 10)
    visitor = lab.new_source()[0]
    for port in services:
        s = connect(lab, visitor, port)
        L.check(s and s.recv(64) == b"hello\n" and talks(s), "a visitor does not reach port %d" % port)
    ports = sorted(services) + list(range(3000, 3100))
    words = O.half_open_words(lab, ports, "10.78.200.1", 2.5)
    bits = learned(words, services, ports)
    L.check(len(words) == len(ports) and bits == 0, "%.2f bits, %s" % (bits, collections.Counter(words.values())))
    L.check(not sentry.blocked(), "blocked: %s" % sentry.blocked())
    sentry.stop()
    # Control: without decoys.
    lab.sentry("-atcp", name="off", settings={**CLASSIC, "ADVANCED_DECOY": "0", "BLOCK_TCP": "0"})
    bits = learned(O.half_open_words(lab, ports, "10.78.200.2", 2.5), services, ports)
    L.check(bits > 5, "the control: %.2f bits" % bits)
    return "90,000 sources for 65,536 places: visitors served, 0.00 bits; without decoys %.1f" % bits


@L.test("evasion.control_socket")
def control_socket(lab):
    """Clients that connect to the control socket and say nothing, or a byte now and then, keep neither the operator nor the sentry from
    working."""
    sentry = lab.sentry("-atcp", settings=CLASSIC)
    idle = []
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(1)
        try:
            s.connect(sentry.control)
            s.setblocking(False)
            idle.append(s)
        except OSError:
            s.close()
    slowest = 0
    for n in range(10):
        for s in idle:
            try:
                s.send(b"s")
            except OSError:
                pass
        begun = time.monotonic()
        sentry.ask("status")
        slowest = max(slowest, time.monotonic() - begun)
        source = lab.new_source()[0]
        connect(lab, source, 600 + n, timeout=1)
        L.wait_for(lambda: source in lab.nft_elements(), 5, "a block beside idle clients")
    for s in idle:
        s.close()
    L.check(slowest < L.bar(1), "an answer after %.2f s" % slowest)
    # Control: nobody but root and the sentry's user may even connect.
    mode = os.stat(sentry.control).st_mode & 0o777
    L.check(mode == 0o600, "the socket's mode is %o" % mode)
    return "%d clients that say a byte now and then: answers after %.2f s at most" % (len(idle), slowest)


if __name__ == "__main__":
    raise SystemExit(L.main())
