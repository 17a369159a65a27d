"""Whom a ban leaves alone: sessions that are open, whom this host asked itself, gateways of later, services of own containers."""

import contextlib
import os
import signal
import socket
import threading
import time

import lab as L
from deception import connect

SETTINGS = {"ADVANCED_PORTS_TCP": "65535", "BLOCK_TCP": "1", "RULE": "classic"}


def echo(listener):
    """Greets, and answers every line, for as long as the test runs."""
    def serve(client):
        with contextlib.suppress(OSError), client:
            client.sendall(b"hello\n")
            while data := client.recv(512):
                client.sendall(b"you said " + data)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def talks(s, word=b"one"):
    """Whether the other side answers within three seconds: it may have to send again."""
    s.settimeout(5)
    try:
        s.sendall(word + b"\n")
        return word in s.recv(512)
    except OSError:
        return False


def ban(lab, sentry, source):
    """Touches of unused ports until the source is blocked."""
    for port in (101, 102, 103, 104):
        s = connect(lab, source, port, timeout=0.5)
        if s:
            s.close()
        if source in sentry.blocked():
            return
    L.wait_for(lambda: source in sentry.blocked(), 5, "the block of %s; blocked: %s" % (source, sentry.blocked()))


def cut_nothing(lab, source, address):
    echo(lab.service(993, address=address))
    sentry = lab.sentry("-atcp", settings=SETTINGS)
    # First a slip, then the session: what came to notice before the login is not spared.
    slip = connect(lab, source, 81, timeout=0.5)
    if slip:
        slip.close()
    time.sleep(0.1)
    sentry.control_command("unblock", source, ok=None)
    session = connect(lab, source, 993)
    L.check(session and session.recv(64) == b"hello\n" and talks(session), "no session to begin with")
    sentry.control_command("block", source)
    L.check(source in sentry.blocked(), "not blocked by order")
    for number in range(3):
        L.check(talks(session, b"still %d" % number), "the open session was cut by the ban")
    L.check(connect(lab, source, 993, timeout=1) is None, "a blocked source opens a new connection to the service")
    L.check(connect(lab, source, 444, timeout=1) is None, "a blocked source reaches a decoy")
    return sentry


@L.test("spared.open_session")
def open_session(lab):
    """A ban cuts nobody's open session, and refuses every new connection, whatever the service is bound to."""
    for address, index in (("0.0.0.0", 0), (L.TARGET4, 0), ("::", 1), (L.TARGET6, 1)):
        with L.Lab() as other:
            cut_nothing(other, other.new_source()[index], address).stop()
    return "IPv4 and IPv6, services on any and on one address"


@L.test("spared.framed_and_strays_once")
def framed(lab):
    """A scan forged in an administrator's name, and an unused port that he then touches himself, shut him out of nothing; his own scan does."""
    for index, target in ((0, L.TARGET4), (1, L.TARGET6)):
        with L.Lab() as other:
            source, stranger = other.new_source()[index], other.new_source()[index]
            echo(other.service(993, address="::" if index else "0.0.0.0"))
            sentry = other.sentry("-atcp", settings={"ADVANCED_PORTS_TCP": "65535", "BLOCK_TCP": "1"})
            for framed in (source, stranger):
                for port in (2324, 5556, 8546, 37216, 52870):
                    other.syn(framed, port, target)
                    time.sleep(0.02)
                L.wait_for(lambda: any(framed in text and "is a scanner" in text for text in sentry.texts()), 5, "the forged scan to be a verdict")
            session = connect(other, source, 993)
            L.check(session and session.recv(64) == b"hello\n" and talks(session), "no session to begin with")
            time.sleep(1.2)  # Who is in conversation is looked up once a second.
            for port in (8081, 8081, 8082):
                image = connect(other, source, port, timeout=1)
                if image:
                    image.close()
                time.sleep(0.3)
                L.check(source not in sentry.blocked(), "blocked for one connection to port %d: %s" % (port, sentry.texts()[-3:]))
            L.check(talks(session), "the session was cut")
            L.check(connect(other, source, 993, timeout=2), "he reaches the service no more")
            # Controls: who works with nothing here is blocked at his first connection, and the administrator at his third port.
            image = connect(other, stranger, 8081, timeout=1)
            L.wait_for(lambda: stranger in sentry.blocked(), 3, "a scanner to be blocked at his first connection")
            image = connect(other, source, 8083, timeout=1)
            L.wait_for(lambda: source in sentry.blocked(), 3, "a scan of his own to be one: %s" % sentry.texts()[-5:])
            L.check(talks(session), "the ban cut an open session")
            sentry.stop()
    return "IPv4 and IPv6: five forged SYNs and two ports of his own; blocked at the third, where a stranger is at the first"


