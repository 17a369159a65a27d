"""The packages in Debian's own systems: install, watch, upgrade from 1.2, downgrade, remove, purge. `make package-test`.

    python3 Tests/System/package.py [--suite bookworm]... [-v] [NAME...]

Each test boots a Debian that debootstrap made, with its own systemd, in a namespace of the laboratory's: who scans is on the cable's
other end. Roots and Debian's 1.2 are kept in .build/roots.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

import lab as L

ROOTS = os.path.join(L.ROOT, ".build", "roots")
SUITES = ["bookworm", "trixie"]
INCLUDED = "systemd,systemd-sysv,dbus,iproute2,procps,adduser,debconf,perl,net-tools,logrotate"
SETTINGS = "/etc/portsentry/portsentry.conf"
tests = []


def test(function):
    tests.append(function)
    return function


def mirror():
    """Where this machine's apt gets Debian from."""
    for line in L.run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)"]).stdout.splitlines():
        site, release = line.split()
        if "security" not in site + release and "updates" not in release:
            return site
    raise L.Skip("apt names no archive of Debian's")


def root_of(suite):
    path = os.path.join(ROOTS, suite)
    if not os.path.exists(path + ".done"):
        shutil.rmtree(path, ignore_errors=True)
        print("     making a root of Debian %s" % suite, flush=True)
        L.run(["debootstrap", "--variant=minbase", "--include=" + INCLUDED, suite, path, mirror()], timeout=900)
        # Nobody asks for a name server, and nothing is started that asks.
        open(os.path.join(path, "etc", "resolv.conf"), "w").close()
        open(path + ".done", "w").close()
    return path


def debian_1_2():
    """Debian's own package of 1.2, as a file."""
    found = glob.glob(os.path.join(L.ROOT, ".build", "portsentry-1.2", "portsentry_1.2*.deb")) + \
        glob.glob(os.path.join(ROOTS, "portsentry_1.2*.deb"))
    if not found:
        L.run(["sh", "-c", "cd %s && apt-get download portsentry" % ROOTS], ok=None, timeout=120)
        found = glob.glob(os.path.join(ROOTS, "portsentry_1.2*.deb"))
    if not found:
        raise L.Skip("PortSentry 1.2's package is not available here")
    return found[0]


def ours():
    found = sorted(glob.glob(os.path.join(L.ROOT, ".build", "packages", "portsentry_3*.deb")))
    L.check(found, "no package: make deb")
    return found[-1]


