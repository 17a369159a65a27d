"""Hosts of a fleet in namespaces of their own, on one switch with a real engine and strangers.

      engine 10.88.0.2        node 1 10.88.1.1 ... node n 10.88.1.n         strangers 45.67.x.y
             |                        |                |                         |
             +------------------------+----- switch ---+-------------------------+

Everything that is made belongs to the lab, which removes it.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import lab as L
import packets as P

ENGINE = "10.88.0.2"
PORT = 6379
# FLEET_ENGINE=PATH: another server, as one of a root of its own.
SERVER = os.environ.get("FLEET_ENGINE") or shutil.which("redis-server") or shutil.which("valkey-server")
CLI = shutil.which("redis-cli") or shutil.which("valkey-cli")


class Node:
    """What a sentry wants to know of its laboratory, for one namespace of the fleet's."""

    def __init__(self, fleet, number):
        self.fleet, self.number, self.name = fleet, number, "host%d" % number
        self.target = "ps-node-%d-%d-%d" % (os.getpid(), fleet.lab.serial, number)
        self.address = "10.88.%d.%d" % (1 + (number >> 8), number & 255)
        self.folder = os.path.join(fleet.lab.folder, self.name)
        os.makedirs(self.folder, exist_ok=True)
        self.sentries, self.processes = fleet.lab.sentries, fleet.lab.processes
        self.inside, self.pids = fleet.lab.inside, fleet.lab.pids
        fleet.add_host(self.target, ["%s/16" % self.address])
        fleet.route(self.target, "45.67.0.0/16")
        self.sentry = None

    def in_target(self, *command, **more):
        return L.run(["ip", "netns", "exec", self.target, *map(str, command)], **more)

    nft_elements = L.Lab.nft_elements

    def start(self, **settings):
        keys = {"BLOCK_TCP": "1", "FLEET": self.fleet.file(self.name), "JOURNAL": "0"}
        keys.update(settings)
        self.sentry = L.Sentry(self, "-atcp", settings=keys, name=self.name, wait=False)
        return self.sentry

    def bans(self):
        """What the kernel drops here."""
        return self.nft_elements()


