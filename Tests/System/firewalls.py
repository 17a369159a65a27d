"""`portsentry firewall`: the rule that shows the decoys, in real nftables, ufw, firewalld and iptables, and back."""

import os
import re
import shutil
import subprocess

import lab as L
from deception import ALL, KNOWN, connect, ruleset, serve, table


def firewall(sentry, *options, ok=(0,)):
    return sentry.control_command("firewall", *options, ok=ok)


def sentry_command(sentry):
    return [sentry.binary_path, "firewall", "--control-socket", sentry.control]


def walls(lab, sentry):
    """Waits until the sentry says that the decoys are hidden."""
    lab.syn(lab.new_source()[0], 600)
    L.wait_for(lambda: sentry.ask("status")["deception"]["hidden"], 15, "hidden decoys", 0.2)
    L.check("portsentry firewall" in sentry.control_command("status").stdout, "status does not name the command")


def opened(lab, sentry, what, families=(0, 1)):
    """The rule is inserted once, decoys answer, closed ports and services stay, and it goes without a trace."""
    before = theirs(ruleset(lab))
    L.check(not connect(lab, lab.new_source()[0], 594, timeout=0.3), "%s: the decoy is not hidden" % what)
    printed = firewall(sentry).stdout
    L.check(theirs(ruleset(lab)) == before, "%s: something changed before --apply" % what)
    said = firewall(sentry, "--apply").stdout
    L.check("the rule is inserted" in said, "%s: %s" % (what, said))
    for family in families:
        L.check(connect(lab, lab.new_source()[family], 594), "%s: the decoy is hidden from IPv%d: %s" % (what, 4 + 2 * family, ruleset(lab)))
        L.check(connect(lab, lab.new_source()[family], 22), "%s: the service is gone" % what)
        L.check(not connect(lab, lab.new_source()[family], 9000, timeout=0.3), "%s: a service that was hidden is shown" % what)
    after = theirs(ruleset(lab))
    L.check("has the rule already" in firewall(sentry, "--apply").stdout and theirs(ruleset(lab)) == after, "%s: inserted twice" % what)
    L.check("Nothing to do" in firewall(sentry).stdout, "%s: %s" % (what, firewall(sentry).stdout))
    L.check("the rule is taken back" in firewall(sentry, "--remove").stdout, "%s: not taken back" % what)
    L.check(not connect(lab, lab.new_source()[0], 594, timeout=0.3), "%s: the decoy is still shown" % what)
    return printed


def theirs(text):
    """The rules that are not ours, without handles and counters."""
    return re.sub(r"table inet portsentry \{.*?\n\}\n", "", text, flags=re.S)


@L.test("firewalls.nftables_and_iptables")
def nftables(lab):
    serve(lab, (22, 9000))
    sentry = lab.sentry("-atcp", settings=ALL)
    L.check("there is nothing to insert" in firewall(sentry).stdout, "a firewall where there is none")
    done = []
    two = table(KNOWN, hook="input priority filter; policy drop;") + \
        table(["tcp dport != 22 counter reject"], "ip", hook="input priority 5; policy accept;")
    for rules in (table(KNOWN, hook="input priority filter; policy drop;"), two):
        lab.in_target("nft", "-f", "-", input=rules)
        walls(lab, sentry)
        before = theirs(ruleset(lab))
        printed = opened(lab, sentry, "nftables")
        L.check("nft insert rule inet theirs i socket transparent 1 accept" in printed, printed)
        L.check(theirs(ruleset(lab)) == before, "not as before:\n%s\n%s" % (before, ruleset(lab)))
        # What it prints can be typed.
        for line in re.findall(r"^  (nft insert .*)$", printed, re.M):
            lab.in_target("sh", "-c", line)
        L.check(connect(lab, lab.new_source()[0], 594), "what is printed does not help")
        L.check("taken back" in firewall(sentry, "--remove").stdout, "typed rules are not taken back")
        for name in re.findall(r"^table (\w+ theirs) \{", ruleset(lab), re.M):
            lab.in_target("nft", "delete", "table", *name.split())
        done.append("nft")
    for variant in ("nft", "legacy"):
        tools = ["ip%stables-%s" % (six, variant) for six in ("", "6")]
        if not all(map(shutil.which, tools)):
            continue
        for tool in tools:
            for words in ("-P INPUT DROP", "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
                          "-A INPUT -i lo -j ACCEPT", "-A INPUT -p ipv6-icmp -j ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"):
                if not ("icmp" in words and "6" not in tool):
                    lab.in_target(tool, *words.split())
        saved = [lab.in_target(tool, "-S").stdout for tool in tools]
        walls(lab, sentry)
        printed = opened(lab, sentry, tools[0])
        L.check("%s -w -I INPUT 1 -m socket --transparent" % tools[1] in printed, printed)
        L.check([lab.in_target(tool, "-S").stdout for tool in tools] == saved, "not as before")
        for tool in tools:
            lab.in_target(tool, "-P", "INPUT", "ACCEPT")
            lab.in_target(tool, "-F", "INPUT")
        done.append(tools[0])
    # A table of the administrator's that only looks like one of iptables.
    lab.in_target("nft", "flush", "ruleset")
    L.wait_for(lambda: "portsentry" in lab.in_target("nft", "list", "tables").stdout, 5, "our table to be made again")
    lab.in_target("nft", "-f", "-", input='table ip filter {\n chain INPUT {\n type filter hook input priority 0; policy drop;\n'
                  ' ct state established accept\n tcp dport { 22, 23 } accept comment "mine"\n }\n}\n')
    walls(lab, sentry)
    opened(lab, sentry, "nft's own ip filter INPUT", families=(0,))
    nobody = lab.in_target("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", *sentry_command(sentry), ok=(77,))
    L.check("run it as root" in nobody.stderr, "without root: %s" % nobody)
    return ", ".join(done)


