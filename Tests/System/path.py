"""make bench-path: what one honest packet pays for a sentry, in nanoseconds of the kernel's, part by part.

The kernel itself puts one frame 100,000 times at the target's interface (XDP, live frames), in one system call that tells how long a frame
took: no scheduler, no second namespace and no program of ours is in that number. Outgoing packets are sent 64 a call to a
neighbour who drops them. Each figure is the least of the rounds, since what disturbs only adds; all ways are tried in turn in each round.
"""

import ctypes
import json
import os
import signal
import socket
import statistics
import struct
import time

import lab as L
import packets as P

_libc = ctypes.CDLL(None, use_errno=True)
SERVICE, SOURCE_PORT = 8080, 39998
MAP_CREATE, PROG_LOAD, TEST_RUN, LINK_CREATE = 0, 5, 10, 28
LIVE_FRAMES = 2
ALL = {"RULE": "native", "PROOF": "handshake", "BLOCK_TCP": "1", "BLOCK_UDP": "1", "ADVANCED_PORTS_TCP": "65535",
       "ADVANCED_PORTS_UDP": "1024"}
NO_DECOYS = {**ALL, "ADVANCED_DECOY": "0", "BLOCK_TCP": "0", "BLOCK_UDP": "0"}


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = _libc.syscall(321 if os.uname().machine == "x86_64" else 280, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result, buffer.raw


def xdp(verdict):
    """A program that says the same of every frame."""
    code = struct.pack("<BBhi", 0xb7, 0, 0, verdict) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    text, words = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    return bpf(PROG_LOAD, struct.pack("IIQQ", 6, 2, ctypes.addressof(text), ctypes.addressof(words)))[0]


class Frames:
    """Frames put at an interface of the target's."""

    def __init__(self, lab, interface="lan0"):
        self.lab, self.program = lab, xdp(2)
        with lab.inside(lab.target):
            self.index = socket.if_nametoindex(interface)

    def put(self, frame, count):
        """Nanoseconds for each."""
        data = ctypes.create_string_buffer(frame, len(frame))
        context = ctypes.create_string_buffer(struct.pack("IIIIII", 0, len(frame), 0, self.index, 0, 0), 24)
        with self.lab.inside(self.lab.target):
            _, raw = bpf(TEST_RUN, struct.pack(
                "IIIIQQIIIIQQIII", self.program, 0, len(frame), 0, ctypes.addressof(data), 0, count, 0, 24, 0,
                ctypes.addressof(context), 0, LIVE_FRAMES, 0, 64))
        return struct.unpack_from("I", raw, 36)[0]


def connection(lab):
    """A connection from the attacker to a service, and the last ACK that it sent, as a frame."""
    listener = lab.service(SERVICE)
    tap = lab.open_socket(lab.target, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.bind(("lan0", 3))
    client = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
    client.bind((L.ATTACKER4, SOURCE_PORT))
    client.connect((L.TARGET4, SERVICE))
    accepted, _ = listener.accept()
    tap.settimeout(1)
    frame = None
    try:
        while True:
            got = tap.recv(2048)
            if got[12:14] == b"\x08\0" and got[23] == 6 and got[34:36] == struct.pack(">H", SOURCE_PORT) and got[47] == 0x10:
                frame = bytearray(got)
    except TimeoutError:
        pass
    tap.close()
    L.check(frame, "no ACK was seen")
    frame[50:52] = b"\0\0"
    segment = bytes(frame[34:])
    frame[50:52] = struct.pack(">H", P.checksum(bytes(frame[26:34]) + struct.pack(">HH", 6, len(segment)) + segment))
    return bytes(frame), (client, accepted)


def datagrams(lab):
    """A frame to a UDP service that nobody reads: it is full at once, so only the way to it counts."""
    service = lab.service(SERVICE, socket.SOCK_DGRAM)
    service.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    frame = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in (L.TARGET_MAC, L.ATTACKER_MAC)) + b"\x08\0"
    frame += P.datagram(L.ATTACKER4, L.TARGET4, SOURCE_PORT, SERVICE, b"x" * 32)
    return frame, service


class Sending:
    """64 datagrams a call of a service's, to a neighbour whose interface drops them."""

    def __init__(self, lab):
        self.lab = lab
        self.socket = lab.open_socket(lab.target, socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("0.0.0.0", SERVICE + 1))
        self.socket.connect((L.ATTACKER4, 9))
        self.program = xdp(1)
        with lab.inside(lab.attacker):
            self.index = socket.if_nametoindex("lan0")
        text = ctypes.create_string_buffer(b"x" * 64, 64)
        self.keep = [text, ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(text), 64), 16)]
        message = struct.pack("QIIQQQQIIII", 0, 0, 0, ctypes.addressof(self.keep[1]), 1, 0, 0, 0, 0, 0, 0)
        self.keep.append(ctypes.create_string_buffer(message * 64, 64 * len(message)))

    def put(self, count):
        with self.lab.inside(self.lab.attacker):
            drop = bpf(LINK_CREATE, struct.pack("IIII", self.program, self.index, 37, 0))[0]
        calls = count // 64
        begun = time.thread_time_ns()
        for _ in range(calls):
            _libc.sendmmsg(self.socket.fileno(), self.keep[2], 64, 0)
        took = time.thread_time_ns() - begun
        os.close(drop)
        return took / (calls * 64)


