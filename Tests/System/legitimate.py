"""make bench-legitimate: what honest traffic pays: nothing fails, and nothing is slower, for doubted sources neither.

The sentry is started and stopped again and again, and requests are timed with and without it in turn, so that whatever else the
machine does falls on both. Each is a connection of its own, from one namespace to the other, so the network takes no time at all
and every microsecond of ours shows: first with a real web server and client, then (`bare`) with three lines for each.
"""

import http.client
import os
import statistics
import sys
import time

import crowd as C
import lab as L
import packets as P

PORTS = (80, 8080)
REAL = 8000
SETTINGS = {"BLOCK_TCP": "1", "BLOCK_UDP": "1", "RULE": "classic", "ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "1024"}


def real(lab, source, _):
    """One request by Python's own client to its own server. Seconds, or None."""
    begun = time.perf_counter()
    try:
        with lab.inside(lab.attacker):
            c = http.client.HTTPConnection(L.TARGET4, REAL, timeout=5, source_address=(source, 0))
            c.connect()
        c.request("GET", "/")
        answer = c.getresponse()
        answer.read()
        c.close()
        return time.perf_counter() - begun if answer.status == 200 else None
    except OSError:
        return None


def phase(lab, request, sources, count):
    """So many requests: their times, and how many failed."""
    times, failed = [], 0
    # A sentry that has just started, or ended, is busy with that.
    time.sleep(0.25)
    for n in range(-20, count):
        took = request(lab, sources[n % len(sources)], PORTS[n % len(PORTS)])
        if took is None:
            failed += 1
        elif n >= 0:  # The first pay for caches.
            times.append(took)
    return times, failed


@L.test("legitimate.nobody_pays_for_it")
def legitimate(lab):
    bench = bool(os.environ.get("PORTSENTRY_BENCH"))
    phases, count = (50, 200) if bench else (6, 100)
    C.settle(lab)
    C.serve(lab, PORTS)
    page = lab.folder + "/www"
    os.mkdir(page)
    open(page + "/index.html", "w").write("<html>hello</html>\n")
    lab.start(lab.target, sys.executable, "-m", "http.server", str(REAL), "-d", page)
    L.wait_for(lambda: real(lab, C.ALIVE[0], 0), 10, "the web server")
    sentry = lab.sentry("-atcp", "-audp", settings=SETTINGS)
    link = lab.link()
    parts, words = [], []
    for kind, request in (("", real), ("bare ", C.request)):
        for name, sources, doubted in (("bystanders", C.ALIVE[:100], False), ("a doubted address", C.ALIVE[200:201], True)):
            with_it, without, ratios, failures = [], [], [], 0
            for _ in range(phases):
                if doubted:
                    for port in range(600, 620):
                        link.send(P.segment(sources[0], L.TARGET4, 40000, port))
                    time.sleep(0.05)
                    L.check(sentry.ask("why", sources[0])["doubted_seconds"] is not None, "the address is not doubted")
                times, failed = phase(lab, request, sources, count)
                with_it += times
                failures += failed
                L.check(not sentry.blocked(), "somebody was blocked: %s" % sentry.blocked())
                sentry.stop()
                bare = phase(lab, request, sources, count)[0]
                sentry.launch()
                without += bare
                # Neighbours in time: whatever else goes on falls on both.
                ratios.append(statistics.median(times) / statistics.median(bare))
            a, b, ratio = statistics.median(with_it), statistics.median(without), statistics.median(ratios)
            parts.append((kind, ratio, failures))
            words.append("%d %srequests from %s: %d failed, median %.1f us with the sentry, %.1f us without, ratio %.3f (median of %d pairs of "
                         "phases, half of them between %.2f and %.2f)" % (
                             len(with_it), kind, name, failures, a * 1e6, b * 1e6, ratio, len(ratios), *statistics.quantiles(ratios, n=4)[::2]))
    text = "\n     ".join(words)
    L.check(all(failed == 0 for _, _, failed in parts), text)
    for kind, ratio, _ in parts:
        # Three lines for each request, and nothing else to do, are 1.4 times as dear (docs/figures.md), more on a machine that stalls.
        L.check(ratio <= ((1.15 if kind else 1.05) if bench else 3.0 if kind else 1.6), text)
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
