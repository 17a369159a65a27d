"""Many addresses behind the attacker's end of the cable: bystanders, some of whom are alive, and invented ones."""

import ctypes
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

import lab as L
import packets as P

# 10.78.0.1-250 answer: a packet to them reaches a TCP that knows nothing of it. The rest of 10.78/16 is nobody.
ALIVE = ["10.78.0.%d" % n for n in range(1, 251)]
# So do all of fd78::/48, each here with a /64 of its own. fd79::/32 is nobody.
ALIVE6 = ["fd78:0:0:%x::1" % n for n in range(1, 101)]
SCANNER = "10.77.0.200"
NFT_FOR_1_2 = "table inet lab12 {\n set bad { type ipv4_addr; }\n chain c { type filter hook prerouting priority -300; ip saddr @bad drop; }\n}\n"
KILL_ROUTE_OF_1_2 = "nft add element inet lab12 bad { $TARGET$ }"


def settle(lab):
    """Makes the bystanders, and has plain connections leave from SCANNER."""
    lab.in_attacker("ip", "route", "add", "local", "10.78.0.0/24", "dev", "lo")
    lab.in_target("ip", "route", "add", "10.78.0.0/16", "via", L.ATTACKER4)
    lab.in_target("ip", "route", "add", "198.18.0.0/15", "via", L.ATTACKER4)
    lab.in_attacker("ip", "-6", "route", "add", "local", "fd78::/48", "dev", "lo")
    lab.in_attacker("sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind")
    for net in ("fd78::/48", "fd79::/32"):
        lab.in_target("ip", "-6", "route", "add", net, "via", L.ATTACKER6)
    lab.in_attacker("ip", "route", "add", L.TARGET4 + "/32", "dev", "lan0", "src", SCANNER)
    lab.in_target("ip", "neigh", "replace", SCANNER, "lladdr", L.ATTACKER_MAC, "dev", "lan0")


def bystanders(count):
    """So many addresses, a tenth of them IPv6: the living first of each, then nobody's."""
    six = ALIVE6 + ["fd79:0:0:%x::1" % n for n in range(1, 2000)]
    four = ALIVE + ["10.78.%d.%d" % (a, b) for a in range(1, 200) for b in range(1, 251)]
    return four[:count - count // 10] + six[:count // 10]


def source6(lab, target=L.TARGET6):
    """The address from which plain IPv6 connections leave."""
    s = lab.open_socket(lab.attacker, socket.AF_INET6, socket.SOCK_DGRAM)
    s.connect((target, 9))
    return s.getsockname()[0]


def serve(lab, ports):
    """The web server on these ports of the target."""
    process = lab.start(lab.target, sys.executable, os.path.join(L.HERE, "httpd.py"), *ports, stdout=subprocess.PIPE, text=True)
    L.check(process.stdout.readline() == "ready\n", "the web server does not start")
    return process


def request(lab, source, port, timeout=5.0, target=None):
    """One HTTP request, first try. Seconds, or None."""
    target = target or (L.TARGET6 if ":" in source else L.TARGET4)
    s = lab.open_socket(lab.attacker, socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_STREAM)
    return ask(s, source, port, timeout, target, lab)


def ask(s, source, port, timeout=5.0, target=L.TARGET4, lab=None):
    s.settimeout(timeout)
    begun = time.perf_counter()
    try:
        s.bind((source, 0))
        s.connect((target, port))
        s.send(b"GET / HTTP/1.0\r\n\r\n")
        return time.perf_counter() - begun if b"200 OK" in s.recv(200) else None
    except OSError:
        return None
    finally:
        s.close()
        if lab:
            lab.sockets.remove(s)


class Visitors(threading.Thread):
    """Living bystanders who go on asking every service, each time at the first try, until told to stop."""

    def __init__(self, lab, ports, sources):
        super().__init__(daemon=True)
        self.lab, self.ports, self.sources = lab, ports, sources
        self.done, self.failed, self.slowest = 0, [], 0.0
        self.stopping = False

    def round(self):
        for source in self.sources:
            for port in self.ports:
                took = request(self.lab, source, port)
                self.done += 1
                if took is None:
                    self.failed.append((source, port))
                else:
                    self.slowest = max(self.slowest, took)
                if self.stopping:
                    return

    def run(self):
        while not self.stopping:
            self.round()

    def stop(self):
        self.stopping = True
        self.join(30)


# A sender that is fast enough to flood: sendmmsg(2) from a ring of frames made before.

class _iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("iov", ctypes.c_void_p), ("iovlen", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int)]


class _mmsghdr(ctypes.Structure):
    _fields_ = [("header", _msghdr), ("length", ctypes.c_uint)]


class Cannon:
    """Sends frames as fast as one core can. `frames`: IP packets; they are sent in order, again and again."""

    def __init__(self, lab, frames):
        self.socket = lab.open_socket(lab.attacker, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
        self.socket.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
        self.socket.bind(("lan0", 0))
        head = bytes.fromhex((L.TARGET_MAC + L.ATTACKER_MAC).replace(":", ""))
        whole = [head + (b"\x08\x00" if f[0] >> 4 == 4 else b"\x86\xdd") + f for f in frames]
        self.count = len(whole)
        self.buffer = ctypes.create_string_buffer(b"".join(whole))
        self.vectors = (_iovec * self.count)()
        self.messages = (_mmsghdr * self.count)()
        place = ctypes.addressof(self.buffer)
        for i, frame in enumerate(whole):
            self.vectors[i].base, self.vectors[i].length = place, len(frame)
            place += len(frame)
            self.messages[i].header.iov = ctypes.addressof(self.vectors[i])
            self.messages[i].header.iovlen = 1
        self.next = 0
        self.libc = ctypes.CDLL(None, use_errno=True)

    def fire(self, number):
        """Sends so many frames and returns how many went."""
        sent = 0
        size = ctypes.sizeof(_mmsghdr)
        while sent < number:
            batch = min(256, number - sent, self.count - self.next)
            got = self.libc.sendmmsg(self.socket.fileno(), ctypes.c_void_p(ctypes.addressof(self.messages) + self.next * size), batch, 0)
            if got <= 0:
                if ctypes.get_errno() in (11, 105):  # EAGAIN, ENOBUFS
                    continue
                raise OSError(ctypes.get_errno(), "sendmmsg")
            sent += got
            self.next = (self.next + got) % self.count
        return sent


def syns(sources, ports, target=None, seed=7):
    """One SYN from each source to a port of `ports`, chosen by chance; like nmap's."""
    chance = random.Random(seed)
    return [P.segment(s, target or (L.TARGET6 if ":" in s else L.TARGET4), chance.randrange(1024, 65536), chance.choice(ports), seq=chance.randrange(1 << 32)) for s in sources]
