"""make bench-kills: kill -9 at any moment of an attack: services stay, lies end, bans stay, and nobody else's rules change."""

import os
import random
import signal
import socket
import time

import crowd as C
import deception as D
import lab as L
import packets as P
from resilience import reachable

THEIRS = """table inet firewall {
 set s { type ipv4_addr; flags timeout; elements = { 192.0.2.1 } }
 chain input { type filter hook input priority filter; policy accept;
  ip saddr @s drop
  tcp dport 9 accept
 }
}
table ip nat {
 chain pre { type nat hook prerouting priority dstnat; policy accept;
  tcp dport 8080 redirect to :80
 }
}
"""


@L.test("kills.at_any_moment")
def kills(lab):
    rounds = 50 if os.environ.get("PORTSENTRY_BENCH") else 8
    chance = random.Random(9)
    C.settle(lab)
    C.serve(lab, (22, 80))
    lab.in_target("nft", "-f", "-", input=THEIRS)
    sentry = lab.sentry("-atcp", "-audp", settings={**D.ALL, "DOUBT_TIME": "2s"})
    before = D.foreign(lab)
    cannon = C.Cannon(lab, C.syns(["198.18.%d.%d" % (n >> 8, n & 255) for n in range(20_000)], range(1, 65535)))
    banned, visitor, framed = set(), C.ALIVE[0], C.ALIVE[1]
    slowest, restored = 0.0, 0.0
    for n in range(rounds):
        # A flood of forged SYNs, a framed bystander, a scanner who connects; and in the midst of it, the end.
        scanner = "10.78.0.%d" % (20 + n)
        lab.syn(framed, 600 + n)
        moment = time.monotonic() + chance.uniform(0, 0.25)
        proven = D.connect(lab, scanner, 700 + n) if chance.random() < 0.8 else None
        if proven:
            with_ban = chance.random() < 0.7
            if with_ban:
                L.wait_for(lambda: scanner in lab.nft_elements(), 3, "the block of %s" % scanner)
        while time.monotonic() < moment:
            cannon.fire(256)
        if chance.random() < 0.5:
            lab.start(lab.attacker, "timeout", "2", "nmap", "-n", "-Pn", "-sT", "--max-retries", "0", "-p", "1-500", L.TARGET4)
        sentry.stop(signal.SIGKILL)
        held = lab.nft_elements()
        if proven and with_ban:
            banned.add(scanner)
        # Nobody lies any more, and whoever is served is served, at the first try.
        for source in (visitor, framed):
            for port in (22, 80, 8080):
                took = C.request(lab, source, port)
                L.check(took is not None, "round %d: %s does not reach port %d after kill -9" % (n, source, port))
                slowest = max(slowest, took)
        L.check(D.refused(lab, visitor, 9999) and D.refused(lab, framed, 9999), "round %d: something lies without a sentry" % n)
        L.check(banned <= held, "round %d: bans have ended: %s" % (n, sorted(banned - held)[:3]))
        begun = time.monotonic()
        sentry.launch()
        restored = max(restored, time.monotonic() - begun)
        L.check(banned <= sentry.blocked(), "round %d: forgotten: %s" % (n, sorted(banned - sentry.blocked())[:3]))
        L.check(D.foreign(lab) == before, "round %d: the rules of others changed" % n)
        found = D.states(lab, "-sS", "-p", "22,9999", source="10.77.0.149")
        L.check(found == {22: "open", 9999: "open"}, "round %d: not deceived after the start: %s" % (n, found))
    innocent = sentry.blocked() - banned - {C.SCANNER} - {"10.78.0.%d" % (20 + n) for n in range(rounds)}
    L.check(not innocent, "innocent blocked: %s" % innocent)
    sentry.stop(signal.SIGKILL)
    L.wait_for(lambda: not D.doubted(lab), 5, "the doubts to end by themselves")
    sentry.launch()
    sentry.stop()
    L.check(D.foreign(lab) == before and "chain trap" not in D.ruleset(lab), "rules are left")
    return "%d kills during attack: every request served at the first try (slowest %.1f ms), nothing lied without a sentry, %d bans outlived all, " \
        "watching again after %.0f ms at most, no other rule changed" % (rounds, slowest * 1e3, len(banned), restored * 1e3)


if __name__ == "__main__":
    raise SystemExit(L.main())