@L.test("spared.decoy_connection")
def decoy_connection(lab):
    """A connection that a scanner holds with a decoy is none to be spared."""
    sentry = lab.sentry("-atcp", settings=SETTINGS)
    source = lab.new_source()[0]
    held = connect(lab, source, 2323)
    L.check(held, "the decoy took no connection")
    ban(lab, sentry, source)
    seen = lab.count("ip saddr %s tcp flags & ack == ack" % source)
    lab.in_target("nft", "-f", "-", input="add chain inet lab late { type filter hook input priority 10; }\n"
                  "add counter inet lab through\nadd rule inet lab late ip saddr %s counter name through\n" % source)
    with contextlib.suppress(OSError):
        held.sendall(b"x" * 100)
    L.wait_for(seen, 3, "the scanner's segment to arrive")
    out = lab.in_target("nft", "list", "counter", "inet", "lab", "through").stdout
    L.check("packets 0 " in out, "a segment for a decoy's connection passed the ban: %s" % out)


@L.test("spared.whom_we_asked")
def asked(lab):
    """A server that looks back at its client (IRC, mail) is not blocked while both talk, and is afterwards."""
    for index, target in ((0, L.TARGET4), (1, L.TARGET6)):
        with L.Lab() as other:
            source = other.new_source()[index]
            sentry = other.sentry("-atcp", settings=SETTINGS)
            family = socket.AF_INET6 if index else socket.AF_INET
            server = other.open_socket(other.attacker, family, socket.SOCK_STREAM)
            server.bind((source, 6667))
            server.listen(5)
            echo(server)
            client = other.open_socket(other.target, family, socket.SOCK_STREAM)
            client.connect((source, 6667))
            L.check(client.recv(64) == b"hello\n" and talks(client), "no conversation to begin with")
            time.sleep(1.1)  # Who is in conversation is looked up once a second.
            for port in (23, 1080, 3128, 8080):
                s = connect(other, source, port, timeout=0.5)
                if s:
                    s.close()
            time.sleep(0.5)
            L.check(source not in sentry.blocked(), "blocked for looking back")
            L.check(talks(client, b"again"), "our own connection was cut")
            client.close()
            time.sleep(1.2)
            ban(other, sentry, source)
            sentry.stop()


@L.test("spared.later_gateway")
def later_gateway(lab):
    """Whoever becomes the default gateway, or an address of ours, has the block lifted within a second."""
    sentry = lab.sentry("-atcp", settings=SETTINGS)
    lab.in_target("ip", "route", "add", "default", "via", L.ATTACKER4)
    (gateway, gateway6), (own, _) = lab.new_source(), lab.new_source()
    for source in (gateway, gateway6, own):
        sentry.control_command("block", source)
    slowest = 0
    for source, command in ((gateway, ["ip", "route", "replace", "default", "via", gateway]),
                            (gateway6, ["ip", "-6", "route", "add", "default", "via", gateway6]),
                            (own, ["ip", "addr", "add", own + "/32", "dev", "lan0"])):
        begun = time.monotonic()
        lab.in_target(*command)
        L.wait_for(lambda: source not in lab.nft_elements(), L.bar(1), "%s to be let in" % source)
        slowest = max(slowest, time.monotonic() - begun)
        L.check(source not in sentry.blocked(), "%s is still listed" % source)
    return "let in after %.2f s at the most" % slowest