class Fleet:
    def __init__(self, lab, nodes, **settings):
        if not SERVER or not CLI:
            raise L.Skip("no redis-server (scripts/install-missing.sh fleet)")
        self.lab, self.folder = lab, os.path.join(lab.folder, "fleet")
        self.settings = settings
        self.switch = "ps-switch-%d-%d" % (os.getpid(), lab.serial)
        self.engine_host = "ps-engine-%d-%d" % (os.getpid(), lab.serial)
        self.strangers = "ps-strangers-%d-%d" % (os.getpid(), lab.serial)
        self.links = 0
        self.engine = self.coordinator = None
        self._namespace(self.switch)
        L.run(["ip", "-n", self.switch, "link", "add", "switch", "type", "bridge"])
        L.run(["ip", "-n", self.switch, "link", "set", "switch", "up"])
        self.add_host(self.engine_host, [ENGINE + "/16"])
        self.add_host(self.strangers, ["45.67.0.1/16"])
        self.route(self.strangers, "10.88.0.0/16")
        # Any address of theirs can be bound.
        L.run(["ip", "-n", self.strangers, "route", "add", "local", "45.67.0.0/16", "dev", "lo"])
        L.run(["ip", "netns", "exec", self.strangers, "sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1",
               "net.ipv4.conf.all.proxy_arp=1", "net.ipv4.conf.lan0.proxy_arp=1", "net.ipv4.conf.all.rp_filter=0"])
        self.command("init", "%s:%d" % (ENGINE, settings.get("port", PORT)), *settings.get("init", ("--plain", "10.88.0.0/16")))
        self.command("enrol", *["host%d" % n for n in range(1, nodes + 1)])
        self.start_engine()
        self.paste()
        self.nodes = [Node(self, n) for n in range(1, nodes + 1)]

    # The network

    def _namespace(self, name):
        L.run(["ip", "netns", "add", name])
        self.lab.namespaces.append(name)
        L.run(["ip", "-n", name, "link", "set", "lo", "up"])

    def add_host(self, name, addresses):
        self._namespace(name)
        self.links += 1
        L.run(["ip", "link", "add", "lan0", "netns", name, "type", "veth", "peer", "name", "port%d" % self.links,
               "netns", self.switch])
        L.run(["ip", "-n", self.switch, "link", "set", "port%d" % self.links, "master", "switch", "up"])
        for address in addresses:
            L.run(["ip", "-n", name, "addr", "add", address, "dev", "lan0"])
        L.run(["ip", "-n", name, "link", "set", "lan0", "up"])

    def route(self, name, network):
        L.run(["ip", "-n", name, "route", "add", network, "dev", "lan0"])

    # The engine

    def start_engine(self, *more, port=PORT):
        data = os.path.join(self.lab.folder, "engine")
        os.makedirs(data, exist_ok=True)
        # Users outlive the engine.
        open(data + "/users.acl", "a").close()
        self.engine = self.lab.start(
            self.engine_host, SERVER, "--bind", ENGINE, "127.0.0.1", "--port", str(port), "--protected-mode", "no", "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", "--dir", data, "--aclfile", data + "/users.acl", "--loglevel", "warning",
            *self.settings.get("engine", ()), *more)
        L.wait_for(lambda: self.cli("-p", port, "PING", ok=None).strip() == "PONG", 20, "the engine to answer", 0.05)

    def cli(self, *words, ok=(0,), **more):
        return L.run(["ip", "netns", "exec", self.engine_host, CLI, *map(str, words)], ok=ok, **more).stdout

    def credentials(self, name):
        lines = dict(line.split(None, 1) for line in open(self.file(name)) if not line.startswith("#"))
        return lines["user"].strip(), lines["password"].strip()

    def connect(self, user, password):
        """A line to the engine, as a member."""
        with self.lab.inside(self.engine_host):
            s = socket.create_connection(("127.0.0.1", PORT), 10)
        s.sendall(command("AUTH", user, password))
        reply(s.makefile("rb"), [])
        return s

    def paste(self):
        """What an administrator does with the file of `fleet init` and `fleet enrol`."""
        out = self.cli(input=open(self.folder + "/engine.redis").read())
        L.check("ERR" not in out, out)
        self.cli("ACL", "SAVE")

    # The fleet

    def command(self, *words, ok=(0,), **more):
        # Where the engine is reached from: its own host.
        return L.run(["ip", "netns", "exec", self.engine_host, L.binary, "fleet", *map(str, words), "--folder", self.folder],
                     ok=ok, **more).stdout

    def file(self, name):
        return "%s/%s.node" % (self.folder, name)

    def coordinate(self):
        self.coordinator = self.lab.start(
            self.engine_host, L.binary, "fleet", "coordinate", "--folder", self.folder,
            stdout=open(self.lab.folder + "/coordinator.out", "ab"), stderr=subprocess.STDOUT)
        return self.coordinator

    def start_nodes(self, timeout=60, **settings):
        for node in self.nodes:
            node.start(**settings)
        for node in self.nodes:
            node.sentry.wait_ready(timeout)
        for node in self.nodes:
            node.sentry.wait_line("The fleet is reached", timeout=timeout)

    # Strangers

    def syn(self, source, node, port=23):
        """One packet of a stranger's, and no more."""
        with self.lab.inside(self.strangers):
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with s:
            s.sendto(P.segment(source, node.address, 40_000 + node.number, port), (node.address, 0))

    def is_dropped(self, node, source):
        """Whether the kernel of a node has an address in its set of bans, asked for it alone."""
        return node.in_target("nft", "get", "element", "inet", "portsentry", "banned4", "{ %s }" % source, ok=None).returncode == 0

    def touch(self, source, node, port=23, words=b"", keep=False):
        """A whole connection of a stranger to a port of a node's; true when it was answered, else `unanswered` says why."""
        with self.lab.inside(self.strangers):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(1)
        try:
            s.bind((source, 0))
            s.connect((node.address, port))
            if words:
                s.sendall(words)
            if keep:
                self.lab.sockets.append(s)
                return True
            return True
        except OSError as error:
            self.unanswered = "port %d of %s did not answer %s: %s; it said: %s" % (port, node.name, source, error, node.sentry.texts()[-6:])
            return False
        finally:
            if not keep:
                s.close()

    def wait_banned(self, source, nodes=None, timeout=10, is_banned=True):
        """Waits until all nodes have it so; returns the seconds it took."""
        begin = time.monotonic()
        left = list(nodes or self.nodes)

        def look():
            left[:] = [n for n in left if (source in n.bans()) != is_banned]
            return not left
        L.wait_for(look, timeout, lambda: "%s to be %s on %s" % (
            source, "banned" if is_banned else "let in", [n.name for n in left]), 0.02)
        return time.monotonic() - begin

    # Those who lie. The engine is theirs, and so they are asked no password.

    def prefix(self):
        name = next(line for line in open(self.file(self.nodes[0].name)) if line.startswith("fleet ")).split()[1]
        return "ps:" + name[:16]

    def raw(self, key):
        """Entries of a stream as bytes."""
        found = []
        with self.lab.inside(self.engine_host):
            s = socket.create_connection(("127.0.0.1", PORT), 5)
        with s, s.makefile("rwb") as f:
            f.write(command("XRANGE", key, "-", "+"))
            f.flush()
            reply(f, found)
        return [x for x in found[0] if x]

    def pipe(self, commands):
        """Says many things to the engine at once; returns its answers."""
        answers = []
        with self.lab.inside(self.engine_host):
            s = socket.create_connection(("127.0.0.1", PORT), 5)
        with s, s.makefile("rwb") as f:
            for begin in range(0, len(commands), 500):
                part = commands[begin:begin + 500]
                f.write(b"".join(command(*words) for words in part))
                f.flush()
                for _ in part:
                    reply(f, answers)
        return answers

    def replay(self):
        """Everything that was ever said, said once more."""
        prefix = self.prefix()
        commands = []
        for key in [prefix + ":d"] + ["%s:n:%d" % (prefix, n.number) for n in self.nodes]:
            for _, fields in self.raw(key):
                commands.append(("XADD", key, "*", "r", fields[1]))
        commands.append(("PUBLISH", prefix + ":d", "look"))
        self.pipe(commands)

    # Of whom two hosts truly say that he connected to a decoy of theirs.
    seen_here = "45.67.200.1"

    def lie(self, innocents):
        """Invented, damaged, replayed and foreign records in every stream, and pushes of all of them."""
        prefix = self.prefix()
        for node in self.nodes[:2]:
            self.touch(self.seen_here, node)

        def testimonies():
            found = [fields[1] for n in (1, 2) for _, fields in self.raw("%s:n:%d" % (prefix, n))
                     if len(fields[1]) == 115 and fields[1][1] in (1, 2)]
            return found if len(found) == 2 else None
        true = L.wait_for(testimonies, 20, "two testimonies")
        commands = []
        for number in range(innocents):
            victim = bytes(10) + b"\xff\xff" + bytes([45, 68, number >> 8, number & 255])
            forged = []
            for node in (1, 2, 3):
                # Everything right but the signature.
                record = bytearray(true[0])
                record[2:6] = node.to_bytes(4, "big")
                record[14:30] = victim
                forged.append(bytes(record))
            proof = bytes([1, 3]) + b"".join(forged)
            commands.append(("XADD", prefix + ":d", "*", "r", proof))
            commands.append(("PUBLISH", prefix + ":d", bytes([1]) + bytes(15) + b"\x01" + bytes(7) + b"\x7f" + bytes(8) + proof))
            commands.append(("XADD", "%s:n:%d" % (prefix, 3), "*", "r", forged[2]))
            if number % 50 == 0:
                commands.append(("XADD", prefix + ":d", "*", "r", os.urandom(number % 400 + 1)))
                commands.append(("XADD", prefix + ":o", "*", "r", os.urandom(number % 150 + 1)))
                commands.append(("HSET", prefix + ":cert", str(10_000 + number), os.urandom(180)))
                # One witness three times.
                commands.append(("XADD", prefix + ":d", "*", "r", bytes([1, 3]) + true[0] * 3))
                commands.append(("XADD", prefix + ":d", "*", "r", bytes([1, 2]) + true[0] + true[1]))
        commands.append(("PUBLISH", prefix + ":d", "look"))
        self.pipe(commands)


def command(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def reply(f, into):
    line = f.readline()
    kind, rest = line[:1], line[1:-2]
    if kind == b"$":
        into.append(None if rest == b"-1" else f.read(int(rest) + 2)[:-2])
    elif kind == b"*":
        inner = []
        for _ in range(max(int(rest), 0)):
            reply(f, inner)
        into.append(inner)
    else:
        into.append(rest)
