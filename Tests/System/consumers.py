"""Those who read what we write: fail2ban, logwatch, TCP wrappers. The real programs, with their own rules as Debian ships them."""

import os
import re
import shutil
import subprocess
import time

import lab as L

LOGWATCH = "/usr/share/logwatch/scripts"


def scan(lab, sentry, *sources):
    for source in sources:
        lab.syn(source, 111)
    for source in sources:
        sentry.wait_line(r"(/%s to|\[%s\])" % (re.escape(source), re.escape(source)))


def jail(lab, failregex, log, expected, never):
    """Runs a real fail2ban on `log` and compares what it bans."""
    if not shutil.which("fail2ban-server"):
        raise L.Skip("fail2ban is not installed")
    home = os.path.join(lab.folder, "fail2ban")
    for part in ("filter.d", "action.d"):
        os.makedirs(os.path.join(home, part), exist_ok=True)
    if failregex is None:
        shutil.copy("/etc/fail2ban/filter.d/portsentry.conf", home + "/filter.d/portsentry.conf")
    else:
        open(home + "/filter.d/portsentry.conf", "w").write("[Definition]\nfailregex = %s\n" % failregex)
    bans = home + "/bans"
    open(home + "/action.d/note.conf", "w").write("[Definition]\nactionban = echo <ip> >> %s\nactionunban =\n" % bans)
    open(home + "/fail2ban.conf", "w").write(
        "[Definition]\nloglevel = INFO\nlogtarget = %(h)s/log\nsyslogsocket = auto\nsocket = %(h)s/sock\npidfile = %(h)s/pid\n"
        "dbfile = %(h)s/db.sqlite3\ndbpurageage = 1d\nallowipv6 = auto\n" % {"h": home})
    open(home + "/jail.conf", "w").write(
        "[portsentry]\nenabled = true\nfilter = portsentry\nlogpath = %s\nbackend = polling\nmaxretry = 1\nfindtime = 10m\n"
        "bantime = 1h\nusedns = no\nignoreself = false\naction = note\nlogencoding = auto\n" % log)
    if not os.path.exists(log):
        open(log, "a").close()
    server = lab.start(lab.target, "fail2ban-server", "-c", home, "-s", home + "/sock", "-p", home + "/pid", "-f", "start")

    def banned():
        try:
            return set(open(bans).read().split())
        except FileNotFoundError:
            return set()
    try:
        L.wait_for(lambda: banned() >= expected, 15, lambda: "fail2ban to ban %s; it banned %s; its log: %s" % (
            sorted(expected), sorted(banned()), open(home + "/log").read()[-400:] if os.path.exists(home + "/log") else "none"), 0.1)
        time.sleep(1)
        L.check(banned() == expected, "fail2ban banned %s too" % sorted(banned() - expected))
        L.check(not banned() & never, "fail2ban banned an ignored host: %s" % sorted(banned() & never))
    finally:
        server.terminate()
        server.wait(10)


def three_scanners_and_a_friend(lab, *arguments, **settings):
    (a4, a6), (b4, _), (friend4, friend6) = lab.new_source(), lab.new_source(), lab.new_source()
    sentry = lab.sentry(*arguments, settings={"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none", **settings},
                        ignore="127.0.0.1\n%s\n%s # ours\n" % (friend4, friend6))
    lab.syn(friend4, 111)
    lab.syn(friend6, 111)
    scan(lab, sentry, a4, a6, b4)
    time.sleep(0.3)
    return sentry, {a4, a6, b4}, {friend4, friend6}


@L.test("consumers.fail2ban_bans_exactly_the_scanners")
def fail2ban(lab):
    sentry, scanners, friends = three_scanners_and_a_friend(lab, "-stcp", HISTORY_FORMAT="1.2")
    out = L.run(["fail2ban-regex", sentry.history, "/etc/fail2ban/filter.d/portsentry.conf"]).stdout
    matched = re.search(r"(\d+) matched, (\d+) missed", out)
    L.check(matched and matched.groups() == ("3", "0"), "fail2ban-regex: %s; the history: %s" % (
        matched.group(0) if matched else out[-200:], sentry.history_text()[:400]))
    jail(lab, None, sentry.history, scanners, friends)
    return "Debian's filter bans the 3 scanners (one IPv6), neither ignored address"


@L.test("consumers.fail2ban_with_the_filter_of_2x")
def fail2ban_modern(lab):
    sentry, scanners, friends = three_scanners_and_a_friend(lab, "--stealth")
    jail(lab, r"^[^ ]* Scan from: \[<HOST>\]", sentry.history, scanners, friends)
    return "2.x's own filter bans the 3 scanners, neither ignored address"


