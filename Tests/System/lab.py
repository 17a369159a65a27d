"""The laboratory: two network namespaces, a cable between them, the sentry in one and the tools of attackers in the other.

      namespace  attacker                                namespace  target
    +--------------------------+                      +--------------------------+
    |  nmap  hping3  masscan   |                      |  portsentry              |
    |  iperf3  frames by hand  |        veth          |  its own mount namespace:|
    |                          |  lan0          lan0  |  /dev/log read by us     |
    |  10.77.0.1, .101 - .250  +----------------------+  10.77.0.2               |
    |  fd77::1, fd77::101-250  |   offloads as they   |  fd77::2                 |
    |  fe80::...               |   are by default     |  fe80::...               |
    +--------------------------+                      +--------------------------+

Names carry our process id, so several runs may go on side by side. Whatever we made is removed on every way out: only
our own namespaces, the processes in them, our mounts and our temporary folder. Python's standard library only; needs
root. `-v` prints each command that is run.
"""

import atexit
import collections
import contextlib
import ctypes
import glob
import ipaddress
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import packets

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGET4, TARGET6, ATTACKER4, ATTACKER6 = "10.77.0.2", "fd77::2", "10.77.0.1", "fd77::1"
# For `mounts`: the sentry has no right to load eBPF.
WITHOUT_EBPF = 'set -- setpriv --bounding-set=-bpf,-sys_admin,-perfmon --inh-caps=-bpf,-sys_admin,-perfmon "$@"'
TARGET_MAC, ATTACKER_MAC = "02:00:00:77:00:02", "02:00:00:77:00:01"
FIRST_SPARE, LAST_SPARE = 101, 250
# PortSentry 1.2 as Debian ships it: unpacked by scripts/install-missing.sh, not installed.
DEBIAN = os.path.join(ROOT, ".build", "portsentry-1.2", "usr", "sbin", "portsentry")

verbose = False
binary = None
all_predecessor = False  # --predecessor: every sentry is Debian's 1.2, to see that a test can fail.
_libc = ctypes.CDLL(None, use_errno=True)
_labs = []


class Failure(Exception):
    """A test found something wrong; the text is the evidence."""


class Skip(Exception):
    """A test cannot be done here; the text says why."""


def bar(limit):
    """A limit of time. `make bench` holds to it; the tests, which must pass on a busy machine too, allow five times as much."""
    return limit if os.environ.get("PORTSENTRY_BENCH") else 5 * limit


def check(condition, evidence):
    if not condition:
        raise Failure(evidence() if callable(evidence) else evidence)


def say(*words):
    if verbose:
        print("   ", *words, flush=True)


def run(command, timeout=30, ok=(0,), **more):
    """Runs a command; `ok` None takes any status. Returns the CompletedProcess with text output."""
    say("$", shlex.join(command))
    more.setdefault("stdin", subprocess.DEVNULL)
    if "input" in more:
        del more["stdin"]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, **more)
    if ok is not None and result.returncode not in ok:
        raise Failure("`%s` ended with %d: %s" % (
            shlex.join(command)[:200], result.returncode, (result.stderr or result.stdout).strip()[-400:]))
    return result


def wait_for(condition, timeout, what, interval=0.01):
    """Polls until `condition()` is true and returns its value; raises Failure with `what` when time is up."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure("waited %g s for %s" % (timeout, what() if callable(what) else what))
        time.sleep(interval)


def find_binary(path=None):
    """The sentry to test: `--binary`, $PORTSENTRY, or the newest of what the build leaves."""
    if path or os.environ.get("PORTSENTRY"):
        path = os.path.abspath(path or os.environ["PORTSENTRY"])
        return path if os.path.exists(path) else None
    built = [p for p in glob.glob(ROOT + "/.build/*/portsentry") + glob.glob(ROOT + "/.build/*/*/portsentry")
             if os.path.isfile(p) and os.access(p, os.X_OK)]
    return max(built, key=os.path.getmtime) if built else None


def cpu_seconds(pid):
    """CPU time of a process's living threads, from the scheduler's nanosecond account."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        with contextlib.suppress(OSError):
            total += int(open(path).read().split()[0])
    return total / 1e9


