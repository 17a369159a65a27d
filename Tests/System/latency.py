"""How long a scanner still gets through after the packet that gave it away, and what a block costs.

Measured from outside: a SYN to a watched port, then numbered datagrams to a served UDP port every 50 us. The first number that does
not arrive was sent after the block was in force; its time less the SYN's is the latency.
"""

import ipaddress
import os
import random
import re
import signal
import socket
import statistics
import struct
import time

import lab as L
import packets as P

SERVED, WATCHED = 5353, 111


class Prober:
    def __init__(self, lab):
        self.link = lab.link()
        self.service = lab.service(SERVED, socket.SOCK_DGRAM)
        self.service.setblocking(False)

    def frames(self, source, count):
        return [P.datagram(source, L.TARGET4, 40000, SERVED, struct.pack("!I", n)) for n in range(count)]

    def drain(self):
        last = -1
        while True:
            try:
                data = self.service.recv(64)
            except BlockingIOError:
                return last
            last = max(last, struct.unpack("!I", data[:4])[0])

    def latency(self, source, longest=5.0, step=50e-6):
        """Seconds from the trigger to the first datagram that is lost; None when none is lost."""
        frames = self.frames(source, 400)
        trigger = P.segment(source, L.TARGET4, 40000, WATCHED)
        self.drain()
        link, last, times = self.link, -1, []
        zero = time.perf_counter()
        link.send(trigger)
        while True:
            now = time.perf_counter() - zero
            if now > longest:
                break
            n = len(times)
            times.append(now)
            link.send(frames[n] if n < len(frames) else P.datagram(source, L.TARGET4, 40000, SERVED, struct.pack("!I", n)))
            if n % 4 == 3:
                last = max(last, self.drain())
                if n - last > 20:
                    break
            while time.perf_counter() - zero < now + step:
                pass
        time.sleep(0.002)
        last = max(last, self.drain())
        return times[last + 1] if last + 1 < len(times) else None


def route(lab):
    """The way back to all whom we invent: without one the host would answer nothing, as no host on the Internet does."""
    lab.in_target("ip", "route", "replace", "10.0.0.0/8", "via", L.ATTACKER4)


def measure(lab, settings, sources, **more):
    route(lab)
    sentry = lab.sentry("-stcp", settings={"BLOCK_TCP": "1", "BLOCK_RATE": "0", **({} if more.get("predecessor") else {"PROOF": "none"}), **settings}, **more)
    prober = Prober(lab)
    prober.latency(sources.pop())  # The first pays for caches.
    found = []
    for source in sources:
        value = prober.latency(source)
        L.check(value is not None, "%s was still served 1 s after its SYN; %s" % (source, sentry.texts()[-3:]))
        found.append(value)
        time.sleep(0.003)
    return sentry, found


def invented(count, first):
    base = int(ipaddress.ip_address(first))
    return [str(ipaddress.ip_address(base + i)) for i in range(count)]


@L.test("latency.block_in_force_under_a_millisecond")
def native(lab):
    sentry, ours = measure(lab, {"BLOCK_METHOD": "nftables"}, invented(201, "10.78.1.1"))
    own = sentry.ask("status").get("blocks", {}).get("latency_ns_p50")
    sentry.stop()
    median = statistics.median(ours)
    with L.Lab() as other:
        other.in_target("nft", "-f", "-", input="table inet lab {\n set bad { type ipv4_addr; }\n"
                        " chain c { type filter hook prerouting priority -300; ip saddr @bad drop; }\n}\n")
        command = {"KILL_ROUTE": "nft add element inet lab bad { $TARGET$ }", "BLOCK_METHOD": "command"}
        _, classic = measure(other, command, invented(51, "10.79.1.1"))
        elder = None
        if os.path.exists(L.DEBIAN):
            with L.Lab() as third:
                third.in_target("nft", "-f", "-", input="table inet lab {\n set bad { type ipv4_addr; }\n"
                                " chain c { type filter hook prerouting priority -300; ip saddr @bad drop; }\n}\n")
                _, elder = measure(third, {"KILL_ROUTE": command["KILL_ROUTE"], "BLOCK_METHOD": None, "BLOCK_RATE": None},
                                   invented(51, "10.80.1.1"), predecessor=True)
    text = "median of 200: %.2f ms%s (90%%: %.2f, worst %.2f); KILL_ROUTE with nft: %.2f ms%s" % (
        median * 1e3, ", by its own clock %.2f" % (own / 1e6) if own else "", sorted(ours)[180] * 1e3, max(ours) * 1e3, statistics.median(classic) * 1e3,
        "; PortSentry 1.2: %.2f ms" % (statistics.median(elder) * 1e3) if elder else "")
    L.check(median < L.bar(0.001), text)
    return text


