"""The enforcer: the one process that changes rules and routes asks again, whoever orders; it comes back when it ends; the sentry cannot do without it."""

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time

import lab as L

BAN, LIFT, SEAL, MEND, HEALTH = 1, 4, 18, 3, 19
SCAN, ORDER, FLEET = 1, 2, 3


class Hostile:
    """A peer that speaks as a sentry that was taken over, with the enforcer that the program starts."""

    def __init__(self, binary, config):
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(["portsentry-enforcer", config, "", ""], executable=binary, stdin=theirs, start_new_session=True)
        theirs.close()
        self.ours.settimeout(10)
        self.serial = 0
        self.pid = self.news(10)

    def news(self, kind):
        while True:
            data = self.ours.recv(8192)
            if data[4] == kind:
                return struct.unpack("!I", data[5:9])[0] if kind == 10 else data[5:].rstrip(b"\0").decode()

    def order(self, body):
        self.serial += 1
        self.ours.send(struct.pack("!I", self.serial) + body)
        while True:
            data = self.ours.recv(8192)
            if not data:
                raise EOFError
            if struct.unpack("!I", data[:4])[0] == self.serial:
                return data[4], data[5:]

    def ban(self, network, claim=SCAN, ways=1, seconds=600):
        address, _, length = network.partition("/")
        v4 = ":" not in address
        packed = b"\0" * 10 + b"\xff\xff" + socket.inet_aton(address) if v4 else socket.inet_pton(socket.AF_INET6, address)
        kind, rest = self.order(struct.pack("!B16sBBBq", BAN, packed, int(length or (32 if v4 else 128)), claim, ways, seconds * 10**9))
        return {1: "", 2: rest.rstrip(b"\0").decode(), 3: "failed: %r" % rest}[kind]


def attack(binary, config):
    """Runs in the target's namespace; what came of it as JSON."""
    said = {}
    peer = Hostile(binary, config)
    peer.order(bytes([SEAL]))
    for network in ("10.77.0.1", "10.77.0.0/24", "10.77.0.2", "fd77::2", "127.0.0.1", "198.51.100.7", "198.51.0.0/16", "203.0.113.0/24", "64.0.0.0/7", "2001:db8::/32"):
        said[network] = [peer.ban(network, claim) for claim in (SCAN, ORDER, FLEET)] + [peer.ban(network, ORDER, way) for way in (2, 4)]
    # A new address of this host is safe before the next order is judged.
    subprocess.run(["ip", "address", "add", "203.0.113.200/32", "dev", "lo"], check=True)
    time.sleep(1.2)
    said["203.0.113.200"] = [peer.ban("203.0.113.200", ORDER)]
    with open(config.replace("portsentry.conf", "ignore"), "a") as f:
        f.write("203.0.113.201\n")
    time.sleep(0.05)
    said["203.0.113.201"] = [peer.ban("203.0.113.201", ORDER)]
    generator = random.Random(1)
    began, taken = time.monotonic(), 0
    for _ in range(10000):
        address = "%d.%d.%d.%d" % tuple(generator.randrange(1, 224) for _ in range(4))
        taken += peer.ban(address, SCAN) == ""
    said["taken"], said["took"] = taken, time.monotonic() - began
    # It is killed: another is there, which knows what was taken.
    os.kill(peer.pid, signal.SIGKILL)
    said["ended"], again = peer.news(11), peer.news(10)
    said["again"] = again not in (0, peer.pid)
    said["after"] = sum(peer.ban("%d.%d.%d.%d" % tuple(generator.randrange(1, 224) for _ in range(4)), SCAN) == "" for _ in range(1000))
    said["gateway"] = peer.ban("10.77.0.1", ORDER)
    # What is no order ends it for good.
    peer.ours.send(b"\0\0\0\1\xff")
    try:
        while peer.ours.recv(8192):
            pass
        said["open"] = False
    except (OSError, EOFError) as problem:
        said["open"] = isinstance(problem, TimeoutError)
    said["status"] = peer.process.wait(10)
    print(json.dumps(said))


@L.test("enforced.hostile_sentry")
def hostile(lab):
    """Orders of a sentry that was taken over: nobody safe, ignored or too wide is banned, nor faster than the limits, by rules or by routes."""
    config = lab.folder + "/portsentry.conf"
    L.Sentry.write(lab.folder + "/ignore", "198.51.100.0/24\n")
    L.Sentry.write(config, 'BLOCK_TCP="1"\nBLOCK_RATE="100"\nIGNORE_FILE="%s/ignore"\nFLEET=""\n' % lab.folder)
    lab.in_target("ip", "route", "replace", "default", "via", L.ATTACKER4)
    out = lab.in_target(sys.executable, __file__, L.binary, config, timeout=60)
    said = json.loads(out.stdout.splitlines()[-1])
    for network, answers in said.items():
        if isinstance(answers, list):
            whys = [a for a in answers if a]
            # A network may be an operator's order; a scanner is one address, or an IPv6 prefix of the configured width.
            expected = 5 if network not in ("203.0.113.0/24", "2001:db8::/32") else 2
            L.check(len(whys) == min(expected, len(answers)), "%s: %s" % (network, answers))
            L.check(all(not a.startswith("failed") for a in answers), "%s: %s" % (network, answers))
    L.check(90 <= said["taken"] <= 95 and said["took"] < 50, "%d of 10,000 were banned in %.1f s" % (said["taken"], said["took"]))
    L.check(said["ended"] == "signal 9" and said["again"] and "gateway" in said["gateway"], said)
    L.check(said["after"] <= 95, "a new one lets %d more" % said["after"])
    L.check(said["open"] is False and said["status"] == 76, said)
    rules = lab.in_target("nft", "list", "ruleset").stdout
    for address in ("10.77.0.1", "10.77.0.2", "198.51.100", "203.0.113.20", "64.0.0.0/7"):
        L.check(address + " " not in rules and address + "." not in rules, "%s is in the rules" % address)
    return "%d of 10,000 in %.1f s" % (said["taken"], said["took"])


