"""make neighbours: the sentry among real software, its honest clients and real scanners; writes docs/neighbours.md.

    python3 Tests/System/neighbours.py [--binary PATH] [--install | --install-quick | --table] [-v] [NAME...]

Plays the scenarios (or those named), keeps what came out in .build/neighbours.json, and writes the table of all. Each is played with the native
rule (the sentry is there before the services), the classic rule (after them), Debian's 1.2, and, where PORTSENTRY2 names its binary, 2.x.
"""

import atexit
import json
import os
import signal
import sys
import time

import lab as L
import town as T
import neighbours_files, neighbours_web, neighbours_talk, neighbours_names, neighbours_ways  # noqa: E401,F401 (each registers its scenarios)

RESULTS = os.path.join(L.ROOT, ".build", "neighbours.json")
PAGE = os.path.join(L.ROOT, "docs", "neighbours.md")
BARS = ("accused", "alerts", "failed", "cut", "unnamed", "not banned")


def play(chosen, kind):
    """One scenario beside one sentry: what is wrong, by bar."""
    with T.Town() as town:
        story = chosen.function(town)
        try:
            if kind == "native":
                town.watch(kind, chosen.settings)
            next(story)
            if kind != "native":
                town.watch(kind, chosen.settings)
            town.scan()
            next(story, None)
        except L.Failure as failure:
            town.did(False, str(failure))
            if not town.watchers:
                raise
        return town.judge(chosen.hidden)


def faults(result):
    """`2 accused (10.77.0.11), 14 alerts (...)`, or nothing."""
    return ", ".join("%d %s (%s)" % (len(result[b]), b, "; ".join(sorted(set(result[b]))[:4])) for b in BARS if result[b])


def register(chosen):
    @L.test("neighbours." + chosen.name)
    def neighbour(lab):
        lacking = T.missing([chosen])
        if lacking:
            raise L.Skip("not in the root: %s (neighbours.py --install)" % " ".join(lacking))
        results = {kind: play(chosen, kind) for kind in ("native", "classic")}
        wrong = ["%s rule: %s" % (kind, faults(r)) for kind, r in results.items() if faults(r)]
        L.check(not wrong, "; ".join(wrong))
        return "%s: %d pieces of work" % (chosen.shows, sum(r["served"] for r in results.values()))


for chosen in T.scenarios:
    if chosen.quick:
        register(chosen)


def remembered():
    try:
        return json.load(open(RESULTS))
    except FileNotFoundError:
        return {}


def cell(result):
    """What one sentry did in one scenario, for the table."""
    if result is None:
        return "-"
    if "not tried" in result:
        return "not tried: " + result["not tried"]
    return ", ".join("%d %s" % (len(result[b]), b) for b in BARS if result[b]) or "ok"


def table(results):
    with_2 = any("2.x" in r for r in results.values())
    kinds = ("native", "classic", "1.2") + (("2.x",) if with_2 else ())
    rows = ["| neighbours | pieces of honest work | " + " | ".join({"native": "native rule", "classic": "classic rule"}.get(k, "PortSentry " + k)
                                                                  for k in kinds) + " |", "|---|---|" + "---|" * len(kinds)]
    for s in T.scenarios:
        row = results.get(s.name, {})
        work = sum(row[k].get("served", 0) for k in ("native", "classic") if k in row)
        remark = " (%s)" % ", ".join('`%s="%s"`' % i for i in s.settings.items()) if s.settings else ""
        rows.append("| %s%s%s | %s | %s |" % (
            s.shows, remark, ", decoys hidden by its rules" if s.hidden else "", work or "-",
            " | ".join(cell(row.get(k)) for k in kinds)))
    tried = [r for s in T.scenarios for k, r in results.get(s.name, {}).items() if k in ("native", "classic") and "served" in r]
    sums = "%d scenarios, each twice: %d pieces of honest work; %s." % (
        sum(1 for s in T.scenarios if "native" in results.get(s.name, {})), sum(r["served"] for r in tried),
        ", ".join("%d %s" % (sum(len(r[b]) for r in tried), b) for b in BARS))
    return HEAD + sums + "\n\n" + "\n".join(rows) + "\n\n" + NOT_TRIED