@L.test("spared.own_container")
def own_container(lab):
    """A container that scans its host is refused by the host, and its published service stays."""
    inner = lab.attacker + "-c"
    L.run(["ip", "netns", "add", inner])
    try:
        for command in ("link add docker0 type bridge", "addr add 172.30.0.1/24 dev docker0", "link set docker0 up",
                        "link add c0 type veth peer name eth0 netns " + inner, "link set c0 master docker0", "link set c0 up"):
            lab.in_target("ip", *command.split())
        for command in ("link set lo up", "addr add 172.30.0.2/24 dev eth0", "link set eth0 up", "route add default via 172.30.0.1"):
            L.run(["ip", "-n", inner, *command.split()])
        lab.in_target("sysctl", "-qw", "net.ipv4.ip_forward=1")
        lab.in_target("nft", "-f", "-", input="table ip docker {\n chain pre {\n type nat hook prerouting priority dstnat;\n"
                      " fib daddr type local tcp dport 80 dnat to 172.30.0.2\n }\n}\n")
        listener = lab.open_socket(inner, socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("0.0.0.0", 80))
        listener.listen(16)
        echo(listener)
        sentry = lab.sentry("-atcp", settings=SETTINGS)
        visitor = lab.new_source()[0]
        page = connect(lab, visitor, 80)
        L.check(page and page.recv(64) == b"hello\n", "the published service does not work")
        sentry.control_command("block", "172.30.0.2")
        probe = lab.open_socket(inner, socket.AF_INET, socket.SOCK_STREAM)
        probe.settimeout(1)
        L.check(probe.connect_ex(("172.30.0.1", 81)) != 0, "the container still reaches its host")
        L.check(talks(page), "an open visit was cut")
        later = connect(lab, lab.new_source()[0], 80)
        L.check(later and later.recv(64) == b"hello\n", "the published service is down for new visitors")
    finally:
        for pid in lab.pids(inner):
            L.run(["kill", str(pid)], ok=None)
        L.run(["ip", "netns", "del", inner], ok=None)


def route_fd79(lab):
    """The attacker owns fd79::/32: each of its addresses answers, and finds its way back."""
    lab.in_attacker("ip", "-6", "route", "add", "local", "fd79::/32", "dev", "lo")
    lab.in_attacker("sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1")
    lab.in_target("ip", "-6", "route", "replace", "fd79::/32", "via", L.ATTACKER6)


def word(lab, source, port=993):
    """A conversation with the service, from beginning to end; whether there was one."""
    s = connect(lab, source, port, timeout=1)
    if not s:
        return False
    with contextlib.suppress(OSError):
        said = s.recv(64) == b"hello\n" and talks(s)
        s.shutdown(socket.SHUT_WR)
        while s.recv(512):
            pass
        s.close()
        return said
    return False


