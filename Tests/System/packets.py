"""Frames made by hand, for what no tool will send: extension headers, atomic fragments, spoofed sources, stray flags.

Only the Python standard library. Every function returns bytes; `Link.send` puts a frame on the wire.
"""

import errno
import ipaddress
import socket
import struct
import time

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS = 0, 43, 44, 60
TCP, UDP = 6, 17


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _pseudo(source, target, protocol, length):
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if a.version == 4:
        return a.packed + b.packed + struct.pack("!BBH", 0, protocol, length)
    return a.packed + b.packed + struct.pack("!IHBB", length, 0, 0, protocol)


def tcp(source, target, sport, dport, flags, seq=1, ack=0, payload=b"", window=1024, bad=False, options=b""):
    options += b"\0" * (-len(options) % 4)
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, (5 + len(options) // 4) << 4, flags, window, 0, 0) + options
    value = checksum(_pseudo(source, target, TCP, len(head) + len(payload)) + head + payload)
    return head[:16] + struct.pack("!H", value ^ (0x5555 if bad else 0)) + head[18:] + payload


def udp(source, target, sport, dport, payload=b""):
    head = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    value = checksum(_pseudo(source, target, UDP, 8 + len(payload)) + head + payload) or 0xFFFF
    return head[:6] + struct.pack("!H", value) + payload


def ip4(source, target, protocol, payload, ident=7, fragment=0, more=False, ttl=64, options=b""):
    """An IPv4 packet. `fragment` is the offset in bytes (a multiple of 8)."""
    options += b"\0" * (-len(options) % 4)
    length = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | length // 4, 0, length + len(payload), ident,
        (0x2000 if more else 0) | fragment // 8, ttl, protocol, 0,
        ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(source, target, protocol, payload, extensions=()):
    """An IPv6 packet. `extensions`: (number, body) in order; a body is everything after its first byte (RFC 8200)."""
    chain = [number for number, _ in extensions] + [protocol]
    body = b"".join(bytes([chain[i + 1]]) + rest for i, (_, rest) in enumerate(extensions)) + payload
    return struct.pack("!IHBB", 6 << 28, len(body), chain[0], 64) + \
        ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed + body


# A smallest (8 byte) options header: length field 0, one PadN option of four bytes.
OPTIONS_8 = b"\0" + b"\x01\x04\0\0\0\0"


def fragment_header(offset, more, ident=0x1234):
    """The body of a fragment header. Offset 0 and no more: an atomic fragment (RFC 6946)."""
    return b"\0" + struct.pack("!HI", (offset // 8) << 3 | (1 if more else 0), ident)


def packet(source, target, protocol, payload, **more):
    make = ip6 if ":" in source else ip4
    return make(source, target, protocol, payload, **more)


def segment(source, target, sport, dport, flags=SYN, **more):
    """A whole TCP packet of either family."""
    return packet(source, target, TCP, tcp(source, target, sport, dport, flags, **more))


def datagram(source, target, sport, dport, payload=b""):
    return packet(source, target, UDP, udp(source, target, sport, dport, payload))


class Link:
    """Sends frames on one interface of the attacker's namespace."""

    def __init__(self, sock, source_mac, target_mac):
        self.sock = sock
        self.head = bytes.fromhex(target_mac.replace(":", "")) + bytes.fromhex(source_mac.replace(":", ""))

    def send(self, ip):
        frame = self.head + (b"\x08\x00" if ip[0] >> 4 == 4 else b"\x86\xdd") + ip
        for _ in range(1000):
            try:
                return self.sock.send(frame)
            except OSError as error:  # The other side is behind.
                if error.errno != errno.ENOBUFS:
                    raise
                time.sleep(0.001)

    def close(self):
        self.sock.close()