def child_cpu_seconds(pid):
    """CPU time of a process's children that have been waited for (ticks of 10 ms)."""
    fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open("/proc/%d/status" % pid).read()).group(1))


# What the sentry's private mount namespace looks like: a /dev of its own, whose log is a socket that we read.
_PRIVATE_MOUNTS = r"""
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /dev
node() { mknod -m 666 "/dev/$1" c "$2" "$3"; }
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9; node tty 5 0
ln -s /proc/self/fd /dev/fd
ln -s "$LAB_LOG" /dev/log
DATE=$(command -v date)
eval "$LAB_MOUNTS"
"$DATE" +%s.%N > "$LAB_STARTED"
"""


class Lab:
    """Two namespaces and a cable. Use as a context manager."""

    def __init__(self, spare=LAST_SPARE - FIRST_SPARE + 1, cable=True):
        self.spare, self.cable = spare, cable
        self.serial = len(_labs)
        self.target = "ps-target-%d-%d" % (os.getpid(), self.serial)
        self.attacker = "ps-attacker-%d-%d" % (os.getpid(), self.serial)
        self.namespaces = [self.target, self.attacker]
        self.processes, self.sockets, self.mounts, self.sentries = [], [], [], []
        self.closed = False
        self.next_spare = FIRST_SPARE
        self.folder = None
        _labs.append(self)

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _build(self):
        self.folder = tempfile.mkdtemp(prefix="portsentry-lab-", dir="/var/cache")  # /tmp is nobody's place for state.
        os.chmod(self.folder, 0o755)
        for name in self.namespaces:
            run(["ip", "netns", "add", name])
        self.in_target("sh", "-c", "echo 100000 > /proc/sys/net/unix/max_dgram_qlen; "
                       "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done")
        if self.cable:
            self.add_cable()

    def add_cable(self, name="lan0", net="10.77.0", prefix6="fd77:", attacker_last="1"):
        """Makes the veth pair and addresses both ends. Duplicate address detection is off: it costs seconds."""
        run(["ip", "link", "add", name, "netns", self.target, "address", TARGET_MAC, "type", "veth", "peer",
             "name", name, "netns", self.attacker, "address", ATTACKER_MAC])
        for namespace, last in ((self.target, "2"), (self.attacker, attacker_last)):
            batch = ["link set lo up", "addr add %s.%s/24 dev %s" % (net, last, name),
                     "addr add %s:%s/64 dev %s nodad" % (prefix6, last, name)]
            if namespace == self.attacker:
                for i in range(FIRST_SPARE, FIRST_SPARE + self.spare):
                    batch += ["addr add %s.%d/24 dev %s" % (net, i, name),
                              "addr add %s:%d/64 dev %s nodad" % (prefix6, i, name)]
            batch += ["link set %s up" % name]
            script = "echo 0 > /proc/sys/net/ipv6/conf/%s/accept_dad; " \
                     "echo 0 > /proc/sys/net/ipv6/conf/%s/router_solicitations; exec ip -batch -" % (name, name)
            run(["ip", "netns", "exec", namespace, "sh", "-c", script], input="\n".join(batch) + "\n")
        # Neighbours are known, so that the first probe is not lost behind an ARP question.
        for namespace, mac, last in ((self.target, ATTACKER_MAC, attacker_last), (self.attacker, TARGET_MAC, "2")):
            for address in ("%s.%s" % (net, last), "%s:%s" % (prefix6, last)):
                run(["ip", "-n", namespace, "neigh", "replace", address, "lladdr", mac, "dev", name])

    # Addresses

    def new_source(self):
        """A pair (IPv4, IPv6) of attacker addresses that nothing has used yet."""
        n = self.next_spare
        check(n < FIRST_SPARE + self.spare, "the laboratory has run out of attacker addresses")
        self.next_spare += 1
        return "10.77.0.%d" % n, "fd77::%d" % n

    def link_local(self, namespace):
        out = run(["ip", "-n", namespace, "-6", "-o", "addr", "show", "dev", "lan0", "scope", "link"]).stdout
        return re.search(r"inet6 (fe80::[0-9a-f:]+)/", out).group(1)

    # Commands and sockets in the namespaces

    def in_target(self, *command, **more):
        return run(["ip", "netns", "exec", self.target, *map(str, command)], **more)

    def in_attacker(self, *command, **more):
        return run(["ip", "netns", "exec", self.attacker, *map(str, command)], **more)

    def start(self, namespace, *command, **more):
        """Starts a command that goes on in the background until the laboratory closes."""
        command = ["ip", "netns", "exec", namespace, *map(str, command)]
        say("$", shlex.join(command)[:200], "&")
        more.setdefault("stdout", subprocess.DEVNULL)
        more.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **more)
        self.processes.append(process)
        return process

    @contextlib.contextmanager
    def inside(self, namespace):
        """This thread's new sockets belong to `namespace`."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open("/run/netns/" + namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(there, 0x40000000) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                if _libc.setns(home, 0x40000000) != 0:
                    os._exit(70)  # Never go on in the wrong namespace.
        finally:
            os.close(home)
            os.close(there)

    def open_socket(self, namespace, *arguments):
        with self.inside(namespace):
            s = socket.socket(*arguments)
        self.sockets.append(s)
        return s

    def service(self, port, kind=socket.SOCK_STREAM, address="0.0.0.0"):
        """A served port of the target: a listening (or bound UDP) socket."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        s = self.open_socket(self.target, family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, port))
        if kind == socket.SOCK_STREAM:
            s.listen(1024)
        return s

    def link(self, interface="lan0"):
        """A way to send hand-made frames from the attacker."""
        s = self.open_socket(self.attacker, socket.AF_PACKET, socket.SOCK_RAW, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        s.bind((interface, 0))
        return packets.Link(s, ATTACKER_MAC, TARGET_MAC)

    def nmap(self, *arguments, source=None, target=TARGET4, timeout=60, ok=(0,)):
        command = ["nmap", "-n", "-Pn", "--max-retries", "0", "--host-timeout", "20s"]
        if ":" in target:
            command.append("-6")
        if source:
            command += ["-S", source, "-e", "lan0"]
        return self.in_attacker(*command, *arguments, target, timeout=timeout, ok=ok)

    def syn(self, source, port, target=None, sport=40000):
        """One SYN by hand from any source address."""
        target = target or (TARGET6 if ":" in source else TARGET4)
        link = self.link()
        link.send(packets.segment(source, target, sport, port))
        link.close()

    def count(self, match, name="probes"):
        """Counts packets that reach the target, in the kernel and before anybody's rules; returns a function."""
        script = "add table inet lab\nadd chain inet lab first { type filter hook prerouting priority -450; }\n" \
                 "add counter inet lab %s\nadd rule inet lab first %s counter name %s\n" % (name, match, name)
        self.in_target("nft", "-f", "-", input=script)

        def read():
            out = self.in_target("nft", "-j", "list", "counter", "inet", "lab", name).stdout
            return next(i["counter"]["packets"] for i in json.loads(out)["nftables"] if "counter" in i)
        return read

    def nft_elements(self):
        """Addresses in the sets of bans of `table inet portsentry`, as texts."""
        out = self.in_target("nft", "-j", "list", "table", "inet", "portsentry", ok=None)
        if out.returncode:
            return set()
        found = set()
        for item in json.loads(out.stdout)["nftables"]:
            if not item.get("set", {}).get("name", "").startswith("banned"):
                continue
            for element in item["set"].get("elem", []):
                value = element
                if isinstance(value, dict) and "elem" in value:
                    value = value["elem"]["val"]
                if isinstance(value, dict) and "prefix" in value:
                    value = "%s/%s" % (value["prefix"]["addr"], value["prefix"]["len"])
                found.add(str(value))
        return found

    def mount_tmpfs(self, name, size):
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        run(["mount", "-t", "tmpfs", "-o", "size=%s,mode=755" % size, "none", path])
        self.mounts.append(path)
        return path

    def pids(self, namespace):
        out = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True).stdout
        return [int(p) for p in out.split()]

    def close(self):
        if self.closed:
            return
        self.closed = True
        for sentry in self.sentries:
            sentry.reader_stop()
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.close()
        # Everything that lives in our namespaces was started by us.
        for namespace in self.namespaces:
            for pid in self.pids(namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            with contextlib.suppress(Exception):
                process.kill()
            with contextlib.suppress(Exception):
                process.wait(2)
        for path in self.mounts:
            subprocess.run(["umount", "-l", path], capture_output=True)
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # The sentry

    def sentry(self, *arguments, **more):
        return Sentry(self, *arguments, **more)


class Sentry:
    """One running sentry with its configuration, state and logs in a folder of its own.

    `settings` overrides the configuration's keys (None leaves a key out). `predecessor` starts Debian's 1.2.
    """

    def __init__(self, lab, *arguments, settings=None, config=None, predecessor=False, foreground=True, wait=True,
                 name=None, ignore="", mounts="", environment=None, folder=None, timeout=10, hosts_deny="", binary_path=None,
                 user=None, options=()):
        predecessor = predecessor or all_predecessor
        self.lab, self.arguments, self.predecessor = lab, list(arguments), predecessor
        self.name = name or "sentry%d" % len(lab.sentries)
        self.binary_path = binary_path or (DEBIAN if predecessor else binary)
        self.foreground, self.options = foreground, list(options)
        self.folder = folder or os.path.join(lab.folder, self.name)
        fresh = not os.path.exists(self.folder)
        os.makedirs(self.folder, exist_ok=True)
        self.history = self.folder + "/portsentry.history"
        self.blocked_file = self.folder + "/portsentry.blocked"
        self.ignore_file = self.folder + "/portsentry.ignore"
        self.hosts_deny = self.folder + "/hosts.deny"
        self.config = self.folder + "/portsentry.conf"
        self.control = self.folder + "/control"
        self.extra_mounts, self.environment, self.user = mounts, environment or {}, user
        if fresh or ignore:
            self.write(self.ignore_file, ignore)
        if not os.path.exists(self.hosts_deny):
            self.write(self.hosts_deny, hosts_deny)
        if config is not None:
            self.write(self.config, config)
        else:
            self.configure(settings or {})
        self.process = self.pid = None
        self.entries = []           # (wall clock, channel, text)
        self.condition = threading.Condition()
        self._stop = False
        self._sockets = []
        lab.sentries.append(self)
        self.launch(wait=wait, timeout=timeout)

    @staticmethod
    def write(path, text):
        with open(path, "w") as f:
            f.write(text)

    def configure(self, settings):
        keys = {
            "TCP_PORTS": "11,79,111,143,540", "UDP_PORTS": "11,69,111,513", "IGNORE_FILE": self.ignore_file,
            "HISTORY_FILE": self.history, "BLOCKED_FILE": self.blocked_file, "RESOLVE_HOST": "0",
            "BLOCK_TCP": "0", "BLOCK_UDP": "0", "SCAN_TRIGGER": "0",
        }
        if not self.predecessor:
            keys.update({"HOSTS_DENY_FILE": self.hosts_deny, "STATE_DIR": self.folder + "/state",
                         "CONTROL_SOCKET": self.control})
        keys.update(settings)
        self.settings = keys
        self.write(self.config, "".join('%s="%s"\n' % (k, v) for k, v in keys.items() if v is not None))

    def command(self):
        command = [self.binary_path, *self.arguments]
        if not self.predecessor:
            command += ["-c", self.config, *self.options]
            if self.foreground and any(a in self.arguments for a in ("-tcp", "-udp", "-stcp", "-sudp", "-atcp", "-audp")):
                command.append("--foreground")
                if "-l" not in command:
                    command += ["-l", "syslog"]  # As it would in the background, and as 1.2 did.
        return command

    def launch(self, wait=True, timeout=10):
        lab = self.lab
        log, notify = self.folder + "/log.sock", self.folder + "/notify.sock"
        self.reader_stop()
        self._stop = False
        sources = []
        for path, channel in ((log, "syslog"), (notify, "notify")):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with lab.inside(lab.target):  # For its own, generous, net.unix.max_dgram_qlen.
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
            s.bind(path)
            os.chmod(path, 0o666)
            s.settimeout(0.1)
            self._sockets.append(s)
            sources.append((s, channel))
        mounts = self.extra_mounts
        if self.predecessor:
            # 1.2's paths are fixed, and need not exist here: they are made in copies that only this sentry sees.
            copy = shlex.quote(self.folder + "/etc")
            mounts += ("\ncp -a /etc %s\nmount --bind %s /etc\nmkdir -p /etc/portsentry\ntouch /etc/hosts.deny\n"
                       "mount --bind %s /etc/portsentry\nmount -t tmpfs none /var/lib\nmkdir /var/lib/portsentry\n"
                       "mount --bind %s /etc/hosts.deny" % (copy, copy, shlex.quote(self.folder), shlex.quote(self.hosts_deny)))
        for key, value in self.environment.items():
            mounts += "\nexport %s=%s" % (key, shlex.quote(value))
        environment = {**os.environ, "LAB_LOG": log, "LAB_MOUNTS": mounts, "LAB_STARTED": self.folder + "/started",
                       "NOTIFY_SOCKET": notify, "TZ": "UTC"}
        environment.pop("LISTEN_FDS", None)
        become = ["setpriv", "--reuid=%s" % self.user, "--clear-groups"] if self.user else []
        command = ["ip", "netns", "exec", lab.target, "unshare", "-m", "sh", "-c", _PRIVATE_MOUNTS + 'exec "$@"', "sh",
                   *become, *self.command()]
        say("$ (in target)", shlex.join(self.command()))
        for channel in ("stdout", "stderr"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.folder + "/" + channel)
        out = open(self.folder + "/stdout", "wb")
        err = open(self.folder + "/stderr", "wb")
        # `ip`, `unshare` and `sh` each replace themselves, so the process is the sentry at last. The predecessor wants "unshare"
        # only once: its parent ends and its child stays in the same mount namespace.
        before = set(lab.pids(lab.target))
        self.launched, self.launch_mark = time.monotonic(), self.mark()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        out.close()
        err.close()
        self.pid = self.process.pid
        lab.processes.append(self.process)
        for s, channel in sources:
            threading.Thread(target=self._read_socket, args=(s, channel), daemon=True).start()
        for channel in ("stdout", "stderr"):
            threading.Thread(target=self._read_file, args=(channel,), daemon=True).start()
        if wait:
            self.wait_ready(timeout)
        if self.predecessor or not self.foreground:
            # It went to the background: its child is what is new in the namespace.
            self.process.wait(10)
            left = [p for p in lab.pids(lab.target) if p not in before]
            self.pid = left[-1] if left else None

    def wait_ready(self, timeout=10):
        """Waits for READY=1, or for 1.2's and 2.x's own word for it. Returns the seconds it took."""
        def ready():
            if self.find(r"READY=1|now active and listening", self.launch_mark):
                return True
            if self.process.poll() not in (None, 0):
                raise Failure("the sentry ended with %d before it was ready: %s" % (
                    self.process.returncode, " | ".join(self.texts())[-600:] or "(no word)"))
        wait_for(ready, timeout, lambda: "the sentry to be ready; it said: %s" % (" | ".join(self.texts())[-500:] or "nothing"), 0.002)
        return time.monotonic() - self.launched

    @property
    def exec_time(self):
        """Wall clock just before the sentry was executed."""
        return float(open(self.folder + "/started").read())

    # What it says

    def _add(self, channel, text):
        with self.condition:
            self.entries.append((time.time(), channel, text))
            self.condition.notify_all()

    def _read_socket(self, s, channel):
        while not self._stop:
            try:
                data = s.recv(1 << 17)
            except socket.timeout:
                continue
            except OSError:
                return
            text = data.decode("utf-8", "replace").rstrip("\0\n")
            self._add(channel, text)

    def _read_file(self, channel):
        rest, path, generation = b"", self.folder + "/" + channel, self.process
        with open(path, "rb") as f:
            while not self._stop and self.process is generation:
                data = f.read(1 << 16)
                if not data:
                    time.sleep(0.005)
                    continue
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._add(channel, line.decode("utf-8", "replace"))

    def reader_stop(self):
        self._stop = True
        for s in self._sockets:
            with contextlib.suppress(OSError):
                s.close()
        self._sockets = []

    def mark(self):
        """A place in what it has said, for `find(..., since)`."""
        with self.condition:
            return len(self.entries)

    def texts(self, channel=None, since=0):
        """What it said on a channel (all but notifications by default), syslog's head removed."""
        with self.condition:
            entries = self.entries[since:]
        return [re.sub(r"^<\d+>.*?portsentry\[\d+\]: ", "", text) for _, c, text in entries
                if (c == channel if channel else c != "notify")]

    def find(self, pattern, since=0, channel=None):
        """The first match of a regular expression in what it said, or None."""
        expression = re.compile(pattern)
        with self.condition:
            entries = self.entries[since:]
        for _, c, text in entries:
            if channel in (None, c):
                m = expression.search(text)
                if m:
                    return m
        return None

    def wait_line(self, pattern, timeout=3, since=0, channel=None):
        return wait_for(lambda: self.find(pattern, since, channel), timeout,
                        lambda: "the line /%s/; it said: %s" % (pattern, " | ".join(self.texts(since=since)[-6:]) or "nothing"))

    def history_text(self):
        with contextlib.suppress(FileNotFoundError):
            return open(self.history, errors="replace").read()
        return ""

    # What is done to it

    def control_command(self, *words, ok=(0,), timeout=20):
        return self.lab.in_target(self.binary_path, *words, "-c", self.config, ok=ok, timeout=timeout)

    def ask(self, *words, **more):
        out = self.control_command(*words, "--json", **more).stdout
        try:
            return json.loads(out)
        except ValueError:
            raise Failure("`portsentry %s --json` is not JSON: %s" % (" ".join(words), out[:300]))

    def wait_journal(self):
        """Waits for the journal and its tables, which a thread of its own makes, and returns its path."""
        path = self.folder + "/state/journal.db"

        def is_made():
            with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect("file:%s?mode=ro" % path, uri=True)) as database:
                return database.execute("SELECT count(*) FROM meta").fetchone()
        wait_for(is_made, 10, "the journal")
        return path

    def blocked(self):
        """Addresses that `portsentry blocked --json` lists."""
        found = self.ask("blocked")
        if isinstance(found, dict):
            found = next(v for v in found.values() if isinstance(v, list))
        return {entry if isinstance(entry, str) else entry.get("network")
                for entry in found}

    def dropped(self):
        """Every counter below a `dropped` in the status, as {path: number}."""
        found = {}

        def walk(value, path, inside):
            if isinstance(value, dict):
                for k, v in value.items():
                    walk(v, path + "." + k, inside or "drop" in k.lower())
            elif isinstance(value, list):
                for i, v in enumerate(value):
                    walk(v, path + "[%d]" % i, inside)
            elif isinstance(value, int) and not isinstance(value, bool) and inside:
                found[path.lstrip(".")] = value
        walk(self.ask("status"), "", False)
        return found

    def send_signal(self, number):
        os.kill(self.pid, number)

    def stop(self, number=signal.SIGTERM, timeout=5):
        """Ends it and returns the exit status."""
        if self.pid is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        if self.pid == self.process.pid:
            try:
                status = self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise Failure("still running %g s after signal %d" % (timeout, number))
        else:
            wait_for(lambda: not os.path.exists("/proc/%d" % self.pid), timeout, "the sentry to end")
            status = 0
        time.sleep(0.05)
        return status

    def relaunch(self, **more):
        self.launch(**more)


