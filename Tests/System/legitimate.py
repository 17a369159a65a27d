"""make bench-legitimate: what honest traffic pays: nothing fails, and nothing is slower, for doubted sources neither.

Two laboratories side by side, one with a sentry and one without. Requests go to the one and the other in turn, so that whatever
else the machine does falls on both.
"""

import os
import statistics
import time

import crowd as C
import lab as L

PORTS = (80, 8080)


def compare(lab, other, sources, count, doubted):
    """Requests in turn: seconds with the sentry, seconds without, failures."""
    link = lab.link()
    ours, theirs, failed = [], [], 0
    for n in range(count):
        source, port = sources[n % len(sources)], PORTS[n % len(PORTS)]
        if doubted and n % 200 == 0:
            for s in sources:
                link.send(C.P.segment(s, L.TARGET4, 40000, 600 + n % 100))
        pair = ((lab, ours), (other, theirs))
        for where, times in pair if n % 2 else reversed(pair):
            took = C.request(where, source, port)
            if took is None:
                failed += where is lab
            else:
                times.append(took)
    link.close()
    return ours, theirs, failed


@L.test("legitimate.nobody_pays_for_it")
def legitimate(lab):
    count = 10_000 if os.environ.get("PORTSENTRY_BENCH") else 1_500
    with L.Lab() as other:
        for place in (lab, other):
            C.settle(place)
            C.serve(place, PORTS)
        sentry = lab.sentry("-atcp", "-audp", settings={
            "BLOCK_TCP": "1", "BLOCK_UDP": "1", "RULE": "classic", "ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "1024"})
        compare(lab, other, C.ALIVE[:10], 200, False)  # For the caches.
        parts, words = [], []
        for name, sources, doubted in (("bystanders", C.ALIVE[:100], False), ("a doubted address", C.ALIVE[200:201], True)):
            ours, theirs, failed = compare(lab, other, sources, count, doubted)
            if doubted:
                L.check(sentry.ask("why", sources[0])["doubted_seconds"] is not None, "the address is not doubted")
            ratio = statistics.median(ours) / statistics.median(theirs)
            parts.append((ratio, failed))
            words.append("%d requests from %s: %d failed, median %.1f us with the sentry, %.1f us without, ratio %.3f" % (
                count, name, failed, statistics.median(ours) * 1e6, statistics.median(theirs) * 1e6, ratio))
        text = "; ".join(words)
        L.check(all(failed == 0 for _, failed in parts), text)
        limit = 1.05 if os.environ.get("PORTSENTRY_BENCH") else 1.25
        L.check(all(ratio <= limit for ratio, _ in parts), text)
        L.check(not sentry.blocked(), "somebody was blocked: %s" % sentry.blocked())
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
