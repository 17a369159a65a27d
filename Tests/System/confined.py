"""Nobody who reads packets is root: the sentry with the rights that etc/portsentry.service gives it, and what systemd says of them."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys

import lab as L
import notify

UNIT = L.ROOT + "/etc/portsentry.service"
# By their numbers, as capability.h has them.
CAPABILITIES = {"CAP_" + name: number for number, name in enumerate((
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST "
    "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE "
    "SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND "
    "AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE").split())}
DROP_IN = L.ROOT + "/etc/portsentry-classic.conf"


def exposure(path):
    out = L.run(["systemd-analyze", "security", "--offline=yes", path], ok=None)
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", out.stdout)
    L.check(match, "systemd-analyze says no figure: %s" % (out.stdout + out.stderr)[-300:])
    return float(match.group(1)), out.stdout


@L.test("confined.exposure")
def exposed(lab):
    """`systemd-analyze security`: at most 2.0 as shipped, 3.0 with the drop-in for commands and hosts.deny."""
    if not shutil.which("systemd-analyze"):
        raise L.Skip("no systemd-analyze here")
    folder = lab.folder + "/units"
    os.makedirs(folder + "/portsentry.service.d")
    unit = shutil.copy(UNIT, folder)
    native, text = exposure(unit)
    L.check(native <= 2.0, "as shipped: %.1f\n%s" % (native, text))
    shutil.copy(DROP_IN, folder + "/portsentry.service.d/classic.conf")
    classic, text = exposure(unit)
    L.check(native < classic <= 3.0, "with the drop-in: %.1f\n%s" % (classic, text))
    return "%.1f as shipped, %.1f with the drop-in" % (native, classic)


def status(pid):
    lines = open("/proc/%d/status" % pid).read().splitlines()
    return {k: v.split() for k, _, v in (l.partition(":") for l in lines)}


def number(capability):
    return CAPABILITIES[capability] if capability in CAPABILITIES else int(capability.removeprefix("capability "))


def health(sentry, *lacking):
    """What `status --health` says of each process by its role, after it is held against /proc; roles in `lacking` gave up nothing."""
    told = json.loads(sentry.control_command("status", "--health", "--json").stdout)
    L.check(told["missing"] == [], "this kernel lacks something: %s" % told["missing"])
    text = sentry.control_command("status", "--health").stdout
    for process in told["processes"]:
        state = status(process["pid"])
        L.check(state["Uid"][1] == str(process["uid"]), process)
        L.check(int(state["CapEff"][0], 16) == sum(1 << number(c) for c in process["capabilities"]), process)
        L.check((state["Seccomp"] == ["2"]) == (process["system_calls"] == "filtered"), process)
        L.check((state["NoNewPrivs"] == ["1"]) == process["no_new_privileges"], process)
        confined = process["role"] not in lacking
        L.check(process["landlock"] is confined and (state["Seccomp"] == ["2"]) is confined and process["no_new_privileges"] is confined, process)
        L.check(re.search(r"(?m)^%s +%d " % (process["role"], process["pid"]), text), text)
        for remark in process["remarks"]:
            L.check("%s: %s\n" % (process["role"], remark) in text, text)
    held = {p["role"]: p for p in told["processes"]}
    if "page" in held:
        L.check(held["page"]["capabilities"] == [], held)
    return held


@L.test("confined.by_hand_as_root")
def by_hand(lab):
    """Root's sentry keeps what the network asks for. Its page is another user's, where there is one for it, and reads and asks all the same."""
    users = "root:x:0:0::/:/bin/sh\nportsentry:x:64998:64998::/:/bin/false\n"
    L.Sentry.write(lab.folder + "/passwd", users)
    os.chmod(lab.folder, 0o755)
    sentry = lab.sentry("-atcp", mounts="mount -t cgroup2 none /sys/fs/cgroup\nmount --bind %s/passwd /etc/passwd" % lab.folder, settings={
        "BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "handshake", "CONSOLE_LISTEN": "127.0.0.1:8087",
        "EVENTS_FILE": lab.folder + "/events/file", "GEOIP_FILE": ""})
    sentry.wait_line("The page is served on", timeout=5)
    L.wait_for(lambda: health_confined(sentry), 10, "the page to be confined", 0.1)
    held = health(sentry)
    L.check(held["page"]["uid"] == 64998 and held["page"]["user"] == "portsentry", held)
    L.check(held["sentry"]["uid"] == 0 and len(held["sentry"]["capabilities"]) == 9, held)
    source = lab.new_source()[0]
    lab.nmap("-sT", "-p", "1-30", "--max-retries", "0", "-T5", source=source)
    L.wait_for(lambda: source in sentry.control_command("blocked").stdout, 10, "%s to be blocked; it said: %s" % (
        source, " | ".join(sentry.texts())[-600:]))
    # The journal is seen through the page, and so is the sentry.
    token = open(sentry.folder + "/state/console.token").readline().strip()
    curl = ["curl", "-s", "-H", "Authorization: Bearer " + token, "http://127.0.0.1:8087/metrics"]
    L.wait_for(lambda: "portsentry_blocks 1\n" in lab.in_target(*curl).stdout, 10, lambda: lab.in_target(*curl).stdout[-500:], 0.2)
    link = sentry.control_command("console", "--url", "--listen", "127.0.0.1:8087", "--journal", sentry.folder + "/state/journal.db").stdout.strip()
    host = link.split("/")[2]
    jar = lab.folder + "/jar"
    browser = ["curl", "-s", "-L", "-c", jar, "-b", jar, "--resolve", host + ":127.0.0.1"]
    lab.in_target(*browser, link)
    shown = L.wait_for(lambda: (lambda t: source in t and t)(lab.in_target(*browser, "http://%s/source?address=%s" % (host, source)).stdout), 10,
                       lambda: lab.in_target(*browser, "http://%s/" % host).stdout[-800:], 0.3)
    L.check("1.2.3.4" not in shown, shown)
    # Whoever else is in the group has no word.
    other = lab.in_target("setpriv", "--reuid", "64997", "--regid", "64998", "--clear-groups", L.binary, "status", "--control-socket", sentry.control, "-c", "/dev/null", ok=None)
    L.check(other.returncode != 0, "another user of the page's group asked: %s" % other.stdout)
    os.kill(held["page"]["pid"], signal.SIGKILL)
    L.wait_for(lambda: health_pid(sentry) not in (None, held["page"]["pid"]), 10, "another page")
    for text in sentry.texts():
        L.check("not permitted" not in text and "ermission denied" not in text, "it lacks a right: %s" % text)


def health_confined(sentry):
    told = json.loads(sentry.control_command("status", "--health", "--json").stdout)
    return any(p["role"] == "page" and p["system_calls"] == "filtered" and not p["capabilities"] for p in told["processes"])


def health_pid(sentry):
    told = json.loads(sentry.control_command("status", "--health", "--json").stdout)
    return next((p["pid"] for p in told["processes"] if p["role"] == "page"), None)


@L.test("confined.message")
def message(lab):
    """The client that sends a message has the network and nothing else, whoever starts it, and the message arrives."""
    server = notify.Server(lab, pause=1)
    sentry = lab.sentry("-stcp", mounts="mount -t cgroup2 none /sys/fs/cgroup", settings={**notify.BLOCKING, "NOTIFY": "webhook http://127.0.0.1:8099/x", "NOTIFY_EVENTS": "block"})
    health(sentry)
    source = lab.new_source()[0]
    lab.syn(source, 111)
    client = L.wait_for(lambda: next((p for p in lab.pids(lab.target) if name(p) == "curl"), None), 20, "a client")
    state = status(client)
    L.check(state["CapEff"] == ["0000000000000000"] and state["NoNewPrivs"] == ["1"] and state["Seccomp"] == ["2"], state)
    L.wait_for(lambda: source in str(server.requests()), 20, "the message", 0.1)


def name(pid):
    try:
        return open("/proc/%d/comm" % pid).read().strip()
    except OSError:
        return None


@L.test("confined.commands_keep_rights")
def commands(lab):
    """Programs of the configuration inherit what the sentry has: with them it gives up nothing, and says so; the page does."""
    sentry = lab.sentry("-stcp", settings={
        "BLOCK_TCP": "1", "BLOCK_METHOD": None, "KILL_ROUTE": "touch %s/ran-$TARGET$" % lab.folder, "CONSOLE_LISTEN": "127.0.0.1:8087"})
    sentry.wait_line("The page is served on", timeout=5)
    L.wait_for(lambda: health_confined(sentry), 10, "the page to be confined", 0.1)
    held = health(sentry, "sentry")
    L.check("KILL_ROUTE" in " ".join(held["sentry"]["remarks"]), held)
    source = lab.new_source()[0]
    lab.syn(source, 111)
    L.wait_for(lambda: os.path.exists("%s/ran-%s" % (lab.folder, source)), 10, "the command")


@L.test("confined.watches_and_blocks")
def watches(lab):
    """As the unit starts it, no process has uid 0, and nothing is missing: the trap, decoys, the gate, a block, its release, a reload."""
    if not shutil.which("systemd-analyze"):
        raise L.Skip("no systemd-analyze here")
    folder = lab.folder + "/sentry"
    os.makedirs(folder)
    try:
        user = pwd.getpwnam("portsentry")  # As in as_unit.py.
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    as_unit = "mount -t cgroup2 none /sys/fs/cgroup\nset -- %s %s/as_unit.py %s \"$@\"" % (sys.executable, L.HERE, UNIT)
    sentry = lab.sentry("-atcp", folder=folder, ignore="# nobody\n", mounts=as_unit, settings={
        "ADVANCED_PORTS_TCP": "65535", "BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "handshake",
        "CONSOLE_LISTEN": "127.0.0.1:8087"})
    sentry.wait_line("The page is served on", timeout=5)
    L.wait_for(lambda: health_confined(sentry), 10, "the page to be confined", 0.1)
    pids = lab.pids(lab.target)
    L.check(len(pids) >= 2, "sentry and page are expected, and there are %s" % pids)
    for pid in pids:
        state = status(pid)
        L.check("0" not in state["Uid"], "process %d (%s) has uid 0" % (pid, state["Name"]))
        L.check(state["Seccomp"] == ["2"] and state["NoNewPrivs"] == ["1"], "process %d: %s" % (pid, state))
        L.check(int(state["CapEff"][0], 16) & ~0x8000003400 == 0, "process %d has capabilities %s" % (pid, state["CapEff"]))
    held = health(sentry)
    L.check(held["sentry"]["capabilities"] == ["CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF"], held)
    L.check(sentry.ask("status")["deception"]["gate"] is True, "no eBPF: %s" % " | ".join(sentry.texts()))
    source = lab.new_source()[0]
    lab.nmap("-sT", "-p", "1-30", "--max-retries", "0", "-T5", source=source)
    L.wait_for(lambda: source in sentry.control_command("blocked").stdout, 10, "%s to be blocked; it said: %s" % (
        source, " | ".join(sentry.texts())[-600:]))
    L.check(lab.in_target("nft", "list", "ruleset").stdout.count(source) > 0, "no rule of the kernel names %s" % source)
    sentry.control_command("unblock", source)
    L.check(source not in sentry.control_command("blocked").stdout, "%s is still blocked" % source)
    os.kill(sentry.pid, signal.SIGHUP)
    sentry.wait_line("configuration read again", timeout=5)
    for text in sentry.texts():
        L.check("not permitted" not in text and "ermission denied" not in text, "it lacks a right: %s" % text)
