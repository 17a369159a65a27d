"""The fleet: what several hosts saw is banned on all, and nobody who lies, carries or coordinates has an innocent banned.

`make fleet-test` runs these at full size, `make test` small.
"""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import threading
import time

import browser as B
import lab as L
import shapes
from fleet_crowd import Verdicts, share
from fleet_lab import Fleet

FULL = bool(os.environ.get("PORTSENTRY_BENCH"))
BROWSER = (b"GET / HTTP/1.1\r\nHost: 10.88.1.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
           b"Accept: text/html\r\nAccept-Language: en-US,en;q=0.5\r\nConnection: keep-alive\r\n\r\n")


def status(node):
    return node.sentry.ask("status")["fleet"]


def seen_by_three(fleet, source, words=b""):
    for node in fleet.nodes[:3]:
        L.check(fleet.touch(source, node, words=words, keep=bool(words)), lambda: fleet.unanswered)


@L.test("fleet.a_sweep_is_banned_on_all_and_let_in_on_all")
def sweep(lab):
    fleet = Fleet(lab, 5)
    fleet.coordinate()
    fleet.start_nodes()
    # In the midst: who touches two hosts, and whom a web page sends to three.
    honest, visitor, scanner = "45.67.1.1", "45.67.1.2", "45.67.1.3"
    for node in fleet.nodes[:2]:
        fleet.touch(honest, node)
    seen_by_three(fleet, visitor, BROWSER)
    seen_by_three(fleet, scanner)
    begin = time.monotonic()
    fleet.wait_banned(scanner)
    took = time.monotonic() - begin
    last = fleet.nodes[-1]
    why = last.sentry.control_command("why", scanner).stdout
    L.check("3 hosts of the fleet saw it" in why and "host1" in why and "host3" in why, why)
    told = fleet.command("why", scanner)
    L.check(all(name in told for name in ("host1", "host2", "host3")), told)
    L.wait_for(lambda: fleet.command("status").count("alive") == 5, 10, lambda: "all to be alive: " + fleet.command("status"), 0.5)
    for node in fleet.nodes:
        bans = node.bans()
        # Whom it touched itself, and another spoke against, a host may ban; those that only heard of him do not.
        L.check(honest not in bans or node in fleet.nodes[:2], "hearsay of two was enough on %s" % node.name)
        L.check(visitor not in bans, "the browser is banned on %s" % node.name)
    L.check(status(fleet.nodes[0])["browsers"] == 1, status(fleet.nodes[0]))
    pid = status(last)["carrier_pid"]
    rights = dict(line.split(":\t", 1) for line in open("/proc/%d/status" % pid) if ":\t" in line)
    L.check(rights["Uid"].split()[0] != "0" and int(rights["CapEff"], 16) == 0 and rights["Seccomp"].strip() == "2"
            and rights["NoNewPrivs"].strip() == "1", "the carrier has rights: %s" % rights)
    # Of its own; a program built for debugging has libraries beside that.
    L.check(int(rights["RssAnon"].split()[0]) < 10 * 1024, "the carrier has %s" % rights["RssAnon"])
    fleet.command("unban", scanner)
    lifted = fleet.wait_banned(scanner, is_banned=False)
    L.check(lifted < L.bar(1), "the unban took %.2f s" % lifted)
    # A replay of what was said revives nothing; a new quorum bans anew.
    fleet.replay()
    time.sleep(1)
    L.check(all(scanner not in node.bans() for node in fleet.nodes), "a replay revived the ban")
    return "in force everywhere %.2f s after the third handshake, lifted in %.2f s; a carrier has %.1f MB" % (
        took, lifted, L.resident_kib(pid) / 1024)


