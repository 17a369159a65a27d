"""The journal: what comes is in it, once; what happens to its disk, its file, its process or the clock costs records at most."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time

import full_scan
import lab as L
import packets as P

ALL_PORTS = {"ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "ADVANCED_EXCLUDE_TCP": None}
# No lines for a probe, so that what is measured is the journal: nobody reaches this trigger.
QUIET = {**ALL_PORTS, "SCAN_TRIGGER": "65000", "HISTORY_FILE": ""}
IS_BENCH = bool(os.environ.get("PORTSENTRY_BENCH"))
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def path(sentry):
    return sentry.folder + "/state/journal.db"


def rows(sentry, question, *values, at=None):
    """Asks the database itself, by another library than the program's."""
    database = sqlite3.connect("file:%s?mode=ro" % (at or path(sentry)), uri=True)
    try:
        return database.execute(question, values).fetchall()
    finally:
        database.close()


def number(sentry, question, *values, at=None):
    """One number; 0 as long as the journal has no tables."""
    try:
        return rows(sentry, question, *values, at=at)[0][0] or 0
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return 0


def probes_in(sentry, at=None):
    return number(sentry, "SELECT sum(probes) FROM hour", at=at)


def check_whole(sentry, at=None):
    words = ["journal", "check", "--json"] + (["--journal", at] if at else [])
    out = sentry.control_command(*words, ok=None)
    L.check(out.returncode == 0, "`journal check` ended with %d: %s" % (out.returncode, (out.stderr + out.stdout)[-300:]))
    return json.loads(out.stdout)


def settle(sentry, probes, timeout=10):
    """Waits until so many probes are in the journal."""
    sentry.wait_journal()
    L.wait_for(lambda: probes_in(sentry) == probes, timeout,
               lambda: "%d probes in the journal, which has %d" % (probes, probes_in(sentry)), 0.05)


def knock(lab, link, source, ports):
    for port in ports:
        link.send(P.segment(source, L.TARGET4, 40000, port))


