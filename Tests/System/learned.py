"""make bench-learned: what a scanner can tell of the services, by its own output, from its first packet on.

Twelve services stand at ports drawn by lot among those that scanners ask first. For each tool the output gives every port a word
(open, closed, filtered, with -sV the banner's name); the mutual information between word and truth, in bits over all
ports asked, is what was learned. To know all twelve among the ports asked would be log2 C(n, 12) bits and a little.
"""

import collections
import json
import math
import os
import random
import re
import time

import crowd as C
import deception as D
import lab as L

COUNT = 12


def learned(words, services, ports):
    """Mutual information between a port's word and whether it is a service, in bits over all ports."""
    n = len(ports)
    pairs = collections.Counter((words.get(p, "no word"), p in services) for p in ports)
    by_word, by_truth = collections.Counter(), collections.Counter()
    for (word, truth), k in pairs.items():
        by_word[word] += k
        by_truth[truth] += k
    return sum(k * math.log2(k * n / (by_word[w] * by_truth[t])) for (w, t), k in pairs.items())


def told(words, services):
    """How many services have a word that no other port has, or fewer others than themselves."""
    groups = collections.defaultdict(lambda: [0, 0])
    for port, word in words.items():
        groups[word][port in services] += 1
    return sum(g[1] for g in groups.values() if g[1] > g[0])


def top_ports(count=1000):
    """What nmap asks first."""
    found = []
    for line in open("/usr/share/nmap/nmap-services"):
        m = re.match(r"\S+\s+(\d+)/tcp\s+([\d.]+)", line)
        if m:
            found.append((float(m.group(2)), int(m.group(1))))
    return [p for _, p in sorted(found, reverse=True)[:count]]


def nmap_words(lab, *arguments, timeout=300):
    out = lab.in_attacker("nmap", "-n", "-Pn", "-oX", "-", *arguments, L.TARGET4, timeout=timeout, ok=None).stdout
    words = {}
    for state, reasons in re.findall(r'<extraports state="([^"]+)" count="\d+">(.*?)</extraports>', out, re.S):
        for part in ",".join(re.findall(r'ports="([^"]+)"', reasons)).split(","):
            first, _, last = part.partition("-")
            words.update(dict.fromkeys(range(int(first), int(last or first) + 1), state))
    for port, state, rest in re.findall(r'<port protocol="tcp" portid="(\d+)"><state state="([^"]+)"(.*?)</port>', out, re.S):
        product = re.search(r'product="([^"]+)"', rest)
        words[int(port)] = state + (" " + product.group(1) if product else "")
    return words


def masscan_words(lab):
    """It loses answers of its own when it has to share the cores, so it asks five times; and it does not always end by itself."""
    out = lab.folder + "/masscan.json"
    lab.in_attacker("timeout", "-s", "KILL", "50", "masscan", "-p0-65535", "--rate", "10000", "--retries", "4", "--wait", "3", "-oJ", out,
                    "--adapter-ip", "10.77.0.199", "--adapter-mac", L.ATTACKER_MAC, "--router-mac", L.TARGET_MAC, "-e", "lan0",
                    "--source-port", "61234", L.TARGET4, timeout=60, ok=None)
    return {int(p): s for p, s in re.findall(r'"port": (\d+), "proto": "tcp", "status": "(\w+)"', open(out).read())}


def scans(bench):
    everything = range(1, 65536)
    # Whoever is shut out waits for each port: it is not to take hours.
    hurry = ["-T4", "--max-retries", "0", "--min-rate", "4000"]
    # nmap leaves port 0 out of -p-; masscan asks it.
    yield "nmap -sS -p-", everything, lambda lab: nmap_words(lab, "-sS", "-p-", *hurry)
    if bench:
        yield "masscan -p0-65535", range(0, 65536), masscan_words
    yield "nmap -sT --top-ports 1000", None, lambda lab: nmap_words(lab, "-sT", "--top-ports", "1000", *hurry)
    if bench:
        yield "nmap -sV", None, lambda lab: nmap_words(lab, "-sV", "--version-light", *hurry)


def measure(scan, ports, services, start):
    """One scan of a host that has seen nothing yet."""
    with L.Lab() as lab:
        C.settle(lab)
        C.serve(lab, services)
        sentry = start(lab)
        words = scan(lab)
        time.sleep(0.3)
        banned = None
        if sentry and not sentry.predecessor:
            banned = C.SCANNER in sentry.blocked()
        asked = ports or sorted(words)
        L.check(services <= set(asked), "not all services were asked")
        return learned(words, services, asked), told(words, services), banned, words


def ours(rule):
    return lambda lab: lab.sentry("-atcp", "-audp", settings={**D.ALL, "RULE": rule, "SCAN_TRIGGER": "0"})


def theirs(lab):
    lab.in_target("nft", "-f", "-", input=C.NFT_FOR_1_2)
    return lab.sentry("-atcp", predecessor=True, settings={"BLOCK_TCP": "1", "KILL_ROUTE": C.KILL_ROUTE_OF_1_2, "ADVANCED_PORTS_TCP": "65535"})


@L.test("learned.services_cannot_be_told_from_decoys")
def nothing(lab):
    bench = bool(os.environ.get("PORTSENTRY_BENCH"))
    chance = random.Random(12)
    lines = []
    rules = ["classic", "native"] if bench else ["classic"]
    for rule, (name, ports, scan) in [(r, s) for r in rules for s in scans(bench)]:
        # nmap's own first thousand differ a little from ours, where the order is a tie.
        services = set(chance.sample(top_ports(800), COUNT))
        bits, told_apart, banned, words = measure(scan, ports, services, ours(rule))
        whole = math.log2(math.comb(len(ports or words), COUNT))
        line = "%s, %s rule: %.2f bits (of %.0f), %d of %d services told" % (name, rule, bits, whole, told_apart, COUNT)
        if "-sV" in name:
            line += ", %d products named" % sum(1 for w in words.values() if " " in w)
            L.check(banned, line)
        elif "-sT" in name:
            opened = [p for p, w in words.items() if w.startswith("open")]
            decoys = [p for p in opened if p not in services]
            line += ", %d decoys and %d services answered before the block" % (len(decoys), len(opened) - len(decoys))
            # Who connects is shut out with the first decoy he completes, or, by the native rule, with the verdict; what he
            # asked in the same moment he may know: nmap has up to a hundred questions under way.
            L.check(banned and len(decoys) <= (100 if rule == "native" else 1) and len(opened) - len(decoys) <= 3, line)
        else:
            # What the tool itself did not catch is no word of ours; by how much it is, chance says.
            lost = set(ports) - set(words)
            by_chance = sorted(learned(words, set(chance.sample(list(ports), COUNT)), ports) for _ in range(100 if lost else 1))
            L.check(len(set(words.values())) == 1 and len(lost) < len(ports) / 20, "%s: %s of %d ports" % (
                name, collections.Counter(words.values()), len(words)))
            if lost:
                line += " (it missed %d of its answers: %.2f bits by chance)" % (len(lost), by_chance[-5])
            L.check(bits <= (by_chance[-5] if lost else 0), line)
        if bench and rule == "classic" and os.path.exists(L.DEBIAN):
            bits, told_apart, _, _ = measure(scan, ports, services, theirs)
            line += "; PortSentry 1.2: %.2f bits, %d told" % (bits, told_apart)
        lines.append(line)
    return "\n     ".join(lines)


if __name__ == "__main__":
    raise SystemExit(L.main())