@L.test("fleet.who_saw_it_is_said_everywhere")
def sight(lab):
    """Names and times of the witnesses: `why`, `show`, `blocked`, report, log, events, metrics and the page, in the shapes of the manual."""
    fleet = Fleet(lab, 4)
    fleet.coordinate()
    events = lab.folder + "/events.json"
    fleet.start_nodes(JOURNAL="1", LOG_FORMAT="native", EVENTS_FILE=events, CONSOLE_LISTEN="127.0.0.1:8087")
    node, first = fleet.nodes[3], fleet.nodes[0]
    banned, local, watched = "45.67.9.1", "45.67.9.2", "45.67.9.3"
    seen_by_three(fleet, banned)
    fleet.wait_banned(banned)
    # Banned by this host's own rule, and seen by others as well; seen by two only.
    for port in (21, 22, 23, 25):
        fleet.touch(local, node, port)
    fleet.wait_banned(local, [node], timeout=20)
    seen_by_three(fleet, local)
    for other in fleet.nodes[:2]:
        fleet.touch(watched, other)

    def fleet_of(address):
        return json.loads(node.sentry.control_command("why", address, "--json", ok=None).stdout or "{}").get("fleet") or {}
    L.wait_for(lambda: fleet_of(local).get("standing") == "spared", 20, lambda: "what others saw of it: %s; %s" % (
        node.sentry.control_command("why", local, ok=None).stdout, [t for n in fleet.nodes for t in n.sentry.texts() if local in t]), 0.1)
    L.wait_for(lambda: fleet_of(watched).get("hosts") == 2, 20, lambda: "what others saw of it: %s" % fleet_of(watched), 0.1)
    names = {"host1", "host2", "host3"}
    L.check(fleet_of(banned)["standing"] == "banned" and {w["host"] for w in fleet_of(banned)["witnesses"]} == names, fleet_of(banned))
    L.check(fleet_of(watched)["standing"] == "watched", fleet_of(watched))
    for address in (banned, local, watched):
        shapes.fits(node.sentry.ask("why", address), "why", "why " + address)
    L.wait_for(lambda: node.sentry.ask("show", banned)["blocks"], 10, "the journal", 0.2)
    for words, kind in (("show " + banned, "show"), ("blocked", "list of block"), ("blocked --since 1h", "list of past block"), ("report", "report"),
                        ("status", "status"), ("events", "list of event")):
        shapes.fits(node.sentry.ask(*words.split()), kind, words)
    L.wait_for(lambda: node.sentry.ask("report")["fleet"]["hosts"] == dict.fromkeys(names, 1), 10, lambda: node.sentry.ask("report")["fleet"], 0.2)
    for words in (("why", banned), ("show", banned), ("blocked",), ("report", "--text")):
        out = node.sentry.control_command(*words).stdout
        L.check(all(name in out for name in names), "%s does not name them: %s" % (words, out))
    L.check("reached; this host is host4" in node.sentry.control_command("status").stdout, "status")
    node.sentry.wait_line("Blocked %s .*: 3 hosts of the fleet saw it .(host[123](, )?){3}" % banned)
    # All hosts write there; those that saw it themselves ban by hearsay.
    def blocked():
        lines = [json.loads(line) for line in open(events) if line.endswith("\n")]
        return [e for e in lines if e["event"]["action"] == "blocked" and e["source"].get("ip") == banned]
    L.wait_for(lambda: any({w["host"] for w in e["portsentry"]["fleet"]["witnesses"]} == names and "host2" in e["event"]["reason"] for e in blocked()),
               10, blocked, 0.2)
    metrics = node.sentry.control_command("metrics").stdout
    L.check('portsentry_fleet_blocks{origin="quorum"} 1' in metrics and "portsentry_fleet_lag_seconds 0" in metrics, metrics)
    if shutil.which("promtool"):
        out = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True)
        L.check(out.returncode == 0 and not out.stderr.strip(), out.stderr)
    url = L.wait_for(lambda: node.sentry.control_command("console", "--url", ok=None).stdout.strip(), 10, "a link to the page", 0.2)
    with B.browser(lab.folder, node.target) as browser:
        page = browser.new_page()
        page.goto(url)
        home = url.split("/?")[0]
        page.wait_for_selector("text=Fleet: reached; this host is host4", timeout=10_000)
        for path, text in (("/source?address=" + banned, "3 hosts of the fleet saw it"), ("/source?address=" + local, "enough for a ban of the fleet"),
                           ("/blocks", "host2 20"), ("/report?since=24h", "What the fleet saw")):
            page.goto(home + path)
            L.check(text in page.inner_text("main"), "%s: %s" % (path, page.inner_text("main")[:600]))
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 900})
                wide = page.evaluate("document.documentElement.scrollWidth")
                L.check(wide <= width, "%s is %d wide on a screen of %d" % (path, wide, width))
                if os.environ.get("PORTSENTRY_PICTURES"):
                    for scheme in ("light", "dark"):
                        page.emulate_media(color_scheme=scheme)
                        page.screenshot(path="%s/%s-%d-%s.png" % (os.environ["PORTSENTRY_PICTURES"], path.split("?")[0].strip("/"), width, scheme), full_page=True)


@L.test("fleet.alone_all_works_as_before")
def off(lab):
    sentry = lab.sentry("-atcp", settings={"BLOCK_TCP": "1", "FLEET": ""})
    L.check(sentry.ask("status")["fleet"] is None, "it is of a fleet")
    names = {open("/proc/%d/task/%s/comm" % (sentry.pid, t)).read().strip() for t in os.listdir("/proc/%d/task" % sentry.pid)}
    L.check("notary" not in names, "there is a thread: %s" % names)
    L.check(not os.path.exists(sentry.folder + "/state/fleet"), "something was written")