# Tests

Test = collections.namedtuple("Test", "name function needs_binary")
tests = []


def test(name, needs_binary=True):
    """Registers a test. The function gets a fresh Lab and may return a note (figures) for its line."""
    def add(function):
        tests.append(Test(name, function, needs_binary))
        return function
    return add


def cleanup():
    for running in _side_by_side:
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    for lab in _labs:
        lab.close()


def _on_signal(number, _):
    cleanup()
    os._exit(128 + number)


def main(arguments=None):
    """Runs the registered tests (or those whose name contains one of the words) and returns the exit status."""
    global verbose, binary, all_predecessor
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    path = None
    names = []
    listing = False
    part = None
    jobs = None
    while arguments:
        a = arguments.pop(0)
        if a == "--binary":
            path = arguments.pop(0)
        elif a == "-v":
            verbose = True
        elif a == "--jobs":
            jobs = int(arguments.pop(0))
        elif a == "--list":
            listing = True
        elif a in ("--measuring", "--others"):
            part = a
        elif a == "--predecessor":
            all_predecessor = True
        elif a in ("-h", "--help"):
            print("""usage: run.py [--binary PATH] [-v] [--list] [--jobs N] [--measuring | --others] [NAME...]
  NAME           tests whose name contains it
  --measuring    only those that measure, beside which nothing else should run
  --others       only those that do not
  --jobs N       so many at a time, but for those that measure; by default one more than there are processors, one for NAMEs
  -v             print each command that is run
  --predecessor  test Debian's PortSentry 1.2 instead (most must fail)""")
            return 0
        else:
            names.append(a)
    chosen = [t for t in tests if (not names or any(n in t.name for n in names))
              and (part is None or t.name.startswith(MEASURING) == (part == "--measuring"))]
    if listing:
        print("\n".join(t.name for t in chosen))
        return 0
    if os.geteuid() != 0:
        print("The system tests make network namespaces, for which they need root.")
        return 77
    binary = DEBIAN if all_predecessor else find_binary(path)
    atexit.register(cleanup)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    started = time.monotonic()
    if jobs is None:
        jobs = 1 if names or verbose or os.environ.get("PORTSENTRY_BENCH") else (os.cpu_count() or 1) + 1
    outcomes = _run_side_by_side(chosen, jobs) if jobs > 1 else _run_in_turn(chosen)
    failed = outcomes["FAIL"]
    if failed and len(failed) <= SECOND_TRIES and not names and not os.environ.get("PORTSENTRY_BENCH"):
        # Machines that run tests stall: what failed is done once more, alone. What is wrong is wrong again; many faults are no stall.
        print("once more, what failed: %s" % ", ".join(t.name for t in failed), flush=True)
        failed = [t for t in failed if _run(t) == "FAIL"]
        outcomes["ok"] += [t for t in outcomes["FAIL"] if t not in failed]
    if len(chosen) > 1:
        print("%.0f s in all; failed: %s" % (time.monotonic() - started, ", ".join(t.name for t in failed) or "none"))
    print("%d passed, %d failed%s%s" % (
        len(outcomes["ok"]), len(failed), ", %d skipped" % len(outcomes["skip"]) if outcomes["skip"] else "",
        ", %d of the passed only at the second try" % (len(outcomes["FAIL"]) - len(failed))
        if len(outcomes["FAIL"]) > len(failed) else ""), flush=True)
    return 1 if failed else 0


