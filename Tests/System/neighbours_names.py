"""Neighbours: names, addresses, time and what is found by shouting: questions over UDP, asked and answered, late or refused."""

import contextlib
import os
import signal
import time

import lab as L
from town import SERVER4, SERVER6, scenario

ZONE = "$TTL 60\n@ SOA ns hostmaster 1 60 60 60 60\n@ NS ns\nns A %s\nwww A 192.0.2.1\nbig TXT \"%s\"\n" % (SERVER4, "x" * 250)


def named_of(machine, forward=None):
    """bind, with a zone of its own, or one that only forwards."""
    machine.write("/etc/bind/db.lab", ZONE)
    machine.write("/etc/bind/named.conf", 'options { directory "/var/cache/bind"; recursion yes; allow-query { any; }; dnssec-validation no; %s };\n'
                  'zone "lab.example" { type master; file "/etc/bind/db.lab"; };\n' % (
                      "forwarders { %s; }; forward only;" % forward if forward else "listen-on-v6 { any; };"))
    return machine.daemon("named", "-f", "-u", "bind", ready=("udp/53", 53))


def digs(town, client, target=SERVER4):
    for name, how, expect in (("www.lab.example", (), "192.0.2.1"), ("big.lab.example", ("+tcp", "TXT"), "xxx"), ("nosuch.lab.example", (), "NXDOMAIN")):
        town.ask(client, "dig", "+time=3", "+tries=2", "@" + target, name, *how, expect=expect)


@scenario("dnsmasq: DNS and DHCP", "dnsmasq-base bind9-dnsutils udhcpc")
def dnsmasq(town):
    server = town.server
    server.write("/etc/dnsmasq.conf", "no-resolv\nno-hosts\naddress=/www.lab.example/192.0.2.1\ntxt-record=big.lab.example,%s\nlocal=/lab.example/\n"
                 "dhcp-range=10.77.0.60,10.77.0.90,2m\ndhcp-authoritative\nuser=root\n" % ("x" * 200))
    server.daemon("dnsmasq", "-k", "-C", "/etc/dnsmasq.conf", ready=(53, "udp/53", "udp/67"))
    yield
    clients = [town.client() for _ in range(2)]
    for client, target in zip(clients, (SERVER4, SERVER6)):
        for _ in range(3):
            digs(town, client, target)
        client.write("/tmp/script", '#!/bin/sh\n[ "$1" = bound ] && echo "$1 $ip" || true\n', "755")
        for _ in range(2):
            town.ask(client, "udhcpc", "-i", "lan0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", "/tmp/script", expect="bound 10.77.0")


@scenario("bind: the same, and a resolver here whose forwarder answers late, when nobody waits any more", "bind9 bind9-dnsutils")
def bind(town):
    server, far = town.server, town.client("far")
    named_of(server, forward=far.four)
    named_of(far)
    yield
    clients = [town.client() for _ in range(2)]
    for client in clients:
        for _ in range(3):
            digs(town, client)
    # The forwarder stops, and answers everything that was asked long after.
    for _ in range(2):
        with paused(far, "named"):
            for number in range(5):
                clients[0].run("dig", "+time=1", "+tries=1", "@" + SERVER4, "%d.slow.lab.example" % number, ok=None)
                server.run("dig", "+time=1", "+tries=1", "@" + far.four, "%d.own.lab.example" % number, ok=None)
        time.sleep(1)
    digs(town, clients[1])


@contextlib.contextmanager
def paused(machine, name):
    """All processes of that name on a machine stand still."""
    pids = [p for p in machine.shell("pidof " + name).stdout.split()]
    machine.run("kill", "-STOP", *pids)
    try:
        yield
    finally:
        machine.run("kill", "-CONT", *pids)


@scenario("unbound: a resolver here, with a forwarder that is refused, late, and there again", "unbound bind9 bind9-dnsutils")
def unbound(town):
    server, far, dead = town.server, town.client("far"), town.client("dead")
    named_of(far)
    server.write("/etc/unbound/unbound.conf", "server:\n interface: 0.0.0.0\n interface: ::0\n access-control: 0.0.0.0/0 allow\n access-control: ::0/0 allow\n"
                 " do-not-query-localhost: no\n module-config: iterator\n local-zone: example. nodefault\n outgoing-range: 60\n"
                 "forward-zone:\n name: lab.example\n forward-addr: %s\n forward-addr: %s\n" % (far.four, dead.four))
    server.daemon("unbound", "-d", ready=(53, "udp/53"))
    yield
    clients = [town.client() for _ in range(2)]
    for client, target in zip(clients, (SERVER4, SERVER6)):
        for _ in range(3):
            digs(town, client, target)
    with paused(far, "named"):
        for number in range(6):
            clients[0].run("dig", "+time=1", "+tries=1", "@" + SERVER4, "%d.slow.lab.example" % number, ok=None)
    time.sleep(1)
    L.wait_for(lambda: "192.0.2.1" in clients[0].run("dig", "+time=2", "@" + SERVER4, "www.lab.example", ok=None).stdout, 60, "unbound to recover", 0.5)
    digs(town, clients[1])


