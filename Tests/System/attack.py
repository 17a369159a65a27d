"""make attack: what somebody may try against the sentry itself, and docs/attacks.md, the table of it.

    python3 Tests/System/attack.py --table > docs/attacks.md
"""

import json
import os
import sys
import time

import lab as L
import packets as P
from crowd import Cannon, KILL_ROUTE_OF_1_2, NFT_FOR_1_2, settle, syns
from deception import connect

SETTINGS = {"BLOCK_TCP": "1", "RULE": "classic"}


def own(lab, *networks):
    """The attacker owns these IPv6 networks: each of their addresses answers, and finds its way back."""
    lab.in_attacker("sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1")
    for network in networks:
        lab.in_attacker("ip", "-6", "route", "add", "local", network, "dev", "lo")
        lab.in_target("ip", "-6", "route", "replace", network, "via", L.ATTACKER6)


def touch(lab, source, port=101):
    """A completed connection to a decoy, if it is still answered."""
    s = connect(lab, source, port, timeout=0.5)
    if s:
        s.close()
        lab.sockets.remove(s)


@L.test("attack.block_rate")
def block_rate(lab):
    """A flood of proven IPv6 sources, one a /48, keeps no scanner of IPv4, of another /32, or operator from blocking."""
    settle(lab)
    own(lab, "fd79::/32", "fd7a::/32")
    sentry = lab.sentry("-atcp", settings={**SETTINGS, "BLOCK_RATE": "64", "BLOCK_MAX": "64"})
    for number in range(200):
        touch(lab, "fd79:0:%x::1" % number)
    L.wait_for(lambda: len(sentry.blocked()) >= 16, 5, lambda: "blocked: %d" % len(sentry.blocked()))
    time.sleep(0.5)
    flood = [b for b in sentry.blocked() if b.startswith("fd79:")]
    L.check(len(flood) == 16, "a /32 got %d of 64 blocks; a quarter is 16" % len(flood))
    refused = sentry.ask("status")["blocks"]["refused"]
    L.check(refused >= 100, "refusals are counted: %d" % refused)
    touch(lab, "fd7a::1")
    L.wait_for(lambda: "fd7a::1" in sentry.blocked(), 3, "the block of a scanner in another /32")
    for number in range(60):
        touch(lab, "fd7a:0:%x::1" % (number + 1))
    source = lab.new_source()[0]
    begun = time.monotonic()
    touch(lab, source)
    L.wait_for(lambda: source in sentry.blocked(), 3, "the block of an IPv4 scanner")
    took = time.monotonic() - begun
    L.check("is blocked" in sentry.control_command("block", "192.0.2.77").stdout, "an operator finds no room")
    sentry.stop()
    # Control: without shares, the same flood is an off switch. BLOCK_MAX below 16 is not shared out.
    sentry = lab.sentry("-atcp", settings={**SETTINGS, "BLOCK_MAX": "15"}, name="control")
    for number in range(30):
        touch(lab, "fd79:0:%x::1" % number)
    L.wait_for(lambda: len(sentry.blocked()) == 15, 5, lambda: "blocked: %d" % len(sentry.blocked()))
    source = lab.new_source()[0]
    touch(lab, source)
    time.sleep(0.5)
    L.check(source not in sentry.blocked(), "the control: a table that is not shared out was expected to be full")
    return "200 handshakes of a /32 got 16 of 64 blocks; IPv4 blocked %.2f s after" % took