SECOND_TRIES = 5  # Failed tests, at most, that are done once more.


# Tests that measure time, CPU or memory, or fill the machine: nothing runs beside them.
MEASURING = ("after_ban.", "flood.", "footprint.", "full_scan.", "innocents.", "kills.", "latency.", "learned.", "legitimate.", "month.",
             "oracles.clocks", "oracles.data_sink", "oracles.half_open_flood", "oracles.backlog_price", "path.")
# Long ones that wait: begun first among the others, so that nothing waits for them alone at the end.
LONG = ("oracles.retransmission", "oracles.connected", "page.answers", "logs.", "coverage", "deception.behind_a_firewall", "evasion.r", "neighbours.mail", "neighbours.ssh", "spared.one_shot", "verdicts")


def _run_in_turn(chosen):
    outcomes = {"ok": [], "skip": [], "FAIL": []}
    for t in chosen:
        outcomes[_run(t)].append(t)
    return outcomes


def _run_side_by_side(chosen, jobs):
    """Most tests wait more than they work. Each is a process of its own, which ends before its line is printed; those that measure come
    first, alone, when the machine is fresh."""
    outcomes = {"ok": [], "skip": [], "FAIL": []}
    running = {}
    _side_by_side.append(running)

    def end_one():
        pid, status = os.wait()
        t, log = running.pop(pid)
        log.seek(0)
        text = log.read()
        log.close()
        status = os.waitstatus_to_exitcode(status)
        outcome = {0: "ok", 2: "skip"}.get(status, "FAIL")
        # A test that was ended, or that ended the process, has no line of its own.
        sys.stdout.write(text if re.search(r"^(ok  |FAIL|skip) ", text, re.M) else "FAIL %s: its process ended with status %d\n%s" % (
            t.name, status, text))
        sys.stdout.flush()
        outcomes[outcome].append(t)

    room = 1
    for t in sorted(chosen, key=lambda t: (not t.name.startswith(MEASURING), not t.name.startswith(LONG))):
        while len(running) >= room:
            end_one()
        room = 1 if t.name.startswith(MEASURING) else jobs
        log = tempfile.TemporaryFile("w+", errors="replace")
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            running.clear()
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            status = {"ok": 0, "FAIL": 1, "skip": 2}[_run(t)]
            cleanup()
            sys.stdout.flush()
            os._exit(status)
        running[pid] = (t, log)
    while running:
        end_one()
    return outcomes


_side_by_side = []  # The process ids of tests, for whoever ends us.


def _run(t):
    """Runs one test and prints its line; returns `ok`, `skip` or `FAIL`."""
    begun = time.monotonic()
    try:
        if t.needs_binary and not binary:
            raise Skip("no portsentry built (swift build, or --binary PATH)")
        with Lab() as lab:
            note = t.function(lab)
        outcome, word = "ok", "ok   " + t.name + (": " + note if note else "")
    except Skip as reason:
        outcome, word = "skip", "skip %s: %s" % (t.name, reason)
    except Failure as evidence:
        outcome, word = "FAIL", "FAIL %s: %s" % (t.name, evidence)
    except Exception as error:
        outcome, word = "FAIL", "FAIL %s: %s: %s" % (t.name, type(error).__name__, error)
        if verbose:
            traceback.print_exc()
    print("%s  (%.1f s)" % (word, time.monotonic() - begun), flush=True)
    return outcome