def enforcer(sentry):
    told = json.loads(sentry.control_command("status", "--health", "--json").stdout)
    return {p["role"]: p for p in told["processes"]}


@L.test("enforced.comes_back")
def comes_back(lab):
    """Killed, it is started anew, which is said; the trap stands, blocks stay, and the next scanner is blocked."""
    sentry = lab.sentry("-atcp", mounts="mount -t cgroup2 none /sys/fs/cgroup", settings={
        "ADVANCED_PORTS_TCP": "65535", "BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "handshake"})
    first = lab.new_source()[0]
    lab.nmap("-sT", "-p", "1-30", "--max-retries", "0", "-T5", source=first)
    L.wait_for(lambda: first in sentry.control_command("blocked").stdout, 10, "%s to be blocked" % first)
    processes = enforcer(sentry)
    L.check(processes["enforcer"]["capabilities"] == processes["keeper"]["capabilities"] == ["CAP_NET_ADMIN"], processes)
    L.check(processes["enforcer"]["system_calls"] == "filtered" and processes["enforcer"]["landlock"], processes)
    before = lab.in_target("nft", "list", "table", "inet", "portsentry").stdout
    L.check("chain trap" in before and first in before, before[:500])
    os.kill(processes["enforcer"]["pid"], signal.SIGKILL)
    sentry.wait_line("the enforcer has ended .signal 9.", timeout=5)
    sentry.wait_line("an enforcer is there again", timeout=5)
    L.check(enforcer(sentry)["enforcer"]["pid"] != processes["enforcer"]["pid"], "the same process")
    after = lab.in_target("nft", "list", "table", "inet", "portsentry").stdout
    L.check("chain trap" in after and first in after, after[:500])
    second = lab.new_source()[0]
    lab.nmap("-sT", "-p", "1-30", "--max-retries", "0", "-T5", source=second)
    L.wait_for(lambda: second in sentry.control_command("blocked").stdout, 10, "%s to be blocked; it said: %s" % (
        second, " | ".join(sentry.texts())[-600:]))
    sentry.control_command("unblock", first)
    L.check(first not in lab.in_target("nft", "list", "set", "inet", "portsentry", "banned4").stdout, "%s is still in the set" % first)
    # The one above it as well: then nobody enforces, what is in force stays, and that is said.
    pids = enforcer(sentry)
    os.kill(pids["keeper"]["pid"], signal.SIGKILL)
    sentry.wait_line("NOBODY IS BLOCKED ANY MORE", timeout=5)
    L.check(second in lab.in_target("nft", "list", "ruleset").stdout, "%s is let in" % second)
    third = lab.new_source()[0]
    lab.nmap("-sT", "-p", "1-30", "--max-retries", "0", "-T5", source=third)
    L.wait_for(lambda: sentry.find(third), 10, "%s to be seen" % third)


@L.test("enforced.table_flushed")
def flushed(lab):
    """Somebody flushes everything: table, trap and blocks are made anew, at once and whatever BLOCK_RATE says."""
    sentry = lab.sentry("-atcp", settings={"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables, route", "PROOF": "none", "BLOCK_RATE": "16", "DOUBT_TIME": "30s"})
    for index in range(40):
        sentry.control_command("block", "198.18.%d.1" % index)
    L.check(len(lab.in_target("ip", "route", "show", "proto", "115").stdout.splitlines()) == 40, "routes are missing")
    lab.in_target("nft", "flush", "ruleset")
    lab.in_target("ip", "route", "flush", "proto", "115")
    L.wait_for(lambda: lab.in_target("nft", "list", "ruleset").stdout.count("198.18.") == 40, 10, "the blocks to be there again", 0.1)
    L.wait_for(lambda: len(lab.in_target("ip", "route", "show", "proto", "115").stdout.splitlines()) == 40, 10, "the routes", 0.1)
    sentry.wait_line("put right", timeout=5)
    sentry.stop()
    sentry.relaunch()
    L.check(len(sentry.ask("blocked")) == 40, sentry.ask("blocked"))


if __name__ == "__main__":
    attack(*sys.argv[1:])
