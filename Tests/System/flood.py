"""make bench-syn-flood: a flood of forged SYNs against the decoys: what it costs, what it fills, whom it hits, and who is found in it."""

import os
import random
import re
import statistics
import threading
import time

import crowd as C
import deception as D
import lab as L
import packets as P


def invented(count, seed=3):
    chance = random.Random(seed)
    return ["%d.%d.%d.%d" % (chance.randrange(11, 120), chance.randrange(256), chance.randrange(256), chance.randrange(1, 255))
            for _ in range(count)]


def cost(cannon, packets, rounds=5):
    """Nanoseconds of CPU for each SYN: sending, all that the target's kernel does with it, and taking the answer in again."""
    times = []
    for _ in range(rounds):
        before = time.thread_time()
        cannon.fire(packets // rounds)
        times.append((time.thread_time() - before) / (packets // rounds) * 1e9)
    return statistics.median(times)


def memory(lab, sentry):
    """KiB: resident of ours, and slab of the kernel."""
    return L.resident_kib(sentry.pid), D.slab(lab)


@L.test("flood.costs_little_and_hides_nobody")
def flood(lab):
    bench = bool(os.environ.get("PORTSENTRY_BENCH"))
    seconds = 60 if bench else 6
    C.settle(lab)
    lab.in_target("ip", "route", "add", "default", "via", L.ATTACKER4)
    lab.service(22).listen(4096)
    ports = [p for p in range(1, 65536) if p != 22]
    names = invented(200_000 if bench else 100_000)
    cannon, at_service = C.Cannon(lab, C.syns(names, ports)), C.Cannon(lab, C.syns(names[:50_000], [22]))
    # Closed ports, a port that is served, and the decoys: in turn, so that the machine's moods fall on all.
    closed, served, decoys, own = [], [], [], []
    for n in range(3):
        closed.append(cost(cannon, 300_000))
        served.append(cost(at_service, 300_000))
        sentry = lab.sentry("-atcp", "-audp", name="cost%d" % n, settings=D.ALL)
        before = L.cpu_seconds(sentry.pid)
        decoys.append(cost(cannon, 300_000))
        own.append((L.cpu_seconds(sentry.pid) - before) / 0.3)
        sentry.stop()
    a, b = statistics.median(closed), statistics.median(decoys)
    text = "%.0f ns of the kernel's CPU a SYN at closed ports without a sentry, %.0f ns at a service; with it %.0f ns at its decoys (%.2f of closed " \
        "ports), and %.1f s of its own CPU a million for records" % (a, statistics.median(served), b, b / a, statistics.median(own))

    for rule in ("classic", "native"):
        text += one_flood(lab, cannon, rule, seconds if rule == "classic" else seconds // 2)
    L.check(b / a < 2.8, text)
    return text


def one_flood(lab, cannon, rule, seconds):
    """Decoys under fire, a scanner who connects in the midst of it: what is said of both."""
    sentry = lab.sentry("-atcp", "-audp", name="flood-" + rule, settings={**D.ALL, "RULE": rule})
    time.sleep(0.5)
    at_rest = memory(lab, sentry)
    seen = [at_rest]
    sent, stop = [0], threading.Event()

    def fire():
        while not stop.is_set():
            sent[0] += cannon.fire(2048)
    thread = threading.Thread(target=fire, daemon=True)
    begun = time.monotonic()
    thread.start()
    scan = None
    found = None
    while time.monotonic() - begun < seconds:
        if scan is None and time.monotonic() - begun > seconds / 3:
            scan = lab.start(lab.attacker, "nmap", "-n", "-Pn", "-sT", "--max-retries", "2", "-p", "1-300", L.TARGET4)
            scanned = time.monotonic()
        if scan and found is None and C.SCANNER in lab.nft_elements():
            found = time.monotonic() - scanned
        seen.append(memory(lab, sentry))
        time.sleep(0.2)
    stop.set()
    thread.join(30)
    took = time.monotonic() - begun
    L.check(found is not None, "%s rule: the scanner was not blocked in %.0f s of flood" % (rule, seconds))
    blocked = L.wait_for(lambda: sentry.blocked(), 20, "an answer")
    status = sentry.ask("status")
    # What is bounded stops growing.
    ours, kernel = [m[0] / 1024 for m in seen], [m[1] / 1024 for m in seen]
    half, last = max(ours[:len(ours) // 2]), max(ours)
    text = "\n     %s rule, %.0f s of flood, %.1f million SYNs (%.0f thousand a second): %d innocent blocked, the scanner blocked %.1f s after it " \
        "began; %.0f MB resident before, %.0f MB half-way, %.0f MB at most, %.0f MB more of the kernel's; %d probes lost and counted, " \
        "%d doubts without room" % (
            rule, took, sent[0] / 1e6, sent[0] / took / 1e3, len(blocked - {C.SCANNER}), found, ours[0], half, last, max(kernel) - kernel[0],
            sum(sentry.dropped().values()), status["deception"]["doubts_without_room"])
    L.check(blocked == {C.SCANNER}, text + "; %s" % sorted(blocked)[:5])
    L.check(last - ours[0] <= 64 and (seconds < 30 or last - half < 16), text + "; it grows")
    L.check(D.connect(lab, "10.77.0.149", 22), text + "; the service is not reached")
    sentry.stop()
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