@L.test("fleet.the_engine_is_killed_during_a_sweep")
def killed(lab):
    fleet = Fleet(lab, 4)
    fleet.coordinate()
    fleet.start_nodes()
    fleet.engine.kill()
    fleet.engine.wait(5)
    for node in fleet.nodes:
        node.sentry.wait_line("The fleet is not reached", timeout=30)
    scanner, local = "45.67.2.1", "45.67.2.2"
    seen_by_three(fleet, scanner)
    # Local detection goes on: four ports are a scan.
    for port in (21, 22, 23, 25):
        fleet.touch(local, fleet.nodes[0], port)
    begin = time.monotonic()
    fleet.wait_banned(local, fleet.nodes[:1], timeout=L.bar(1))
    alone = time.monotonic() - begin
    # What was not told outlives the sentry, too, once it was signed.
    L.wait_for(lambda: status(fleet.nodes[1])["waiting"] == 1, 5, "a testimony that waits")
    fleet.nodes[1].sentry.process.kill()
    fleet.nodes[1].sentry.process.wait(5)
    fleet.nodes[1].sentry.relaunch(timeout=30)
    if FULL:
        time.sleep(60)
    fleet.start_engine()
    begin = time.monotonic()
    # Pauses between tries are a minute at most.
    fleet.wait_banned(scanner, timeout=150)
    return "banned by itself after %.2f s without an engine; the sweep known everywhere %.1f s after it came back" % (
        alone, time.monotonic() - begin)


@L.test("fleet.a_restart_without_the_engine_keeps_what_was_verified")
def restart(lab):
    fleet = Fleet(lab, 4)
    fleet.coordinate()
    fleet.start_nodes()
    scanner = "45.67.3.1"
    seen_by_three(fleet, scanner)
    fleet.wait_banned(scanner)
    fleet.engine.kill()
    fleet.engine.wait(5)
    node = fleet.nodes[3]
    node.sentry.stop()
    node.in_target("nft", "delete", "table", "inet", "portsentry", ok=None)
    node.sentry.relaunch(timeout=30)
    took = fleet.wait_banned(scanner, [node], timeout=L.bar(1.5))
    L.check(status(node)["bans"] == 1, status(node))
    return "in force again after %.2f s" % took


@L.test("fleet.liars_ban_nobody")
def liars(lab):
    """Two of three needed are liars, and the engine is theirs as well: they write what they like, where they like."""
    fleet = Fleet(lab, 4)
    fleet.coordinate()
    fleet.start_nodes()
    innocents = 10_000 if FULL else 500
    fleet.lie(innocents)
    end = time.monotonic() + (30 if FULL else 6)
    while time.monotonic() < end:
        for node in fleet.nodes:
            # He did connect to decoys of the first two, each of which hears of the other.
            bans = set(node.bans()) - ({fleet.seen_here} if node in fleet.nodes[:2] else set())
            L.check(not bans, "banned on %s: %s" % (node.name, sorted(bans)[:5]))
        time.sleep(1)
    refused = status(fleet.nodes[3])["refused"]
    L.check(refused.get("bad-signature", 0) > 0 and refused.get("malformed", 0) > 0, refused)
    # And the fleet works on among them.
    seen_by_three(fleet, "45.67.4.1")
    fleet.wait_banned("45.67.4.1", timeout=30)
    return "%d innocents, none banned; refused: %s" % (innocents, refused)


@L.test("fleet.who_is_revoked_counts_no_more")
def revoked(lab):
    fleet = Fleet(lab, 4)
    fleet.coordinate()
    fleet.start_nodes()
    scanner = "45.67.5.1"
    seen_by_three(fleet, scanner)
    fleet.wait_banned(scanner, [fleet.nodes[3]])
    out = fleet.command("revoke", "host2")
    took = fleet.wait_banned(scanner, [fleet.nodes[3]], is_banned=False)
    L.check(took < L.bar(2), "%.2f s" % took)
    L.check("ACL DELUSER" in out, out)
    fleet.cli("ACL", "DELUSER", out.split("ACL DELUSER ")[1].split()[0])
    return "its bans ended everywhere in %.2f s" % took


