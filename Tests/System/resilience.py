"""What happens to a sentry that lives long: restarts, kills, foreign hands, full disks, vanishing interfaces, bad files."""

import os
import re
import signal
import socket
import stat
import time

import lab as L
import packets as P

# Whatever address is on a packet is blocked: these tests are about blocks, not about whom they hit (that is deception.py).
NFT = {"BLOCK_TCP": "1", "BLOCK_UDP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none"}


def alert(source):
    return r"(from host: [^/ ]*/%s to|Scan from: \[%s\])" % (re.escape(source), re.escape(source))


def wait_blocked(lab, *sources, timeout=4):
    L.wait_for(lambda: set(sources) <= lab.nft_elements(), timeout, lambda: "%s in the kernel's sets, which hold %s" % (
        sources, sorted(lab.nft_elements())[:5]), 0.05)


def wait_free(lab, source, timeout=4):
    L.wait_for(lambda: source not in lab.nft_elements(), timeout, "%s to leave the kernel's sets" % source, 0.05)


def block(lab, sentry, *sources):
    for source in sources:
        lab.syn(source, 111)
        sentry.wait_line(alert(source))
    wait_blocked(lab, *sources)


def reachable(lab, source, port=22, tries=6):
    """Whether a plain connection from `source` to a served port works. The first may wait a second for its neighbour to be found."""
    for _ in range(tries):
        s = lab.open_socket(lab.attacker, socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(0.3)
        try:
            s.bind((source, 0))
            s.connect((L.TARGET6 if ":" in source else L.TARGET4, port))
            return True
        except OSError:
            pass
        finally:
            s.close()
    return False


def shut_out(lab, source):
    return not reachable(lab, source, tries=1)


@L.test("resilience.blocks_survive_restart_and_kill")
def survive(lab):
    lab.service(22)
    lab.service(22, address="::")
    sentry = lab.sentry("-stcp", settings=NFT)
    a4, a6 = lab.new_source()
    L.check(reachable(lab, a4) and reachable(lab, a6), "the laboratory is broken")
    block(lab, sentry, a4, a6)
    L.check(shut_out(lab, a4) and shut_out(lab, a6), "a blocked source still gets in")
    history = sentry.history_text()
    for how, number in (("TERM", signal.SIGTERM), ("kill -9", signal.SIGKILL)):
        sentry.stop(number)
        lab.in_target("nft", "flush", "ruleset")
        L.check(reachable(lab, a4), "the laboratory is broken: still blocked though flushed")
        sentry.launch()
        wait_blocked(lab, a4, a6)
        L.check(shut_out(lab, a4) and shut_out(lab, a6), "not blocked again after %s" % how)
        L.check({a4, a6} <= sentry.blocked(), "`blocked` forgot them after %s" % how)
    L.check(sentry.history_text().startswith(history), "the history was truncated or changed")
    L.check(len(sentry.blocked()) == 2, "`blocked` lists %s" % sorted(sentry.blocked()))


@L.test("resilience.foreign_flush_is_mended")
def flush(lab):
    sentry = lab.sentry("-stcp", settings=NFT)
    a4, a6 = lab.new_source()
    block(lab, sentry, a4, a6)
    lab.in_target("nft", "-f", "-", input="table inet somebody {\n chain c { type filter hook input priority 0; }\n}\n")
    lab.in_target("nft", "flush", "ruleset")
    begun = time.monotonic()
    wait_blocked(lab, a4, a6, timeout=20)
    took = time.monotonic() - begun
    b4 = lab.new_source()[0]
    block(lab, sentry, b4)
    return "in force again %.1f s after `nft flush ruleset`" % took


@L.test("resilience.nobody_elses_table_is_touched")
def tables(lab):
    theirs = "table inet somebody {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n}\n"
    lab.in_target("nft", "-f", "-", input=theirs)
    sentry = lab.sentry("-stcp", settings=NFT)
    block(lab, sentry, *lab.new_source())
    sentry.stop()
    L.check(lab.in_target("nft", "list", "table", "inet", "somebody").stdout == theirs, "another table was changed")
    found = re.findall(r"table \S+ (\S+) \{", lab.in_target("nft", "list", "ruleset").stdout)
    L.check(set(found) <= {"somebody", "portsentry"}, "tables: %s" % found)


@L.test("resilience.route_method")
def route(lab):
    sentry = lab.sentry("-stcp", settings={**NFT, "BLOCK_METHOD": "route"})
    a4, a6 = lab.new_source()

    def routes():
        out = lab.in_target("ip", "route", "show", "table", "all").stdout + lab.in_target("ip", "-6", "route", "show", "table", "all").stdout
        return {m.split("/")[0] for m in re.findall(r"(?:blackhole|unreachable|prohibit) (\S+)", out)}
    for source in (a4, a6):
        lab.syn(source, 111)
    L.wait_for(lambda: {a4, a6} <= routes(), 3, lambda: "blackhole routes; there are %s; %s" % (routes(), sentry.texts()[-3:]))
    sentry.stop(signal.SIGKILL)
    for family, source in (("-4", a4), ("-6", a6)):
        lab.in_target("ip", family, "route", "flush", "exact", source)
    L.check(not {a4, a6} & routes(), "the laboratory could not flush the routes")
    sentry.launch()
    L.wait_for(lambda: {a4, a6} <= routes(), 3, "the routes again after kill -9")
    for source in (a4, a6):
        sentry.control_command("unblock", source)
    L.wait_for(lambda: not {a4, a6} & routes(), 3, lambda: "unblock to remove the routes; left: %s" % routes())


@L.test("resilience.block_and_unblock_by_hand")
def by_hand(lab):
    lab.service(22)
    sentry = lab.sentry("-stcp", settings=NFT)
    a4, a6 = lab.new_source()
    block(lab, sentry, a4)
    sentry.control_command("block", a6, "--time", "1h")
    wait_blocked(lab, a4, a6)
    L.check({a4, a6} <= sentry.blocked(), "`blocked` lists %s" % sentry.blocked())
    sentry.control_command("unblock", a4)
    wait_free(lab, a4)
    L.check(reachable(lab, a4), "an unblocked source cannot connect")
    L.check(a4 not in sentry.blocked(), "`blocked` still lists it")
    mark = sentry.mark()
    lab.syn(a4, 111)
    sentry.wait_line(alert(a4), since=mark)
    wait_blocked(lab, a4)
    sentry.control_command("unblock", "--all")
    wait_free(lab, a4)
    wait_free(lab, a6)
    L.check(not sentry.blocked(), "`unblock --all` left %s" % sentry.blocked())
    out = sentry.control_command("block", "nonsense", ok=None)
    L.check(out.returncode not in (0, None) and out.stderr.strip(), "`block nonsense` gave %d and %r" % (out.returncode, out.stderr))
    out = sentry.control_command("block", L.TARGET4, ok=None)
    L.check(out.returncode != 0, "it can be told to block its own address")
    sentry.stop()
    out = sentry.control_command("status", ok=None)
    L.check(out.returncode != 0 and "running" in (out.stderr + out.stdout).lower(), "`status` without a sentry: %d %r" % (
        out.returncode, (out.stderr + out.stdout)[:200]))


@L.test("resilience.blocks_expire")
def expire(lab):
    sentry = lab.sentry("-stcp", settings={**NFT, "BLOCK_TIME": "2s"})
    a4, a6 = lab.new_source()
    block(lab, sentry, a4, a6)
    begun = time.monotonic()
    wait_free(lab, a4, timeout=6)
    L.check(time.monotonic() - begun > 0.8, "they were gone at once")
    L.wait_for(lambda: not sentry.blocked(), 4, lambda: "`blocked` to be empty; it lists %s" % sentry.blocked(), 0.2)
    mark = sentry.mark()
    lab.syn(a4, 111)
    sentry.wait_line(alert(a4), since=mark)
    wait_blocked(lab, a4)


@L.test("resilience.never_blocked")
def safe(lab):
    resolver = lab.new_source()[0]
    peer = lab.new_source()[0]
    conf = lab.folder + "/resolv.conf"
    open(conf, "w").write("nameserver %s\n" % resolver)
    lab.in_target("ip", "route", "add", "default", "via", L.ATTACKER4)
    lab.in_target("ip", "-6", "route", "add", "default", "via", L.ATTACKER6)
    friend = lab.new_source()[0]
    service = lab.service(22)
    c = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
    c.bind((peer, 0))
    c.connect((L.TARGET4, 22))
    accepted, _ = service.accept()
    # Both have said something: it is a conversation, not a scanner's touch.
    c.send(b"hello")
    accepted.recv(5)
    accepted.send(b"hello")
    c.recv(5)
    # /etc/resolv.conf is a link in many places, and a bind mount needs the file behind it.
    sentry = lab.sentry("-stcp", "-sudp", settings=NFT, ignore="%s\n" % friend,
                        mounts='mount --bind %s "$(readlink -f /etc/resolv.conf)"' % conf)
    never = {"the gateway": L.ATTACKER4, "the IPv6 gateway": L.ATTACKER6, "the resolver": resolver, "an ignored host": friend,
             "the peer of an established connection": peer, "our own address": L.TARGET4, "our own IPv6": L.TARGET6,
             "loopback": "127.0.0.1", "0.0.0.0": "0.0.0.0", "multicast": "224.0.0.1", "broadcast": "255.255.255.255",
             "IPv6 loopback": "::1", "the unspecified address": "::", "IPv6 multicast": "ff02::1"}
    link = lab.link()
    for source in never.values():
        target = L.TARGET6 if ":" in source else L.TARGET4
        link.send(P.segment(source, target, 40000, 111))
        link.send(P.datagram(source, target, 40000, 111, b"x"))
    stranger = lab.new_source()[0]
    block(lab, sentry, stranger)
    time.sleep(0.3)
    hit = [who for who, source in never.items() if source in lab.nft_elements() or source in sentry.blocked()]
    L.check(not hit, "blocked: " + ", ".join(hit))
    accepted.close()
    c.close()
    return "%d kinds of address spared" % len(never)


@L.test("resilience.full_disk")
def full_disk(lab):
    disk = lab.mount_tmpfs("disk", "64k")
    sentry = lab.sentry("-stcp", settings={
        **NFT, "HISTORY_FILE": disk + "/history", "BLOCKED_FILE": disk + "/blocked", "STATE_DIR": disk + "/state", "HISTORY_FORMAT": "2"})
    first = lab.new_source()[0]
    block(lab, sentry, first)
    with open(disk + "/ballast", "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 512)
        except OSError:
            pass
    mark = sentry.mark()
    sources = [lab.new_source()[0] for _ in range(40)]
    for source in sources:
        for port in (111, 79, 143):
            lab.syn(source, port)
    for source in sources:
        sentry.wait_line(alert(source), since=mark)
    wait_blocked(lab, *sources)
    said = [t for t in sentry.texts(since=mark) if re.search("(?i)no space|disk|full|ENOSPC", t)]
    L.check(said, "not a word about the full disk; %s" % sentry.texts(since=mark)[-3:])
    L.check(len(said) <= 6, "%d lines about the full disk, such as %s" % (len(said), said[:3]))
    os.unlink(disk + "/ballast")
    last = lab.new_source()[0]
    time.sleep(1.2)
    lab.syn(last, 111)
    sentry.wait_line(alert(last))
    L.wait_for(lambda: last in open(disk + "/history", errors="replace").read(), 4, "the history to go on when there is room again")
    history = open(disk + "/history", errors="replace").read()
    broken = [l for l in history.splitlines() if not re.match(r"\S+ Scan from: \[[^]]+\] .* blocked: \[\w+\]$", l)]
    L.check(not broken, "broken lines in the history: %r" % broken[:2])
    missing = [s for s in sources if s not in history]
    status = sentry.dropped()
    sentry.stop()
    sentry.launch()
    wait_blocked(lab, first, *sources)
    return "all 40 blocked and in syslog, `%s`; %d of 40 not in the history%s" % (
        said[0][:90], len(missing), " (counted: %s)" % {k: v for k, v in status.items() if v} if missing else "")


@L.test("resilience.read_only_hosts_deny")
def read_only(lab):
    deny = lab.folder + "/deny-ro"
    open(deny, "w").write("# theirs\n")
    sentry = lab.sentry("-stcp", settings={"BLOCK_TCP": "1", "KILL_HOSTS_DENY": "ALL: $TARGET$", "HOSTS_DENY_FILE": deny},
                        mounts="mount --bind %s %s && mount -o remount,ro,bind %s" % (deny, deny, deny))
    source = lab.new_source()[0]
    lab.syn(source, 111)
    sentry.wait_line(alert(source))
    said = sentry.wait_line("(?i)(read-only|cannot|could not|error).*" )
    time.sleep(0.2)
    L.check(not sentry.find("Host %s has been blocked" % source), "it says that the host is blocked")
    L.check(source not in sentry.blocked(), "`blocked` lists the host")
    L.check(open(deny).read() == "# theirs\n", "the file was changed")
    return "said: " + said.string[:120]


@L.test("resilience.nft_command_missing")
def no_nft(lab):
    sentry = lab.sentry("-stcp", settings=NFT, environment={"PATH": "/nonexistent"})
    a4, a6 = lab.new_source()
    block(lab, sentry, a4, a6)
    return "netlink needs no nft command"


@L.test("resilience.nftables_refused")
def no_nftables(lab):
    """A kernel or container that does not let us: said at once, and no block claimed."""
    sentry = lab.sentry("-stcp", settings={**NFT}, wait=False,
                        mounts='exec 3>&1; set -- setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$@"')
    L.wait_for(lambda: sentry.process.poll() is not None or sentry.find("READY=1|now active"), 5, "a start or an end")
    if sentry.process.poll() is not None:
        L.check(sentry.process.returncode != 0, "it ended with 0")
        L.wait_for(lambda: sentry.texts(), 1, "a word about it")
        return "refuses to start: " + sentry.texts()[-1][:110]
    source = lab.new_source()[0]
    lab.syn(source, 111)
    sentry.wait_line(alert(source))
    said = sentry.wait_line("(?i)(not permitted|permission|cannot|could not|error)")
    L.check(not sentry.find("Host %s has been blocked" % source), "it claims a block that is not")
    return "said: " + said.string[:120]


@L.test("resilience.interface_removed_and_brought_back")
def interface(lab):
    sentry = lab.sentry("-stcp", settings={"BLOCK_TCP": "0"})
    source = lab.new_source()[0]
    lab.syn(source, 111)
    sentry.wait_line(alert(source))
    mark = sentry.mark()
    lab.in_target("ip", "link", "del", "lan0")
    time.sleep(0.3)
    L.check(sentry.process.poll() is None, "it ended with the interface")
    lab.add_cable()
    source = lab.new_source()[0]
    begun = time.monotonic()
    while not sentry.find(alert(source), mark):
        L.check(time.monotonic() - begun < 5, "nothing seen 5 s after the interface came back; %s" % sentry.texts(since=mark)[-3:])
        lab.syn(source, 111)
        time.sleep(0.02)
    took = time.monotonic() - begun
    source6 = lab.new_source()[1]
    lab.syn(source6, 111)
    sentry.wait_line(alert(source6))
    lab.in_target("ip", "link", "set", "lan0", "down")
    lab.in_target("ip", "link", "set", "lan0", "up")
    lab.in_target("ip", "addr", "replace", L.TARGET4 + "/24", "dev", "lan0")
    source = lab.new_source()[0]
    L.wait_for(lambda: (lab.syn(source, 111), time.sleep(0.05), sentry.find(alert(source)))[2], 5, "an alert after down and up")
    return "seen %.0f ms after it came back" % (took * 1e3)


@L.test("resilience.new_interface_is_watched")
def new_interface(lab):
    sentry = lab.sentry("-stcp", settings={"BLOCK_TCP": "0"})
    time.sleep(0.2)
    lab.spare, spare = 0, lab.spare
    with_mac = lab.add_cable  # The same MACs on another cable do no harm.
    with_mac("lan1", net="10.88.0", prefix6="fd88:")
    lab.spare = spare
    link = lab.link("lan1")
    begun = time.monotonic()
    L.wait_for(lambda: (link.send(P.segment("10.88.0.1", "10.88.0.2", 40000, 111)), time.sleep(0.02),
                        sentry.find(alert("10.88.0.1")))[2], 5, "a probe on the new interface to be seen")
    return "seen %.0f ms after it came" % ((time.monotonic() - begun) * 1e3)


@L.test("resilience.interface_that_is_not_there")
def no_interface(lab):
    sentry = lab.sentry("--stealth", "-i", "nosuch0", wait=False)
    L.wait_for(lambda: sentry.process.poll() is not None or sentry.find("nosuch0"), 4, "a word about nosuch0, or the end")
    L.wait_for(lambda: sentry.find("nosuch0"), 1, lambda: "a word about nosuch0; it said %s" % sentry.texts())
    return "said: %s%s" % (sentry.find(".*nosuch0.*").group(0)[:110], "" if sentry.process.poll() is None else
                           " and ended with %d" % sentry.process.returncode)


@L.test("resilience.reload")
def reload(lab):
    sentry = lab.sentry("-stcp", settings={"TCP_PORTS": "11,111"})
    good = dict(sentry.settings)
    mark = sentry.mark()
    sentry.write(sentry.config, open(sentry.config).read() + 'SCAN_TRIGER="2"\nTCP_PORTS="11,222"\n')
    sentry.write(sentry.config, 'TCP_PORTS="11,9999999"\nBLOCK_TCPP="1"\nHISTORY_FORMAT="nonsense"\nBLOCK_METHOD="magic"\n')
    sentry.send_signal(signal.SIGHUP)
    said = sentry.wait_line(r"portsentry\.conf:\d+", since=mark)
    source = lab.new_source()[0]
    lab.syn(source, 111)
    sentry.wait_line(alert(source))
    sentry.configure({**good, "TCP_PORTS": "11,222"})
    mark = sentry.mark()
    sentry.send_signal(signal.SIGHUP)
    source, other = lab.new_source()[0], lab.new_source()[0]
    L.wait_for(lambda: (lab.syn(source, 222), time.sleep(0.05), sentry.find(alert(source), mark))[2], 3, "the new port to be watched after HUP")
    lab.syn(other, 111)
    time.sleep(0.3)
    L.check(not sentry.find(alert(other)), "the old port is still watched after HUP")
    return "a bad file: `%s`; a good one in force" % said.string[-110:]


@L.test("resilience.clean_end")
def clean_end(lab):
    for number in (signal.SIGTERM, signal.SIGINT):
        sentry = lab.sentry("-stcp", "-sudp", name="end-%d" % number)
        status = sentry.stop(number)
        L.check(status == 0, "signal %d: exit %s" % (number, status))
        sentry.wait_line("securityalert: PortSentry is shutting down", 1)
        sentry.wait_line("adminalert: PortSentry is shutting down", 1)
    sentry = lab.sentry("--stealth", name="end-modern")
    L.check(sentry.stop() == 0, "2.x's form: exit not 0")
    sentry.wait_line("Portsentry is shutting down", 1)


@L.test("resilience.served_port_is_not_reported")
def served(lab):
    sentry = lab.sentry("-atcp", "-audp")
    quiet, late, other = lab.new_source()[0], lab.new_source()[0], lab.new_source()[0]
    lab.syn(other, 594)
    sentry.wait_line(alert(other))
    tcp, udp = lab.service(594), lab.service(594, socket.SOCK_DGRAM)
    time.sleep(0.1)
    link = lab.link()
    for _ in range(3):
        lab.syn(quiet, 594)
        link.send(P.datagram(quiet, L.TARGET4, 40000, 594, b"x"))
    time.sleep(0.3)
    L.check(not sentry.find(alert(quiet)), "a served port was reported")
    tcp.close()
    udp.close()
    time.sleep(0.1)
    begun = time.monotonic()
    L.wait_for(lambda: (lab.syn(late, 594), time.sleep(0.03), sentry.find(alert(late)))[2], 3, "the port to be reported when nobody serves it")
    took = time.monotonic() - begun
    # A service on loopback alone hides nothing, and one of IPv4 does not hide IPv6.
    lab.service(600, address="127.0.0.1")
    lab.service(601)
    time.sleep(0.1)
    a4, a6 = lab.new_source()
    lab.syn(a4, 600)
    sentry.wait_line(alert(a4))
    lab.syn(a6, 601)
    sentry.wait_line(alert(a6))
    return "reported again %.0f ms after the service ended" % (took * 1e3)


@L.test("resilience.no_port_is_ever_opened")
def no_port(lab):
    """1.2 and 2.x answer SYN-ACK from `closed` ports while they look who is there (compat.md W3)."""
    sentry = lab.sentry("-stcp", "-sudp")
    answers = lab.count("ip daddr 10.77.0.0/16 tcp flags & (syn|ack) == syn|ack", "unused")
    lab.in_target("nft", "add", "chain", "inet", "lab", "out", "{ type filter hook output priority -450; }")
    lab.in_target("nft", "add", "counter", "inet", "lab", "synack")
    lab.in_target("nft", "add", "rule", "inet", "lab", "out", "tcp", "flags", "&", "(syn|ack)", "==", "syn|ack", "counter", "name", "synack")
    lab.in_attacker("timeout", "-s", "INT", "2", "hping3", "--flood", "-S", "-p", "111", "-q", L.TARGET4, ok=None)
    out = lab.in_target("nft", "list", "counter", "inet", "lab", "synack").stdout
    n = int(re.search(r"packets (\d+)", out).group(1))
    L.check(n == 0, "%d SYN-ACKs from a port that nothing serves" % n)
    listening = lab.in_target("ss", "-Htuln", ok=None).stdout
    L.check("111" not in listening, "something listens: %s" % listening)
    del answers, sentry


@L.test("resilience.scan_trigger")
def trigger(lab):
    for value, alerts_after in (("0", 1), ("1", 1), ("2", 2), ("3", 3)):
        sentry = lab.sentry("-stcp", settings={"SCAN_TRIGGER": value}, name="trigger" + value)
        source = lab.new_source()[0]
        for n in range(1, 5):
            mark = sentry.mark()
            lab.syn(source, 111)
            if n < alerts_after:
                time.sleep(0.15)
                L.check(not sentry.find(alert(source), mark), "SCAN_TRIGGER=%s: an alert at packet %d" % (value, n))
            else:
                sentry.wait_line(alert(source), since=mark, timeout=1)
        sentry.stop()


@L.test("resilience.ignored_host")
def ignored(lab):
    friend4, friend6 = lab.new_source()
    sentry = lab.sentry("-stcp", settings=NFT, ignore="# ours\n10.77.0.1/32\n%s\n%s" % (friend4, friend6.upper()))
    lab.syn(friend4, 111)
    lab.syn(friend6, 111)
    stranger, becomes_friend = lab.new_source()[0], lab.new_source()[0]
    block(lab, sentry, stranger)
    L.check(not sentry.find(alert(friend4)) and not sentry.find(alert(friend6)), "an ignored host is reported as an attacker")
    L.check(not {friend4, friend6} & lab.nft_elements(), "an ignored host is blocked")
    open(sentry.ignore_file, "a").write("\n" + becomes_friend + "\n")
    time.sleep(0.5)
    lab.syn(becomes_friend, 111)
    time.sleep(0.3)
    L.check(becomes_friend not in lab.nft_elements() and not sentry.find(alert(becomes_friend)), "an edit of the ignore file is not picked up")


@L.test("resilience.stragglers_accuse_nobody")
def stragglers(lab):
    everything = {"ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "ADVANCED_EXCLUDE_TCP": None}
    sentry = lab.sentry("-atcp", "-audp", settings=everything)
    link = lab.link()
    # A late answer to a UDP client that has gone.
    resolver = lab.new_source()[0]
    client = lab.open_socket(lab.target, socket.AF_INET, socket.SOCK_DGRAM)
    client.bind((L.TARGET4, 0))
    client.sendto(b"question", (resolver, 53))
    port = client.getsockname()[1]
    client.close()
    time.sleep(0.2)
    link.send(P.datagram(resolver, L.TARGET4, 53, port, b"late answer"))
    # A TCP client of ours whose connection has ended; what its peer still sends.
    server = lab.new_source()[0]
    listener = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((server, 8000))
    listener.listen()
    client = lab.open_socket(lab.target, socket.AF_INET, socket.SOCK_STREAM)
    client.connect((server, 8000))
    port = client.getsockname()[1]
    accepted, _ = listener.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # Ends by RST: no TIME_WAIT hides the port.
    client.close()
    accepted.close()
    time.sleep(0.1)
    for flags in (P.FIN | P.ACK, P.ACK, P.RST, P.RST | P.ACK, P.FIN | P.PSH | P.ACK, P.SYN | P.ACK):
        link.send(P.segment(server, L.TARGET4, 8000, port, flags, seq=99, ack=99))
    # A service of ours that has ended; what its clients still send.
    guest = lab.new_source()[0]
    service = lab.service(8080)
    time.sleep(0.1)
    c = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
    c.bind((guest, 0))
    c.connect((L.TARGET4, 8080))
    guest_port = c.getsockname()[1]
    accepted, _ = service.accept()
    # The kernel is asked when the packet has been read: a service that is gone by then is not one (docs/architecture.md).
    time.sleep(0.1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    accepted.close()
    service.close()
    time.sleep(0.1)
    for flags in (P.FIN | P.ACK, P.ACK, P.PSH | P.ACK, P.RST):
        link.send(P.segment(guest, L.TARGET4, guest_port, 8080, flags, seq=99, ack=99))
    # Backscatter: answers to SYNs that somebody sent in our name.
    victim = lab.new_source()[0]
    for i, flags in enumerate((P.SYN | P.ACK, P.RST, P.RST | P.ACK)):
        link.send(P.segment(victim, L.TARGET4, 80, 20000 + i, flags, seq=5, ack=6))
    scanner = lab.new_source()[0]
    lab.syn(scanner, 594)
    sentry.wait_line(alert(scanner))
    time.sleep(0.2)
    accused = [what for what, who in (("the resolver's late answer", resolver), ("the peer of an ended connection", server),
                                      ("the guest of an ended service", guest), ("a victim's backscatter", victim)) if sentry.find(alert(who))]
    L.check(not accused, "accused: %s; %s" % (", ".join(accused), [t for t in sentry.texts() if "attackalert" in t and scanner not in t][:6]))
    del listener


@L.test("resilience.second_instance")
def second(lab):
    sentry = lab.sentry("-stcp", settings=NFT)
    other = lab.sentry("-stcp", folder=sentry.folder, settings=NFT, wait=False)
    status = other.process.wait(5)
    other.reader_stop()
    L.check(status != 0, "a second sentry with the same state started")
    said = " ".join(open(other.folder + "/" + c).read() for c in ("stderr", "stdout"))
    L.check("already" in said or "running" in said, "it ended with %d and said %r" % (status, said[:200]))
    L.check(sentry.process.poll() is None, "the first one ended")
    sentry.control_command("status")
    return "exit %d: %s" % (status, said.strip()[:110])


@L.test("resilience.not_root")
def not_root(lab):
    sentry = lab.sentry("-stcp", wait=False, user="nobody")
    status = sentry.process.wait(5)
    L.check(status not in (0, None) and status > 0, "exit %s" % status)
    L.wait_for(lambda: sentry.find("(?i)root"), 1, lambda: "a word about root; it said %s" % sentry.texts())
    return "exit %d: %s" % (status, sentry.find("(?i).*root.*").group(0)[:110])


@L.test("resilience.busy_port_in_connect_mode")
def busy(lab):
    lab.service(111)
    sentry = lab.sentry("-tcp", "-udp", settings={"TCP_PORTS": "11,111,143", "UDP_PORTS": "11,69"})
    sentry.wait_line("adminalert: ERROR: could not bind TCP socket: 111. Attempting to continue")
    source, second_source = lab.new_source()[0], lab.new_source()[0]
    lab.nmap("-sT", "-p", "143", source=source)
    sentry.wait_line("attackalert: Connect from host: %s/%s to TCP port: 143" % (source, source))
    lab.nmap("-sU", "-p", "69", source=second_source)
    sentry.wait_line("attackalert: Connect from host: %s/%s to UDP port: 69" % (second_source, second_source))
    status = sentry.stop()
    L.check(status == 0, "exit %s" % status)
    sentry.launch()
    mark = sentry.mark()
    L.check(not sentry.find("could not bind TCP socket: (11|143)\\b", since=0) or not sentry.find("could not bind TCP socket: 143", since=mark),
            "TIME_WAIT kept a port after a restart")
    del mark


@L.test("resilience.port_banner")
def banner(lab):
    sentry = lab.sentry("-tcp", settings={"PORT_BANNER": "** go away **"})
    c = lab.open_socket(lab.attacker, socket.AF_INET, socket.SOCK_STREAM)
    c.settimeout(2)
    c.bind((lab.new_source()[0], 0))
    c.connect((L.TARGET4, 111))
    got = c.recv(100)
    L.check(got == b"** go away **", "the banner is %r" % got)
    L.check(c.recv(100) == b"", "the connection was not closed")
    del sentry


@L.test("resilience.background_start")
def background(lab):
    sentry = lab.sentry("-stcp", foreground=False, wait=False)
    L.check(sentry.process.returncode == 0, "the parent ended with %s: %s" % (sentry.process.returncode, sentry.texts()))
    L.check(sentry.pid, "nothing went on in the background")
    source = lab.new_source()[0]
    lab.syn(source, 111)  # At once: the parent returns only when packets are watched.
    sentry.wait_line(alert(source), timeout=2)
    sentry.stop()
    bad = lab.sentry("-stcp", foreground=False, wait=False, settings={"TCP_PORTS": ""}, name="bad")
    L.check(bad.process.returncode not in (0, None), "no ports: the parent ended with %s" % bad.process.returncode)
    return "and a failure before it detaches ends with %d" % bad.process.returncode


@L.test("resilience.files_and_permissions")
def permissions(lab):
    sentry = lab.sentry("-stcp", settings=NFT)
    block(lab, sentry, lab.new_source()[0])
    time.sleep(0.2)
    loose = []
    for folder, _, names in os.walk(sentry.folder):
        for name in names:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if name in ("log.sock", "notify.sock", "stdout", "stderr", "started"):
                continue
            if stat.S_IMODE(mode) & 0o022 and not stat.S_ISLNK(mode):
                loose.append("%s %o" % (name, stat.S_IMODE(mode)))
    L.check(not loose, "others may write to: " + ", ".join(loose))
    control = os.stat(sentry.control).st_mode
    L.check(stat.S_ISSOCK(control) and not control & 0o007, "the control socket's mode is %o" % stat.S_IMODE(control))


if __name__ == "__main__":
    raise SystemExit(L.main())