@L.test("journal.a_scan_is_told_by_every_command")
def told(lab):
    sentry = lab.sentry("-atcp", "-audp", settings={
        **ALL_PORTS, "BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "BLOCK_TIME": "3s", "PROOF": "none"})
    source, other = lab.new_source()[0], lab.new_source()[0]
    # Without the answers to the decoys that it is shown.
    counted = {source: lab.count("ip saddr %s tcp flags & (fin|syn|rst|ack) == syn" % source, name="c0"),
               other: lab.count("ip saddr %s ip protocol udp" % other, name="c1")}
    lab.nmap("-sS", "-p", "1-200", source=source)
    lab.nmap("-sU", "-p", "500-540", source=other)
    total = sum(read() for read in counted.values())
    settle(sentry, total)
    sources = {s["address"]: s for s in sentry.ask("sources")}
    L.check({source, other} == set(sources), "`sources` lists %s" % sorted(sources))
    for s, read in counted.items():
        L.check(sources[s]["probes"] == read(), "%s sent %d probes, `sources` says %s" % (s, read(), sources[s]))
    L.check(sources[source]["verdict"] == "scan" and sources[source]["tool"].startswith("nmap"), "%s" % sources[source])
    shown = sentry.ask("show", source)
    L.check({d["port"] for d in shown["detail"]} == set(range(1, 201)), "`show` has %d ports" % shown["ports"])
    scan = next(s for s in shown["scans"] if s["class"] == "scan")
    weights = [e["weight"] for e in scan["evidence"]]
    L.check(weights and scan["score"] >= scan["threshold"], "the verdict has no evidence: %s" % scan)
    text = sentry.control_command("show", source).stdout
    for words in ("syn", "nmap", "threshold", "nftables"):
        L.check(words in text, "`show` does not say %r: %s" % (words, text))
    # What the sentry itself remembers agrees.
    why = sentry.control_command("why", source).stdout
    L.check(source in why and "nftables" in why, "`why` says something else: %s" % why)
    kinds = [e["event"] for e in sentry.ask("events")]
    L.check({"started", "verdict", "blocked"} <= set(kinds), "`events` has %s" % kinds)
    L.wait_for(lambda: any(e["event"] == "released" for e in sentry.ask("events")), 8, "the end of the block in `events`", 0.2)
    past = sentry.ask("blocked", "--since", "1h")
    L.check(any(b["network"] == source and b["ended"] for b in past), "`blocked --since` has %s" % past)
    top = sentry.ask("top", "tools")
    L.check(any(t["tool"].startswith("nmap") for t in top), "`top tools` has %s" % top)
    report = sentry.ask("report", "--since", "1h")
    L.check(report["probes"] == total, "the report counts %s of %d probes" % (report["probes"], total))
    L.check(source in sentry.control_command("report", "--since", "1h").stdout, "the text report does not name the scanner")
    exported = [json.loads(line) for line in sentry.control_command("export", "--json", "--private").stdout.splitlines()]
    L.check({e["address"] for e in exported} == {source, other}, "`export` has %s" % exported)
    L.check(sentry.control_command("export", "--json").stdout == "", "private sources were exported")
    status = sentry.control_command("status").stdout
    L.check(source in status, "`status` does not name the scanner: %s" % status)
    check_whole(sentry)
    # The same, while no sentry runs.
    sentry.stop()
    L.check({s["address"]: s["probes"] for s in sentry.ask("sources")} == {s: sources[s]["probes"] for s in sources},
            "`sources` tells something else when no sentry runs")
    return "%d probes" % total


@L.test("journal.events_are_followed")
def followed(lab):
    sentry = lab.sentry("-atcp", settings=ALL_PORTS)
    settle(sentry, 0)
    out = open(lab.folder + "/followed", "wb")
    process = lab.start(lab.target, sentry.binary_path, "events", "--follow", "--json", "-c", sentry.config, stdout=out)
    time.sleep(0.5)
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p", "1-50", source=source)

    def seen():
        for line in open(lab.folder + "/followed"):
            event = json.loads(line)
            if event["event"] == "verdict" and event.get("subject") == source:
                return True
    L.wait_for(seen, 5, "the verdict in `events --follow`", 0.05)
    # A journal that is begun anew is followed, too.
    for suffix in ("", "-wal", "-shm"):
        os.unlink(path(sentry) + suffix)
    source = lab.new_source()[0]
    L.wait_for(lambda: (lab.nmap("-sS", "-p", "1-50", source=source), seen())[1], 20, "a verdict from the new journal", 0.5)
    process.terminate()


@L.test("journal.a_full_scan_is_counted_once")
def whole_scan(lab):
    sentry = lab.sentry("-atcp", settings=ALL_PORTS)
    source = lab.new_source()[0]
    counted = lab.count("ip saddr %s tcp flags & (fin|syn|rst|ack) == syn" % source)
    lab.nmap("-sS", "-p-", "-T5", "--min-rate", "60000", source=source)
    sent = counted()
    L.check(sent > 60000, "only %d probes were sent" % sent)

    def accounted():
        dropped = sentry.dropped()
        lost = sum(n for name, n in dropped.items() if name.split(".")[-1] in ("ring_full", "queue_full", "journal"))
        return probes_in(sentry) + lost == sent and [lost]
    lost, = L.wait_for(accounted, 20, lambda: "%d probes in the journal or counted as lost; it has %d, and %s" % (
        sent, probes_in(sentry), sentry.dropped()), 0.3)
    ports = number(sentry, "SELECT count(DISTINCT port) FROM probe")
    check_whole(sentry)
    return "%d probes of %d ports, %d counted as lost, %.1f MB" % (sent, ports, lost, sum(os.path.getsize(path(sentry) + s) for s in ("", "-wal")) / 1e6)


@L.test("journal.a_flood_is_kept_and_harms_no_detection")
def flood(lab):
    """Probes as fast as they can be sent, from many sources; one source among them scans, and is to be called a scanner in time."""
    seconds = 15 if IS_BENCH else 4
    sentry = lab.sentry("-atcp", settings=QUIET)
    counted = lab.count("ip saddr 10.5.0.0/16 tcp flags & (fin|syn|rst|ack) == syn")
    idle, cpu, started = L.resident_kib(sentry.pid), L.cpu_seconds(sentry.pid), time.monotonic()
    # 2048 sources and 100 ports: as many rows as the journal has room for in an hour, nearly.
    process = lab.start(
        lab.attacker, "timeout", "-s", "KILL", str(seconds), "masscan", "--infinite", "--rate", "100000" if IS_BENCH else "60000", "-p", "1-100",
        L.TARGET4, "--source-ip", "10.5.0.0-10.5.7.255", "--interface", "lan0", "--router-mac", L.TARGET_MAC.replace(":", "-"), "--wait", "0")
    time.sleep(seconds / 2)
    source = lab.new_source()[0]
    # Of ports in the flood one more packet says nothing of its source.
    lab.nmap("-sS", "-p", "1001-1100", source=source)

    def judged():
        return number(sentry, "SELECT count(*) FROM scan JOIN source ON source.id = scan.source WHERE address = ?",
                      bytes(map(int, source.split("."))))
    begun = time.monotonic()
    L.wait_for(judged, 10, "the verdict about the scanner, in the middle of the flood", 0.05)
    verdict_after = time.monotonic() - begun
    process.wait(60)
    took = time.monotonic() - started
    cpu = L.cpu_seconds(sentry.pid) - cpu
    sent = counted()

    def lost():
        dropped = sentry.dropped()
        return {name: n for name, n in dropped.items() if n and name.split(".")[-1] in ("ring_full", "queue_full", "journal")}
    all_kept = full_scan.settled(lambda: probes_in(sentry))
    kept = number(sentry, "SELECT sum(count) FROM probe JOIN source ON source.id = probe.source WHERE length(address) = 4 AND "
                  "hex(address) BETWEEN '0A050000' AND '0A0507FF'")
    check_whole(sentry)
    grown = L.resident_kib(sentry.pid) - idle
    text = "%d probes in %.1f s (%.0f a second), %d in the journal, lost: %s; verdict about a scanner among them %.2f s after its scan; " \
           "%.2f s of CPU, memory %+.1f MB" % (sent, took, sent / took, kept, lost() or "none", verdict_after, cpu, grown / 1024)
    # What the journal lost may have been verdicts (about a flood there are many), but no more than it says.
    L.check(kept <= all_kept - 100 and sent - kept <= sum(lost().values()), text)
    if IS_BENCH:
        L.check(kept / took >= 50000, text)
    L.check(sentry.process.poll() is None, "the sentry ended")
    return text


# Disks

@L.test("journal.full_disk_costs_records_only")
def full_disk(lab):
    folder = lab.mount_tmpfs("small", "3m")
    sentry = lab.sentry("-atcp", "-audp", settings={**ALL_PORTS, "STATE_DIR": folder})
    journal = folder + "/journal.db"
    link = lab.link()
    knock(lab, link, "10.1.0.1", range(1, 50))
    L.wait_for(lambda: os.path.exists(journal) and probes_in(sentry, at=journal) == 49, 5, "the first probes", 0.05)
    mark = sentry.mark()
    ballast = open(folder + "/ballast", "wb", buffering=0)
    try:
        while True:
            ballast.write(b"x" * 4096)
    except OSError:
        pass
    for i in range(2, 40):
        knock(lab, link, "10.1.0.%d" % i, range(1, 200))
        time.sleep(0.05)
    sentry.wait_line("nothing more is kept in the journal until that is mended", timeout=15, since=mark)
    # Detection goes on.
    knock(lab, link, "10.1.1.1", [23])
    sentry.wait_line("from host: [^/]*/10.1.1.1 to TCP port: 23", timeout=5, since=mark)
    time.sleep(6)
    said = [t for t in sentry.texts(since=mark) if "journal" in t]
    L.check(len(said) == 1, "it is said more than once: %s" % said)
    L.check(sentry.ask("status")["journal"]["failing"], "the status does not say so")
    L.check("CANNOT BE WRITTEN" in sentry.control_command("status").stdout, sentry.control_command("status").stdout)
    ballast.close()
    os.unlink(folder + "/ballast")
    sentry.wait_line("the journal is written again", timeout=15, since=mark)
    knock(lab, link, "10.1.2.1", [23])
    seen = sentry.ask("status")["probes"]["seen"]
    lost = L.wait_for(lambda: probes_in(sentry, at=journal) + sentry.ask("status")["dropped"]["journal"] == seen and
                      ["%d" % sentry.ask("status")["dropped"]["journal"]], 10, lambda: "%d probes in the journal or lost: %d and %d" % (
                          seen, probes_in(sentry, at=journal), sentry.ask("status")["dropped"]["journal"]), 0.2)[0]
    check_whole(sentry)
    return "of %d probes %s lost, the rest written later" % (seen, lost)


@L.test("journal.read_only_disk_costs_records_only")
def read_only(lab):
    folder = lab.mount_tmpfs("ro", "16m")
    sentry = lab.sentry("-atcp", settings={**ALL_PORTS, "STATE_DIR": folder})
    journal = folder + "/journal.db"
    link = lab.link()
    knock(lab, link, "10.1.0.1", [23])
    L.wait_for(lambda: os.path.exists(journal) and probes_in(sentry, at=journal) == 1, 5, "the first probe", 0.05)
    sentry.stop()
    L.run(["mount", "-o", "remount,ro", folder])
    mark = sentry.mark()
    sentry.launch()
    sentry.wait_line("nothing more is kept in the journal until that is mended", timeout=10, since=mark)
    mark = sentry.mark()
    knock(lab, link, "10.1.0.2", [24])
    sentry.wait_line("from host: [^/]*/10.1.0.2 to TCP port: 24", since=mark)
    time.sleep(6)
    L.check(not [t for t in sentry.texts(since=mark) if "journal" in t], "it is said again and again")
    # What was written before can be read meanwhile.
    L.check([s["address"] for s in sentry.ask("sources")] == ["10.1.0.1"], "the old records cannot be read")
    # Each mount namespace has a word in it: ours, and the sentry's.
    L.run(["mount", "-o", "remount,rw", folder])
    L.run(["nsenter", "-t", str(sentry.pid), "-m", "mount", "-o", "remount,rw", folder])
    sentry.wait_line("the journal is written again; nothing was lost", timeout=15, since=mark)
    L.wait_for(lambda: probes_in(sentry, at=journal) == 2, 5, "both probes", 0.05)


@L.test("journal.newer_damaged_and_deleted_files")
def files(lab):
    sentry = lab.sentry("-atcp", settings=ALL_PORTS)
    link = lab.link()

    def knock_and_see(source):
        mark = sentry.mark()
        knock(lab, link, source, [23])
        sentry.wait_line("from host: [^/]*/%s to TCP port: 23" % source, since=mark)
    knock_and_see("10.1.0.1")
    settle(sentry, 1)
    # Deleted while it is open.
    for suffix in ("", "-wal", "-shm"):
        os.unlink(path(sentry) + suffix)
    L.wait_for(lambda: (knock_and_see("10.1.0.2"), os.path.exists(path(sentry)) and probes_in(sentry) > 0)[1], 15,
               "a new journal after the old one was deleted", 0.3)
    # Damaged while it runs: overwritten in its middle.
    sentry.stop()
    whole = open(path(sentry), "rb").read()
    with open(path(sentry), "r+b") as f:
        f.seek(4096)
        f.write(random.Random(1).randbytes(len(whole) - 8192))
    sentry.launch()
    knock_and_see("10.1.0.3")
    sentry.wait_line("the journal was damaged: .*journal.db.damaged", timeout=10)
    L.wait_for(lambda: os.path.exists(path(sentry)) and probes_in(sentry) == 1, 10, "a new journal beside the damaged one", 0.1)
    # Of a newer version: not touched.
    sentry.stop()
    database = sqlite3.connect(path(sentry))
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = open(path(sentry), "rb").read()
    mark = sentry.mark()
    sentry.launch()
    sentry.wait_line("newer", timeout=10, since=mark)
    knock_and_see("10.1.0.4")
    out = sentry.control_command("sources", ok=(69,))
    L.check("newer" in out.stderr, out.stderr)
    sentry.stop()
    L.check(open(path(sentry), "rb").read() == before, "a journal of a newer version was written to")
    # A directory in its place.
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path(sentry) + suffix):
            os.unlink(path(sentry) + suffix)
    os.mkdir(path(sentry))
    mark = sentry.mark()
    sentry.launch()
    sentry.wait_line("nothing more is kept in the journal until that is mended", timeout=10, since=mark)
    knock_and_see("10.1.0.5")
    os.rmdir(path(sentry))
    sentry.wait_line("the journal is written again; nothing was lost", timeout=15, since=mark)
    settle(sentry, 1)


@L.test("journal.size_limit_holds")
def size(lab):
    sentry = lab.sentry("-atcp", settings={**QUIET, "JOURNAL_SIZE": "16M"})
    link = lab.link()
    random_numbers = random.Random(3)
    # Every probe of its own source: as much in the journal as so many can be.
    frames = [P.segment("10.%d.%d.%d" % (i >> 16 & 255, i >> 8 & 255, i & 255), L.TARGET4, 40000, random_numbers.randrange(1, 65000))
              for i in range(150000)]
    for i, frame in enumerate(frames):
        link.send(frame)
        if i % 2000 == 0:
            time.sleep(0.05)
    biggest = 0
    end = time.monotonic() + 6
    while time.monotonic() < end:
        biggest = max(biggest, sum(os.path.getsize(path(sentry) + s) for s in ("", "-wal") if os.path.exists(path(sentry) + s)))
        time.sleep(0.2)
    L.check(os.path.getsize(path(sentry)) <= 16 << 20, "the file has %d bytes" % os.path.getsize(path(sentry)))
    status = sentry.ask("status")
    L.check(status["probes"]["seen"] > 140000, "%s" % status["probes"])
    kept = probes_in(sentry)
    L.check(kept + status["dropped"]["journal"] + status["dropped"]["queue_full"] >= status["probes"]["seen"],
            "%d of %d in the sums, %s" % (kept, status["probes"]["seen"], status["dropped"]))
    check_whole(sentry)
    return "150000 sources: %.1f MB, with its log %.1f MB" % (os.path.getsize(path(sentry)) / 1e6, biggest / 1e6)


# Processes and clocks

@L.test("journal.kill_nine_loses_a_second_at_most")
def killed(lab):
    """Probes at a known pace; the process is killed at a random moment; what is a second old must be there, once."""
    sentry = lab.sentry("-atcp", settings=QUIET)
    rounds = 100 if IS_BENCH else 4
    generator = random.Random(11)
    link = lab.link()
    worst = 0
    expected = 0
    for number_of_round in range(rounds):
        source = "10.%d.%d.1" % (2 + number_of_round // 200, number_of_round % 200)
        sent = []
        end = time.monotonic() + 1.2 + generator.random() * 1.5
        port = 1
        while time.monotonic() < end:
            link.send(P.segment(source, L.TARGET4, 40000, port))
            sent.append(time.monotonic())
            port += 1
            time.sleep(0.002)
        killed_at = time.monotonic()
        os.kill(sentry.pid, signal.SIGKILL)
        sentry.process.wait(5)
        sentry.launch()
        found = rows(sentry, "SELECT port, count FROM probe JOIN source ON source.id = probe.source WHERE address = ?",
                     bytes(map(int, source.split("."))))
        L.check(all(count == 1 for _, count in found), "round %d: counted twice" % number_of_round)
        ports = {p for p, _ in found}
        L.check(ports == set(range(1, len(ports) + 1)), "round %d: a hole in what was kept" % number_of_round)
        oldest = killed_at - sent[len(ports)] if len(ports) < len(sent) else 0
        worst = max(worst, oldest)
        L.check(oldest <= L.bar(1.0), "round %d: a probe that was %.2f s old is lost" % (number_of_round, oldest))
        expected += len(ports)
        L.check(probes_in(sentry) == expected, "round %d: %d in the sums, %d in the rows" % (number_of_round, probes_in(sentry), expected))
    check_whole(sentry)
    return "%d kills: what was lost was %.2f s old at most" % (rounds, worst)


@L.test("journal.clock_jumps_a_day", needs_binary=True)
def clock(lab):
    """The clock of the sentry's process goes back and forward by a day, by the faketime library, which only a program with dynamic
    libraries takes: the one that the unit tests are built with. Mode tcp, in which the time of a probe is the process's."""
    program = L.ROOT + "/.build/debug/portsentry"
    if not os.path.exists(FAKETIME):
        raise L.Skip("faketime is not installed")
    if not os.path.exists(program):
        raise L.Skip("no debug build")
    offset = lab.folder + "/offset"
    L.Sentry.write(offset, "+0d\n")
    sentry = lab.sentry("-tcp", binary_path=program, settings={"TCP_PORTS": ",".join(map(str, range(1000, 1100)))}, environment={
        "LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    source = lab.new_source()[0]
    sent = 0

    def knock(port):
        nonlocal sent
        s = lab.open_socket(lab.attacker, L.socket.AF_INET, L.socket.SOCK_STREAM)
        s.bind((source, 0))
        mark = sentry.mark()
        s.connect((L.TARGET4, port))
        sentry.wait_line("Connect from host: [^/]*/%s to TCP port: %d" % (source, port), timeout=5, since=mark)
        s.close()
        sent += 1
        L.wait_for(lambda: os.path.exists(path(sentry)) and probes_in(sentry) == sent, 8,
                   lambda: "%d probes in the journal, which has %d" % (sent, probes_in(sentry)), 0.1)
    days = []
    for i, jump in enumerate(("+0d", "-1d", "+0d", "+1d", "-1d", "+1d")):
        L.Sentry.write(offset, jump + "\n")
        time.sleep(0.3)
        for port in range(5):
            knock(1000 + i * 5 + port)
    days = rows(sentry, "SELECT hour / 24, sum(probes) FROM hour GROUP BY 1 ORDER BY 1")
    L.check(sorted(n for _, n in days) == [10, 10, 10], "the days have %s" % days)
    L.check(sum(n for (n,) in rows(sentry, "SELECT count FROM probe")) == 30, "detail was thrown away")
    sentry.ask("report", "--since", "7d")
    check_whole(sentry)
    L.check(not [t for t in sentry.texts() if "journal" in t], "it complains: %s" % sentry.texts()[-3:])
    return "three days of ten probes each, nothing thrown away"


@L.test("journal.readers_do_not_hold_the_sentry_up")
def readers(lab):
    """A reader that stays in the middle of a question, and a dozen more, while probes come."""
    sentry = lab.sentry("-atcp", settings=QUIET)
    link = lab.link()
    knock(lab, link, "10.1.0.1", range(1, 500))
    settle(sentry, 499)
    held = sqlite3.connect("file:%s?mode=ro" % path(sentry), uri=True)
    held.execute("BEGIN")
    held.execute("SELECT count(*) FROM probe").fetchone()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            sentry.control_command("report", "--since", "1h", ok=None)
    threads = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for i in range(2, 12):
            knock(lab, link, "10.1.0.%d" % i, range(1, 501))
            time.sleep(0.1)
        settle(sentry, 499 + 10 * 500)
    finally:
        stop.set()
        held.close()
        for thread in threads:
            thread.join()
    L.check(sentry.ask("status")["dropped"]["journal"] == 0, "records were lost")


if __name__ == "__main__":
    raise SystemExit(L.main())
