"""make bench-after-ban: what a source still reaches after the packet that proved it.

A connection to a decoy is completed by hand, and directly behind its last ACK, as fast as one core sends, follow datagrams to a
service that counts them and SYNs to another. Whatever is counted was let through after the kernel had seen the proof.
"""

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

    def __init__(self, address, sport):
        self.address, self.sport = address, sport
        self.syn = P.segment(address, L.TARGET4, sport, 594, seq=1000)
        self.burst = []
        for n in range(BURST):
            self.burst.append(P.datagram(address, L.TARGET4, sport, SERVED, struct.pack("!I", n)))
            if n % 20 == 10:
                self.burst.append(P.segment(address, L.TARGET4, 20000 + n, 22, seq=n))


def trial(lab, source, wire, service):
    """Proves `source` and sends the burst. How many of its datagrams, and of its SYNs, got through."""
    link = lab.link()
    link.send(source.syn)
    end = time.monotonic() + 2
    while True:
        L.check(time.monotonic() < end, "no SYN/ACK")
        data = wire.recv(2048)
        # From port 594 to us: our number is in it, and what the peer's is.
        if len(data) >= 40 and data[9] == 6 and data[20:24] == struct.pack("!HH", 594, source.sport) and data[33] & 0x12 == 0x12:
            number = struct.unpack("!I", data[24:28])[0]
            break
    link.close()
    ack = P.segment(source.address, L.TARGET4, source.sport, 594, P.ACK, seq=1001, ack=(number + 1) & 0xffffffff)
    cannon = Cannon(lab, [ack] + source.burst)
    before = time.perf_counter()
    cannon.fire(cannon.count)
    took = time.perf_counter() - before
    cannon.socket.close()
    lab.sockets.remove(cannon.socket)
    time.sleep(0.05)
    got = []
    while True:
        try:
            got.append(struct.unpack("!I", service.recv(64)[:4])[0])
        except BlockingIOError:
            break
    # SYN/ACKs of the real service to this source.
    answered = 0
    wire.setblocking(False)
    while True:
        try:
            data = wire.recv(2048)
        except BlockingIOError:
            break
        if data[9] == 6 and data[16:20] == socket.inet_aton(source.address) and data[20:22] == struct.pack("!H", 22):
            answered += 1
    wire.setblocking(True)
    return len(got), answered, took


def measure(lab, count, name, mounts=""):
    settle(lab)
    lab.service(22)
    service = lab.service(SERVED, socket.SOCK_DGRAM)
    service.setblocking(False)
    wire = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    wire.bind(("lan0", 0x0800))
    wire.settimeout(1)
    sentry = lab.sentry("-atcp", name=name, settings={"BLOCK_TCP": "1", "RULE": "classic", "BLOCK_RATE": "0"}, mounts=mounts)
    found = []
    for n in range(count):
        source = Source("198.18.%d.%d" % (n // 250, n % 250 + 1), 30000 + n)
        found.append(trial(lab, source, wire, service))
        L.wait_for(lambda: source.address in sentry.blocked(), 3, "the block of %s" % source.address)
    return sentry, found


@L.test("after_ban.nothing_reaches_a_socket")
def after(lab):
    count = 200 if os.environ.get("PORTSENTRY_BENCH") else 30
    sentry, found = measure(lab, count, "gate")
    gate = sentry.ask("status")["deception"]["gate"]
    datagrams, syns = sum(f[0] for f in found), sum(f[1] for f in found)
    per_packet = statistics.median(f[2] for f in found) / (BURST + BURST // 20) * 1e6
    sentry.stop()
    text = "%d sources, %d datagrams and %d SYNs each behind the proving ACK, one in %.1f us: %d datagrams and %d SYNs got through" % (
        count, BURST, BURST // 20, per_packet, datagrams, syns)
    if not gate:
        raise L.Skip("no eBPF gate here; " + text)
    L.check(datagrams == 0 and syns == 0, text)
    # The same without the right to load eBPF: what the gate is for.
    with L.Lab() as other:
        sentry, found = measure(other, max(count // 4, 10), "open", mounts='set -- setpriv --bounding-set=-bpf,-sys_admin,-perfmon '
                                '--inh-caps=-bpf,-sys_admin,-perfmon "$@"')
        L.check(not sentry.ask("status")["deception"]["gate"], "a gate without the right to")
        passed = sorted(f[0] for f in found)
        waits = sorted(f[0] * f[2] / BURST for f in found)
        text += "; without eBPF %d datagrams in the median (%.2f ms), %d at worst (%.2f ms)" % (
            passed[len(passed) // 2], waits[len(waits) // 2] * 1e3, passed[-1], waits[-1] * 1e3)
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
