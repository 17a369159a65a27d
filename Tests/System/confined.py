"""Nobody who reads packets is root: the sentry with the rights that etc/portsentry.service gives it, and what systemd says of them."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys

import lab as L

UNIT = L.ROOT + "/etc/portsentry.service"
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
    pids = lab.pids(lab.target)
    L.check(len(pids) >= 2, "sentry and page are expected, and there are %s" % pids)
    for pid in pids:
        state = status(pid)
        L.check("0" not in state["Uid"], "process %d (%s) has uid 0" % (pid, state["Name"]))
        L.check(state["Seccomp"] == ["2"] and state["NoNewPrivs"] == ["1"], "process %d: %s" % (pid, state))
        L.check(int(state["CapEff"][0], 16) & ~0x8000003400 == 0, "process %d has capabilities %s" % (pid, state["CapEff"]))
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