@L.test("attack.foreign_folders")
def foreign_folders(lab):
    """From a STATE_DIR to which another user can write nothing is read back: no planted block takes force, nobody planted is allowed. All
    such folders draw a warning."""
    theirs = os.path.join(lab.folder, "theirs")
    os.makedirs(theirs)
    keys = {key: "%s/%s" % (theirs, name) for key, name in (
        ("STATE_DIR", "state"), ("HISTORY_FILE", "history"), ("BLOCKED_FILE", "blocked"), ("EVENTS_FILE", "events"), ("EVE_FILE", "eve"),
        ("METRICS_FILE", "metrics"), ("CONTROL_SOCKET", "control"))}
    # What is planted is a file of a real sentry: a block of 192.0.2.77, as if it had been made before.
    sentry = lab.sentry("-atcp", settings={**SETTINGS, **keys}, wait=False)
    sentry.control = keys["CONTROL_SOCKET"]
    L.wait_for(lambda: sentry.control_command("status", ok=None).returncode == 0, 20, "the first sentry")
    L.check("is blocked" in sentry.control_command("block", "192.0.2.77").stdout, "no block to begin with")
    L.check("is allowed" in sentry.control_command("allow", "192.0.2.79").stdout, "nobody allowed to begin with")
    sentry.stop()
    planted = {name: open(theirs + "/state/" + name).read() for name in ("blocks", "allowed")}
    L.check("192.0.2.77" in planted["blocks"] and "192.0.2.79" in planted["allowed"], planted)

    def allowed(sentry):
        return [entry["network"] for entry in sentry.ask("status")["allowed"]]

    def start(name):
        later = lab.sentry("-atcp", settings={**SETTINGS, **keys}, wait=False, name=name)
        L.wait_for(lambda: later.control_command("status", ok=None).returncode == 0, 20, "the sentry in %s" % name)
        return later

    # Control: in a folder of ours it takes force.
    sentry = start("ours")
    L.check(sentry.blocked() == {"192.0.2.77"} and allowed(sentry) == ["192.0.2.79"], "the control: %s, %s" % (sentry.blocked(), allowed(sentry)))
    sentry.stop()
    os.chown(theirs, 4711, 4711)
    for mode, owner, who in ((0o755, 4711, "user 4711"), (0o1777, 0, "every user"), (0o770, 0, "group 4711")):
        os.chown(theirs, owner, 4711)
        os.chmod(theirs, mode)
        for name, text in planted.items():
            with open(theirs + "/state/" + name, "w") as f:
                f.write(text)
        said = lab.in_target(L.binary, "check", "-c", sentry.config, ok=None)
        said = said.stdout + said.stderr
        missing = [key for key in keys if "%s: %s can write to %s" % (key, who, theirs) not in said]
        L.check(not missing, "%o: no warning about %s in %s" % (mode, missing, said))
        sentry = start("%o" % mode)
        L.check(sentry.blocked() == set(), "a planted block took force: %s" % sentry.blocked())
        L.check(allowed(sentry) == [], "somebody planted is allowed: %s" % allowed(sentry))
        L.check("is blocked" in sentry.control_command("block", "192.0.2.78").stdout, "it does not block any more")
        said = sentry.control_command("allow", "192.0.2.80").stdout
        L.check("192.0.2.80 is allowed" in said and "would not survive a restart: %s can write to %s" % (who, theirs) in said, said)
        sentry.stop()
        for name, text in planted.items():
            L.check(open(theirs + "/state/" + name).read() == text, "it writes there")
    return "owner, group and everybody: seven warnings each, nothing read"


def recorded_and_counted(sentry, sent, names):
    """Numbers of `status --json` once they add up to what was sent, or when ten seconds have passed."""
    end = time.monotonic() + 20
    while True:
        status = sentry.ask("status")
        total = status["probes"]["seen"] + sum(status["packets"]["dismissed"].get(n, 0) for n in names) + sum(
            status["dropped"][n] for n in ("ring_full", "queue_full"))
        if total >= sent or time.monotonic() > end:
            return total, status
        time.sleep(0.5)