@L.test("spared.neighbours_in_a_prefix")
def neighbours(lab):
    """No IPv6 prefix is blocked in which somebody used a service; none wider than BLOCK_PREFIX_IPV6; one that is, is opened for an honest member."""
    route_fd79(lab)
    echo(lab.service(993, address="::"))
    sentry = lab.sentry("-atcp", settings=SETTINGS)

    def scanners(prefix, count=4):
        for n in range(1, count + 1):
            ban(lab, sentry, "%s:bad::%x" % (prefix, n) if count <= 4 else "%s:%x::1" % (prefix, n))

    # A customer of yesterday, of whom nothing is open any more: his /64 stays.
    L.check(word(lab, "fd79:0:1:0:1::7"), "no conversation to begin with")
    time.sleep(1.5)
    scanners("fd79:0:1:0")
    time.sleep(0.3)
    L.check("fd79:0:1::/64" not in sentry.blocked(), "blocked over a customer: %s" % sentry.blocked())
    L.check(word(lab, "fd79:0:1:0:1::7"), "a customer's neighbour is a scanner, and the customer is refused")
    # Nobody is known there: the /64 is blocked, beside its members. Sixteen of them are no /56.
    scanners("fd79:0:2:0")
    L.wait_for(lambda: "fd79:0:2::/64" in sentry.blocked(), 3, lambda: "the /64: %s" % sentry.blocked())
    L.check("fd79:0:2:0:bad::1" in sentry.blocked(), "members stay blocked beside their prefix")
    L.check(not word(lab, "fd79:0:2:0:1::9"), "a blocked /64 lets somebody in")
    for n in range(16):
        ban(lab, sentry, "fd79:0:3:%x::1" % (n + 1))
    time.sleep(0.3)
    L.check(not any(b.endswith(("/56", "/48")) for b in sentry.blocked()), "wider than a /64: %s" % sentry.blocked())
    # An operator lets a member in: the prefix is opened, the others stay, and it is not closed again.
    said = sentry.control_command("unblock", "fd79:0:2:0:bad::2").stdout
    L.check("so is fd79:0:2::/64" in said, said)
    L.check("fd79:0:2::/64" not in sentry.blocked() and "fd79:0:2:0:bad::1" in sentry.blocked(), "%s" % sentry.blocked())
    L.check(word(lab, "fd79:0:2:0:bad::2") and word(lab, "fd79:0:2:0:1::9") and not word(lab, "fd79:0:2:0:bad::3"), "who is let in")
    ban(lab, sentry, "fd79:0:2:0:bad::9")
    time.sleep(0.3)
    L.check("fd79:0:2::/64" not in sentry.blocked(), "closed again over somebody who was let in")
    # The end of a conversation that was open all the time: honest, and the prefix is opened.
    session = connect(lab, "fd79:0:4:0:1::7", 993)
    L.check(session, "no session")  # Nothing was said in it yet: it speaks for nobody.
    scanners("fd79:0:4:0")
    if "fd79:0:4::/64" in sentry.blocked():
        L.check(session.recv(64) == b"hello\n" and talks(session), "the open session was cut")
        session.close()
        L.wait_for(lambda: "fd79:0:4::/64" not in sentry.blocked(), 5, lambda: "its end: %s" % sentry.blocked())
        L.check("fd79:0:4:0:bad::1" in sentry.blocked(), "the scanners of an opened prefix are let in, too")
    # It all holds after a restart, where the settings allow what is there.
    scanners("fd79:0:5:0")
    L.wait_for(lambda: "fd79:0:5::/64" in sentry.blocked(), 3, lambda: "the /64: %s" % sentry.blocked())
    sentry.configure({**SETTINGS, "BLOCK_PREFIX_IPV6": "128"})
    os.kill(sentry.pid, signal.SIGHUP)
    L.wait_for(lambda: "fd79:0:5::/64" not in sentry.blocked(), 5, lambda: "BLOCK_PREFIX_IPV6=128: %s" % sentry.blocked())
    return "a customer's neighbours cost him nothing; sixteen /64 are no /56"


MAIL = (143, 995, 110, 465, 587)


