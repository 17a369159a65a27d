"""Members of a fleet that are no sentries: certificates, testimonies and connections by the thousand, at a real engine.

Signatures are the system's OpenSSL (libcrypto.so.3), so that what they say is believed.
"""

import ctypes
import os
import select
import socket
import struct
import time

import lab as L
from fleet_lab import PORT, command, reply

ALIVE, CONTACT, VERDICT, RETRACTION, PROBE = range(5)
_ED25519 = 1087


def _library():
    try:
        lib = ctypes.CDLL("libcrypto.so.3")
    except OSError:
        raise L.Skip("no libcrypto.so.3")
    for name, kinds in {
            "EVP_PKEY_new_raw_private_key": [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t],
            "EVP_MD_CTX_new": []}.items():
        getattr(lib, name).restype = ctypes.c_void_p
        getattr(lib, name).argtypes = kinds
    pointer = ctypes.c_void_p
    lib.EVP_PKEY_get_raw_public_key.argtypes = [pointer, ctypes.c_char_p, pointer]
    lib.EVP_DigestSignInit.argtypes = [pointer] * 5
    lib.EVP_DigestSign.argtypes = [pointer, ctypes.c_char_p, pointer, ctypes.c_char_p, ctypes.c_size_t]
    lib.EVP_MD_CTX_free.argtypes = [pointer]
    return lib


class Key:
    lib = None

    def __init__(self, seed):
        Key.lib = Key.lib or _library()
        self.key = Key.lib.EVP_PKEY_new_raw_private_key(_ED25519, None, seed, 32)
        public, size = ctypes.create_string_buffer(32), ctypes.c_size_t(32)
        Key.lib.EVP_PKEY_get_raw_public_key(self.key, public, ctypes.byref(size))
        self.public = public.raw

    def sign(self, message):
        context = Key.lib.EVP_MD_CTX_new()
        signature, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
        Key.lib.EVP_DigestSignInit(context, None, None, None, self.key)
        done = Key.lib.EVP_DigestSign(context, signature, ctypes.byref(size), message, len(message))
        Key.lib.EVP_MD_CTX_free(context)
        L.check(done == 1, "OpenSSL does not sign")
        return signature.raw


def address(text_or_number):
    bits = text_or_number if isinstance(text_or_number, int) else int.from_bytes(socket.inet_aton(text_or_number), "big")
    return bytes(10) + b"\xff\xff" + bits.to_bytes(4, "big")


class Crowd:
    """`count` nodes with numbers from `first` on, of the fleet that a `fleet_lab.Fleet` has made."""

    def __init__(self, fleet, count, first=20_000, zone=1):
        self.fleet, self.first, self.count = fleet, first, count
        self.fleet_key = Key(bytes.fromhex(open(fleet.folder + "/fleet.key").read().strip()))
        self.prefix = fleet.prefix()
        self.keys = {n: Key(struct.pack(">I", n) * 8) for n in range(first, first + count)}
        self.last = {}
        now = int(time.time() * 1e6)
        commands = []
        for n, key in self.keys.items():
            name = b"crowd%d" % n
            body = (b"\x01\x01" + struct.pack(">IH", n, zone) + key.public + struct.pack(">QQ", now - 30 * 86_400_000_000, now + 30 * 86_400_000_000)
                    + bytes([len(name)]) + name + b"\0")
            commands.append(("HSET", self.prefix + ":cert", n, body + self._sign(self.fleet_key, b"certificate", body)))
        self.pipe(commands)

    def _sign(self, key, kind, body):
        return key.sign(b"portsentry fleet " + kind + b"\0" + self.fleet_key.public + body)

    def stream(self, n):
        return "%s:n:%d" % (self.prefix, n)

    def testimony(self, n, source, kind=CONTACT, when=None, port=23):
        when = time.time() if when is None else when
        body = (bytes([1, kind]) + struct.pack(">IQ", n, int(when * 1e6)) + (bytes(16) if kind == ALIVE else address(source)) + b"\x80"
                + struct.pack(">IIHBBHHHH", int(when), int(when), 1, 0, 0, port, 0, 0, 0))
        return body + self._sign(self.keys[n], b"testimony", body)

    def append(self, n, record, more=("MAXLEN", "~", "4096")):
        """The command by which a node's carrier tells it."""
        return ("XADD", self.stream(n), *more, "*", "r", record)

    def say(self, n, source, **more):
        self.pipe([self.append(n, self.testimony(n, source, **more))])

    def pipe(self, commands):
        return self.fleet.pipe(commands)

    def connect(self, user=None, password=None):
        with self.fleet.lab.inside(self.fleet.engine_host):
            s = socket.create_connection(("127.0.0.1", PORT), 10)
        if user:
            s.sendall(command("AUTH", user, password))
            reply(s.makefile("rb"), [])
        return s


class Ears:
    """Connections that are subscribed as carriers are."""

    def __init__(self, crowd, count):
        self.crowd, self.poll = crowd, select.epoll()
        self.sockets = {}
        self.names = {}
        for _ in range(count):
            s = crowd.connect()
            s.sendall(command("SUBSCRIBE", crowd.prefix + ":d"))
            self.sockets[s.fileno()] = s
        for s in self.sockets.values():
            s.recv(4096)
            s.setblocking(False)
            self.poll.register(s, select.EPOLLIN)

    def listen(self, done, timeout):
        """When each heard something, by this process's clock, until all did."""
        heard = {}
        end = time.monotonic() + timeout
        while len(heard) < len(self.sockets) and time.monotonic() < end:
            for fd, _ in self.poll.poll(0.2, 4096):
                now = time.monotonic()
                if done in os.read(fd, 65536):
                    heard.setdefault(fd, now)
        return heard

    def close(self):
        for s in self.sockets.values():
            s.close()
        self.poll.close()


class Verdicts:
    """When the kernel of each node has a source in its set of bans: by its own notices, without asking it."""

    def __init__(self, nodes):
        self.poll = select.epoll()
        self.nodes = {}
        for node in nodes:
            with node.fleet.lab.inside(node.target):
                s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
            s.bind((0, 0))
            s.setsockopt(270, 1, 7)  # NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES
            s.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)
            self.nodes[s.fileno()] = (node, s)
            self.poll.register(s, select.EPOLLIN)

    def drain(self):
        while self.poll.poll(0, 4096):
            for fd, _ in self.poll.poll(0, 4096):
                self.nodes[fd][1].recv(1 << 20)

    def wait(self, source, timeout, added=True, nodes=None):
        """The moment at which each node had it; those that did not are left out."""
        wanted = socket.inet_aton(source)
        kind = (10 << 8 | 12) if added else (10 << 8 | 14)  # NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM
        found = {}
        end = time.monotonic() + timeout
        while len(found) < (nodes or len(self.nodes)) and time.monotonic() < end:
            for fd, _ in self.poll.poll(0.1, 4096):
                node, s = self.nodes[fd]
                message = s.recv(1 << 20)
                now = time.monotonic()
                at = 0
                while at + 16 <= len(message):
                    size, what = struct.unpack_from("=IH", message, at)
                    if what == kind and wanted in message[at:at + size]:
                        found.setdefault(node.name, now)
                    at += max((size + 3) & ~3, 16)
        return found

    def close(self):
        for _, s in self.nodes.values():
            s.close()
        self.poll.close()


def share(values, part):
    values = sorted(values)
    return values[min(int(len(values) * part), len(values) - 1)]
