"""The administrator's commands: KILL_ROUTE, KILL_HOSTS_DENY, KILL_RUN_CMD and their order, deadline, descriptors and truth."""

import os
import re
import time

import lab as L
import packets as P

ERROR = r"(?i)(error|fail|could not|cannot|not found|timed? ?out)"


def read(path):
    try:
        return open(path).read()
    except FileNotFoundError:
        return ""


def wait_text(path, pattern, timeout=3):
    return L.wait_for(lambda: re.search(pattern, read(path)), timeout, lambda: "/%s/ in %s, which holds %r" % (
        pattern, os.path.basename(path), read(path)[:300]))


@L.test("commands.sleeping_command_delays_nobody")
def sleeping(lab):
    sentry = lab.sentry("-stcp", settings={"BLOCK_TCP": "2", "KILL_RUN_CMD": "sleep 30"})
    first, second = lab.new_source()[0], lab.new_source()[0]
    lab.syn(first, 111)
    sentry.wait_line("from host: [^/]*/%s to" % first)
    time.sleep(0.2)
    begun = time.monotonic()
    lab.syn(second, 111)
    sentry.wait_line("from host: [^/]*/%s to" % second, timeout=2)
    took = time.monotonic() - begun
    L.check(took < 0.5, "the second source's alert took %.2f s" % took)
    begun = time.monotonic()
    status = sentry.stop(timeout=10)
    L.check(status == 0, "exit %s" % status)
    return "the second source's alert after %.0f ms; TERM during the command took %.1f s" % (took * 1e3, time.monotonic() - begun)


@L.test("commands.one_response_to_a_source_that_goes_on")
def one_response(lab):
    """More probes than are held while the command runs: still one command, and an alert for each probe."""
    runs = os.path.join(lab.folder, "runs")
    sentry = lab.sentry("-atcp", settings={"LOG_LIMIT": "0", "BLOCK_TCP": "2", "KILL_RUN_CMD": "echo $TARGET$ >> %s; sleep 2" % runs})
    source = lab.new_source()[0]
    link = lab.link()
    for port in range(200, 700):
        link.send(P.segment(source, L.TARGET4, 40000, port))
    alert = re.compile("attackalert: TCP SYN/Normal scan from host: [^/]*/%s to" % re.escape(source))

    def alerts():
        return sum(1 for text in sentry.texts() if alert.search(text))
    L.wait_for(lambda: alerts() >= 500, 8, lambda: "500 alerts; there are %d" % alerts(), 0.2)
    with open(runs) as f:
        count = len(f.readlines())
    L.check(count == 1, "the command ran %d times" % count)
    return "500 probes, one command"


@L.test("commands.failing_command_is_not_called_a_block")
def failing(lab):
    for command, what in (("/bin/false $TARGET$", "fails"), ("/nonexistent/cmd $TARGET$", "does not exist")):
        sentry = lab.sentry("-stcp", name=what.replace(" ", "-"), settings={
            "BLOCK_TCP": "1", "KILL_ROUTE": command, "BLOCK_METHOD": "command", "PROOF": "none"})
        source = lab.new_source()[0]
        lab.syn(source, 111)
        sentry.wait_line("%s.*%s|%s.*%s" % (ERROR, re.escape(source), re.escape(source), ERROR.replace("(?i)", "")))
        L.check(not sentry.find(r"Host %s has been blocked" % source), "a command that %s was called a block" % what)
        L.check(source not in sentry.blocked(), "a command that %s left the host in `blocked`" % what)
        mark = sentry.mark()
        lab.syn(source, 79)
        time.sleep(0.3)
        L.check(not sentry.find("already blocked", mark), "a command that %s is not tried again" % what)
        sentry.stop()


@L.test("commands.hanging_command_is_ended")
def hanging(lab):
    sentry = lab.sentry("-stcp", settings={
        "BLOCK_TCP": "1", "KILL_ROUTE": "sleep 100; echo $TARGET$", "BLOCK_METHOD": "command", "PROOF": "none", "COMMAND_TIMEOUT": "1"})
    source = lab.new_source()[0]
    before = set(lab.pids(lab.target))
    lab.syn(source, 111)
    line = sentry.wait_line("%s.*%s|%s.*%s" % (ERROR, re.escape(source), re.escape(source), ERROR.replace("(?i)", "")), timeout=5)
    L.check(not sentry.find(r"Host %s has been blocked" % source), "it was called a block")
    L.wait_for(lambda: set(lab.pids(lab.target)) <= before, 3, lambda: "the command's processes to end; left: %s" % [
        read("/proc/%d/cmdline" % p).replace("\0", " ") for p in set(lab.pids(lab.target)) - before])
    return "said: " + line.string[:110]


