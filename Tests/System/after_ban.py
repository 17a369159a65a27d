"""make bench-after-ban: what a source still reaches after the packet that proved it.

A connection to a decoy is completed by hand, and directly behind its last ACK, as fast as one core sends, follow datagrams to a
service that counts them and SYNs to another. Whatever is counted was let through after the kernel had seen the proof.
"""

import contextlib
import os
import socket
import statistics
import struct
import time

import lab as L
import packets as P
from crowd import Cannon, settle

SERVED = 5353
BURST = 400


class Source:
    """An address that answers nothing by itself, with everything it will send made before."""

    def __init__(self, number):
        # Every third by IPv6, each from a /48 of its own: more of one would be blocked as a whole.
        self.is_v6 = number % 3 == 2
        self.address = "fd79:0:%x::1" % (number + 1) if self.is_v6 else "198.18.%d.%d" % (number // 250, number % 250 + 1)
        self.target = L.TARGET6 if self.is_v6 else L.TARGET4
        self.sport = 30000 + number
        self.syn = self.segment(594, seq=1000)
        self.burst = []
        for n in range(BURST):
            self.burst.append(P.datagram(self.address, self.target, self.sport, SERVED, struct.pack("!I", n)))
            if n % 20 == 10:
                self.burst.append(P.segment(self.address, self.target, 20000 + n, 22, seq=n))

    def segment(self, port, *more, **named):
        return P.segment(self.address, self.target, self.sport, port, *more, **named)

    def answer(self, data):
        """The ports of a SYN/ACK to this source, and the number in it; None for another packet."""
        head = 40 if self.is_v6 else 20
        packed = socket.inet_pton(socket.AF_INET6 if self.is_v6 else socket.AF_INET, self.address)
        if len(data) < head + 20 or data[0] >> 4 != (6 if self.is_v6 else 4) or data[6 if self.is_v6 else 9] != 6:
            return None
        if data[head - len(packed):head] != packed or data[head + 13] & 0x12 != 0x12:
            return None
        return struct.unpack("!HHI", data[head:head + 8])


def trial(lab, source, wire, services):
    """Proves `source` and sends the burst. How many of its datagrams, and of its SYNs, got through."""
    link = lab.link()
    link.send(source.syn)
    link.close()
    end, number = time.monotonic() + 2, None
    while number is None:
        L.check(time.monotonic() < end, "no SYN/ACK")
        answer = source.answer(wire.recv(2048))
        if answer and answer[:2] == (594, source.sport):
            number = answer[2]
    ack = source.segment(594, P.ACK, seq=1001, ack=(number + 1) & 0xffffffff)
    cannon = Cannon(lab, [ack] + source.burst)
    before = time.perf_counter()
    cannon.fire(cannon.count)
    took = time.perf_counter() - before
    cannon.socket.close()
    lab.sockets.remove(cannon.socket)
    time.sleep(0.05)
    got = 0
    for service in services:
        with contextlib.suppress(BlockingIOError):
            while True:
                service.recv(64)
                got += 1
    # SYN/ACKs of the real service to this source.
    answered = 0
    wire.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            answer = source.answer(wire.recv(2048))
            answered += answer is not None and answer[0] == 22
    wire.settimeout(1)
    return got, answered, took


def measure(lab, count, name, rule="classic", mounts=""):
    settle(lab)
    lab.service(22)
    lab.service(22, address="::")
    services = [lab.service(SERVED, socket.SOCK_DGRAM), lab.service(SERVED, socket.SOCK_DGRAM, address="::")]
    for service in services:
        service.setblocking(False)
    # 3: packets that go out of the target come in here, whatever their kind.
    wire = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    wire.bind(("lan0", 3))
    wire.settimeout(1)
    sentry = lab.sentry("-atcp", name=name, settings={"BLOCK_TCP": "1", "RULE": rule, "BLOCK_RATE": "0"}, mounts=mounts)
    found = []
    for n in range(count):
        source = Source(n)
        if rule == "native":
            # Its verdict comes first: three unused ports.
            link = lab.link()
            for port in (600, 601, 602):
                link.send(source.segment(port, seq=1000))
            link.close()
            L.wait_for(lambda: sentry.ask("why", source.address, ok=(0, 1))["verdict"], 3, "the verdict on %s" % source.address)
        # A datagram before the proof does get through: the service counts.
        if n < 3:
            link = lab.link()
            link.send(source.burst[0])
            link.close()
            time.sleep(0.02)
            L.check(services[source.is_v6].recv(64), "the service counts nothing")
        found.append(trial(lab, source, wire, services))
        L.wait_for(lambda: source.address in sentry.blocked(), 3, "the block of %s" % source.address)
    return sentry, found


@contextlib.contextmanager
def group(lab):
    """The lines by which a shell enters a control group of its own."""
    mount = lab.folder + "/groups"
    os.mkdir(mount)
    L.run(["mount", "-t", "cgroup2", "none", mount])
    folder = "%s/portsentry-%d" % (mount, os.getpid())
    os.mkdir(folder)
    try:
        yield "echo $$ > %s/cgroup.procs" % folder
    finally:
        L.wait_for(lambda: not open(folder + "/cgroup.procs").read(), 5, "the end of what ran in the group")
        os.rmdir(folder)
        L.run(["umount", mount])


@L.test("after_ban.nothing_reaches_a_socket")
def after(lab):
    count = 200 if os.environ.get("PORTSENTRY_BENCH") else 24
    sentry, found = measure(lab, count, "gate")
    gate = sentry.ask("status")["deception"]["gate"]
    sentry.stop()
    # By the native rule a source is known as a scanner first, and only its proof is missing. In a control group, as in a unit of systemd's.
    with L.Lab() as other, group(other) as enter:
        sentry, more = measure(other, count // 2, "native", rule="native", mounts=enter)
        found += more
        sentry.stop()
    datagrams, syns = sum(f[0] for f in found), sum(f[1] for f in found)
    per_packet = statistics.median(f[2] for f in found) / (BURST + BURST // 20) * 1e6
    text = "%d sources (a third IPv6, a third by the native rule), %d datagrams and %d SYNs each behind the proving ACK, one in %.1f us: " \
        "%d datagrams and %d SYNs got through" % (len(found), BURST, BURST // 20, per_packet, datagrams, syns)
    if not gate:
        raise L.Skip("no eBPF gate here; " + text)
    L.check(datagrams == 0 and syns == 0, text)
    # The same without the right to load eBPF: what the gate is for.
    with L.Lab() as other:
        sentry, found = measure(other, max(count // 4, 10), "open", mounts=L.WITHOUT_EBPF)
        L.check(not sentry.ask("status")["deception"]["gate"], "a gate without the right to")
        passed = sorted(f[0] for f in found)
        waits = sorted(f[0] * f[2] / BURST for f in found)
        text += "; without eBPF %d datagrams in the median (%.2f ms), %d at worst (%.2f ms)" % (
            passed[len(passed) // 2], waits[len(waits) // 2] * 1e3, passed[-1], waits[-1] * 1e3)
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
