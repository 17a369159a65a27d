"""make fleet-demo: five hosts, a real Redis, a sweep; the ban on all, and the unban on all. Under a minute.

    python3 Tests/System/fleet_demo.py [--binary PATH]
"""

import sys

import lab as L
from demo import command, show, tell
from fleet_lab import ENGINE, PORT, Fleet

SCANNER = "45.67.89.10"


def main():
    L.binary = L.find_binary(sys.argv[2] if sys.argv[1:2] == ["--binary"] else None)
    with L.Lab() as lab:
        tell("A fleet of five hosts. On the host of whoever runs it:")
        command("portsentry fleet init %s:%d --plain 10.88.0.0/16" % (ENGINE, PORT))
        command("portsentry fleet enrol host1 host2 host3 host4 host5")
        command("redis-cli < /etc/portsentry/fleet/engine.redis")
        command("portsentry fleet coordinate &")
        command("scp host1.node host1:/etc/portsentry/fleet.node        (and so on; then restart portsentry there)")
        fleet = Fleet(lab, 5)
        fleet.coordinate()
        fleet.start_nodes()
        L.wait_for(lambda: fleet.command("status").count("alive") == 5, 20, "all to be alive", 0.5)
        command("portsentry fleet status")
        for line in fleet.command("status").splitlines():
            show(line)
        tell("%s sweeps: one connection to one port of each host, which no host alone would call a scan." % SCANNER)
        for node in fleet.nodes[:3]:
            fleet.touch(SCANNER, node)
            show("%s -> %s port 23" % (SCANNER, node.name), "31")
        took = fleet.wait_banned(SCANNER)
        tell("Banned on all five hosts %.2f s after the third. host5, which it never touched, says why:" % took)
        command("portsentry why " + SCANNER)
        for line in fleet.nodes[4].sentry.control_command("why", SCANNER).stdout.splitlines():
            show(line)
        reached = fleet.touch(SCANNER, fleet.nodes[4])
        show("%s -> host5 port 23: %s" % (SCANNER, "ANSWERED" if reached else "no answer"), "31")
        tell("Let in on all five, by one command:")
        command("portsentry fleet unban " + SCANNER)
        fleet.command("unban", SCANNER)
        took = fleet.wait_banned(SCANNER, is_banned=False)
        show("let in everywhere after %.2f s" % took)
    return 0 if not reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
