"""A simulated month in the real journal, with a real sentry that goes on with it: how large, how fast. `make bench-journal` takes all of
it (200,000 sources, 5 million probes) and holds to the limits; the tests take a tenth."""

import os
import re
import time

import lab as L

IS_BENCH = bool(os.environ.get("PORTSENTRY_BENCH"))
SIZE = (200_000, 5_000_000, 30) if IS_BENCH else (20_000, 500_000, 30)


def generator():
    for kind in ("release", "debug"):
        path = "%s/.build/%s/simulate" % (L.ROOT, kind)
        if os.path.exists(path):
            return path
    raise L.Skip("the generator is not built: make tools")


def simulated(path, sources, probes, days, end=None):
    """Makes a journal; returns what the generator says of it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return L.run([generator(), path, *map(str, (sources, probes, days, int(end or time.time())))], timeout=900).stdout


def best(sentry, *words, rounds=7):
    """The best time of the whole command, in milliseconds: others may have the processors in between."""
    times = []
    for _ in range(rounds):
        # Inside the namespace, but without the time that going there takes.
        out = sentry.lab.in_target("sh", "-c", 'd=$(command -v date); a=$($d +%s%N); "$@" >/dev/null || exit; b=$($d +%s%N); echo $(((b - a) / 1000))',
                                   "sh", sentry.binary_path, *words, "-c", sentry.config, timeout=60).stdout
        times.append(int(out) / 1000)
    return min(times)


@L.test("month.is_small_and_quick_to_ask")
def month(lab):
    folder = lab.folder + "/sentry"
    journal = folder + "/state/journal.db"
    said = simulated(journal, *SIZE)
    pace = int(re.search(r"(\d+) probes a second", said).group(1))
    size = os.path.getsize(journal) / 1e6
    L.Sentry.write(folder + "/portsentry.ignore", "")
    sentry = lab.sentry("-atcp", folder=folder, settings={"ADVANCED_PORTS_TCP": "65535"})
    lab.nmap("-sS", "-p", "1-200", source=lab.new_source()[0])
    heavy = sentry.ask("sources", "--since", "40d", "--limit", "1")[0]
    text = "%d sources, %d probes: %.0f MB, loaded at %d probes a second" % (SIZE[0], SIZE[1], size, pace)
    limits = {("status",): 50, ("show", heavy["address"]): 50, ("report", "--html", lab.folder + "/r.html"): 2000,
              ("sources",): None, ("top", "ports"): None, ("top", "networks", "--since", "30d"): None}
    for words, limit in limits.items():
        took = best(sentry, *words)
        name = "show (the %s probes of one source)" % heavy["probes"] if words[0] == "show" else " ".join(w for w in words if "/" not in w)
        text += "; %s %.0f ms" % (name, took)
        L.check(limit is None or took <= L.bar(limit), text)
    L.check(size < (200 if IS_BENCH else 40) and (not IS_BENCH or pace >= 50000), text)
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
