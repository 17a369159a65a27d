"""What a decoy's answers tell beside a service's, packet by packet: the same questions to both, and to a closed port as the control.

A question is a list of steps; a step is the packets that are sent together, and what comes within a moment is its answer. Each
question, port and family has a source of its own, to whose packets nobody answers: no kernel of the attacker's speaks between. All
questions of a test are asked at once.
"""

import collections
import ctypes
import math
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

import crowd as C
import lab as L
import packets as P
from learned import learned

SERVICE, DECOY, CLOSED = 22, 594, 40_594
FAMILIES = (4, 6)
ALL = {"ADVANCED_PORTS_TCP": "65535", "ADVANCED_EXCLUDE_TCP": None, "BLOCK_TCP": "1", "RULE": "classic"}

MSS, WINDOW, SACK, NOP, END = b"\x02\x04\x05\xb4", b"\x03\x03\x07", b"\x04\x02", b"\x01", b"\0"
STAMP = b"\x08\x0a" + struct.pack("!II", 1_000_000, 0)
LINUX = MSS + SACK + STAMP + NOP + WINDOW
WINDOWS = MSS + NOP + WINDOW + NOP + NOP + SACK


def mss(value):
    return b"\x02\x04" + struct.pack("!H", value)


def target(family):
    return L.TARGET4 if family == 4 else L.TARGET6