@L.test("commands.no_inherited_descriptors")
def descriptors(lab):
    out = lab.folder + "/fds"
    sentry = lab.sentry("-stcp", "-sudp", settings={"BLOCK_TCP": "2", "KILL_RUN_CMD": "ls -l /proc/self/fd > %s 2>&1; echo done >> %s" % (out, out)})
    lab.syn(lab.new_source()[0], 111)
    wait_text(out, "done")
    numbers = [int(n) for n in re.findall(r" (\d+) -> ", read(out))]
    L.check(set(numbers) <= {0, 1, 2, 3}, "the command has: " + " ".join(re.findall(r"\d+ -> \S+", read(out))))
    L.check(not re.search("socket:", read(out)), "the command inherited a socket: " + " ".join(re.findall(r"\d+ -> \S+", read(out))))


@L.test("commands.tokens")
def tokens(lab):
    done = []
    for arguments, mode, v6 in ((["-stcp"], "stcp", 0), (["-stcp"], "stcp", 1), (["-atcp"], "atcp", 0), (["--stealth"], "stealth", 0)):
        out = lab.folder + "/tokens"
        if os.path.exists(out):
            os.unlink(out)
        sentry = lab.sentry(*arguments, settings={
            "BLOCK_TCP": "2", "KILL_RUN_CMD": "echo '$TARGET$ $PORT$ $MODE$ $OTHER$ $TARGET$' >> " + out})
        source = lab.new_source()[v6]
        lab.syn(source, 111)
        expected = "%s 111 %s $OTHER$ %s\n" % (source, mode, source)
        wait_text(out, "(?s)..")
        L.check(read(out) == expected, "%s gave %r instead of %r" % (" ".join(arguments), read(out), expected))
        L.check(sentry.find(r"External command run for host: %s using command: \"echo '%s 111" % (re.escape(source), re.escape(source)))
                or sentry.wait_line("External command run for host: %s" % source), "no line about it")
        sentry.stop()
        done.append(mode)
    return "substituted in " + ", ".join(done)


@L.test("commands.order")
def order(lab):
    for first, expected in (("0", "route 1,run 1"), ("1", "run 0,route 1")):
        out = lab.folder + "/order" + first
        name = "order-" + first
        deny = os.path.join(lab.folder, name, "hosts.deny")
        sentry = lab.sentry("-stcp", name=name, settings={
            "BLOCK_TCP": "1", "KILL_RUN_CMD_FIRST": first,
            "KILL_HOSTS_DENY": "ALL: $TARGET$ : DENY",
            "KILL_ROUTE": "echo route $(grep -c ALL %s) >> %s # $TARGET$" % (deny, out),
            "KILL_RUN_CMD": "echo run $(grep -c ALL %s) >> %s" % (deny, out)})
        source = lab.new_source()[0]
        lab.syn(source, 111)
        L.wait_for(lambda: read(out).count("\n") >= 2, 3, lambda: "both commands to run; %r, %s" % (read(out), sentry.texts()[-4:]))
        got = ",".join(read(out).split("\n")[:-1])
        L.check(got == expected, "KILL_RUN_CMD_FIRST=%s ran %r instead of %r" % (first, got, expected))
        L.check(read(deny) == "ALL: %s : DENY\n" % source, "hosts.deny holds %r" % read(deny))
        sentry.wait_line(r'attackalert: Host %s has been blocked via wrappers with string: "ALL: %s : DENY"' % (source, source))
        sentry.wait_line(r'attackalert: Host %s has been blocked via dropped route using command: "echo route' % source)
        sentry.wait_line(r'attackalert: External command run for host: %s using command: "echo run' % source)
        mark = sentry.mark()
        lab.syn(source, 79)
        sentry.wait_line(r"attackalert: Host: %s/%s is already blocked Ignoring" % (source, source), since=mark)
        L.check(read(deny).count("\n") == 1, "a second line in hosts.deny")
        sentry.stop()


@L.test("commands.block_0_1_2")
def block_modes(lab):
    for value, ran, denied in (("0", "", False), ("1", "route,run", True), ("2", "run", False)):
        out, name = lab.folder + "/mode" + value, "block-" + value
        open(out, "w").close()
        deny = os.path.join(lab.folder, name, "hosts.deny")
        sentry = lab.sentry("-stcp", name=name, settings={
            "BLOCK_TCP": value, "BLOCK_UDP": "0", "KILL_HOSTS_DENY": "ALL: $TARGET$",
            "KILL_ROUTE": "echo route >> %s # $TARGET$" % out, "KILL_RUN_CMD": "echo run >> " + out})
        source = lab.new_source()[0]
        lab.syn(source, 111)
        if value == "0":
            sentry.wait_line("attackalert: Ignoring TCP response per configuration file setting.")
        L.wait_for(lambda: ",".join(read(out).split()) == ran, 2, lambda: "BLOCK_TCP=%s to run %r; it ran %r" % (value, ran, read(out)))
        time.sleep(0.2)
        L.check(",".join(read(out).split()) == ran, "BLOCK_TCP=%s ran %r" % (value, read(out)))
        L.check((source in read(deny)) == denied, "BLOCK_TCP=%s left in hosts.deny: %r" % (value, read(deny)))
        L.check(not lab.nft_elements(), "classic keys, yet nftables sets hold %s" % lab.nft_elements())
        sentry.stop()


if __name__ == "__main__":
    raise SystemExit(L.main())