@L.test("latency.cpu_for_each_block")
def cost(lab):
    """All CPU of the sentry and its enforcer, from the packet to the log, the history and the state file; scans come in bursts."""
    route(lab)
    sentry = lab.sentry("-stcp", settings={"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none", "BLOCK_RATE": "0"})
    link = lab.link()

    def spent(sources, pause):
        frames = [P.segment(s, L.TARGET4, 40000, WATCHED) for s in sources]
        had = len(lab.nft_elements())
        pids = lab.pids(lab.target)
        before = sum(map(L.cpu_seconds, pids)) + L.child_cpu_seconds(sentry.pid)
        for frame in frames:
            link.send(frame)
            if pause:
                time.sleep(pause)
        L.wait_for(lambda: len(lab.nft_elements()) >= had + len(sources), 10,
                   lambda: "%d blocks; there are %d" % (had + len(sources), len(lab.nft_elements())), 0.3)
        return (sum(map(L.cpu_seconds, pids)) + L.child_cpu_seconds(sentry.pid) - before) / len(sources)
    burst = spent(invented(2000, "10.78.1.0"), 0)
    alone = spent(invented(1000, "10.79.1.0"), 0.002)
    text = "%.0f us a block in a burst of 2000, %.0f us where each wakes the sentry anew" % (burst * 1e6, alone * 1e6)
    L.check(burst <= L.bar(100e-6), text)
    return text


@L.test("latency.restore_blocks")
def restore(lab):
    count = 100_000 if os.environ.get("PORTSENTRY_BENCH") else 25_000
    settings = {"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none", "BLOCK_RATE": "0",
                "BLOCK_MAX": "600000"}  # Of which one IPv4 /16 has a quarter.
    route(lab)
    sentry = lab.sentry("-stcp", settings=settings)
    link = lab.link()
    sources = invented(count, "10.96.0.0")
    for i, source in enumerate(sources):
        link.send(P.segment(source, L.TARGET4, 40000, WATCHED))
        if i % 100 == 99:
            time.sleep(0.02)
    # What was dropped on the way is sent again, until all are there.
    for _ in range(5):
        time.sleep(1.5)
        held = lab.nft_elements()
        missing = [s for s in sources if s not in held]
        if not missing or len(missing) > count // 2:
            break
        for i, source in enumerate(missing):
            link.send(P.segment(source, L.TARGET4, 40000, WATCHED))
            if i % 100 == 99:
                time.sleep(0.02)
    L.check(not missing, "%d of %d sources were not blocked, such as %s" % (len(missing), count, missing[:3]))
    L.check(len(sentry.blocked()) >= count, "`blocked` lists %d of %d" % (len(sentry.blocked()), count))
    sentry.stop(signal.SIGKILL)
    lab.in_target("nft", "flush", "ruleset")
    served = lab.service(SERVED, socket.SOCK_DGRAM)
    served.setblocking(False)
    sample = [sources[0], sources[-1]] + random.sample(sources, 8)
    frames = [P.datagram(s, L.TARGET4, 40000, SERVED, s.encode()) for s in sample]
    sentry.launch(wait=False)
    end, done, through = time.monotonic() + 15, None, set(sample)
    while time.monotonic() < end:
        for frame in frames:
            link.send(frame)
        moment = time.time()
        time.sleep(0.001)
        through = set()
        while True:
            try:
                through.add(served.recv(64).decode())
            except BlockingIOError:
                break
        if not through:
            done = moment
            break
    L.check(done, "%d of 10 sampled sources get through 15 s after the start" % len(through))
    took = done - sentry.exec_time
    sentry.wait_ready()
    # While the kernel still grows its hash table a listing may leave elements out.
    for _ in range(5):
        held = lab.nft_elements()
        if set(sources) <= held:
            break
        time.sleep(1)
    L.check(set(sources) <= held, "only %d of %d are in the kernel again" % (len(set(sources) & held), count))
    text = "%d blocks in force %.2f s after exec, following kill -9 and a flushed ruleset; resident %.1f MB" % (
        count, took, L.resident_kib(sentry.pid) / 1024)
    L.check(took < L.bar(1.0), text)
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