class Connecting:
    """Connections that are made and reset at once, both ends by this thread, so that its time is all the time there is."""

    def __init__(self, lab):
        self.lab = lab
        self.listener = lab.service(SERVICE + 2)

    def put(self, count):
        linger = struct.pack("ii", 1, 0)
        least = None
        with self.lab.inside(self.lab.attacker):
            for _ in range(5):
                begun = time.thread_time_ns()
                for _ in range(count):
                    client = socket.socket()
                    client.connect((L.TARGET4, SERVICE + 2))
                    accepted, _ = self.listener.accept()
                    accepted.close()
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    client.close()
                took = (time.thread_time_ns() - begun) / count
                least = min(took, least or took)
        return least


def measure(lab, ways, rounds, count):
    """`ways`: name to (begin, end). Least nanoseconds of an ACK in, a datagram in, a datagram out and a connection, by way."""
    frames = Frames(lab)
    ack, keep = connection(lab)
    datagram, service = datagrams(lab)
    sending, connecting = Sending(lab), Connecting(lab)
    found = {}
    for _ in range(rounds):
        for name, (begin, end) in ways.items():
            state = begin()
            for _ in range(2):  # The first pays for caches.
                frames.put(ack, 2000)
                frames.put(datagram, 2000)
                sending.put(2000)
            figures = [frames.put(ack, count), frames.put(datagram, count), sending.put(count), connecting.put(count // 200)]
            end(state)
            found[name] = [min(a, b) for a, b in zip(found.get(name, figures), figures)]
    del keep, service
    return found


CONNTRACK = "table inet recipe {\n chain c {\n type filter hook input priority 0; ct state established,related accept\n }\n}\n"


class Ways:
    """What the target runs meanwhile, by name: how it begins and how it ends."""

    def __init__(self, lab):
        self.lab, self.sentries = lab, {}

    def sentry(self, name, settings, **more):
        def begin():
            if name in self.sentries:
                self.sentries[name].launch()
            else:
                self.sentries[name] = self.lab.sentry("-atcp", "-audp", settings=settings, name=name, **more)
            time.sleep(0.4)
            return self.sentries[name]
        return begin, lambda sentry: sentry.stop()

    def nothing(self):
        return lambda: None, lambda _: None

    def recipe(self):
        return (lambda: self.lab.in_target("nft", "-f", "-", input=CONNTRACK),
                lambda _: self.lab.in_target("nft", "delete", "table", "inet", "recipe"))

    def doubting(self, count=1000):
        """With as many sources in doubt, which is renewed before each measurement."""
        begin, end = self.sentry("doubt", ALL)

        def begun():
            sentry = begin()
            link = self.lab.link()
            for n in range(count):
                for port in (600, 601):
                    link.send(P.segment("10.99.%d.%d" % (n // 250, n % 250 + 1), L.TARGET4, 40000, port))
            link.close()
            time.sleep(0.5)
            return sentry
        return begun, end


# Rights as the packaged unit has them: loading programs, but none of what CAP_PERFMON lets the verifier take.
_AS_UNIT = 'set -- setpriv --bounding-set=-sys_admin,-perfmon --inh-caps=-sys_admin,-perfmon "$@"'


def programs_at(lab, interface="lan0"):
    """How many programs are at the two sides of an interface of the target's (tcx)."""
    count = 0
    with lab.inside(lab.target):
        index = socket.if_nametoindex(interface)
        for side in (46, 47):
            ids = ctypes.create_string_buffer(256)
            # BPF_PROG_QUERY: interface, side, flags, flags found, where the numbers go, how many fit.
            _, raw = bpf(16, struct.pack("IIIIQI", index, side, 0, 0, ctypes.addressof(ids), 64))
            count += struct.unpack_from("I", raw, 24)[0]
    return count


def _sees(sentry, link, port):
    before = sentry.ask("status")["probes"]["seen"]
    link.send(P.segment("10.99.1.1", L.TARGET4, 40000, port))
    L.wait_for(lambda: sentry.ask("status")["probes"]["seen"] > before, 5, "a probe to be seen")


@L.test("path.programs_at_the_interface")
def programs(lab):
    """Where the kernel has tcx the packet socket gives way to programs; they go with the sentry, and come with an interface."""
    try:
        programs_at(lab)
    except OSError as error:
        raise L.Skip("this kernel has no programs at interfaces: %s" % error)
    link = lab.link()
    for name, mounts, expected in (("all", "", "programs"), ("unit", _AS_UNIT, "programs"), ("none", L.WITHOUT_EBPF, "packet_socket")):
        sentry = lab.sentry("-atcp", settings=ALL, mounts=mounts, name=name)
        capture = L.wait_for(lambda: [c for c in [sentry.ask("status")["capture"]] if c[expected] == ["lan0"]], 10,
                             lambda: "%s: %s" % (name, sentry.ask("status")["capture"]))[0]
        text = sentry.control_command("status").stdout
        L.check(capture["text"] in text, "status says nothing of %r" % capture["text"])
        if expected == "programs":
            L.check(programs_at(lab) == 2 and capture["reason"] is None, capture)
        else:
            L.check(programs_at(lab) == 0 and "CAP_BPF" in capture["reason"], capture)
        _sees(sentry, link, 600)
        L.check(sentry.ask("status")["dropped"]["ring_full"] == 0, "lost")
        sentry.stop(signal.SIGKILL if name == "all" else signal.SIGTERM)
        L.wait_for(lambda: programs_at(lab) == 0, 5, "the end of the programs")

    sentry = lab.sentry("-atcp", settings=ALL, name="late")
    lab.in_target("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
    begun = time.monotonic()
    lab.in_target("ip", "link", "set", "late0", "up")
    L.wait_for(lambda: "late0" in sentry.ask("status")["capture"]["programs"], 10, lambda: sentry.ask("status")["capture"])
    took = time.monotonic() - begun
    L.check(programs_at(lab, "late0") == 2, "no programs at a new interface")
    # Without an Ethernet header.
    made = L.run(["ip", "netns", "exec", lab.target, "ip", "tuntap", "add", "tun9", "mode", "tun"], ok=None).returncode == 0
    if made:
        lab.in_target("ip", "link", "set", "tun9", "up")
        L.wait_for(lambda: sentry.ask("status")["capture"]["packet_socket"] == ["tun9"], 10, lambda: sentry.ask("status")["capture"])
    _sees(sentry, link, 601)
    return "seen by programs, with the unit's rights too; a new interface after %.0f ms%s" % (
        1000 * took, "; a tunnel by a packet socket" if made else "")


@L.test("path.what_an_honest_packet_pays")
def path(lab):
    rounds, count = (5, 100_000) if os.environ.get("PORTSENTRY_BENCH") else (2, 20_000)
    try:
        Frames(lab).put(bytes(64), 64)
    except OSError as error:
        raise L.Skip("this kernel puts no live frames: %s" % error)
    ways = Ways(lab)
    found = measure(lab, {
        "nothing": ways.nothing(),
        "a plain recipe (conntrack)": ways.recipe(),
        "taps alone (no decoys, no blocking)": ways.sentry("taps", NO_DECOYS),
        "taps, bans and decoys (no eBPF)": ways.sentry("without", ALL, mounts=L.WITHOUT_EBPF),
        "all, nobody attacks": ways.sentry("all", ALL),
        "all, 1,000 sources in doubt": ways.doubting(),
    }, rounds, count)
    none = found["nothing"]
    kinds = ("ack", "datagram_in", "datagram_out", "connection")
    rows = [{"way": name, **{kind + "_ns": round(row[n] - none[n]) for n, kind in enumerate(kinds)}} for name, row in found.items()]
    if os.environ.get("PORTSENTRY_JSON"):
        json.dump(rows, open(os.environ["PORTSENTRY_JSON"], "w"))
    text = "without anything %d ns an ACK, %d a datagram in, %d one out, %d a connection; beyond that:\n" % tuple(none)
    text += "\n".join("     %-40s %6d %6d %6d %6d" % tuple(row.values()) for row in rows[1:])
    acks = {row["way"]: row["ack_ns"] for row in rows}
    # Where the rules grow, this does. Twice what connection tracking takes is far from what it should be (docs/performance.md).
    L.check(acks["all, nobody attacks"] <= 3 * max(acks["a plain recipe (conntrack)"], 250), text)
    return text


def bulk(lab, seconds):
    """Bits a second of one stream into the target."""
    server = lab.start(lab.target, "iperf3", "-s", "-1", "-p", "5201")
    L.wait_for(lambda: lab.in_target("ss", "-ltnH", "sport", "=", ":5201").stdout, 5, "iperf3")
    text = lab.in_attacker("iperf3", "-c", L.TARGET4, "-p", "5201", "-t", str(seconds), "-J", timeout=seconds + 30).stdout
    server.wait(10)
    return json.loads(text)["end"]["sum_received"]["bits_per_second"]


def throughput(lab, connecting, ways, pairs, seconds):
    """Ratios to nothing, by way: of bulk and of connections a second. Each is measured between two measurements of nothing."""

    def both():
        return bulk(lab, seconds), 1e9 / connecting.put(300)

    ratios = {name: [] for name in ways}
    for _ in range(pairs):
        for name, (begin, end) in ways.items():
            before = both()
            state = begin()
            found = both()
            end(state)
            after = both()
            ratios[name].append([2 * f / (b + a) for f, b, a in zip(found, before, after)])
    return {name: [statistics.median(column) for column in zip(*rows)] + [min(r[0] for r in rows), max(r[0] for r in rows)]
            for name, rows in ratios.items()}


@L.test("path.throughput")
def rates(lab):
    if not os.environ.get("PORTSENTRY_BENCH"):
        raise L.Skip("only on a quiet machine: make bench-path")
    ways, connecting = Ways(lab), Connecting(lab)
    text = []
    for words, switch in (("offloads off", "off"), ("offloads on", "on")):
        for namespace in (lab.target, lab.attacker):
            L.run(["ip", "netns", "exec", namespace, "ethtool", "-K", "lan0", "tso", switch, "gso", switch, "gro", switch], ok=(0, 1))
        found = throughput(lab, connecting, {
            "nothing, again": ways.nothing(),
            "a plain recipe (conntrack)": ways.recipe(),
            "taps alone (no decoys, no blocking)": ways.sentry("taps" + switch, NO_DECOYS),
            "all, nobody attacks": ways.sentry("all" + switch, ALL),
        }, 5, 2)
        text += ["     %-14s %-40s bulk %.3f (%.2f to %.2f), connections %.3f" % (words, name, row[0], row[2], row[3], row[1])
                 for name, row in found.items()]
    return "ratios to nothing, medians of 5 pairs\n" + "\n".join(text)


if __name__ == "__main__":
    raise SystemExit(L.main())