@L.test("fleet.what_this_host_spares_stays_spared")
def spared(lab):
    fleet = Fleet(lab, 4)
    fleet.coordinate()
    fleet.start_nodes()
    friend = "45.67.6.1"
    fleet.nodes[3].sentry.control_command("allow", friend)
    seen_by_three(fleet, friend)
    fleet.wait_banned(friend, fleet.nodes[:3])
    fleet.nodes[3].sentry.wait_line("the fleet bans %s, and it is let in here" % friend, timeout=20)
    L.check(friend not in fleet.nodes[3].bans(), "it is banned where it is allowed")
    # Nor is anybody banned whom an operator of the whole fleet orders to, when it is this host's own address.
    fleet.command("ban", fleet.nodes[3].address)
    fleet.command("ban", "45.67.6.9")
    fleet.wait_banned("45.67.6.9")
    L.check(fleet.nodes[3].address not in fleet.nodes[3].bans(), "it bans itself")


@L.test("fleet.an_emptied_engine_is_whole_again")
def flushed(lab):
    if not FULL:
        raise L.Skip("takes up to two minutes: make fleet-test")
    fleet = Fleet(lab, 4)
    fleet.coordinate()
    fleet.start_nodes()
    scanner = "45.67.7.1"
    seen_by_three(fleet, scanner)
    fleet.wait_banned(scanner)
    fleet.cli("FLUSHALL")
    begin = time.monotonic()
    # A host that was away sees that all is there again.
    late = fleet.nodes[3]
    late.sentry.stop()
    late.in_target("nft", "delete", "table", "inet", "portsentry", ok=None)
    L.run(["rm", "-rf", late.sentry.folder + "/state"])
    late.sentry.relaunch(timeout=30)
    fleet.wait_banned(scanner, [late], timeout=120)
    took = time.monotonic() - begin
    L.check(took <= 90, "%.0f s" % took)
    return "whole again after %.0f s" % took


@L.test("fleet.hundred_hosts")
def hundred(lab):
    """A hundred sentries, and the moment at which each kernel has the ban, by the kernel's own notices."""
    if not FULL:
        raise L.Skip("a hundred sentries: make fleet-test")
    fleet = Fleet(lab, 100)
    fleet.coordinate()
    begin = time.monotonic()
    fleet.start_nodes(timeout=400)
    started = time.monotonic() - begin
    watch = Verdicts(fleet.nodes)
    time.sleep(20)
    idle = sum(L.cpu_seconds(node.sentry.pid) for node in fleet.nodes)
    time.sleep(10)
    idle = (sum(L.cpu_seconds(node.sentry.pid) for node in fleet.nodes) - idle) / 10
    times, reached, first = [], [], []
    for trial in range(10):
        scanner = "45.67.8.%d" % (trial + 1)
        watch.drain()
        found = {}
        ear = threading.Thread(target=lambda scanner=scanner, found=found: found.update(watch.wait(scanner, 20)))
        ear.start()
        third, count = None, 0
        for node in fleet.nodes[trial * 10:] + fleet.nodes[:trial * 10]:
            begin = time.monotonic()
            if not fleet.touch(scanner, node):
                break
            count += 1
            if count == 3:
                third = time.monotonic()
            time.sleep(max(0.1 - (time.monotonic() - begin), 0))
        ear.join()
        reached.append(count)
        L.check(len(found) == 100, "%s is banned on %d of 100" % (scanner, len(found)))
        times += [at - third for at in found.values()]
        first.append(min(found.values()) - third)
    watch.close()
    p50, p99 = share(times, 0.5), share(times, 0.99)
    # Without a handshake: the campaign is named, and nobody is banned.
    scanner = "45.67.9.1"
    third = None
    for index, node in enumerate(fleet.nodes[:20]):
        fleet.syn(scanner, node)
        if index == 2:
            third = time.time()
        time.sleep(0.1)
    named = []
    for node in fleet.nodes:
        node.sentry.wait_line("FLEET CAMPAIGN: %s" % scanner, timeout=10)
        named.append(next(at for at, _, text in node.sentry.entries if "FLEET CAMPAIGN: %s" % scanner in text) - third)
    L.check(all(scanner not in node.bans() for node in fleet.nodes), "half-open probes ban")
    words = ("in force after the third handshake: p50 %.2f s, p99 %.2f s, all %.2f s, the first host %.2f s; hosts reached %d at most; half-open:"
             " named after %.2f s (p50), %.2f s (p99), no ban; 100 sentries started in %.0f s, idle at %.0f %% of a core; load %.1f" % (
                 p50, p99, max(times), statistics.median(first), max(reached), share(named, 0.5), share(named, 0.99), started, idle * 100,
                 os.getloadavg()[0]))
    L.check(p50 <= 0.3 and p99 <= 1 and max(reached) <= 13 and share(named, 0.99) <= 1, words)
    return words
