"""make bench-innocents: nobody is shut out who did not scan, whatever is written on packets; and the scanner among them is."""

import json
import os
import random
import re
import subprocess
import time

import crowd as C
import lab as L
import packets as P

SERVED = (22, 80, 8080)


def attack(lab, count, names, seconds, visitors):
    """Forged SYNs in so many names, nmap with decoys who are alive, and the gateway and the resolver framed."""
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
        for framed in (L.ATTACKER4, "10.78.0.53"):
            for port in (23, 111, 445):
                link.send(P.segment(framed, L.TARGET4, 40000, port))
        time.sleep(seconds / parts)
    link.close()
    nmap.wait(60)


def scan(lab):
    """The true scanner, by whole connections."""
    lab.in_attacker("nmap", "-n", "-Pn", "-sT", "--max-retries", "0", "-p", "1-200", L.TARGET4, timeout=60, ok=None)


def ours(lab, count, number, settings):
    conf = lab.folder + "/resolv.conf"
    open(conf, "w").write("nameserver 10.78.0.53\n")
    sentry = lab.sentry("-atcp", "-audp", settings={"BLOCK_TCP": "1", "BLOCK_UDP": "1", **settings},
                        mounts='mount --bind %s "$(readlink -f /etc/resolv.conf)"' % conf)
    visitors = C.Visitors(lab, SERVED, C.ALIVE[:120])
    visitors.start()
    attack(lab, count, C.bystanders(number), 3 if count < 50_000 else 12, visitors)
    scan(lab)
    L.wait_for(lambda: C.SCANNER in sentry.blocked(), 20, "the true scanner to be blocked")
    visitors.stop()
    after = C.Visitors(lab, SERVED, C.ALIVE[:120])
    after.round()
    blocked = sentry.blocked()
    status = sentry.ask("status")
    return sentry, blocked, visitors, after, status


def theirs(lab, count, number):
    """PortSentry 1.2, which runs a command for each name; of as many as it gets through in a minute."""
    lab.in_target("nft", "-f", "-", input=C.NFT_FOR_1_2)
    lab.sentry("-atcp", predecessor=True, settings={"BLOCK_TCP": "1", "KILL_ROUTE": C.KILL_ROUTE_OF_1_2})
    attack(lab, count, C.bystanders(number), 12, None)
    before, end = -1, time.monotonic() + 60
    while time.monotonic() < end:
        out = json.loads(lab.in_target("nft", "-j", "list", "set", "inet", "lab12", "bad").stdout)
        found = next(i["set"].get("elem", []) for i in out["nftables"] if "set" in i)
        if len(found) == before:
            break
        before = len(found)
        time.sleep(2)
    after = C.Visitors(lab, SERVED, C.ALIVE[:20])
    after.sources = [s for s in after.sources]
    for source in after.sources:
        if C.request(lab, source, 80, timeout=0.5) is None:
            after.failed.append((source, 80))
    return len(set(found) - {C.SCANNER}), len(after.failed), len(after.sources)


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
    C.settle(lab)
    lab.in_target("ip", "route", "add", "default", "via", L.ATTACKER4)
    C.serve(lab, SERVED)
    sentry, blocked, visitors, after, status = ours(lab, count, number, {"RULE": rule})
    innocent = blocked - {C.SCANNER}
    text = "%d forged SYNs in %d names (%d alive), nmap -D with 20 living decoys, gateway and resolver framed: %d innocent blocked, " \
        "the scanner blocked; %d requests of 120 bystanders during, %d after: %d failed, slowest %.0f ms" % (
            count, number, min(number, len(C.ALIVE)), len(innocent), visitors.done, after.done,
            len(visitors.failed) + len(after.failed), visitors.slowest * 1e3)
    L.check(not innocent, text + "; such as %s" % sorted(innocent)[:5])
    L.check(not visitors.failed and not after.failed, text + "; such as %s" % (visitors.failed + after.failed)[:5])
    L.check(visitors.done > 300, "only %d requests during the attack" % visitors.done)
    sentry.stop()
    if bench and rule == "classic" and os.path.exists(L.DEBIAN):
        with L.Lab() as other:
            C.settle(other)
            C.serve(other, SERVED)
            text += "; PortSentry 1.2: %d innocent blocked, %d of %d bystanders cut off" % theirs(other, count, number)
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