HEAD = """# Neighbours

The sentry among real software: Debian 12's own servers, with its honest clients, and four real scanners (`nmap -sT` over IPv4 and IPv6, `nmap -sS`,
`masscan`) at work at the same time. All in network namespaces, each machine with a Debian of its own. `make neighbours` plays it all and writes this page;
`make test` plays the quick ones.

The configuration is the shipped one with `BLOCK_TCP="1"`, `PROOF="handshake"` and all 65,535 TCP and UDP ports watched, and what stands behind a scenario's
name. With the native rule the sentry runs before the services start, with the classic one it comes after them. PortSentry 1.2 is Debian's, in the modes `atcp`
and `audp` over all ports, started after the services, with an nftables command as `KILL_ROUTE`.

**ok** means: 0 honest clients *accused* (a verdict or a block), 0 *alerts* (lines about an honest client and a port that a service answers), 0 pieces of
work *failed* (services that do not start or serve among them), 0 kept sessions *cut*, no scanner *unnamed*, and no scanner that completes connections
*not banned*. Everything else is counted. PortSentry 1.2 knows no IPv6: of the scanner that comes that way nothing is asked of it.

"""

NOT_TRIED = """What is not as it should be, and why:

- Who knocks at three unused ports does what scanners do: the ports of a port knocker have to be named in `ADVANCED_EXCLUDE_TCP`.
- A service that ends within three seconds of its first visitor may be followed by a decoy at once. So may a service that the kernel translated to another host,
  when its rule is taken away: no socket of this host tells of it.
- hopm's wider list of ports (some forty), for users who look suspicious to it, is a scan to the native rule; its usual list is none. Neither is blocked while both talk.

Not tried: NFS served by the kernel (nfs-ganesha is), IPVS (the kernel this was made with has no modules, and no `CONFIG_IP_VS`), GRE (no `CONFIG_NET_IPGRE_DEMUX`), the kernel's SCTP
(no `CONFIG_IP_SCTP`; usrsctp is) and the kernel's WireGuard (no `CONFIG_WIREGUARD`; wireguard-go is); a real Thunderbird, which wants a screen.
"""


def main(arguments):
    names, kinds = [], None
    path = None
    while arguments:
        a = arguments.pop(0)
        if a == "--binary":
            path = arguments.pop(0)
        elif a == "--only":
            kinds = arguments.pop(0).split(",")
        elif a == "-v":
            L.verbose = True
        elif a in ("--install", "--install-quick"):
            wanted = [s for s in T.scenarios if s.quick or a == "--install"]
            if T.missing(wanted) and os.geteuid() != 0:
                os.execvp("sudo", ["sudo", sys.executable, os.path.abspath(__file__), a])
            return 0 if T.install(wanted) else 1
        elif a == "--table":
            print(table(remembered()), end="")
            return 0
        else:
            names.append(a)
    if os.geteuid() != 0:
        print("The neighbours live in network namespaces, which need root.")
        return 77
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, L._on_signal)
    L.binary = L.find_binary(path)
    L.check(L.binary, "no portsentry built (make build)")
    if not kinds:
        kinds = ["native", "classic"] + (["1.2"] if os.path.exists(L.DEBIAN) else []) + (["2.x"] if os.environ.get("PORTSENTRY2") else [])
    unknown = set(names) - {s.name for s in T.scenarios}
    L.check(not unknown, "no such scenario: %s; there are %s" % (" ".join(unknown), " ".join(s.name for s in T.scenarios)))
    worst = 0
    for chosen in [s for s in T.scenarios if not names or s.name in names]:
        for kind in kinds:
            begun = time.monotonic()
            try:
                result = play(chosen, kind)
            except (L.Skip, L.Failure) as reason:
                result = {"not tried": " ".join(str(reason).split())[:300]}
            said = result.get("not tried") or faults(result) or "ok"
            if kind in ("native", "classic") and said != "ok":
                worst = 1
            print("%s, %s: %s (%d pieces of work, %.1f s)" % (chosen.name, kind, said, result.get("served", 0), time.monotonic() - begun), flush=True)
            results = remembered()
            results.setdefault(chosen.name, {})[kind] = result
            with open(RESULTS, "w") as f:
                json.dump(results, f, indent=1)
    if not names:
        with open(PAGE, "w") as f:
            f.write(table(remembered()))
    return worst


if __name__ == "__main__":
    atexit.register(L.cleanup)
    raise SystemExit(main(sys.argv[1:]))