def private(lab, folders, script):
    """A shell script's words for a mount namespace of its own, in which some folders of /etc are copies."""
    lines = ["set -e", "mount --make-rprivate /"]
    for folder in folders:
        copy = os.path.join(lab.folder, folder.strip("/").replace("/", "-"))
        if not os.path.exists(copy):
            shutil.copytree(folder, copy, symlinks=True)
        lines.append("mount --bind %s %s" % (copy, folder))
    return ["unshare", "-m", "sh", "-c", "\n".join(lines + [script])]


@L.test("firewalls.ufw")
def ufw(lab):
    """ufw keeps the rule in its own files, so that it is there after a reload."""
    if not shutil.which("ufw"):
        raise L.Skip("ufw is not installed")
    serve(lab, (22, 9000))
    sentry = lab.sentry("-atcp", settings=ALL)
    folders = ["/etc/ufw", "/etc/default"]

    def inside(script, ok=(0,)):
        return lab.in_target(*private(lab, folders, script), ok=ok, timeout=60)

    def command(*options):
        return inside(" ".join([L.binary, "firewall", *options, "--control-socket", sentry.control])).stdout
    inside("ufw allow 22/tcp >/dev/null; ufw --force enable")
    copy = os.path.join(lab.folder, "etc-ufw")
    files = {name: open(os.path.join(copy, name)).read() for name in ("before.rules", "before6.rules")}
    modes = {name: os.stat(os.path.join(copy, name)).st_mode for name in files}
    walls(lab, sentry)
    printed = command()
    L.check("ufw: has no rule for decoys" in printed and "/etc/ufw/before.rules" in printed, printed)
    L.check("iptables" not in printed.split("ufw:")[0], "ufw's chains are taken for iptables': " + printed)
    said = command("--apply")
    L.check("ufw: the rule is inserted" in said, said)
    for round in range(2):
        for family in (0, 1):
            L.check(connect(lab, lab.new_source()[family], 594), "IPv%d: the decoy is hidden, round %d" % (4 + 2 * family, round))
        L.check(not connect(lab, lab.new_source()[0], 9000, timeout=0.3), "a service that ufw hides is shown")
        inside("ufw reload")
    L.check("ufw: has the rule already" in command("--apply"), "inserted twice")
    L.check("ufw: the rule is taken back" in command("--remove"), "not taken back")
    L.check(not connect(lab, lab.new_source()[0], 594, timeout=0.3), "the decoy is still shown")
    for name, text in files.items():
        L.check(open(os.path.join(copy, name)).read() == text, "%s is not as it was" % name)
        L.check(os.stat(os.path.join(copy, name)).st_mode == modes[name], "the mode of %s is not as it was" % name)
    return "in before.rules and before6.rules, over a reload"


@L.test("firewalls.firewalld")
def firewalld(lab):
    """firewalld makes its chains anew at each reload: the rule is gone then, and the sentry says that decoys are hidden."""
    if not shutil.which("firewalld") or not shutil.which("dbus-daemon"):
        raise L.Skip("firewalld is not installed")
    serve(lab, (22, 9000))
    sentry = lab.sentry("-atcp", settings=ALL)
    script = "mount -t tmpfs none /run; mkdir -p /run/dbus; dbus-daemon --system --fork --nopidfile; " \
             "firewalld --nofork --nopid --log-target=console & " \
             "until firewall-cmd --state; do sleep 0.2; done >/dev/null 2>&1; echo ready; " \
             "while read words; do sh -c \"$words\" && echo done; done"
    process = subprocess.Popen(["ip", "netns", "exec", lab.target, *private(lab, ["/etc/firewalld"], script)], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lab.processes.append(process)
    lines = []

    def until(word):
        for line in process.stdout:
            lines.append(line)
            if line.strip() == word:
                return
        raise L.Failure("firewalld ended: %s" % lines[-5:])
    until("ready")
    lab.in_target("nft", "list", "chain", "inet", "firewalld", "filter_INPUT")
    walls(lab, sentry)
    before = theirs(ruleset(lab))
    printed = opened(lab, sentry, "firewalld")
    L.check("firewalld: has no rule for decoys" in printed and "inet firewalld filter_INPUT" in printed, printed)
    L.check(theirs(ruleset(lab)) == before, "not as before")
    L.check("Lasts until firewalld is reloaded" in firewall(sentry, "--apply").stdout, "how long it lasts is not said")
    L.check(connect(lab, lab.new_source()[0], 594), "the decoy is hidden")
    process.stdin.write("firewall-cmd --reload\n")
    process.stdin.flush()
    until("done")
    L.check("has no rule for decoys" in firewall(sentry).stdout, "the rule is there after a reload")
    return "until its reload"
