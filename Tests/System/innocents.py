"""make bench-innocents: nobody is shut out who did not scan, whatever is written on packets; and the scanner among them is."""

import contextlib
import json
import os
import random
import subprocess
import time

import crowd as C
import lab as L
import packets as P

SERVED = (22, 80, 8080)
RESOLVER = "10.78.0.253"


def attack(lab, count, names, seconds):
    """Forged SYNs in so many names, nmap with decoys who are alive, and the gateways and the resolver framed."""
    chance = random.Random(1)
    ports = [p for p in range(1, 1024) if p not in SERVED]
    frames = C.syns([chance.choice(names) for _ in range(count)], ports)
    nmap = lab.start(lab.attacker, "nmap", "-n", "-Pn", "-sS", "-p", "1-1000", "--max-retries", "1", "-S", "10.77.0.150", "-e", "lan0",
                     "-D", ",".join(C.ALIVE[:20] + ["ME"]), L.TARGET4)
    link = lab.link()
    parts = 20
    for part in range(parts):
        for frame in frames[part::parts]:
            link.send(frame)
        for framed in (L.ATTACKER4, L.ATTACKER6, RESOLVER):
            for port in (23, 111, 445, 513):
                link.send(P.segment(framed, L.TARGET6 if ":" in framed else L.TARGET4, 40000, port))
        time.sleep(seconds / parts)
    link.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        # Whoever is blocked waits long for each port; then what was sent has to do.
        L.check(nmap.wait(30) == 0, "nmap -D failed")


def scan(lab):
    """The true scanner, by whole connections, over both families."""
    for arguments in (["-p", "1-60", L.TARGET4], ["-6", "-p", "1-60", L.TARGET6]):
        lab.in_attacker("nmap", "-n", "-Pn", "-sT", "--max-retries", "0", *arguments, timeout=60, ok=None)


def start(lab, settings):
    conf = lab.folder + "/resolv.conf"
    open(conf, "w").write("nameserver %s\n" % RESOLVER)
    return lab.sentry("-atcp", "-audp", settings={"BLOCK_TCP": "1", "BLOCK_UDP": "1", **settings},
                      mounts='mount --bind %s "$(readlink -f /etc/resolv.conf)"' % conf)


def prepare(lab):
    C.settle(lab)
    lab.in_target("ip", "route", "add", "default", "via", L.ATTACKER4)
    lab.in_target("ip", "-6", "route", "add", "default", "via", L.ATTACKER6)
    C.serve(lab, SERVED)


def theirs(lab, count, number):
    """PortSentry 1.2, which runs a command for each name; of as many as it gets through in a minute."""
    C.settle(lab)
    C.serve(lab, SERVED)
    lab.in_target("nft", "-f", "-", input=C.NFT_FOR_1_2)
    lab.sentry("-atcp", predecessor=True, settings={"BLOCK_TCP": "1", "KILL_ROUTE": C.KILL_ROUTE_OF_1_2})
    attack(lab, count, C.bystanders(number), 12)
    before, end = -1, time.monotonic() + 60
    while time.monotonic() < end:
        out = json.loads(lab.in_target("nft", "-j", "list", "set", "inet", "lab12", "bad").stdout)
        found = next(i["set"].get("elem", []) for i in out["nftables"] if "set" in i)
        if len(found) == before:
            break
        before = len(found)
        time.sleep(2)
    cut = [s for s in C.ALIVE[:20] if C.request(lab, s, 80, timeout=0.5) is None]
    return "PortSentry 1.2: %d innocent blocked, %d of 20 bystanders cut off" % (len(set(found) - {C.SCANNER}), len(cut))


def unproven(lab, count, number):
    """Ours as the predecessors were: that the same attack would block innocents if no proof were asked for."""
    prepare(lab)
    sentry = start(lab, {"PROOF": "none", "RULE": "classic", "BLOCK_RATE": "0"})
    attack(lab, count, C.bystanders(number), 3)
    innocent = L.wait_for(lambda: sentry.blocked() - {C.SCANNER}, 10, "somebody to be blocked")
    L.check(len(innocent) > 100, "with PROOF=none only %d innocent were blocked: the attack is none" % len(innocent))
    return 'with PROOF="none": %d innocent blocked' % len(innocent)


@L.test("innocents.classic_rule")
def classic(lab):
    return innocents(lab, "classic")


@L.test("innocents.native_rule")
def native(lab):
    return innocents(lab, "native")


def innocents(lab, rule):
    """Nobody is blocked who did not scan."""
    bench = bool(os.environ.get("PORTSENTRY_BENCH"))
    count, number = (100_000, 10_000) if bench else (10_000, 2_000)
    prepare(lab)
    everybody = C.ALIVE[:200] + C.ALIVE6
    scanners = {C.SCANNER, C.source6(lab)}
    sentry = start(lab, {"RULE": rule})
    visitors = C.Visitors(lab, SERVED, everybody)
    visitors.start()
    attack(lab, count, C.bystanders(number), 12 if bench else 3)
    during = visitors.done
    scan(lab)
    L.wait_for(lambda: scanners <= sentry.blocked(), 20, lambda: "the true scanners to be blocked; are: %s" % sentry.blocked())
    visitors.stop()
    after = C.Visitors(lab, SERVED, everybody)
    after.round()
    blocked, status = sentry.blocked(), sentry.ask("status")
    innocent = blocked - scanners
    seen = status["probes"]["seen"] + sum(sentry.dropped().values()) + status["packets"]["dismissed"].get("part of a flood", 0)
    text = "%d forged SYNs in %d names (%d alive, a tenth IPv6), nmap -D with 20 living decoys, gateways and resolver framed: %d innocent " \
        "blocked, both scanners blocked; %d requests of %d bystanders during the attack, %d in all, %d after: %d failed, slowest %.0f ms" % (
            count, number, len(C.ALIVE) + len(C.ALIVE6), len(innocent), during, len(everybody), visitors.done, after.done,
            len(visitors.failed) + len(after.failed), visitors.slowest * 1e3)
    L.check(not innocent, text + "; such as %s" % sorted(innocent)[:5])
    L.check(not visitors.failed and not after.failed, text + "; such as %s" % (visitors.failed + after.failed)[:5])
    # Everybody at every service, at least once, while it goes on; and the attack arrived.
    L.check(during >= len(everybody) * len(SERVED), "only %d requests during the attack" % during)
    L.check(seen > count * 0.9, "only %d probes seen: %s" % (seen, status["packets"]))
    sentry.stop()
    if bench and rule == "classic":
        with L.Lab() as other:
            text += "; " + unproven(other, count, number)
        if os.path.exists(L.DEBIAN):
            with L.Lab() as other:
                text += "; " + theirs(other, count, number)
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