@scenario("chrony: a client of one host, a server of others", "chrony")
def chrony(town):
    server, far = town.server, town.client("far")
    for machine, lines in ((far, "local stratum 3\nallow all\n"), (server, "server %s iburst minpoll -2 maxpoll 0\nlocal stratum 8\nallow all\n" % far.four)):
        machine.write("/etc/chrony/chrony.conf", lines + "port 123\ncmdport 0\n")
        machine.shell("mkdir -p /run/chrony")
        machine.daemon("chronyd", "-x", "-d", "-u", "root", "-f", "/etc/chrony/chrony.conf", ready="udp/123")
    yield
    for client in (town.client(), town.client()):
        for target in (SERVER4, SERVER6, SERVER4):
            town.ask(client, "chronyd", "-Q", "-t", "15", "-u", "root", "server %s iburst" % target, expect="System clock wrong")


@scenario("snmpd is walked, and traps come and go", "snmpd snmp snmptrapd", quick=True)
def snmp(town):
    server, manager = town.server, town.client("manager")
    server.write("/etc/snmp/snmpd.conf", "agentaddress udp:161,udp6:161\nrocommunity public\nrocommunity6 public\ntrap2sink %s public\n" % manager.four)
    server.daemon("snmpd", "-f", "-Lo", ready="udp/161")
    for machine in (server, manager):
        machine.write("/etc/snmp/snmptrapd.conf", "disableAuthorization yes\n")
        machine.daemon("snmptrapd", "-f", "-Lo", ready="udp/162")
    yield
    for _ in range(3):
        for target in (SERVER4, "udp6:[%s]" % SERVER6):
            town.ask(manager, "snmpwalk", "-v2c", "-c", "public", "-t", "3", target, ".1.3.6.1.2.1.1", expect="3.6.1.2.1.1|iso")
        for one, other in ((server, manager), (manager, server)):
            town.ask(one, "snmptrap", "-v2c", "-c", "public", other.four, "", ".1.3.6.1.4.1.8072.2.3.0.1")
            town.ask(one, "snmpinform", "-v2c", "-c", "public", "-t", "3", other.four, "", ".1.3.6.1.4.1.8072.2.3.0.1")


@scenario("avahi: names and services of four hosts, found by multicast", "avahi-daemon avahi-utils dbus libnss-mdns")
def avahi(town):
    machines = [town.server, *(town.client() for _ in range(3))]
    for machine in machines:
        machine.shell("mkdir -p /run/dbus; rm -f /etc/avahi/services/*")
        machine.write("/etc/avahi/services/web.service", '<?xml version="1.0"?><!DOCTYPE service-group SYSTEM "avahi-service.dtd"><service-group>'
                      '<name>web of %s</name><service><type>_http._tcp</type><port>80</port></service></service-group>' % machine.name)
        machine.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
        L.wait_for(lambda: machine.shell("test -S /run/dbus/system_bus_socket", ok=None).returncode == 0, 10, "D-Bus")
        machine.daemon("avahi-daemon", "--no-drop-root", "--no-rlimits", ready="udp/5353")
    yield
    for machine in machines:
        try:
            L.wait_for(lambda: all(other.name in machine.run("avahi-browse", "-prt", "_http._tcp", ok=None, timeout=40).stdout for other in machines),
                       40, "%s to find everybody" % machine.name, 0.2)
            town.did(True, "")
        except L.Failure as failure:
            town.did(False, str(failure))
        for other in machines:
            town.ask(machine, "avahi-resolve", "-4", "-n", other.name + ".local", expect=other.four)


@scenario("LLMNR: many hosts answer one multicast question, and are asked", "llmnrd")
def llmnr(town):
    machines = [town.server, *(town.client() for _ in range(4))]
    for machine in machines:
        # Everybody has the name `everybody`, too: each answers.
        machine.daemon("llmnrd", "-6", "-H", "everybody" if machine is not town.server else "server", ready="udp/5355")
    yield
    for _ in range(3):
        town.ask(town.server, "llmnr-query", "-I", "lan0", "-c", "3", "-T", "A", "everybody", expect="10.77.0.1")
        for machine in machines[1:]:
            town.ask(machine, "llmnr-query", "-I", "lan0", "-T", "A", "server", expect=SERVER4)


@scenario("SSDP: this host searches, and media servers (minidlna) answer each from a port of its own", "minidlna socat")
def ssdp(town):
    import socket
    clients = [town.client() for _ in range(3)]
    for client in clients:
        client.write("/etc/minidlna.conf", "media_dir=/srv\ndb_dir=/tmp/dlna\nnetwork_interface=lan0\nport=8200\nnotify_interval=2\nfriendly_name=%s\n" % client.name)
        client.shell("mkdir -p /var/log/minidlna")
        client.daemon("minidlnad", "-S", "-f", "/etc/minidlna.conf", "-P", "/tmp/dlna.pid", ready=(8200, "udp/1900"))
    yield
    for _ in range(4):
        s = town.open_socket(town.server.namespace, socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(4)
        s.sendto(b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n", ("239.255.255.250", 1900))
        found = set()
        with contextlib.suppress(OSError):
            while len(found) < 3:
                found.add(s.recvfrom(2000)[1][0])
        # Whoever searched leaves, and the rest of the answers come to nobody.
        s.close()
        town.did(len(found) == 3, "answers of %s" % found)
        for address in found:
            town.ask(town.server, "curl", "-sS", "-m", "5", "http://%s:8200/rootDesc.xml" % address, expect="MediaServer")
