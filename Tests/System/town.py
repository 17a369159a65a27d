"""A town of real software for `neighbours.py`: a server with the sentry, its honest clients, and scanners, behind one switch.

      one namespace                  the switch                     one namespace each
    +-------------------+      +----------------------+      +--------------------------+
    | portsentry        |      |                      |      | clients   10.77.0.11 ... |
    | nginx, vsftpd ... |-lan0-| br0       10.77.0.1  |-lan0-|           fd77::11 ...   |
    | 10.77.0.2 fd77::2 |      |           fd77::1    |      | scanners  10.77.0.201 ...|
    +-------------------+      +----------------------+      +--------------------------+

The software is Debian's. It lives in a root of its own, .build/roots/neighbours, which debootstrap makes: nothing is installed or started
on this host. Each machine sees that root through an overlay, in namespaces for its mounts, processes and name; what it writes goes with it.

A scenario is a generator: it starts its services, yields, and does its clients' work while the scanners are at theirs.
"""

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import lab as L
import package
from crowd import KILL_ROUTE_OF_1_2, NFT_FOR_1_2

ROOT = os.path.join(L.ROOT, ".build", "roots", "neighbours")
SUITE = "bookworm"
SERVER4, SERVER6 = L.TARGET4, L.TARGET6
BASE = "iproute2 iputils-ping curl ca-certificates socat nftables iptables openssl python3-minimal systemd"

# Each scanner: the last number of its address, whether it completes connections, and what it runs.
SCANNERS = {
    "nmap -sT": (201, True, "nmap -n -Pn -T4 -sT -p 1-30,100-119 --max-retries 0 --host-timeout 15s " + SERVER4),
    "nmap -6 -sT": (202, True, "nmap -6 -n -Pn -T4 -sT -p 1-30,100-119 --max-retries 0 --host-timeout 15s " + SERVER6),
    "nmap -sS": (203, False, "nmap -n -Pn -T4 -sS -p 1-100,3300-3400 --max-retries 0 --host-timeout 15s " + SERVER4),
    "masscan": (204, False, "timeout -s KILL 5 masscan -p 1-1000 --rate 500 --retries 0 --wait 0 --source-ip 10.77.0.204 --interface lan0 "
                            "--router-mac %s %s" % (L.TARGET_MAC, SERVER4)),
}

Scenario = collections.namedtuple("Scenario", "name shows packages function quick hidden settings")
scenarios = []


def scenario(shows, packages, quick=False, hidden=False, **settings):
    """Registers a scenario. `quick`: part of `make test`. `hidden`: a firewall keeps strangers from the decoys, so nobody can be blocked.
    `settings`: what its administrator has to set for it. A package with a ~ is only fetched: it conflicts with another one."""
    def add(function):
        scenarios.append(Scenario(function.__name__, shows, packages.split(), function, quick, hidden, settings))
        return function
    return add


# Software


def missing(chosen):
    """Packages that these scenarios want and the root has not."""
    have = set()
    with contextlib.suppress(FileNotFoundError):
        have = set(open(ROOT + ".done").read().split())
    return sorted(set(BASE.split()).union(*(s.packages for s in chosen)) - have)