class Peer:
    """A source that asks one port, and remembers the number of the answer."""

    serial = 0

    def __init__(self, family, port):
        Peer.serial += 1
        n = Peer.serial
        self.family, self.port = family, port
        self.source = "10.78.%d.%d" % (1 + n // 250, 1 + n % 250) if family == 4 else "fd79:0:0:%x::1" % n
        self.sport, self.seq, self.isn = 20_000 + n % 20_000, 0x1000_0000, 0

    def tcp(
        self, flags=P.SYN, seq=0, ack=None, options=b"", payload=b"", window=1024, urgent=0, bad=False, reserved=0, offset=None, sport=None
    ):
        """One segment: numbers relative to ours and to those of the port. `options` is filled up with zeros."""
        options += b"\0" * (-len(options) % 4)
        words = 5 + len(options) // 4 if offset is None else offset
        number = 0 if ack is None else (self.isn + ack) & 0xFFFF_FFFF
        head = (
            struct.pack(
                "!HHIIBBHHH",
                sport or self.sport,
                self.port,
                (self.seq + seq) & 0xFFFF_FFFF,
                number,
                words << 4 | reserved,
                flags,
                window,
                0,
                urgent,
            )
            + options
            + payload
        )
        value = P.checksum(P._pseudo(self.source, target(self.family), P.TCP, len(head)) + head)
        return head[:16] + struct.pack("!H", value ^ (0x5555 if bad else 0)) + head[18:]

    def ip(self, body, protocol=P.TCP, tos=0, ttl=64, label=0, df=True, ident=0, **more):
        """A packet with a field of its header of one's own choice."""
        packet = P.packet(self.source, target(self.family), protocol, body, **more)
        if self.family == 6:
            return struct.pack("!I", 6 << 28 | tos << 20 | label) + packet[4:7] + bytes([ttl]) + packet[8:]
        length = (packet[0] & 15) * 4
        field = struct.unpack("!H", packet[6:8])[0] | (0x4000 if df and "fragment" not in more and "more" not in more else 0)
        head = (
            packet[:1]
            + bytes([tos])
            + packet[2:4]
            + (struct.pack("!H", ident) if ident else packet[4:6])
            + struct.pack("!H", field)
            + bytes([ttl])
            + packet[9:10]
            + b"\0\0"
            + packet[12:length]
        )
        return head[:10] + struct.pack("!H", P.checksum(head)) + head[12:] + packet[length:]

    def syn(self, **more):
        return self.ip(self.tcp(**more))

    def fragments(self, cuts, order=None, overlap=0, **more):
        """A SYN cut at these bytes (multiples of 8); each part begins `overlap` bytes earlier, which are wrong there."""
        body = self.tcp(options=LINUX, **more)
        places = [0, *cuts, len(body)]
        parts = []
        for i, (a, b) in enumerate(zip(places, places[1:])):
            wrong = b"\xff" * overlap if i and overlap else b""
            start, end = a - len(wrong), i == len(places) - 2
            data = wrong + body[a:b]
            if self.family == 4:
                parts.append(self.ip(data, fragment=start, more=not end, ident=0x7000 + Peer.serial % 4096))
            else:
                parts.append(self.ip(data, extensions=[(P.FRAGMENT, P.fragment_header(start, not end, 0x7000_0000 + Peer.serial))]))
        return [parts[i] for i in (order or range(len(parts)))]


def parse(packet):
    """(family, target, word, port, acknowledged number, sequence number) of what the attacker received; None for what is no answer."""
    family = packet[0] >> 4
    if family == 4 and len(packet) >= 20:
        length = (packet[0] & 15) * 4
        ip = ("ttl", packet[8], "tos", packet[1], "df", packet[6] >> 6 & 1, "id", "zero" if packet[4:6] == b"\0\0" else "set")
        protocol, there, body = packet[9], socket.inet_ntoa(packet[16:20]), packet[length : struct.unpack("!H", packet[2:4])[0]]
    elif family == 6 and len(packet) >= 40:
        ip = ("hops", packet[7], "class", (packet[0] & 15) << 4 | packet[1] >> 4)
        protocol, there, body = (
            packet[6],
            socket.inet_ntop(socket.AF_INET6, packet[24:40]),
            packet[40 : 40 + struct.unpack("!H", packet[4:6])[0]],
        )
    else:
        return None
    if protocol in (1, 58) and len(body) >= 8:
        # Neighbours are asked for now and then.
        return None if protocol == 58 and body[0] in (133, 134, 135, 136) else (there, ("icmp", body[0], body[1]), 0, 0, 0)
    if protocol != P.TCP or len(body) < 20:
        return None
    sport, _, seq, ack, offset, flags, window, _, urgent = struct.unpack("!HHIIBBHHH", body[:20])
    options, rest = [], body[20 : (offset >> 4) * 4]
    while rest:
        if rest[0] in (0, 1):
            options.append(rest[0])
            rest = rest[1:]
            continue
        # Our clock's value is compared elsewhere.
        options.append((rest[0], bytes(rest[6:10]) if rest[0] == 8 else bytes(rest[2 : rest[1]])))
        rest = rest[rest[1] :]
    word = ip + (
        "flags",
        flags,
        "reserved",
        offset & 15,
        "window",
        window,
        "urgent",
        urgent,
        "options",
        tuple(options),
        "data",
        bytes(body[(offset >> 4) * 4 :]),
    )
    return there, word, sport, ack, seq


class Ear:
    """Everything that comes to the invented sources."""

    def __init__(self, lab):
        self.socket = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
        self.socket.bind(("lan0", 3))
        self.socket.setblocking(False)

    def hear(self):
        while True:
            try:
                packet, about = self.socket.recvfrom(4096)
            except BlockingIOError:
                return
            if about[2] != 4:
                yield packet

    def close(self):
        self.socket.close()


def ask(lab, questions, ports, families=FAMILIES, moment=0.4):
    """The answers: {(question, family, port): (words of each step)}. A question: name, and a function from Peer to a list of steps; a step
    is a function without arguments that gives packets, or a number of seconds to wait."""
    link, ear = lab.link(), Ear(lab)
    running, by_source, answers = {}, {}, {}
    for name, script in questions.items():
        for family in families:
            for port in ports:
                peer = Peer(family, port)
                key = (name, family, port)
                running[key] = (peer, list(script(peer)))
                by_source[peer.source] = key
                answers[key] = []

    def listen(pause):
        # Counted in naps and not by the clock: where the machine stalls, what came meanwhile is still heard.
        for _ in range(round(pause / 0.002)):
            for packet in ear.hear():
                found = parse(packet)
                key = found and by_source.get(found[0])
                if not key:
                    continue
                _, word, sport, ack, seq = found
                peer = running[key][0]
                if word[0] != "icmp":
                    if sport != peer.port:
                        continue
                    flags = word[word.index("flags") + 1]
                    if flags & P.SYN:
                        # The number itself is random; that it stays is part of the answer.
                        again = "same" if peer.isn == seq else "first" if not peer.isn else "other"
                        peer.isn = seq
                        word += ("seq", again)
                    else:
                        word += ("seq", (seq - peer.isn) & 0xFFFF_FFFF if seq else 0)
                    word += ("ack", (ack - peer.seq) & 0xFFFF_FFFF if flags & P.ACK else ack)
                answers[key][-1].append(word)
            time.sleep(0.002)

    while any(steps for _, steps in running.values()):
        pause = moment
        batch = []
        for key, (peer, steps) in running.items():
            if not steps:
                continue
            step = steps.pop(0)
            answers[key].append([])
            if callable(step):
                batch += step()
            else:
                pause = max(pause, step)
        for packet in batch:
            link.send(packet)
        listen(pause)
    link.close()
    ear.close()
    return {key: tuple(tuple(step) for step in steps) for key, steps in answers.items()}


def once(**more):
    return lambda peer: [lambda: [peer.syn(**more)]]


def compare(lab, questions, settings=None, families=FAMILIES, ports=(SERVICE, DECOY), silent=(), **more):
    """Fails where the decoy's word is another than the service's, or where the control tells nothing: without decoys the closed port is
    known by the same questions, but for those in `silent`."""
    C.settle(lab)
    for address in ("0.0.0.0", "::"):
        lab.service(SERVICE, address=address)
    control = ask(lab, questions, (ports[0], CLOSED), families, **more)
    told = {name for name in questions if any(control[name, f, ports[0]] != control[name, f, CLOSED] for f in families)}
    sentry = lab.sentry("-atcp", settings={**ALL, **(settings or {})})
    answers = ask(lab, questions, ports, families, **more)
    wrong = [(name, f) for name in questions for f in families if answers[name, f, ports[0]] != answers[name, f, ports[1]]]
    L.check(
        not wrong,
        lambda: "%d of %d tell: %s"
        % (
            len(wrong),
            len(questions) * len(families),
            "; ".join(
                "%s over IPv%d: the service %s, the decoy %s" % (name, f, answers[name, f, ports[0]], answers[name, f, ports[1]])
                for name, f in wrong[:3]
            ),
        ),
    )
    missed = set(questions) - told - set(silent)
    L.check(not missed, "without decoys these tell nothing either: %s" % sorted(missed))
    L.check(sentry.ask("status")["blocks"]["made"] == 0, "somebody was blocked")
    heard = sum(1 for word in answers.values() if any(word))
    return "%d questions, both families: one word for both (%d with an answer); without decoys %d tell" % (len(questions), heard, len(told))


@L.test("oracles.options")
def options(lab):
    """TCP options of every kind, whole and broken: MSS, window scale, SACK, timestamps, TFO, MPTCP, MD5, unknown ones."""
    questions = {"linux": once(options=LINUX), "windows": once(options=WINDOWS), "none": once()}
    for value in (0, 1, 87, 88, 536, 1220, 1460, 8960, 65535):
        questions["MSS %d" % value] = once(options=mss(value) + SACK + STAMP + NOP + WINDOW)
    for value in (0, 1, 7, 14, 15, 255):
        questions["scale %d" % value] = once(options=MSS + NOP + b"\x03\x03" + bytes([value]))
    for stamp in (0, 1, 0x8000_0000, 0xFFFF_FFFF):
        questions["timestamp %d" % stamp] = once(options=MSS + NOP + NOP + b"\x08\x0a" + struct.pack("!II", stamp, 12345))
    for name, text in {
        "SACK alone": SACK,
        "timestamp alone": STAMP,
        "scale alone": WINDOW,
        "MSS twice": mss(1000) + mss(1200),
        "TFO asked": MSS + b"\x22\x02",
        "TFO cookie": MSS + b"\x22\x0a12345678",
        "TFO experimental": MSS + b"\xfe\x04\xf9\x89",
        "MPTCP capable": MSS + b"\x1e\x04\x01\x81",
        "MPTCP v0": MSS + b"\x1e\x0c\x00\x8112345678",
        "MPTCP join": MSS + b"\x1e\x0c\x10\x01abcdefgh",
        "MD5 alone": MSS + b"\x13\x12" + b"m" * 16,
        "AO": MSS + b"\x1d\x0c\x01\x01" + b"a" * 8,
        "AccECN": MSS + b"\xac\x0b" + b"\0" * 9,
        "unknown": MSS + b"\x1b\x06abcd",
        "echo": MSS + b"\x06\x06abcd",
        "SACK blocks": MSS + b"\x05\x0a" + b"\0" * 8,
        "length 0": MSS + b"\x08\0",
        "length 1": MSS + b"\x03\x01",
        "too long": MSS + b"\x08\x28",
        "end first": END + LINUX[1:],
        "all NOP": NOP * 40,
        "forty bytes": LINUX + NOP * 20,
        "MSS cut": b"\x02",
    }.items():
        questions[name] = once(options=text)
    return compare(lab, questions, silent=("MD5 alone",))


@L.test("oracles.header_fields")
def fields(lab):
    """ECN, TTL, TOS, IP ID, DF, flow label, window, sequence and urgent numbers, source port 0, data in the SYN, wrong checksums."""
    questions = {}
    for flags in (P.SYN | P.ECE | P.CWR, P.SYN | P.ECE, P.SYN | P.CWR):
        for tos in (0, 1, 2, 3):
            questions["ECN %x %d" % (flags, tos)] = lambda p, f=flags, t=tos: [lambda: [p.ip(p.tcp(f, options=LINUX), tos=t)]]
    questions["AccECN"] = lambda p: [lambda: [p.ip(p.tcp(P.SYN | P.ECE | P.CWR, options=LINUX, reserved=1), tos=2)]]
    for reserved in (1, 2, 4, 8):
        questions["reserved %d" % reserved] = once(options=LINUX, reserved=reserved)
    for tos in (0x10, 0x28, 0xB8, 0xFC):
        questions["TOS %x" % tos] = lambda p, t=tos: [lambda: [p.ip(p.tcp(options=LINUX), tos=t)]]
    for ttl in (1, 2, 255):
        questions["TTL %d" % ttl] = lambda p, t=ttl: [lambda: [p.ip(p.tcp(options=LINUX), ttl=t)]]
    questions["label"] = lambda p: [lambda: [p.ip(p.tcp(options=LINUX), label=0xABCDE)]]
    questions["without DF"] = lambda p: [lambda: [p.ip(p.tcp(options=LINUX), df=False, ident=0x4242)]]
    for window in (0, 1, 65535):
        questions["window %d" % window] = once(options=LINUX, window=window)
    for seq in (-0x1000_0000, -0x1000_0001):
        questions["number %d" % seq] = once(options=LINUX, seq=seq)
    questions["data"] = once(options=LINUX, payload=b"GET / HTTP/1.0\r\n\r\n")
    questions["much data"] = once(options=LINUX, payload=b"x" * 1400)
    questions["urgent"] = once(flags=P.SYN | P.URG, urgent=1)
    questions["five SYNs"] = lambda p: [lambda: [p.syn(options=LINUX)]] * 5
    for name, more in {"checksum": {"bad": True}, "offset 4": {"offset": 4}, "offset 15": {"offset": 15}}.items():
        questions[name] = once(**more)
    return compare(lab, questions, silent=("checksum", "offset 4", "offset 15"))


@L.test("oracles.flags")
def flags(lab):
    """All 64 combinations of flags, to a source in no doubt and to one that has just touched a port."""
    questions = {}
    for value in range(64):
        questions["flags %02x" % value] = once(flags=value, ack=1)
        # The same of somebody who has asked another port before, and is in doubt; and of one who has asked this very port.
        questions["doubted, flags %02x" % value] = lambda p, v=value: [lambda: [touch(p)], lambda: [p.syn(flags=v, ack=1, options=LINUX)]]
        questions["after a SYN, flags %02x" % value] = lambda p, v=value: [
            lambda: [p.ip(p.tcp(P.SYN, sport=9)), p.ip(p.tcp(P.RST, seq=1, sport=9))],
            lambda: [p.syn(flags=v, ack=1, options=LINUX)],
        ]
    # RST is answered by nobody, and ACK by both with RST. Without a SYN a closed port shows itself by RST.
    return compare(lab, questions, silent=[n for n in questions if n[0] != "a" and int(n[-2:], 16) & (P.RST | P.ACK)])


def touch(peer):
    """A SYN to a port that nothing serves."""
    other = Peer(peer.family, 777)
    other.source = peer.source
    return other.syn()


@L.test("oracles.half_open_states")
def half_open(lab):
    """What can be asked of a connection that is half open: SYN again, with other numbers and options; RST, FIN and ACK, right and wrong;
    old timestamps; data; and of the port after it."""
    syn = {"options": LINUX}
    stamped = NOP + NOP + b"\x08\x0a" + struct.pack("!II", 1_000_001, 0)
    old = NOP + NOP + b"\x08\x0a" + struct.pack("!II", 1, 0)
    seconds = {
        "same SYN": lambda p: [p.syn(**syn)],
        "SYN, other number": lambda p: [p.syn(seq=5000, **syn)],
        "SYN, lower number": lambda p: [p.syn(seq=-5000, **syn)],
        "SYN, other options": lambda p: [p.syn(options=mss(1000))],
        "SYN, no options": lambda p: [p.syn()],
        "SYN/ACK": lambda p: [p.syn(flags=P.SYN | P.ACK, ack=1, **syn)],
        "RST": lambda p: [p.syn(flags=P.RST, seq=1)],
        "RST elsewhere": lambda p: [p.syn(flags=P.RST, seq=100_000)],
        "RST in window": lambda p: [p.syn(flags=P.RST, seq=100)],
        "RST/ACK": lambda p: [p.syn(flags=P.RST | P.ACK, seq=1, ack=1)],
        "FIN": lambda p: [p.syn(flags=P.FIN, seq=1, options=stamped)],
        "ACK wrong": lambda p: [p.syn(flags=P.ACK, seq=1, ack=1000, options=stamped)],
        "ACK of nothing": lambda p: [p.syn(flags=P.ACK, seq=1, ack=0, options=stamped)],
        "ACK, number wrong": lambda p: [p.syn(flags=P.ACK, seq=1_000_000, ack=1, options=stamped)],
        "ACK, old stamp": lambda p: [p.syn(flags=P.ACK, seq=1, ack=1, options=old)],
        "FIN/ACK wrong": lambda p: [p.syn(flags=P.FIN | P.ACK, seq=1, ack=77, options=stamped)],
        "data, wrong ACK": lambda p: [p.syn(flags=P.PSH | P.ACK, seq=1, ack=2, payload=b"x", options=stamped)],
        "nothing": lambda p: [p.syn(flags=0, seq=1, options=stamped)],
        "Xmas": lambda p: [p.syn(flags=P.FIN | P.PSH | P.URG, seq=1, options=stamped)],
        "URG": lambda p: [p.syn(flags=P.URG, seq=1, options=stamped)],
    }
    questions = {}
    for name, second in seconds.items():
        questions[name] = lambda p, s=second: [lambda: [p.syn(**syn)], lambda: s(p), lambda: [p.syn(seq=9000, **syn)]]
    return compare(lab, questions)


@L.test("oracles.retransmission")
def retransmission(lab):
    """How often and when a SYN/ACK is sent again, with options and without."""
    questions = {
        name: lambda p, o=text: [lambda: [p.syn(options=o)], 8.0] for name, text in (("linux", LINUX), ("none", b""), ("windows", WINDOWS))
    }
    return compare(lab, questions)


@L.test("oracles.fragments")
def fragments(lab):
    """A SYN in fragments: many, in any order, twice, overlapping, without an end; with options of IPv4."""
    questions = {
        "two": lambda p: [lambda: p.fragments([24])],
        "smallest": lambda p: [lambda: p.fragments([8, 16, 24, 32])],
        "the first 8": lambda p: [lambda: p.fragments([8])],
        "backwards": lambda p: [lambda: p.fragments([8, 16, 24, 32], order=[4, 3, 2, 1, 0])],
        "mixed": lambda p: [lambda: p.fragments([8, 16, 24], order=[2, 0, 3, 1])],
        "each twice": lambda p: [lambda: p.fragments([16], order=[0, 0, 1, 1])],
        "overlapping": lambda p: [lambda: p.fragments([16, 32], overlap=8)],
        "no end": lambda p: [lambda: p.fragments([16])[:1]],
        "no beginning": lambda p: [lambda: p.fragments([16])[1:]],
        "late": lambda p: [lambda: p.fragments([16])[:1], lambda: p.fragments([16])[1:]],
    }
    for name, text in {
        "NOP": b"\x01" * 4,
        "record route": b"\x07\x07\x04\0\0\0\0\0",
        "timestamp": b"\x44\x08\x05\0\0\0\0\0",
        "router alert": b"\x94\x04\0\0",
        "loose route": b"\x83\x07\x04\x0a\x4d\x00\x02\0",
        "strict route": b"\x89\x07\x04\x0a\x4d\x00\x02\0",
        "forty bytes": b"\x01" * 40,
        "broken": b"\x07\x40\x04\0",
        "security": b"\x82\x0b" + b"\0" * 10,
    }.items():
        questions["IP option " + name] = lambda p, t=text: [
            lambda: [p.ip(p.tcp(options=LINUX), **({"options": t} if p.family == 4 else {}))]
        ]
    return compare(lab, questions, silent=("overlapping", "no end", "no beginning", "late"))


def extension(number, length=8, kind=0x1E):
    """An options header of so many bytes, filled with options that whoever does not know them passes over."""
    body, left = b"", length - 2
    while left:
        n = min(left, 257)
        n -= 1 if left - n == 1 else 0
        body += bytes([kind, n - 2]) + b"\0" * (n - 2)
        left -= n
    return number, bytes([length // 8 - 1]) + body


@L.test("oracles.extension_headers")
def extensions(lab):
    """A SYN behind extension headers of IPv6, in any order and of any length."""
    hop, dest = P.HOP_BY_HOP, P.DESTINATION_OPTIONS
    route = lambda kind: (P.ROUTING, bytes([0, kind, 0]) + b"\0" * 4)
    atomic = (P.FRAGMENT, P.fragment_header(0, False, 0x0BAD_CAFE))
    chains = {
        "hop-by-hop": [extension(hop)],
        "destination": [extension(dest)],
        "both": [extension(hop), extension(dest)],
        "atomic": [atomic],
        "hop, route, destination": [extension(hop), route(4), extension(dest)],
        "destination twice": [extension(dest), extension(dest)],
        "eight": [extension(dest)] * 8,
        "behind a fragment": [atomic, extension(dest)],
        "before a fragment": [extension(dest), atomic],
        "hop-by-hop not first": [extension(dest), extension(hop)],
        "route type 0": [route(0)],
        "route type 2": [route(2)],
        "route type 253": [route(253)],
        "unknown header": [(253, b"\0" + b"\0" * 6)],
        "mobility": [(135, b"\0" + b"\0" * 6)],
        "unknown option": [extension(dest, 16, 0x1E)],
        "option that discards": [extension(dest, 16, 0x5E)],
        "option that answers": [extension(dest, 16, 0x9E)],
        "quick start": [(hop, b"\0\x26\x06" + b"\0" * 4)],
    }
    for length in (16, 64, 128, 136, 256, 512, 1024, 1320):
        chains["destination of %d" % length] = [extension(dest, length)]
        chains["hop-by-hop of %d" % length] = [extension(hop, length)]
    questions = {n: lambda p, c=c: [lambda: [p.ip(p.tcp(options=MSS), extensions=c)]] for n, c in chains.items()}
    return compare(
        lab,
        questions,
        families=(6,),
        silent=(
            "hop, route, destination",
            "quick start",
            "hop-by-hop not first",
            "route type 0",
            "route type 2",
            "route type 253",
            "unknown header",
            "mobility",
            "option that discards",
            "option that answers",
        ),
    )


@L.test("oracles.links")
def links(lab):
    """Frames with a VLAN tag (of priority only, and of a VLAN that is not there), two tags, as broadcast, to another station; LLC; GRE and
    IP in IP that nobody terminates."""
    C.settle(lab)
    for address in ("0.0.0.0", "::"):
        lab.service(SERVICE, address=address)
    ours, theirs, all_ones = (bytes.fromhex(m.replace(":", "")) for m in (L.ATTACKER_MAC, L.TARGET_MAC, "ff:ff:ff:ff:ff:ff"))
    ether = lambda p: b"\x08\x00" if p[0] >> 4 == 4 else b"\x86\xdd"
    inside = lambda p: (
        struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0,
            20 + len(p),
            9,
            0,
            64,
            4 if p[0] >> 4 == 4 else 41,
            0,
            socket.inet_aton("10.78.0.1"),
            socket.inet_aton(L.TARGET4),
        )
    )
    summed = lambda h: h[:10] + struct.pack("!H", P.checksum(h)) + h[12:]
    frames = {
        "plain": lambda p: theirs + ours + ether(p) + p,
        "priority tag": lambda p: theirs + ours + b"\x81\0\xe0\0" + ether(p) + p,
        "VLAN 7": lambda p: theirs + ours + b"\x81\0\0\x07" + ether(p) + p,
        "QinQ": lambda p: theirs + ours + b"\x88\xa8\0\x07\x81\0\0\x08" + ether(p) + p,
        "two priority tags": lambda p: theirs + ours + b"\x81\0\0\0\x81\0\0\0" + ether(p) + p,
        "broadcast": lambda p: all_ones + ours + ether(p) + p,
        "another station": lambda p: b"\x02\0\0\0\0\x99" + ours + ether(p) + p,
        "padded": lambda p: theirs + ours + ether(p) + p + b"\xaa" * 30,
        "in IPv4": lambda p: theirs + ours + b"\x08\0" + summed(inside(p)) + p,
        "in GRE": lambda p: theirs
        + ours
        + b"\x08\0"
        + summed(
            struct.pack("!BBHHHBBH4s4s", 0x45, 0, 24 + len(p), 9, 0, 64, 47, 0, socket.inet_aton("10.78.0.1"), socket.inet_aton(L.TARGET4))
        )
        + b"\0\0"
        + ether(p)
        + p,
    }

    def words(ports):
        s = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_RAW, 0)
        s.bind(("lan0", 0))
        ear, found, peers = Ear(lab), collections.defaultdict(list), {}
        for name, frame in frames.items():
            for family in FAMILIES:
                for port in ports:
                    peer = Peer(family, port)
                    peers[peer.source] = (name, family, port)
                    s.send(frame(peer.syn(options=LINUX)))
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            for packet in ear.hear():
                answer = parse(packet)
                if answer and answer[0] in peers:
                    found[peers[answer[0]]].append(answer[1])
            time.sleep(0.005)
        ear.close()
        s.close()
        return found

    control = words((SERVICE, CLOSED))
    told = {n for n in frames for f in FAMILIES if control[n, f, SERVICE] != control[n, f, CLOSED]}
    L.check({"plain", "priority tag", "padded"} <= told, "the control: %s" % told)
    lab.sentry("-atcp", settings=ALL)
    answers = words((SERVICE, DECOY))
    wrong = [
        (n, f, answers[n, f, SERVICE], answers[n, f, DECOY])
        for n in frames
        for f in FAMILIES
        if answers[n, f, SERVICE] != answers[n, f, DECOY]
    ]
    L.check(not wrong, "%d tell: %s" % (len(wrong), wrong[:2]))
    return "%d kinds of frame, one word for both; without decoys %d tell" % (len(frames), len(told))


@L.test("oracles.clocks")
def clocks(lab):
    """Timestamps and sequence numbers: a decoy's come from the same clock as a service's, for the same asker and for different ones."""
    C.settle(lab)
    for address in ("0.0.0.0", "::"):
        for port in (SERVICE, SERVICE + 1):
            lab.service(port, address=address)
    lab.sentry("-atcp", settings=ALL)
    lab.in_target("sysctl", "-qw", "net.ipv4.tcp_synack_retries=1")
    ear, link = Ear(lab), lab.link()

    def exchange(peer):
        """(TSval, number, when it was asked for, when it was there) of the SYN/ACK."""
        for _ in list(ear.hear()):
            pass
        asked = time.monotonic()
        link.send(peer.syn(options=LINUX))

        def answer():
            for packet in ear.hear():
                found = parse(packet)
                if found and found[0] == peer.source and found[2] == peer.port:
                    at = packet.index(b"\x08\x0a", 40 if peer.family == 4 else 60)
                    return struct.unpack("!I", packet[at + 2 : at + 6])[0], found[4]

        value = L.wait_for(answer, 5, "a SYN/ACK", 0.0005)
        return (*value, asked, time.monotonic())

    worst_isn, kinds = 0, set()
    for family in FAMILIES:
        offsets = collections.defaultdict(set)
        for _ in range(12):
            stamps, first = {}, Peer(family, SERVICE)
            for port in (SERVICE, SERVICE + 1, DECOY, DECOY + 1):
                peer = Peer(family, port)
                peer.source = first.source
                stamp, isn, asked, there = exchange(peer)
                stamps[port] = stamp - round(there * 1000)
                offsets[port].add(stamp & ~0xFFFF)
                # The same connection again: its number goes on with the clock of 64 ns.
                link.send(peer.syn(flags=P.RST, seq=1))
                time.sleep(0.05)
                _, later, asked_again, there_again = exchange(peer)
                passed = ((later - isn) & 0xFFFF_FFFF) * 64e-9
                # Both were made at some moment between question and answer, which are far apart on a busy machine.
                worst_isn = max(worst_isn, asked_again - there - passed, passed - (there_again - asked))

            def is_one(a, b):
                apart = (stamps[a] - stamps[b]) & 0xFFFF_FFFF
                return min(apart, 2**32 - apart) < 1000

            # Kernels before 6.19 have one clock for an asker, newer ones one for each port.
            kinds |= {is_one(a, b) for a in stamps for b in stamps if a < b}
        L.check(all(len(o) > 6 for o in offsets.values()), "offsets of different askers: %s" % {p: len(o) for p, o in offsets.items()})
    L.check(len(kinds) == 1, "some ports have a clock in common, and some have not")
    L.check(worst_isn < 0.01, "a decoy's or service's number is %.3f s off the clock" % worst_isn)
    return "24 askers, two services and two decoys: %s of timestamps, numbers by the same clock" % (
        "one clock" if True in kinds else "each port its own clock"
    )


# Connections

SINK = """
import socket, sys, threading
def take(c):
    try:
        while c.recv(1 << 18): pass
    except OSError: pass
    c.close()
def serve(family, address):
    s = socket.socket(family)
    s.setsockopt(1, 2, 1)
    if family == 10: s.setsockopt(41, 26, 1)
    s.bind((address, int(sys.argv[1])))
    s.listen(4096)
    while True: threading.Thread(target=take, args=(s.accept()[0],), daemon=True).start()
threading.Thread(target=serve, args=(10, "::"), daemon=True).start()
serve(2, "0.0.0.0")
"""


@L.test("oracles.data_sink")
def data_sink(lab):
    """After a connection a decoy takes data as fast as a service that reads what it is sent."""
    lab.start(lab.target, sys.executable, "-c", SINK, SERVICE)
    sentry = lab.sentry("-atcp", settings={**ALL, "BLOCK_TCP": "0"})
    source = lab.new_source()[0]
    size = 24 << 20

    def seconds(port):
        """The least of three; a tenth of the data and as long as it may take, where it takes long."""
        best = None
        for _ in range(3):
            s = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
            s.bind((source, 0))
            s.settimeout(10)
            L.wait_for(lambda: s.connect_ex((L.TARGET4, port)) in (0, 106), 5, "a connection")
            begun = time.perf_counter()
            sent = 0
            try:
                while sent < size:
                    sent += s.send(b"x" * 65536)
                s.shutdown(socket.SHUT_WR)
                s.recv(1000)
            except OSError:
                pass
            took = (time.perf_counter() - begun) * size / max(sent, 1)
            best = min(best or took, took)
            s.close()
            lab.sockets.remove(s)
            time.sleep(1)
        return best

    service, decoy = seconds(SERVICE), seconds(9999)
    rates = "the service %.0f MB/s, the decoy %.0f" % (size / service / 1e6, size / decoy / 1e6)
    L.check(decoy < max(4 * service, 1), rates)
    memory = L.resident_kib(sentry.pid)
    # All of them together have a bound, and it holds no memory.
    used = L.cpu_seconds(sentry.pid)
    many = []
    for n in range(24):
        s = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
        s.bind((source, 0))
        s.settimeout(5)
        s.connect((L.TARGET4, 2000 + n))
        s.setblocking(False)
        many.append(s)
    sent, begun = 0, time.monotonic()
    while time.monotonic() < begun + 3:
        for s in many:
            try:
                sent += s.send(b"x" * 65536)
            except BlockingIOError:
                pass
    grown = L.resident_kib(sentry.pid) - memory
    took = time.monotonic() - begun
    cpu = L.cpu_seconds(sentry.pid) - used
    L.check(sent < (took + 2) * (64 << 20) + 24 * (8 << 20), "%.0f MB in %.1f s" % (sent / 1e6, took))
    L.check(grown < 4096, "%d KiB for what is thrown away" % grown)
    sentry.stop()
    # Control: a tarpit reads nothing.
    lab.sentry("-atcp", name="tarpit", settings={**ALL, "BLOCK_TCP": "0", "DECOY_TARPIT": "1"})
    s = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
    s.bind((source, 0))
    s.settimeout(1)
    s.connect((L.TARGET4, 9998))
    held = 0
    try:
        while held < size:
            held += s.send(b"x" * 65536)
    except OSError:
        pass
    L.check(held < 8 << 20, "the control: a tarpit takes %d bytes" % held)
    return "%s; 24 at once: %.0f MB/s at %.0f %% of a core and %d KiB; a tarpit %d KB in all" % (
        rates,
        sent / took / 1e6,
        100 * cpu / took,
        max(grown, 0),
        held >> 10,
    )


def prompt(answer):
    """An answer as of a program that closes at once: the kernel acknowledges a FIN by itself where a program takes longer than 40 ms, which
    depends on what else the machine does, for services and decoys alike."""

    def is_ack_before_fin(step, n):
        one, next_one = dict(zip(step[n][::2], step[n][1::2])), dict(zip(step[n + 1][::2], step[n + 1][1::2]))
        return one["flags"] == P.ACK and not one["data"] and next_one["flags"] == P.FIN | P.ACK and one["ack"] == next_one["ack"]

    return tuple(tuple(packet for n, packet in enumerate(step) if n + 1 == len(step) or not is_ack_before_fin(step, n)) for step in answer)


@L.test("oracles.connected")
def connected(lab):
    """What a connection says: ACKs of data, window, data out of order and out of the window, keepalive, urgent data, SYN within it, RST,
    FIN, half-closed, and the port after it (TIME_WAIT). Beside a service that reads what it is sent and says nothing."""
    C.settle(lab)
    lab.start(lab.target, sys.executable, "-c", SINK, SERVICE)
    time.sleep(0.3)
    sentry = lab.sentry("-atcp", settings={**ALL, "BLOCK_TCP": "0"})
    stamp = lambda n: NOP + NOP + b"\x08\x0a" + struct.pack("!II", 1_000_000 + n, 0)
    plain = {"options": WINDOWS}

    def talk(*steps, syn=WINDOWS):
        return lambda p: [lambda: [p.syn(options=syn)], lambda: [p.syn(flags=P.ACK, seq=1, ack=1)], *[lambda s=s: s(p) for s in steps]]

    def segment(flags=P.ACK, seq=1, ack=1, **more):
        return lambda p: [p.syn(flags=flags, seq=seq, ack=ack, **more)]

    push, fin, rst = P.PSH | P.ACK, P.FIN | P.ACK, P.RST
    questions = {
        "data": talk(segment(push, payload=b"hello")),
        "much data": talk(*[segment(push, seq=1 + 1400 * n, payload=b"x" * 1400) for n in range(6)]),
        "a hole": talk(segment(push, seq=101, payload=b"late"), segment(push, payload=b"y" * 100)),
        "twice": talk(segment(push, payload=b"a"), segment(push, payload=b"a")),
        "before the window": talk(segment(push, seq=-1000, payload=b"old")),
        "behind the window": talk(segment(push, seq=1_000_000, payload=b"new")),
        "keepalive": talk(segment(P.ACK, seq=0)),
        "urgent": talk(segment(P.URG | P.ACK, payload=b"u", urgent=1)),
        "SYN within": talk(segment(P.SYN, seq=1)),
        "SYN/ACK within": talk(segment(P.SYN | P.ACK)),
        "ACK of more": talk(segment(ack=5000)),
        "ACK of less": talk(segment(ack=-5000)),
        "RST": talk(segment(rst), segment()),
        "RST in window": talk(segment(rst, seq=50)),
        "RST elsewhere": talk(segment(rst, seq=1_000_000)),
        "FIN": talk(segment(fin), segment(seq=2, ack=2)),
        "FIN twice": talk(segment(fin), segment(fin)),
        "FIN with data": talk(segment(fin, payload=b"bye"), segment(seq=5, ack=2)),
        "after TIME_WAIT": talk(segment(fin), segment(seq=2, ack=2), lambda p: [p.syn(seq=100_000, **plain)]),
        "no flags": talk(segment(0, payload=b"x")),
        "Xmas": talk(segment(P.FIN | P.PSH | P.URG)),
        "window 0": talk(segment(push, payload=b"x", window=0)),
        "ECE": talk(segment(P.ACK | P.ECE), segment(push | P.CWR, payload=b"x")),
    }
    # A service has to be woken before it closes; a FIN comes again after 0.2, 0.6 and 1.4 s: far from the end of each step.
    answers = ask(lab, questions, (SERVICE, 9_999), moment=1.0)
    wrong = [(n, f) for n in questions for f in FAMILIES if prompt(answers[n, f, SERVICE]) != prompt(answers[n, f, 9_999])]
    L.check(
        not wrong,
        "%d tell: %s"
        % (
            len(wrong),
            "; ".join(
                "%s over IPv%d: the service %s, the decoy %s" % (n, f, answers[n, f, SERVICE], answers[n, f, 9_999]) for n, f in wrong[:3]
            ),
        ),
    )
    L.check(all(any(w) for w in answers.values()), "no answer at all")
    sentry.stop()
    # Control: a tarpit's window is another once there is a connection.
    lab.sentry("-atcp", name="tarpit", settings={**ALL, "BLOCK_TCP": "0", "DECOY_TARPIT": "1"})
    control = ask(lab, questions, (SERVICE, 9_999), families=(4,))
    told = sum(1 for n in questions if control[n, 4, SERVICE] != control[n, 4, 9_999])
    L.check(told, "the control: a tarpit is told by %d" % told)
    return "%d conversations, both families: one word for both; a tarpit is told by %d" % (len(questions), told)


# Floods of half-open connections


def half_open_words(lab, ports, source, wait=9.0):
    """What a half-open scan with window scale and without timestamps sees of each port: options of the SYN/ACK, and how often it comes."""
    ear = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    code = [(0x20, 0, 0, 16), (0x15, 0, 1, struct.unpack("!I", socket.inet_aton(source))[0]), (6, 0, 0, 65535), (6, 0, 0, 0)]
    buffer = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
    ear.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", len(code), ctypes.addressof(buffer)))
    ear.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
    ear.bind(("lan0", 0x0800))
    ear.setblocking(False)
    link = lab.link()
    seen = collections.defaultdict(list)
    ask = lambda port: link.send(_syn(source, port))
    # What is lost is lost by its place in a burst: services have none of their own.
    ports = random.Random(1).sample(ports, len(ports))
    for i, port in enumerate(ports):
        ask(port)
        if i % 50 == 49:
            time.sleep(0.01)
    begun, repeated = time.monotonic(), False
    while time.monotonic() < begun + wait:
        try:
            packet, about = ear.recvfrom(2048)
            found = parse(packet) if about[2] != 4 else None
            if found and found[1][0] != "icmp":
                seen[found[2]].append((found[1][found[1].index("flags") + 1], found[1][found[1].index("options") + 1]))
        except BlockingIOError:
            time.sleep(0.001)
        if not repeated and time.monotonic() > begun + 0.5:
            repeated = True
            # Lost on the way; SYN/ACKs of the flood crowd the cable.
            for port in ports:
                if port not in seen:
                    ask(port)
    ear.close()
    link.close()
    return {port: (found[0], len(found)) for port, found in seen.items()}


def _syn(source, port):
    peer = Peer(4, port)
    peer.source, peer.sport = source, 40_000 + port % 20_000
    return peer.syn(options=WINDOWS)


def flood(lab, count, one=None):
    """So many half-open connections at decoys: of invented sources, or all of one who is there and says nothing."""
    if one:
        pairs = [(one, 1024 + n % 64_000, 600 + n // 64_000 % 60_000) for n in range(count)]
    else:
        pairs = [
            ("198.%d.%d.%d" % (18 + n % 2, n // 2 % 256, n // 512 % 250 + 1), 1024 + n // 128_000, 600 + n % 30_000) for n in range(count)
        ]
    sent = 0
    # Made in parts: a million frames are more than a Python list should hold at a time.
    for start in range(0, count, 100_000):
        frames = [P.segment(s, L.TARGET4, sport, port, seq=7 + start) for s, sport, port in pairs[start : start + 100_000]]
        cannon = C.Cannon(lab, frames)
        # Not so fast that the other end loses them.
        for place in range(0, len(frames), 1000):
            sent += cannon.fire(min(1000, len(frames) - place))
            time.sleep(0.002)
        cannon.socket.close()
        lab.sockets.remove(cannon.socket)
    return sent


def drain(lab, *networks):
    """What the target sends to these networks ends in a bridge without ports."""
    for words in (
        "link add sink0 type bridge",
        "link set sink0 up",
        "addr add 10.99.0.2/24 dev sink0",
        "neigh replace 10.99.0.1 lladdr 02:00:00:00:00:99 dev sink0",
        *("route replace %s via 10.99.0.1 dev sink0" % n for n in networks),
    ):
        lab.in_target("ip", *words.split())


def cookies(lab):
    head, values = [line.split() for line in lab.in_target("cat", "/proc/net/netstat").stdout.split("\n")[:2]]
    return int(dict(zip(head, values))["SyncookiesSent"])


@L.test("oracles.half_open_flood")
def half_open_flood(lab):
    """Filling the queue of half-open connections that all decoys share, from forged addresses and from one: a half-open scan then sees the
    same of decoys and services, and nothing turns to cookies."""
    bench = bool(os.environ.get("PORTSENTRY_BENCH"))
    C.settle(lab)
    chance = random.Random(7)
    ports = chance.sample(range(1000, 60_000), 400)
    services = set(ports[:8])
    keep = [lab.service(port) for port in services]
    for s in keep:
        s.listen(4096)
    sentry = lab.sentry("-atcp", settings={**ALL, "DOUBT_TIME": "10m"})
    # Answers to the flood end here: the cable drops what comes too fast, and the kernel forgets a half-open connection whose
    # answer it cannot send.
    drain(lab, "198.18.0.0/15", "10.78.201.0/24")
    probe = ["10.78.200.%d" % n for n in range(1, 10)]
    lines, held = [], 0
    steps = [(0, None), (20_000, None), (20_000, "10.78.201.1")] + ([(500_000, None), (300_000, "10.78.201.2")] if bench else [])
    for number, (count, one) in enumerate(steps):
        before = cookies(lab)
        begun = time.monotonic()
        flood(lab, count, one)
        held += count
        took = time.monotonic() - begun
        words = half_open_words(lab, ports, probe[number])
        bits = learned(words, services, ports)
        groups = collections.Counter(words.values())
        line = "%d half-open more of %s (%.0f s): %.2f bits of %.0f, %d words, %d cookies" % (
            count,
            one or "invented sources",
            took,
            bits,
            math.log2(math.comb(len(ports), len(services))),
            len(groups),
            cookies(lab) - before,
        )
        L.check(len(words) > 0.98 * len(ports), "%s: only %d of %d ports answered" % (line, len(words), len(ports)))
        if os.environ.get("PORTSENTRY_MEASURE"):
            lines.append(line)
            continue
        # What gets lost on the way tells nothing of the port; chance says how much it seems to.
        by_chance = sorted(learned(words, set(chance.sample(ports, len(services))), ports) for _ in range(100))
        L.check(bits <= (by_chance[-5] if len(groups) > 1 else 0) + 1e-9, "%s: %s" % (line, groups.most_common(4)))
        L.check(cookies(lab) == before, line)
        lines.append(line)
    L.check(not sentry.blocked(), "blocked: %s" % sentry.blocked())
    sentry.stop()
    # Control: with a queue as short as that of one listener.
    lab.in_target("sysctl", "-qw", "net.core.somaxconn=8")
    lab.sentry("-atcp", name="short", settings={**ALL, "DOUBT_TIME": "10m"})
    flood(lab, 20_000, "10.78.201.3")
    # A queue that is more than half full is cleared within seconds: it is kept full while the ports are asked.
    asking = threading.Event()
    asking.set()

    def keep_full():
        while asking.is_set():
            flood(lab, 500, "10.78.201.3")

    filler = threading.Thread(target=keep_full)
    filler.start()
    try:
        words = half_open_words(lab, ports, "10.78.200.100", 5.0)
    finally:
        asking.clear()
        filler.join()
    bits = learned(words, services, ports)
    L.check(bits > 20, lambda: "the control: %.2f bits; %s" % (bits, collections.Counter((w, p in services) for p, w in words.items())))
    return "\n     ".join(lines + ["with a queue of 4,096: %.2f bits" % bits])


@L.test("oracles.backlog_price")
def backlog_price(lab):
    """What is left: a service's own queue. What it costs to find the services among many ports by their cookies, and what is known of who asks."""
    count = 1000 if os.environ.get("PORTSENTRY_BENCH") else 100
    C.settle(lab)
    chance = random.Random(9)
    ports = chance.sample(range(1000, 60_000), count)
    services = set(ports[:4])
    for port in services:
        lab.service(port).listen(128)
    sentry = lab.sentry("-atcp", settings={**ALL, "DOUBT_TIME": "10m", "ADVANCED_PORTS_TCP": "65535"})
    drain(lab, "198.18.0.0/15", "10.78.201.0/24")
    lines = []
    for number, one in enumerate((None, "10.78.201.1")):
        depth = 160
        pairs = [(one or "198.%d.%d.%d" % (18 + n % 2, n // 2 % 256, n // 512 % 250 + 1), 1024 + n, port) for port in ports for n in range(depth)]
        begun = time.monotonic()
        for start in range(0, len(pairs), 100_000):
            frames = [P.segment(s, L.TARGET4, sport, port, seq=7 + number) for s, sport, port in pairs[start : start + 100_000]]
            cannon = C.Cannon(lab, frames)
            for place in range(0, len(frames), 1000):
                cannon.fire(min(1000, len(frames) - place))
                time.sleep(0.002)
        took = time.monotonic() - begun
        probe = "10.78.200.%d" % (20 + number)
        bits = min(learned(half_open_words(lab, ports, probe, 5.0), services, ports), math.log2(math.comb(count, len(services))))
        L.check(bits > 0, "the services' own queues are longer than they asked for")
        for scanner in [probe, one] if one else [probe]:
            L.wait_for(lambda: sentry.ask("why", scanner, ok=(0, 1))["verdict"], 10, "the verdict on %s" % scanner)
        lines.append("%d SYNs %s (%.1f s), and %d from an address of one's own: %.1f of %.1f bits; a verdict on each address of one's own" % (
            len(pairs), "from one address" if one else "in invented names", took, count, bits, math.log2(math.comb(count, len(services)))))
    return "\n     ".join(lines)


if __name__ == "__main__":
    raise SystemExit(L.main())