@L.test("spared.neighbours_of_a_service")
def neighbours(lab):
    """A mail user whose program looks for all ports of mail is no scanner: session open or closed, one port mistyped before or not."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with lab.inside(lab.target):
            listener = socket.socket(family)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, 993))
        listener.listen(64)
        lab.sockets.append(listener)
        echo(listener)
    sentry = lab.sentry("-atcp", settings=SETTINGS | {"RULE": "native"})

    def login(source, target):
        s = connect(lab, source, 993, target)
        L.check(s and s.recv(512) and talks(s, b"login"), "%s cannot log in" % source)
        return s

    sessions, users, scanners = [], [], []
    pairs = {how: lab.new_source() for how in ("open", "mistyped", "closed", "stranger")}
    for number in range(2):
        target = (L.TARGET4, L.TARGET6)[number]
        for how, pair in pairs.items():
            source = pair[number]
            if how == "mistyped":
                connect(lab, source, 81, target)
                time.sleep(1.5)
            if how != "stranger":
                s = login(source, target)
                if how == "closed":
                    s.close()
                else:
                    sessions.append(s)
                time.sleep(0.3)
            for port in MAIL:
                connect(lab, source, port, target)
            if how == "stranger":
                scanners.append(source)
            else:
                users.append((source, target))
    for source in scanners:
        L.wait_for(lambda: source in " ".join(sentry.blocked()) or "verdict" in sentry.control_command("why", source).stdout.lower(),
                   3, "the stranger %s to be called a scanner" % source)
    for source, target in users:
        L.check(source not in " ".join(sentry.blocked()), "%s is blocked" % source)
        L.check(login(source, target), "%s is refused" % source)
    L.check(all(talks(s) for s in sessions), "a session was cut")
    # What is no neighbour counts as ever.
    source, target = users[0]
    for port in (1001, 1002, 1003):
        connect(lab, source, port, target, timeout=0.5)
    L.check("1003" in sentry.control_command("why", source).stdout, "a user is no scanner whatever he asks for")
    return "%d users, %d strangers" % (len(users), len(scanners))


@L.test("spared.one_shot_listeners")
def one_shot(lab):
    """Listeners that close at accept, connections that are over at once: nobody is accused of having asked for a port that answered."""
    sentry = lab.sentry("-atcp", settings=SETTINGS | {"RULE": "native"})
    sources = [lab.new_source() for _ in range(4)]
    homes = [os.open("/proc/thread-self/ns/net", os.O_RDONLY)]
    homes += [os.open("/run/netns/" + name, os.O_RDONLY) for name in (lab.target, lab.attacker)]
    reset = (1).to_bytes(4, "little") + bytes(4)
    count, ports, slowest = 0, 1024, 0.0

    def enter(number):
        if L._libc.setns(homes[number], 0x40000000) != 0:
            os._exit(70)

    end = time.monotonic() + 60
    try:
        while count < 100_000 and time.monotonic() < end:
            # It dozes through a half of them: by the time it looks every listener is gone.
            if count % 2500 == 0:
                sentry.send_signal(signal.SIGCONT if count % 5000 else signal.SIGSTOP)
            number = count % 2
            family, any_address, target = ((socket.AF_INET, "0.0.0.0", L.TARGET4), (socket.AF_INET6, "::", L.TARGET6))[number]
            ports = ports + 1 if ports < 32_000 else 1024
            enter(1)
            listener = socket.socket(family)
            enter(2)
            client = socket.socket(family)
            enter(0)
            with listener, client:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((any_address, ports))
                listener.listen(1)
                client.bind((sources[count % 4][number], 0))
                began = time.monotonic()
                client.connect((target, ports))
                peer = listener.accept()[0]
                listener.close()
                # In turn: the server resets, the server ends it, the client does.
                if count % 3 == 0:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                if count % 3 == 2:
                    client.close()
                peer.close()
                slowest = max(slowest, time.monotonic() - began)
            count += 1
    finally:
        sentry.send_signal(signal.SIGCONT)
        enter(0)
        for home in homes:
            os.close(home)
    time.sleep(0.5)
    status = sentry.ask("status")
    L.check(status["dropped"]["ring_full"] == 0, "packets were lost, and nothing is shown by this")
    L.check(status["probes"]["seen"] == 0, "%d probes of %d connections: %s" % (
        status["probes"]["seen"], count, [t for t in sentry.texts() if "attackalert" in t][:5]))
    L.check(not sentry.find("attackalert"), "an alert")
    L.check(count > 10_000, "only %d connections" % count)
    return "%d connections, half of them while the sentry was stopped: 0 probes" % count