def install(chosen):
    """Makes the root, and puts into it what these scenarios want. Whether that could be done."""
    wanted = missing(chosen)
    if not wanted:
        return True
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    try:
        if not os.path.exists(ROOT + ".done"):
            print("making a root of Debian for the neighbours", flush=True)
            shutil.rmtree(ROOT, ignore_errors=True)
            L.run(["debootstrap", "--variant=minbase", SUITE, ROOT, package.mirror()], timeout=1800)
            # Nothing is started in it by being installed.
            with open(ROOT + "/usr/sbin/policy-rc.d", "w") as f:
                f.write("#!/bin/sh\nexit 101\n")
            os.chmod(ROOT + "/usr/sbin/policy-rc.d", 0o755)
            open(ROOT + ".done", "w").close()
        apt = ["unshare", "--mount", "sh", "-ec", 'mount -t proc none "$0/proc"; exec chroot "$0" apt-get -q -y --no-install-recommends '
               '-o Acquire::Retries=3 "$@"', ROOT]
        L.run(apt + ["update"], timeout=600, env=quiet)
        print("putting into it: %s" % " ".join(wanted), flush=True)
        L.run(apt + ["install", *(p for p in wanted if p[0] != "~")], timeout=3000, env=quiet)
        for name in (p[1:] for p in wanted if p[0] == "~"):
            L.run(apt + ["install", "--download-only", name], timeout=900, env=quiet)
        with open(ROOT + ".done", "a") as f:
            f.write("\n".join(wanted) + "\n")
    except (L.Failure, L.Skip, subprocess.TimeoutExpired, OSError) as error:
        print("the neighbours' software is not available here: %s" % error, file=sys.stderr)
        return False
    return True


# Machines

_BOOT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs none "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" none "$2/root"
cd "$2/root"
mount -t proc none proc
mount -t sysfs none sys
for folder in dev run tmp; do mount -t tmpfs -o mode=755 none $folder; done
chmod 1777 tmp
mkdir -m 1777 dev/shm
mkdir dev/pts dev/net run/lock
node() { mknod -m 666 "dev/$1" c "$2" "$3"; }
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9; node tty 5 0; node fuse 10 229; node net/tun 10 200
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 none dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
hostname "$3"
echo "$3" > etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s.example %s\n' "$3" "$3" > etc/hosts
printf 'nameserver 10.77.0.1\noptions timeout:1 attempts:1\n' > etc/resolv.conf
# The true root of its mounts, as user namespaces are not for who lives in a chroot.
pivot_root . mnt
cd /
exec /bin/sh -c 'umount -l /mnt; systemd-tmpfiles --create --prefix=/run 2>/dev/null; echo ready; while :; do sleep 3600 & wait; done'
"""


class Machine:
    """A Debian of its own in a network namespace: the server, or a client of it. It is booted when it is first wanted."""

    def __init__(self, town, name, namespace, number):
        self.town, self.name, self.namespace = town, name, namespace
        self.four, self.six = "10.77.0.%d" % number, "fd77::%d" % number
        self.pid = None

    def boot(self):
        if self.pid:
            return
        place = os.path.join(self.town.folder, "machine-" + self.name)
        os.mkdir(place)
        first = self.town.start(self.namespace, "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "sh", "-c", _BOOT,
                                "sh", ROOT, place, self.name, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = first.stdout.readline()
        if line != "ready\n":
            raise L.Skip("no machine can be booted here: " + line + first.stdout.read()[-300:])
        self.pid = int(open("/proc/%d/task/%d/children" % (first.pid, first.pid)).read().split()[0])

    # Files are written from within: a link that leads to /etc is to lead to this machine's.

    def write(self, path, text, mode="644"):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"', "sh", path, mode, input=text)

    def append(self, path, text):
        self.run("sh", "-c", 'cat >> "$1"', "sh", path, input=text)

    def read(self, path):
        return self.run("cat", path, ok=None).stdout

    def command(self, words):
        self.boot()
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-r", "-w", "env", "-i", "HOME=/root", "TERM=xterm", "LC_ALL=C.UTF-8",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *map(str, words)]

    def run(self, *words, **more):
        return L.run(self.command(words), **more)

    def shell(self, text, **more):
        return self.run("sh", "-c", text, **more)

    def network(self, *words, **more):
        """A command of the host's own in this machine's network."""
        return L.run(["ip", "netns", "exec", self.namespace, *map(str, words)], **more)

    def start(self, *words, **more):
        """Starts something that goes on; what it says is in `process.log`."""
        log = os.path.join(self.town.folder, "%s-%d.log" % (self.name, len(self.town.processes)))
        L.say("$ (%s)" % self.name, *words, "&")
        more.setdefault("stdin", subprocess.DEVNULL)
        with open(log, "wb") as f:
            process = subprocess.Popen(self.command(words), stdout=f, stderr=subprocess.STDOUT, **more)
        process.log = log
        self.town.processes.append(process)
        return process

    def listens(self, *ports):
        """Whether each of these (80, "udp/53") has a socket."""
        out = L.run(["ip", "netns", "exec", self.namespace, "ss", "-Hlntu"]).stdout
        found = {w[0] + "/" + w[4].rpartition(":")[2] for w in map(str.split, out.splitlines())}
        return all(p in found if isinstance(p, str) else "tcp/%d" % p in found for p in ports)

    def daemon(self, *words, ready=(), timeout=30):
        """Starts a service and waits until it listens on all of its ports: that it may not is a fault of the sentry's."""
        process = self.start(*words)
        ready = (ready,) if isinstance(ready, (int, str)) else ready
        L.wait_for(lambda: self.listens(*ready), timeout, lambda: "%s to listen on %s; it said: %s" % (
            words[0], ready, open(process.log, errors="replace").read()[-600:]), 0.05)
        return process

    def end(self, process, number=signal.SIGTERM):
        """Ends what `start` started: the service is the child of an nsenter."""
        for pid in open("/proc/%d/task/%d/children" % (process.pid, process.pid)).read().split():
            os.kill(int(pid), number)
        process.wait(20)

    def connect(self, port, target=SERVER4, timeout=5.0, kind=socket.SOCK_STREAM):
        """A socket of this machine's that is connected to a port of the server's, or None."""
        s = self.town.open_socket(self.namespace, socket.AF_INET6 if ":" in target else socket.AF_INET, kind)
        s.settimeout(timeout)
        try:
            s.connect((target, port))
            return s
        except OSError:
            s.close()
            return None