@L.test("attack.flood_is_accounted_for")
def accounted(lab):
    """Forged SYNs at full speed: recorded + counted = what the kernel saw come and answered, and the disk gets a bounded share of it."""
    settle(lab)
    # What the kernel sends again comes at any time, and would be counted by one of the two and not yet by the other.
    lab.in_target("sysctl", "-qw", "net.ipv4.tcp_synack_retries=0")
    count = 600_000 if os.environ.get("PORTSENTRY_BENCH") else 200_000
    sentry = lab.sentry("-atcp", settings={**SETTINGS, "ADVANCED_PORTS_TCP": "65535", "ADVANCED_EXCLUDE_TCP": None, "HISTORY_FORMAT": "2"})
    # But for its own test packets.
    came = lab.count("meta mark != 0x70730dec tcp flags & (fin|syn|rst|ack) == syn")
    # The ring has our answers too, and its losses are of both.
    lab.in_target("nft", "-f", "-", input="add chain inet lab last { type filter hook postrouting priority 500; }\n"
                  "add counter inet lab answers\nadd rule inet lab last tcp flags & (fin|syn|rst|ack) == (syn|ack) counter name answers\n")

    def answered():
        out = lab.in_target("nft", "-j", "list", "counter", "inet", "lab", "answers").stdout
        return next(i["counter"]["packets"] for i in json.loads(out)["nftables"] if "counter" in i)
    frames = syns(["198.%d.%d.%d" % (18 + n % 2, n // 2 % 256, n // 512 % 250 + 1) for n in range(100_000)], list(range(1, 60_000)))
    cannon = Cannon(lab, frames)
    begun = time.monotonic()
    cannon.fire(count)
    took = time.monotonic() - begun
    time.sleep(1.5)
    sent, answers = came(), answered()
    L.check(sent == count, "%d of %d SYNs came" % (sent, count))
    reasons = sentry.ask("status")["packets"]["dismissed"]
    total, status = recorded_and_counted(sentry, sent + answers, list(reasons))
    text = "%d SYNs in %.1f s, %d answers: %d in the numbers of status: %d probes, %s, %s" % (
        sent, took, answers, total, status["probes"]["seen"], status["packets"]["dismissed"], status["dropped"])
    # Neighbours are asked for now and then. Programs at the interfaces count what they lose of probes, a packet socket what it loses of both ways.
    own = status["packets"]["dismissed"].get("sent by this host", 0)
    fits = 0 <= total - own - sent <= 20 and own <= answers + 20
    L.check(fits or 0 <= total - sent - answers <= 20, text + ": %+d, %+d without answers" % (total - sent - answers, total - own - sent))
    # What was recorded is in the history, or counted as left out of it; and the file has grown by no more than FILE_RATE.
    size = os.path.getsize(sentry.history)
    lines = open(sentry.history).read().count("\n")
    L.check(size <= (1 << 20) + 4096, "%d bytes of history in the minute of a flood" % size)
    L.check(lines + status["dropped"]["history"] >= status["probes"]["seen"], "history: %d lines, %d left out, %d probes" % (
        lines, status["dropped"]["history"], status["probes"]["seen"]))
    state = sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(sentry.folder + "/state") for name in names)
    # Control: without the limits the same flood writes what it likes.
    sentry.stop()
    free = lab.sentry("-atcp", name="free", settings={**SETTINGS, "ADVANCED_PORTS_TCP": "65535", "ADVANCED_EXCLUDE_TCP": None, "HISTORY_FORMAT": "2",
                                                      "FILE_RATE": "0"})
    cannon.fire(count)
    time.sleep(2)
    larger = os.path.getsize(free.history)
    L.check(larger > 4 * size, "the control: %d bytes of history without FILE_RATE, %d with it" % (larger, size))
    return text + "; %d KiB of history (without FILE_RATE %d KiB), %d KiB of state" % (size >> 10, larger >> 10, state >> 10)


@L.test("attack.succeeds_against_1_2")
def old(lab):
    """Controls: what is tried here does harm to Debian's PortSentry 1.2, which has no guard against it."""
    if not os.path.exists(L.DEBIAN):
        raise L.Skip("no PortSentry 1.2")
    settle(lab)
    lab.in_target("nft", "-f", "-", input=NFT_FOR_1_2)
    web = lab.service(80)

    def alerts(sentry, words=""):
        return sum("attackalert: TCP SYN/Normal scan" in text and words in text for text in sentry.texts())

    def start(name, **keys):
        return lab.sentry("-atcp", predecessor=True, name=name, timeout=30, settings={"BLOCK_TCP": "1", "KILL_ROUTE": KILL_ROUTE_OF_1_2, **keys})
    # A ruleset that is flushed stays so, and whoever was blocked gets in for good: he is on a list.
    sentry = start("flushed")
    source, other = lab.new_source()[0], lab.new_source()[0]
    lab.syn(source, 594)
    L.wait_for(lambda: not connect(lab, source, 80, timeout=0.2), 10, "1.2's block", 0.1)
    lab.in_target("nft", "flush", "set", "inet", "lab12", "bad")
    lab.syn(source, 595)
    sentry.wait_line("is already blocked", timeout=10)
    L.check(connect(lab, source, 80), "a block of 1.2's came back after a flush")
    # Killed, and started anew, it knows nobody.
    L.check(os.path.getsize(sentry.blocked_file + ".atcp") > 0, "1.2 has written nobody down")
    sentry.stop(9)
    sentry.launch(timeout=30)
    L.check(os.path.getsize(sentry.blocked_file + ".atcp") == 0, "1.2 remembers whom it blocked")
    sentry.stop()
    # A command that hangs stops all of it.
    sentry = start("hangs", KILL_ROUTE=None, BLOCK_TCP="2", KILL_RUN_CMD="sleep 4")
    lab.syn(source, 594)
    sentry.wait_line("to TCP port: 594", timeout=10)
    begun = time.monotonic()
    lab.syn(other, 596)
    sentry.wait_line("to TCP port: 596", timeout=20)
    hung = time.monotonic() - begun
    L.check(hung > 2, "1.2 did not wait for its command: %.2f s" % hung)
    sentry.stop()
    # A line for each packet; and of a flood what the kernel keeps for it, with no word of the rest.
    sentry = start("flooded", KILL_ROUTE=None, BLOCK_TCP="0")
    link = lab.link()
    for port in range(200, 700):
        link.send(P.segment(other, L.TARGET4, 40000, port))
        if port % 20 == 19:
            # No faster than it reads: what it loses in a flood comes next.
            L.wait_for(lambda: alerts(sentry, other) >= (port - 199) * 0.9, 20, lambda: "a line for each packet; there are %d of %d" % (
                alerts(sentry, other), port - 199))
    came = lab.count("tcp flags & (fin|syn|rst|ack) == syn")
    cannon = Cannon(lab, syns(["198.%d.%d.%d" % (18 + n % 2, n // 2 % 256, n // 512 % 250 + 1) for n in range(60_000)], list(range(200, 1000))))
    cannon.fire(60_000)
    sent, lines = came(), -1
    # It works off what has waited.
    while lines < (now := alerts(sentry)):
        lines = now
        time.sleep(1)
    lines -= alerts(sentry, other)
    L.check(sent == 60_000 and lines < sent * 0.9, "1.2 told of %d of %d packets" % (lines, sent))
    L.check(not sentry.find("lost|dropped|limit"), "1.2 says what it missed")
    web.close()
    return "1.2: a flush unblocks for good, a restart forgets, a command holds it up %.1f s, 500 packets are 500 lines, %d of %d forged SYNs have none" % (
        hung, sent - lines, sent)


# The attack, what he spends, what he gets, the control under which it succeeds, and the tests that try it. Figures are of those tests.
ATTACKS = [
    ("Scan in other people's names (SYN, FIN, Xmas, UDP, blind ACKs), any rule and mode", "100,000 forged packets",
     "nobody is blocked; the framed address loses nothing", "`PROOF=\"none\"`; PortSentry 1.2",
     "innocents.classic_rule innocents.native_rule deception.no_forged_packet_blocks_anybody deception.a_framed_bystander_loses_nothing"),
    ("A flood of forged SYNs to hide a scanner who connects", "as many SYNs as one core sends",
     "the scanner is blocked within seconds of his first connection, nobody else is", "a sentry that is not running", "flood.costs_little_and_hides_nobody"),
    ("A flood of forged SYNs to have probes vanish", "200,000 SYNs at full speed",
     "each SYN is in one number of `status`: recorded, dismissed or lost", "PortSentry 1.2: a part has no line and no number",
     "attack.flood_is_accounted_for attack.succeeds_against_1_2"),
    ("Fill the disk with lines", "200,000 forged SYNs", "1 MB of each file a minute; the journal some megabytes, at most its room for an hour",
     "`FILE_RATE=\"0\"`: ten times as much", "attack.flood_is_accounted_for"),
    ("Use up BLOCK_RATE or BLOCK_MAX, so that the next scanner is not blocked", "one IPv6 /32, a handshake from each /48",
     "a quarter of either; IPv4, other prefixes and operators find room", "a limit below 16, which is not shared out", "attack.block_rate"),
    ("Have neighbours in a prefix blocked", "four handshakes from one /64", "the /64, unless somebody in it used a service within a day; never a /56 or /48",
     "`BLOCK_PREFIX_IPV6=\"48\"`", "spared.neighbours_in_a_prefix deception.prefixes_of_ipv6"),
    ("Plant a block, a page token or a journal", "a local user who can write to a folder above STATE_DIR", "nothing is read back; a warning at check and start",
     "the same files in a folder of root's", "attack.foreign_folders"),
    ("Tell services from decoys without a handshake", "nmap and masscan, every scan type", "0 bits", "`ADVANCED_DECOY=\"0\"`",
     "learned.services_cannot_be_told_from_decoys deception.every_scan_sees_one_wall deception.a_decoy_answers_like_a_service"),
    ("Connect scan", "connections to every port", "one decoy connection", "PortSentry 1.2", "deception.first_decoy_connection_is_the_last"),
    ("Use the moment between proof and block", "datagrams and SYNs directly behind the last ACK", "nothing reaches a socket", "without eBPF: some tenths of a millisecond",
     "after_ban.nothing_reaches_a_socket"),
    ("Cut an administrator's session by a block", "a block of his address", "open sessions go on, new ones are refused", "kernels before 5.11",
     "spared.open_session"),
    ("Frame an administrator, who then loads an image from an unused port", "five SYNs in his name",
     "nothing while he works with a service: the administrator would have to connect to three unused ports", "an address that works with nothing here",
     "spared.framed_and_strays_once"),
    ("Keep a connection to a decoy to pass the block", "one connection held", "nothing passes", "a connection to a service, which goes on",
     "spared.decoy_connection spared.open_session"),
    ("Fill what decoys hold", "thousands of connections that stay", "32 a source, 2,048 in all", "a service beside it keeps all of them", "deception.tarpit"),
    ("Get into the page: squat its address, forge a request, stall it", "a local user, or a web page that the administrator visits",
     "no link, no button, an answer within a second", "the page's own link, cookie and form", "page.tells_no_squatter page.obeys_nobody_else page.hostile_names_stay_text"),
    ("Make a firewall or a flush take the deception away unseen", "root's own tools", "said, and mended", "PortSentry 1.2: a flush lets in for good",
     "deception.foreign_hands deception.hidden_later attack.succeeds_against_1_2"),
    ("Kill the sentry during an attack", "kill -9", "blocks stay, decoys end, the next start repairs the rest", "PortSentry 1.2: it forgets whom it blocked",
     "kills.at_any_moment deception.ends_with_the_sentry attack.succeeds_against_1_2"),
    # Oracles: what a decoy's answers tell beside a service's.
    ("Tell by TCP options: MSS, window scale, SACK, timestamps, TFO, MPTCP, MD5, broken ones", "90 SYNs", "0 bits", "`ADVANCED_DECOY=\"0\"`: 44 of 45 questions tell",
     "oracles.options"),
    ("Tell by header fields: ECN, TTL, TOS, IP ID, DF, flow label, window, numbers, urgent data, data in the SYN", "76 SYNs", "0 bits",
     "`ADVANCED_DECOY=\"0\"`", "oracles.header_fields"),
    ("Tell by flags: all 64 sets, in doubt or not, after a SYN to the same port", "two packets and an address for each port", "0 bits",
     "versions that drop FIN/ACK of the doubted; `ADVANCED_DECOY=\"0\"`", "oracles.flags"),
    ("Tell by what is half open: SYN again, RST, FIN, ACK, data, old timestamps", "three packets a port", "0 bits", "`ADVANCED_DECOY=\"0\"`", "oracles.half_open_states"),
    ("Tell by when and how often a SYN/ACK is repeated", "a SYN a port, and waiting", "0 bits", "`ADVANCED_DECOY=\"0\"`", "oracles.retransmission"),
    ("Tell by clocks: timestamps, sequence numbers, time to the answer", "hundreds of SYNs", "0 bits", "`ADVANCED_DECOY=\"0\"`",
     "oracles.clocks deception.a_decoy_answers_like_a_service"),
    ("Tell by fragments: small, out of order, twice, overlapping, endless; by IPv4 options", "up to five packets a port", "0 bits", "`ADVANCED_DECOY=\"0\"`", "oracles.fragments"),
    ("Tell by IPv6 extension headers, of any length, in any order", "a packet a port", "0 bits", "`ADVANCED_DECOY=\"0\"`", "oracles.extension_headers"),
    ("Tell by the frame: VLAN tags, QinQ, broadcast, padding, IP in IP, GRE", "a frame a port", "0 bits", "`ADVANCED_DECOY=\"0\"`", "oracles.links"),
    ("Tell by a flood of half-open connections in invented names", "520,000 forged SYNs", "0.00 bits of 54", "a queue of 4,096: 56.6 bits after 4,300", "oracles.half_open_flood"),
    ("Tell by a flood of half-open connections from one address", "320,000 SYNs of his own", "0.00 bits of 54", "a queue of 4,096: 56.6 bits after 4,300", "oracles.half_open_flood"),
    ("Tell by how fast a connection takes data", "one connection", "nothing: both take what comes", "`DECOY_TARPIT=\"1\"`: some hundred KB in all", "oracles.data_sink"),
    ("Tell by a connection's states: order, windows, keepalive, urgent data, RST, FIN, TIME_WAIT", "a connection a port", "0 bits",
     "`DECOY_TARPIT=\"1\"`", "oracles.connected"),
    # Evasion.
    ("Guess the ACK to a SYN cookie in a bystander's name", "2^29 packets", "nothing: a second guess within the hour is needed", "a handshake without a cookie",
     "evasion.guessed_cookie"),
    ("Complete handshakes that are hard to read: fragments, extension headers up to the link's length", "three connections", "blocked at the third, or the first (classic rule)",
     "one port", "evasion.handshakes_that_are_hard_to_read"),
    ("Change the address with each connection, within a /64", "59 addresses", "four connections, then the /64 is blocked", "addresses that have nothing in common",
     "evasion.rotation deception.prefixes_of_ipv6"),
    ("Two ports an address, within a /24", "60 addresses", "one or two connections an address; each is blocked", "addresses that have nothing in common", "evasion.rotation"),
    ("Wait an hour, a day, a week between ports", "patience", "the same verdict at the third port", "two ports", "evasion.patience"),
    ("Ask services only", "knowing them", "what he knew; he is no scanner", "one wrong guess", "evasion.services_only"),
    ("Scan from behind a NAT, so that the house is blocked", "an address shared with others",
     "nothing while a neighbour has a session here; then the house is blocked, open sessions go on", "a house in which nobody works", "evasion.behind_one_address"),
    ("Have a page make its visitors connect here", "visitors", "nobody is blocked for one port", "`RULE=\"classic\"`; three ports", "deception.one_wrong_port_is_no_scan_by_the_native_rule"),
    ("Frame gateways, resolvers, time and DHCP servers, this host", "forged or real connections", "they are neither answered with decoys nor blocked; nor are gateways that appear later", "others in the same test",
     "deception.who_is_spared deception.safe_list_is_found spared.later_gateway resilience.never_blocked"),
    ("Have the host reflect", "forged SYNs, FINs, ACKs, datagrams", "what a service sends: one packet of the same size, and its repetitions", "a service beside it", "evasion.reflection"),
    # What can be filled, stopped or misled.
    ("Fill the sets of doubts", "90,000 forged SYNs", "every source is answered with decoys for a while; honest visitors are served, 0.00 bits", "`ADVANCED_DECOY=\"0\"`: 19 bits",
     "evasion.full_sets_of_doubts"),
    ("Hold a decoy's port against a service that starts", "connections to the decoy, open or in TIME_WAIT", "nothing: the service binds", "two services at one port",
     "deception.a_service_takes_its_port"),
    ("Stall the control socket", "100 idle clients (a local user of the same name)", "answers as before", "another user, who may not connect", "evasion.control_socket"),
    ("Fill log and disk, or stop who takes the log", "a scan of all ports; a full disk; a syslogd that stands still", "two lines; blocks go on; what is lost is counted",
     "PortSentry 1.2: a line for each packet", "logs. resilience.full_disk journal.full_disk_costs_records_only attack.succeeds_against_1_2"),
    ("Have a command run a stranger's words, or hang", "names, ports, timing", "an address and a port reach it; a hanging one is ended, and delays nobody",
     "PortSentry 1.2 waits as long as the command does",
     "commands.tokens commands.sleeping_command_delays_nobody commands.hanging_command_is_ended attack.succeeds_against_1_2"),
    ("Turn the clock", "root, or a time server", "the journal and the blocks go on", "-", "journal.clock_jumps_a_day"),
]


def table():
    rows = ["| attack | cost for the attacker | result | control: where it succeeds | tests |", "|---|---|---|---|---|"]
    for attack, price, gain, control, names in ATTACKS:
        rows.append("| %s | %s | %s | %s | %s |" % (attack, price, gain, control, ", ".join("`%s`" % n for n in names.split())))
    return """# Attacks

What somebody may try against the sentry, what it costs the attacker, and what it achieves. `make attack` tries all of it in network namespaces, with real
tools where there are some. Known limits are in [SECURITY.md](../SECURITY.md). Made by `python3 Tests/System/attack.py --table`.

""" + "\n".join(rows) + OPEN


# What still succeeds, with its price; SECURITY.md says the same.
OPEN = """

What still succeeds:

- Filling the queue of half-open connections that all decoys share: 840,000 within a minute on a host with 24 GiB, forged ones too, 150,000 with 4 GiB, 37,000 with 1 GiB.
- Filling a service's own: 129 half-open connections at one port show a program with a queue of 128 (sshd) by its SYN cookies; a decoy takes more. So many packets for each port
  asked, forged ones count; the one that asks has to come from an address of one's own. Measured (`oracles.backlog_price`): four such services among 1,000 ports for 160,000 SYNs in ten
  seconds. Each address of one's own is a scanner at its third port, and on record; no handshake, no block.
- Two guesses of a cookie for one bystander within the hour: 2^58 packets.
- An address for each two unused ports, in networks that have nothing to do with one another.
- Framing somebody who touches an unused port himself within the hour, and is in no conversation with a service then: three SYNs forged in his name,
  and his one connection there, are a verdict and a proof. Open sessions go on, new connections are refused.
"""


@L.test("attack.table", needs_binary=False)
def table_is_true(lab):
    """docs/attacks.md is the table above, and names no test that is not there."""
    known = {t.name for t in L.tests}
    for row in ATTACKS:
        missing = [n for n in row[4].split() if not any(k.startswith(n) for k in known)]
        L.check(not missing or len(known) < 20, "no such test: %s" % missing)
    L.check(open(L.ROOT + "/docs/attacks.md").read() == table(), "docs/attacks.md is not `attack.py --table`")
    L.check(len(ATTACKS) >= 40, "%d attacks" % len(ATTACKS))
    return "%d attacks" % len(ATTACKS)


if __name__ == "__main__":
    if "--names" in sys.argv:
        print(*sorted({name for row in ATTACKS for name in row[4].split()} | {"attack."}))
        raise SystemExit(0)
    if "--table" in sys.argv:
        print(table(), end="")
        raise SystemExit(0)
    raise SystemExit(L.main())