class Host:
    """A booted Debian whose network is the laboratory's target. Use as a context manager."""

    def __init__(self, lab, suite):
        self.lab, self.suite = lab, suite
        self.path = os.path.join(lab.folder, "root")

    def __enter__(self):
        L.run(["cp", "-a", root_of(self.suite), self.path], timeout=120)
        for file in (ours(), debian_1_2()):
            shutil.copy(file, os.path.join(self.path, "root"))
        self.log = open(os.path.join(self.lab.folder, "boot.log"), "w")
        self.process = subprocess.Popen(
            ["systemd-nspawn", "-q", "-D", self.path, "-M", "pkg%d" % os.getpid(), "--register=no", "--keep-unit", "-b", "--console=pipe",
             "--capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_BPF", "--resolv-conf=off", "--timezone=off", "--network-namespace-path=/run/netns/" + self.lab.target],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        def leader():
            found = L.run(["pgrep", "-P", str(self.process.pid)], ok=None).stdout.split()
            return int(found[0]) if found else 0
        self.leader = L.wait_for(leader, 10, "the root to boot")
        L.wait_for(lambda: self("systemctl is-system-running", ok=None).strip() in ("running", "degraded"), 60, "systemd to be up")
        return self

    def __exit__(self, *_):
        self("systemctl --no-block poweroff", ok=None)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def __call__(self, command, ok=(0,), timeout=60):
        """Runs a shell command in the host; returns what it prints, errors too."""
        done = L.run(["nsenter", "-t", str(self.leader), "-a", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                      "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "sh", "-c", command + " 2>&1"], ok=ok, timeout=timeout)
        return done.stdout

    def install(self, ours=True, ok=(0,)):
        return self("dpkg -i /root/portsentry_%s*.deb" % ("3" if ours else "1.2"), ok=ok)

    def read(self, path):
        with open(self.path + path, "rb") as file:
            return file.read()

    def write(self, path, text):
        with open(self.path + path, "w") as file:
            file.write(text)

    def journal(self):
        return self("journalctl --no-pager -o cat -u portsentry")

    def files(self):
        """What a package could leave behind: every path of /etc, /var, /run and /usr, what is in /etc, and the users."""
        found = {}
        for top in ("etc", "var", "usr", "lib", "run"):
            for folder, folders, names in os.walk(os.path.join(self.path, top)):
                for name in folders + names:
                    path = os.path.join(folder, name)
                    place = path[len(self.path):]
                    if NOISE.search(place):
                        continue
                    content = b""
                    if top == "etc" and os.path.isfile(path) and not os.path.islink(path):
                        content = hashlib.sha256(open(path, "rb").read()).digest()
                    found[place] = content
        found["users"] = self("getent passwd; getent group")
        found["rules"] = L.run(["ip", "netns", "exec", self.lab.target, "nft", "list", "ruleset"]).stdout
        found["routes"] = L.run(["ip", "-n", self.lab.target, "route", "show", "table", "all", "type", "blackhole"], ok=None).stdout
        found["processes"] = self("pgrep -a portsentry", ok=None)
        return found


# What dpkg and systemd keep of their own doings, and copies of the password files that every change of a user leaves.
NOISE = re.compile(r"^/var/(lib/dpkg|log|cache|lib/systemd|tmp|lib/apt|lib/logrotate|lib/pam)|^/etc/(.*-$|\.pwd\.lock|ld\.so\.cache|machine-id|mtab)|"
                   r"^/run/|^/usr/share/(man|mime|info)|__pycache__")


def differences(before, after):
    gone = [p for p in before if p not in after]
    new = [p for p in after if p not in before]
    other = [p for p in after if p in before and before[p] != after[p]]
    return ["%s %s" % (word, p) for word, paths in (("gone:", gone), ("left:", new), ("changed:", other)) for p in sorted(paths)]


def scan(lab, *arguments):
    return lab.nmap(*arguments, source=lab.new_source()[0], target=L.TARGET4)


def is_named(host, lab, seconds=5):
    """A scan of the host is in the journal within some seconds."""
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p", "1-50", source=source, target=L.TARGET4)
    L.wait_for(lambda: source + " is a scanner" in host.journal() or "Host: " + source in host.journal() or
               re.search(r"attackalert: .*%s" % re.escape(source), host.journal()), seconds, "the scan to be in the journal: " + host.journal()[-2000:])
    return source


def fail2ban_reads_the_journal(host, lab):
    """This machine's fail2ban reads the host's journal by our filter: whoever has connected is matched, whoever has not is not."""
    if not os.path.exists("/usr/lib/python3/dist-packages/systemd"):
        return "fail2ban cannot read journals here"
    connects, forged = lab.new_source()[0], lab.new_source()[0]
    lab.nmap("-sS", "-p", "1-50", source=forged, target=L.TARGET4)
    for port in (21, 23, 111, 445, 3389, 5900):
        lab.in_attacker("python3", "-c", "import socket, sys; s = socket.socket(); s.bind((sys.argv[1], 0)); s.settimeout(3); "
                        "s.connect((%r, %d))" % (L.TARGET4, port), connects)
    L.wait_for(lambda: connects + " is a scanner" in host.journal() and forged + " is a scanner" in host.journal(), 10, "two scanners in the journal")
    # Kept in memory, or on disk: a copy of either, where this machine sees it.
    host("journalctl --sync; mkdir -p /root/journal; find /var/log/journal /run/log/journal -name '*.journal' -exec cp {} /root/journal/ ';'", ok=None)
    try:
        out = L.run(["/usr/bin/fail2ban-regex", "--print-all-matched", "systemd-journal[journalpath=%s]" % (host.path + "/root/journal"),
                     L.ROOT + "/etc/fail2ban/filter.d/portsentry-native.conf"]).stdout
    finally:
        host("rm -rf /root/journal")
    L.check(re.search(r"Failregex: 1 total", out) and connects + " is a scanner" in out, out[-1500:])
    return "fail2ban matched the one of two scanners that connected"


@test
def fresh(lab, suite):
    """From the package file to the first scan seen: one command. Nothing is left after purge."""
    with Host(lab, suite) as host:
        before = host.files()
        begun = time.monotonic()
        said = host.install()
        is_named(host, lab)
        took = time.monotonic() - begun
        L.check(len(said.strip().splitlines()) <= 10, "a first installation prints more than a few lines:\n" + said)
        L.check("User=portsentry" in host("systemctl show -p User portsentry"), "it runs as another user")
        status = host("portsentry status")
        L.check(re.search(r"TCP +atcp", status) and re.search(r"UDP +audp", status), "a new installation does not watch all unused ports:\n" + status)
        L.check("log only" in status, "a new installation does more than log:\n" + status)
        for shell in ("/usr/share/bash-completion/completions/portsentry", "/usr/share/zsh/vendor-completions/_portsentry",
                      "/usr/share/fish/vendor_completions.d/portsentry.fish", "/usr/share/man/man8/portsentry.8.gz"):
            L.check(os.path.getsize(host.path + shell) > 100, shell + " is not there")
        banned = fail2ban_reads_the_journal(host, lab)
        # The digest is the administrator's wish: nothing is sent before it, and nothing is left of it.
        L.check("portsentry-digest" not in host("systemctl list-timers --all"), "a digest is sent without being asked for")
        host("systemctl enable --now portsentry-digest@daily.timer portsentry-digest@weekly.timer")
        L.check(host("systemctl list-timers --all").count("portsentry-digest@") >= 2, "no timers: " + host("systemctl list-timers --all"))
        host("systemd-analyze --man=no verify portsentry-digest@daily.service portsentry-digest@daily.timer")
        with_digest(host)
        host("logrotate -d /etc/logrotate.d/portsentry")
        # A second installation of the same is an upgrade: settings stay, the service goes on.
        host.write(SETTINGS, host.read(SETTINGS).decode() + '\nRULE_THRESHOLD="5.0"\n')
        mine = host.read(SETTINGS)
        host.install()
        L.check(host.read(SETTINGS) == mine, "an upgrade changed the settings")
        is_named(host, lab)
        # Somebody shut out is let in when the program goes.
        host("portsentry block 192.0.2.7")
        rules = L.run(["ip", "netns", "exec", lab.target, "nft", "list", "ruleset"]).stdout
        L.check("192.0.2.7" in rules, "nothing blocked, so that nothing can be left: " + rules)
        host("dpkg -r portsentry")
        removed = host.files()
        L.check(not removed["rules"], "removal leaves rules: " + removed["rules"])
        L.check(not removed["processes"], "removal leaves a process: " + removed["processes"])
        L.check(host.read(SETTINGS) == mine, "removal took the settings")
        host("dpkg -P portsentry")
        left = differences(before, host.files())
        L.check(not left, "purge leaves: " + "; ".join(left))
        return "package file to first scan seen in %.1f s; after purge nothing is left; %s" % (took, banned)


def with_digest(host):
    """The unit sends what a double of sendmail takes, as user portsentry."""
    host.write("/usr/local/sbin/sendmail", "#!/bin/sh\n{ id -un; cat; } > /var/lib/portsentry/box\n")
    host("chmod 755 /usr/local/sbin/sendmail")
    before = host.read(SETTINGS).decode()
    host.write(SETTINGS, before + '\nNOTIFY="mail root"\n')
    try:
        host("systemctl start portsentry-digest@weekly.service || { journalctl --no-pager -u portsentry-digest@weekly; exit 1; }")
        box = host("cat /var/lib/portsentry/box")
        L.check(box.startswith("portsentry\n") and re.search(r"^Subject: \[PortSentry\] .*scanners?, [\d,]+ probes from", box, re.M), box)
    finally:
        host("rm -f /usr/local/sbin/sendmail /var/lib/portsentry/box")
        host.write(SETTINGS, before)


def upgrade(lab, suite, modes, more, classic):
    with Host(lab, suite) as host:
        before = host.files()
        host.install(ours=False, ok=None)
        settings = host.read(SETTINGS).decode()
        for key, value in more.items():
            settings = re.sub("^%s=.*\n" % key, "", settings, flags=re.MULTILINE) + "%s=%s\n" % (key, value)
        ignored = "192.0.2.50\n198.51.100.0/24\n"
        kept = {SETTINGS: settings,
                "/etc/default/portsentry": 'TCP_MODE="%s"\nUDP_MODE="%s"\n' % modes,
                "/etc/portsentry/portsentry.ignore.static": "127.0.0.1\n0.0.0.0\n" + ignored,
                "/var/lib/portsentry/portsentry.history": "1700000000 - 11/14/2023 22:13:20 Host: 192.0.2.9/192.0.2.9 Port: 111 TCP Blocked\n",
                "/var/lib/portsentry/portsentry.blocked.%s" % modes[0]: "1700000000 - 11/14/2023 22:13:20 Host: 192.0.2.9/192.0.2.9 Port: 111 TCP Blocked\n"}
        for path, text in kept.items():
            host.write(path, text)
        said = host.install()
        L.check(len(said.splitlines()) <= 40, "what it says does not fit on one screen:\n" + said)
        for path, text in kept.items():
            if path.endswith(".static"):
                path, now = "/etc/portsentry/portsentry.ignore", host.read("/etc/portsentry/portsentry.ignore").decode()
                L.check(all(line in now.splitlines() for line in text.split()), "lost from the ignore file: " + now)
            elif path.endswith("history"):
                L.check(host.read(path).decode().startswith(text), "the history was changed")
            elif "blocked" not in path:
                L.check(host.read(path).decode() == text, path + " was changed")
        status = host("portsentry status")
        for protocol, mode in zip(("TCP", "UDP"), modes):
            L.check(re.search(r"%s +%s" % (protocol, mode), status), "mode %s is not kept:\n%s" % (mode, status))
        user = host("systemctl show -p User portsentry").strip()
        L.check((user == "User=root") == classic, "it runs as %s; the settings %s commands" % (user, "call" if classic else "call no"))
        blocked = host("portsentry blocked")
        source = is_named(host, lab)
        if classic:
            L.check("192.0.2.9" in blocked, "what 1.2 had blocked is not blocked: " + blocked)
            L.wait_for(lambda: source in host("cat /tmp/ran /var/tmp/ran", ok=None), 5, "the command of 1.2's settings to run: " + '\n'.join(line for line in host.journal().splitlines() if 'already' not in line and 'listen mode' not in line))
        for old in ("/etc/init.d/portsentry", "/etc/ppp/ip-up.d/portsentry", "/usr/lib/portsentry/portsentry-build-ignore-file"):
            L.check(not os.path.exists(host.path + old), old + " of 1.2 is still there")
        # Back to 1.2 in place: refused, and all goes on as it was.
        refusal = host.install(ours=False, ok=(1,))
        L.check("apt remove portsentry" in refusal, "the refusal does not tell the way out:\n" + refusal)
        L.check("3.0.0" in host("dpkg-query -W -f '${Version} ${Status}' portsentry") and
                "install ok installed" in host("dpkg-query -W -f '${Version} ${Status}' portsentry"), "the refused downgrade left the package half installed")
        host("systemctl restart portsentry")
        is_named(host, lab)
        host("dpkg -P portsentry")
        left = differences(before, host.files())
        L.check(not left, "purge leaves: " + "; ".join(left))
        return "as root, its command ran, its blocks went on" if classic else "as user portsentry"


@test
def upgrade_from_1_2_listening(lab, suite):
    return upgrade(lab, suite, ("tcp", "udp"), {}, False)


@test
def upgrade_from_1_2_stealth(lab, suite):
    return upgrade(lab, suite, ("stcp", "sudp"), {}, False)


@test
def upgrade_from_1_2_advanced_with_a_command(lab, suite):
    return upgrade(lab, suite, ("atcp", "audp"), {"BLOCK_TCP": '"1"', "KILL_RUN_CMD": '"/bin/echo $TARGET$ >> /var/tmp/ran"'}, True)


@test
def tarball(lab, suite):
    """Unpacked over /, it runs, and `lintian` has nothing against the package."""
    found = sorted(glob.glob(os.path.join(L.ROOT, ".build", "packages", "portsentry-3*.tar.xz")))
    L.check(found, "no archive: make tarball")
    with tarfile.open(found[-1]) as archive:
        names = archive.getnames()
    L.check("usr/local/sbin/portsentry" in names, "no program in it: %s" % names[:10])
    sums = []
    for _ in range(2):
        L.run(["sh", "scripts/package.sh", "tarball"], cwd=L.ROOT, timeout=300)
        sums.append(hashlib.sha256(open(found[-1], "rb").read()).hexdigest())
    L.check(sums[0] == sums[1], "made twice, the archive is not the same")
    lint = L.run(["lintian", "--fail-on", "error,warning", "--allow-root", ours()], ok=None, timeout=300)
    L.check(lint.returncode == 0, "lintian: " + lint.stdout + lint.stderr)
    return "the same bytes twice; lintian: no error, no warning"


def main():
    arguments = sys.argv[1:]
    L.verbose = "-v" in arguments
    names = [a for a in arguments if not a.startswith("-") and a not in SUITES]
    suites = [a for a in arguments if a in SUITES] or SUITES
    if os.geteuid() != 0:
        print("This boots Debian in namespaces, for which it needs root.")
        return 77
    import atexit
    atexit.register(L.cleanup)
    os.makedirs(ROOTS, exist_ok=True)
    failed = 0
    for suite in suites:
        for function in tests:
            if names and not any(n in function.__name__ for n in names):
                continue
            if function is tarball and suite != suites[0]:
                continue
            begun = time.monotonic()
            try:
                with L.Lab(spare=60) as lab:
                    word = "ok   %s.%s: %s" % (suite, function.__name__, function(lab, suite))
            except L.Skip as reason:
                word = "skip %s.%s: %s" % (suite, function.__name__, reason)
            except L.Failure as evidence:
                failed += 1
                word = "FAIL %s.%s: %s" % (suite, function.__name__, evidence)
            print("%s  (%.1f s)" % (word, time.monotonic() - begun), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