class Town(L.Lab):
    """The server, its clients and the scanners."""

    def __init__(self):
        super().__init__(cable=False)
        self.switch = self.attacker
        self.lock = threading.Lock()
        self.served, self.failed, self.kept, self.slips = 0, [], [], {}
        self.scanners, self.scanning, self.cables, self.clients, self.watchers = {}, [], 0, 0, []

    def _build(self):
        super()._build()
        L.run(["ip", "netns", "exec", self.switch, "sh", "-ec",
               "ip link set lo up; ip link add br0 type bridge; echo 0 > /proc/sys/net/ipv6/conf/br0/accept_dad; ip link set br0 up\n"
               "ip addr add 10.77.0.1/24 dev br0; ip addr add fd77::1/64 dev br0 nodad\n"
               # Who asks it for names is refused, each time at once.
               "sysctl -qw net.ipv4.icmp_ratelimit=0"])
        self.plug(self.target, 2, mac=L.TARGET_MAC)
        self.server = Machine(self, "server", self.target, 2)
        for name, (number, _, _) in SCANNERS.items():
            self.scanners[name] = self.namespace("scanner%d" % number)
            self.plug(self.scanners[name], number)

    def namespace(self, name):
        name = "ps-%s-%d-%d" % (name, os.getpid(), self.serial)
        L.run(["ip", "netns", "add", name])
        self.namespaces.append(name)
        return name

    def plug(self, namespace, number, mac=None, interface="lan0", net="10.77.0.", net6="fd77::"):
        """A cable from the switch to a namespace, whose end has the addresses of this number."""
        self.cables += 1
        port = "p%d" % self.cables
        L.run(["ip", "link", "add", interface, "netns", namespace, *(["address", mac] if mac else []), "type", "veth",
               "peer", "name", port, "netns", self.switch])
        L.run(["ip", "-n", self.switch, "link", "set", port, "master", "br0", "up"])
        L.run(["ip", "netns", "exec", namespace, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/%s/accept_dad; exec ip -batch -" % interface],
              input="link set lo up\naddr add %s%d/24 dev %s\naddr add %s%d/64 dev %s nodad\nlink set %s up\n" % (
                  net, number, interface, net6, number, interface, interface) + (
                      "route add default via 10.77.0.1\nroute add default via fd77::1\n" if net == "10.77.0." else ""))

    def client(self, name=None):
        """One honest machine more."""
        self.clients += 1
        number = 10 + self.clients
        name = name or "client%d" % self.clients
        namespace = self.namespace(name)
        self.plug(namespace, number)
        return Machine(self, name, namespace, number)

    # What clients do

    def did(self, good, evidence):
        """Counts a piece of honest work, done or failed."""
        with self.lock:
            self.served += bool(good)
            if not good:
                self.failed.append(evidence() if callable(evidence) else evidence)
        return good

    def ask(self, client, *words, expect=None, ok=0, timeout=30, **more):
        """One piece of honest work: a command that has to end well, and to print what matches."""
        try:
            result = client.run(*words, ok=None, timeout=timeout, **more)
        except subprocess.TimeoutExpired:
            return self.did(False, "`%s` took more than %g s" % (" ".join(map(str, words))[:200], timeout)) or ""
        said = result.stdout + result.stderr
        self.did((ok is None or result.returncode == ok) and (not expect or re.search(expect, said)),
                 "`%s`: status %d: %s" % (" ".join(map(str, words))[:200], result.returncode, said.strip()[-400:]))
        return result.stdout

    def together(self, *works):
        """Does pieces of work at the same time."""
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def keep(self, what, lives):
        """A session that nothing may cut: whether it lives is asked again when all is done."""
        if self.did(lives(), "no %s to begin with" % what):
            self.kept.append((what, lives))

    def keep_process(self, client, *words, **more):
        """A client that has to live until the end."""
        process = client.start(*words, **more)
        self.kept.append((" ".join(map(str, words))[:80], lambda: process.poll() is None))
        return process

    def slip(self, client, *ports):
        """This client asks for these ports though nothing serves them: lines about that are true. It is to be no verdict all the same."""
        for address in (client.four, client.six):
            self.slips.setdefault(address, set()).update(ports)

    # Sentries

    def watch(self, kind, settings=None):
        """Starts the sentry of this kind, and waits until it is ready."""
        self.kind = kind
        keys = {"ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "BLOCK_TCP": "1"}
        if kind in ("native", "classic"):
            text = open(L.ROOT + "/etc/portsentry.conf").read()
            shipped = dict(re.findall(r'^(\w+)="(.*)"$', text, re.M))
            for key in ("IGNORE_FILE", "HISTORY_FILE", "BLOCKED_FILE"):
                del shipped[key]
            self.watchers = [self.sentry("-atcp", "-audp", settings={**shipped, **keys, "PROOF": "handshake", "RULE": kind, **(settings or {})},
                                         timeout=60)]
            return
        self.in_target("nft", "-f", "-", input=NFT_FOR_1_2)
        keys = {"BLOCK_TCP": "1", "KILL_ROUTE": KILL_ROUTE_OF_1_2}
        if kind == "1.2":
            keys = {**keys, "ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "ADVANCED_EXCLUDE_TCP": "113,139",
                    "ADVANCED_EXCLUDE_UDP": "520,138,137,67", **{k: v for k, v in (settings or {}).items() if k.startswith("ADVANCED_EXCLUDE")}}
            self.watchers = [self.sentry(mode, predecessor=True, settings=keys, timeout=60, name="old" + mode) for mode in ("-atcp", "-audp")]
        else:
            ours = dict.fromkeys(("HOSTS_DENY_FILE", "STATE_DIR", "CONTROL_SOCKET"))
            self.watchers = [self.sentry("--stealth", binary_path=os.environ["PORTSENTRY2"], timeout=60, settings={
                **keys, **ours, "TCP_PORTS": "1-65535", "UDP_PORTS": "1-65535"})]

    def banned(self):
        """Addresses that are, or were, blocked."""
        if self.kind in ("native", "classic"):
            found = self.watchers[0].blocked()
            for text in self.watchers[0].texts():
                found |= set(re.findall(r"([0-9a-f.:]+[0-9a-f]) (?:is|has been) blocked", text))
            return found
        out = json.loads(self.in_target("nft", "-j", "list", "set", "inet", "lab12", "bad").stdout)
        return {e for i in out["nftables"] if "set" in i for e in i["set"].get("elem", [])}

    def probes(self):
        """What there is a line about: (address, port)."""
        if self.kind in ("native", "classic"):
            # The history has a line for each probe, whatever the log leaves out.
            found = re.findall(r"Host: [^/\s]+/([^\s]+) Port: (\d+)", self.watchers[0].history_text())
        elif self.kind == "1.2":
            found = [m for w in self.watchers for t in w.texts() for m in re.findall(r"host: \S+/(\S+) to \w+ port: (\d+)", t)]
        else:
            found = [m for t in self.watchers[0].texts() for m in re.findall(r"Scan from: \[(\S+)\].* port: \[(\d+)\]", t)]
        return [(address, int(port)) for address, port in found]

    def verdicts(self):
        """Addresses that are called scanners: by a verdict, or, of the predecessors, by a line."""
        if self.kind in ("native", "classic"):
            return {s["address"] for s in self.watchers[0].ask("sources", "--limit", "1000") if s["verdict"]}
        return {address for address, _ in self.probes()}

    # Scanners

    def scan(self):
        """Starts every scanner. They go on beside the honest."""
        for name, (_, _, command) in SCANNERS.items():
            self.scanning.append(self.start(self.scanners[name], *command.split()))

    def judge(self, hidden=False):
        """Waits for the scanners, and says what is wrong, by kind."""
        for process in self.scanning:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        sources = {name: ("fd77::%d" if "-6" in name else "10.77.0.%d") % number for name, (number, _, _) in SCANNERS.items()}
        if self.kind == "1.2":  # It knows no IPv6.
            sources = {name: a for name, a in sources.items() if ":" not in a}
        ours = self.kind in ("native", "classic")
        # The predecessors' KILL_ROUTE is for IPv4 here.
        proving = {a for name, a in sources.items() if SCANNERS[name][1] and (ours or ":" not in a)}
        # The journal is a thread of its own, and commands take their time.
        with contextlib.suppress(L.Failure):
            L.wait_for(lambda: set(sources.values()) <= self.verdicts() and (hidden or proving <= self.banned()), 10, "the scanners", 0.2)
        time.sleep(1)
        verdicts, banned = self.verdicts(), self.banned()
        wrong = [(a, p) for a, p in self.probes() if a not in sources.values() and p not in self.slips.get(a, ())]
        innocent = banned - set(sources.values())
        if ours:
            innocent |= verdicts - set(sources.values())
            for address in innocent:
                L.say(self.watchers[0].control_command("why", address, ok=None).stdout)
                L.say(*[s for s in self.watchers[0].ask("sources", "--limit", "1000") if s["address"] == address])
                L.say(*(t for t in self.watchers[0].texts() if address in t))
            L.check(not hidden or self.watchers[0].ask("status")["deception"]["hidden"], "that decoys are hidden is not said")
        return {
            "served": self.served,
            "accused": sorted(innocent),
            "alerts": ["%s port %d" % w for w in wrong],
            "failed": self.failed,
            "cut": [what for what, lives in self.kept if not lives()],
            "unnamed": sorted(n for n, a in sources.items() if a not in verdicts),
            "not banned": [] if hidden else sorted(n for n, a in sources.items() if a in proving and a not in banned),
        }