@L.test("consumers.logwatch_knows_every_line")
def logwatch(lab):
    if not os.path.exists(LOGWATCH + "/services/portsentry"):
        raise L.Skip("logwatch is not installed")
    sentry = lab.sentry("-atcp", settings={"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none", "ADVANCED_EXCLUDE_TCP": "113,139"})
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p", "590-594", source=source)
    lab.nmap("-sF", "-p", "600", source=source)
    sentry.wait_line("FIN scan")
    time.sleep(0.3)
    lines = "".join("Nov 22 12:00:00 target portsentry[42]: %s\n" % t for t in sentry.texts("syslog"))
    script = "cd %s; perl shared/onlyservice portsentry | perl shared/removeheaders | perl services/portsentry" % LOGWATCH
    report = L.run(["sh", "-c", script], input=lines, env={
        **os.environ, "LOGWATCH_DETAIL_LEVEL": "10", "PERL5LIB": "/usr/share/logwatch/lib"}).stdout
    L.check("Portscans detected" in report and "TCP SYN/Normal" in report and "TCP FIN" in report,
            "no port scan in its report: %r of %r" % (report[:300], lines[-300:]))
    L.check("ports: 590-594" in report.replace("  ", " "), "the ports are not in its report: %s" % report[:300])
    L.check("113" in report and "139" in report, "the excluded ports are not in its report: %s" % report[:600])
    unknown = report.lower().partition("**unmatched entries**")[2].strip().splitlines()
    # It does not know the first two of 1.2 either; the third is about this test's configuration.
    elders = ("is starting", "advanced mode will monitor", 'proof="none"')
    strange = [u for u in unknown if not any(e in u for e in elders)]
    L.check(not strange, "lines it does not know: %s" % strange[:6])
    blocked = re.search(r"Blocked route from/to (\S+)", report)
    return "scans and ports reported%s; %d lines unmatched, all of them 1.2's own" % (
        ", " + blocked.group(0) if blocked else "", len(unknown))


@L.test("consumers.tcpdmatch_denies_every_address")
def wrappers(lab):
    if not shutil.which("tcpdmatch"):
        raise L.Skip("tcpd is not installed")
    sentry = lab.sentry("-stcp", settings={"BLOCK_TCP": "1", "KILL_HOSTS_DENY": "ALL: $TARGET$ : DENY"},
                        hosts_deny="# kept as it is\nALL: 192.0.2.9")  # No final newline, on purpose.
    os.chmod(sentry.hosts_deny, 0o640)
    (a4, a6), (b4, b6), (free4, free6) = lab.new_source(), lab.new_source(), lab.new_source()
    scan(lab, sentry, a4, a6, b4, b6)
    L.wait_for(lambda: open(sentry.hosts_deny).read().count("DENY") >= 4, 3, lambda: "4 lines; hosts.deny holds %r" % open(sentry.hosts_deny).read())
    text = open(sentry.hosts_deny).read()
    L.check(text.startswith("# kept as it is\nALL: 192.0.2.9\nALL: "), "hosts.deny holds %r" % text)
    L.check(os.stat(sentry.hosts_deny).st_mode & 0o777 == 0o640, "its mode is now %o" % (os.stat(sentry.hosts_deny).st_mode & 0o777))
    open(sentry.folder + "/hosts.allow", "w").close()

    def verdict(address):
        out = subprocess.run(["tcpdmatch", "-d", "sshd", address], cwd=sentry.folder, capture_output=True, text=True)
        m = re.search(r"access:\s+(\w+)", out.stdout + out.stderr)
        return m.group(1) if m else "nothing"
    for address in (a4, a6, b4, b6, "192.0.2.9"):
        got = verdict(address)
        L.check(got == "denied", "tcpdmatch says `%s` of %s; hosts.deny: %r" % (got, address, text))
    for address in (free4, free6):
        L.check(verdict(address) == "granted", "tcpdmatch denies %s" % address)
    lab.in_target(sentry.binary_path, "unblock", a6, "-c", sentry.config)
    L.wait_for(lambda: a6 not in open(sentry.hosts_deny).read(), 2, "unblock to take %s out of hosts.deny" % a6)
    return "4 addresses denied (2 IPv6), others granted; a last line without newline and mode 0640 kept"


if __name__ == "__main__":
    raise SystemExit(L.main())
