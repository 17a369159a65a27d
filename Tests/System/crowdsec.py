"""CrowdSec, both ways: Debian's crowdsec and its firewall bouncer, in the target's namespace. What is blocked here its bouncer drops, and what it
decides is watched here, or followed where that is chosen."""

import contextlib
import json
import os
import shutil
import subprocess
import time

import lab as L
from deception import connect

def program(name):
    """Installed, or as scripts/install-missing.sh unpacks it."""
    unpacked = os.path.join(L.ROOT, ".build", "crowdsec", "usr", "bin", name)
    return shutil.which(name) or (unpacked if os.path.exists(unpacked) else None)


CROWDSEC, CSCLI, BOUNCER = program("crowdsec"), program("cscli"), program("crowdsec-firewall-bouncer")
URL = "http://127.0.0.1:18080"


class API:
    """A local API of its own in the target's namespace, with a machine and two bouncers."""

    def __init__(self, lab):
        if not CROWDSEC or not CSCLI:
            raise L.Skip("no crowdsec (scripts/install-missing.sh test)")
        self.lab, self.folder = lab, os.path.join(lab.folder, "crowdsec")
        for name in ("etc/notifications", "etc/patterns", "data", "hub", "log", "plugins"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        f = self.folder
        self.write("hub/.index.json", "{}")
        self.write("etc/simulation.yaml", "simulation: off\n")
        # As Debian's: whatever is to be banned is banned for four hours.
        self.write("etc/profiles.yaml", "name: default_ip_remediation\nfilters:\n - Alert.Remediation == true && Alert.GetScope() == \"Ip\"\n"
                   "decisions:\n - type: ban\n   duration: 4h\non_success: break\n")
        self.write("config.yaml", """
common: {daemonize: false, log_media: stdout, log_level: info, log_dir: %(f)s/log}
config_paths: {config_dir: %(f)s/etc, data_dir: %(f)s/data, simulation_path: %(f)s/etc/simulation.yaml, hub_dir: %(f)s/hub, index_path: %(f)s/hub/.index.json, notification_dir: %(f)s/etc/notifications, plugin_dir: %(f)s/plugins}
cscli: {output: human}
db_config: {log_level: info, type: sqlite, db_path: %(f)s/data/crowdsec.db, flush: {max_items: 5000, max_age: 7d}}
api:
  client: {insecure_skip_verify: false, credentials_path: %(f)s/etc/credentials.yaml}
  server: {log_level: info, listen_uri: 127.0.0.1:18080, profiles_path: %(f)s/etc/profiles.yaml, trusted_ips: [127.0.0.1]}
prometheus: {enabled: false}
""" % {"f": f})
        self.write("etc/credentials.yaml", "\n")
        self.cscli("machines", "add", "admin", "-p", "admin-password", "-f", f + "/etc/credentials.yaml", "-u", URL)
        self.cscli("machines", "add", "portsentry", "-p", "not-for-ps-or-the-log", "-f", f + "/machine.yaml", "-u", URL)
        # cscli leaves it to everybody; the sentry does not take it so.
        os.chmod(f + "/machine.yaml", 0o600)
        self.key = self.cscli("bouncers", "add", "portsentry", "-o", "raw").strip().splitlines()[-1]
        self.write("key", self.key + "\n")
        self.bouncer_key = self.cscli("bouncers", "add", "firewall", "-o", "raw").strip().splitlines()[-1]
        self.start()

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o600)

    def cscli(self, *words):
        return self.lab.in_target(CSCLI, "-c", self.folder + "/config.yaml", *words, ok=(0,)).stdout

    def start(self):
        self.server = self.lab.start(self.lab.target, CROWDSEC, "-c", self.folder + "/config.yaml", "-no-cs",
                                     stdout=open(self.folder + "/out", "ab"), stderr=subprocess.STDOUT)
        L.wait_for(lambda: self.lab.in_target("curl", "-s", "-o", "/dev/null", URL, ok=None).returncode == 0, 30, "the local API", 0.05)

    def settings(self, **more):
        return {"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "CROWDSEC_MACHINE": self.folder + "/machine.yaml",
                "CROWDSEC_KEY": self.folder + "/key", **more}

    def alerts(self):
        return json.loads(self.cscli("alerts", "list", "-o", "json", "-a") or "null") or []

    def decisions(self):
        """What bouncers are told of: {address: origin}."""
        found = {}
        for alert in json.loads(self.cscli("decisions", "list", "-o", "json", "-a") or "null") or []:
            for decision in alert.get("decisions") or []:
                if not decision["duration"].startswith("-"):
                    found[decision["value"]] = decision["origin"]
        return found

    def bounce(self):
        """Debian's firewall bouncer, which asks each second."""
        if not BOUNCER:
            raise L.Skip("no crowdsec-firewall-bouncer (scripts/install-missing.sh test)")
        self.write("bouncer.yaml", """
mode: nftables
pid_dir: %(f)s
update_frequency: 1s
daemonize: false
log_mode: stdout
log_dir: %(f)s/log
log_level: info
api_url: %(url)s/
api_key: %(key)s
insecure_skip_verify: false
disable_ipv6: false
deny_action: DROP
deny_log: false
supported_decisions_types: [ban]
nftables:
  ipv4: {enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}
  ipv6: {enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}
nftables_hooks: [input, forward]
""" % {"f": self.folder, "url": URL, "key": self.bouncer_key})
        self.lab.start(self.lab.target, BOUNCER, "-c", self.folder + "/bouncer.yaml", stdout=open(self.folder + "/bouncer.out", "ab"),
                       stderr=subprocess.STDOUT)
        L.wait_for(lambda: "crowdsec-blacklists" in self.lab.in_target("nft", "list", "ruleset").stdout, 20, "the bouncer's set", 0.1)

    def dropped(self):
        """What the bouncer's set has."""
        out = self.lab.in_target("nft", "list", "set", "ip", "crowdsec", "crowdsec-blacklists", ok=None).stdout
        return out


def told(sentry):
    return sentry.ask("status")["crowdsec"]


@L.test("crowdsec.a_block_is_dropped_by_its_bouncer")
def push(lab):
    api = API(lab)
    api.bounce()
    sentry = lab.sentry("-atcp", settings=api.settings(BLOCK_TIME="1h"))
    L.wait_for(lambda: told(sentry)["failing"] is False and not told(sentry)["waiting"], 10, lambda: "the login: %s" % sentry.texts()[-5:])
    source = lab.new_source()[0]
    times = []
    begin = None
    for port in (21, 22, 23, 25, 110):
        connect(lab, source, port)
        if source in sentry.blocked():
            begin = time.monotonic()
            break
    if begin is None:
        L.wait_for(lambda: source in sentry.blocked(), 5, "our block", 0.005)
        begin = time.monotonic()
    L.wait_for(lambda: source in api.decisions(), 10, "the decision", 0.02)
    times.append(time.monotonic() - begin)
    L.wait_for(lambda: source in api.dropped(), 10, "the bouncer's drop", 0.02)
    times.append(time.monotonic() - begin)
    # Its poll is a second.
    L.check(times[1] <= L.bar(2), "the bouncer drops it after %.2f s" % times[1])
    # An alert of the scan without a decision, and what is not known by the block alone.
    alerts = api.alerts()
    ours = [a for a in alerts if a["scenario"].startswith("portsentry/")]
    L.check(any(a["scenario"] == "portsentry/ban" and a["decisions"] for a in ours), ours)
    # Half-open scans are alerts, and never a ban: whoever sends them may not be whose address it is.
    forged = lab.new_source()[0]
    lab.nmap("-sS", "-p", "1-40", source=forged)
    L.wait_for(lambda: any(forged in a["source"]["value"] for a in api.alerts()), 20, "an alert of the scan", 0.2)
    scan = next(a for a in api.alerts() if a["source"]["value"] == forged)
    L.check(scan["scenario"].startswith("portsentry/scan") and not scan["decisions"], scan)
    L.check(forged not in api.decisions(), "an unproven scan is a ban there")
    # Unblocked here, let in there; another's decision about the same address stays.
    api.cscli("decisions", "add", "-i", source, "-d", "1h")
    sentry.control_command("unblock", source)
    L.wait_for(lambda: api.decisions().get(source) == "cscli", 10, lambda: "ours to be taken back: %s" % api.decisions(), 0.1)
    # Neither the log nor the process list has a secret.
    text = "\n".join(sentry.texts())
    for secret in ("not-for-ps-or-the-log", api.key):
        L.check(secret not in text, "the log has a secret")
    return "blocked here → decision there %.2f s → dropped by the bouncer %.2f s" % tuple(times)


@L.test("crowdsec.secrets_are_in_no_process_list")
def secrets(lab):
    api = API(lab)
    sentry = lab.sentry("-atcp", settings=api.settings())
    seen, end = set(), time.monotonic() + 12
    while time.monotonic() < end:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = open("/proc/%s/cmdline" % pid, "rb").read()
                if b"curl" in words and b"--config" in words:
                    seen.add(words)
                    environment = open("/proc/%s/environ" % pid, "rb").read()
                    L.check(api.key.encode() not in environment and b"not-for-ps" not in environment, environment)
    L.check(seen, "no question was seen")
    for words in seen:
        L.check(api.key.encode() not in words and b"not-for-ps" not in words, words)
    L.check(told(sentry)["failing"] is False, told(sentry))


@L.test("crowdsec.its_decisions_are_watched")
def watch(lab):
    api = API(lab)
    source, other = lab.new_source()[0], lab.new_source()[0]
    api.cscli("decisions", "add", "-i", source, "-d", "1h", "-R", "a test")
    sentry = lab.sentry("-atcp", settings=api.settings(BLOCK_TIME="1h"))
    L.wait_for(lambda: told(sentry)["decisions"] == 1, 15, lambda: "the list of all: %s" % told(sentry), 0.05)
    L.check(source not in sentry.blocked(), "its word alone is a ban")
    why = json.loads(sentry.control_command("why", source, "--json").stdout)
    L.check(why["fleet"]["standing"] == "watched" and why["fleet"]["witnesses"][0]["host"] == "CrowdSec", why)
    L.check("one connection with a decoy of this host is enough" in sentry.control_command("why", source).stdout, "why")
    # One connection is; of somebody else it is not.
    connect(lab, other, 23)
    connect(lab, source, 23)
    begin = time.monotonic()
    L.wait_for(lambda: source in sentry.blocked(), 5, "the block", 0.005)
    took = time.monotonic() - begin
    L.check(other not in sentry.blocked(), "one connection of anybody is a ban")
    L.check("CrowdSec bans it" in sentry.control_command("why", source).stdout, sentry.control_command("why", source).stdout)
    # What comes while it runs is known after its poll.
    late = lab.new_source()[0]
    begin = time.monotonic()
    api.cscli("decisions", "add", "-i", late, "-d", "1h")
    L.wait_for(lambda: told(sentry)["decisions"] >= 2, 15, "the new decision", 0.02)
    heard = time.monotonic() - begin
    L.check(heard <= L.bar(11), "%.1f s" % heard)
    api.cscli("decisions", "delete", "-i", late)
    L.wait_for(lambda: json.loads(sentry.control_command("why", late, "--json", ok=None).stdout or "{}").get("fleet") is None, 15, "the end", 0.1)
    connect(lab, late, 23)
    time.sleep(0.5)
    L.check(late not in sentry.blocked(), "what was deleted is still watched")
    return "watched after %.1f s (asked every 10); blocked %.2f s after one connection" % (heard, took)


@L.test("crowdsec.its_bans_are_followed_where_that_is_chosen")
def follow(lab):
    api = API(lab)
    source = lab.new_source()[0]
    api.cscli("decisions", "add", "-i", source, "-d", "1h")
    for never in ("127.0.0.1", L.TARGET4, "203.0.113.77"):
        api.cscli("decisions", "add", "-i", never, "-d", "1h")
    api.cscli("decisions", "add", "-r", "0.0.0.0/0", "-d", "1h")
    api.cscli("decisions", "add", "-r", "198.18.5.0/24", "-d", "1h")
    ignore = lab.folder + "/ignore"
    L.Sentry.write(ignore, "203.0.113.77\n")
    sentry = lab.sentry("-atcp", settings=api.settings(CROWDSEC_DECISIONS="ban", IGNORE_FILE=ignore))
    L.wait_for(lambda: {source, "198.18.5.0/24"} <= set(sentry.blocked()), 15, lambda: "the bans: %s" % sentry.blocked(), 0.05)
    L.check(set(sentry.blocked()) == {source, "198.18.5.0/24"}, "banned: %s" % sorted(sentry.blocked()))
    L.check(source in lab.nft_elements(), "the kernel does not drop it")
    block = next(b for b in sentry.ask("blocked") if b["network"] == source)
    L.check(block["mode"] == "crowdsec" and block["reason"].startswith("CrowdSec bans it"), block)
    sentry.wait_line("CrowdSec bans it")
    time.sleep(1)
    # Nothing is told back.
    L.check(not [a for a in api.alerts() if a["scenario"].startswith("portsentry/ban")], "told back")
    # Deleted there, let in here; the rest after a restart without it.
    api.cscli("decisions", "delete", "-i", source)
    L.wait_for(lambda: source not in sentry.blocked(), 15, "the end", 0.1)
    sentry.stop()
    api.cscli("decisions", "delete", "-r", "198.18.5.0/24")
    sentry.relaunch()
    L.wait_for(lambda: not sentry.blocked(), 20, lambda: "nothing: %s" % sentry.blocked(), 0.1)


@L.test("crowdsec.its_bans_keep_to_the_rate_and_end_with_the_setting")
def rate(lab):
    api = API(lab)
    theirs = [lab.new_source()[0] for _ in range(8)]
    for source in theirs:
        api.cscli("decisions", "add", "-i", source, "-d", "1h")
    settings = api.settings(CROWDSEC_DECISIONS="ban", BLOCK_RATE="5")
    sentry = lab.sentry("-atcp", settings=settings)
    L.wait_for(lambda: len(sentry.blocked()) >= 5, 15, lambda: "the first bans: %s" % sentry.blocked(), 0.05)
    begin = time.monotonic()
    # They take nothing from what this host sees itself.
    own = lab.new_source()[0]
    for port in (21, 22, 23, 25, 110):
        connect(lab, own, port)
    L.wait_for(lambda: own in sentry.blocked(), 5, "our own block")
    L.check(len(set(sentry.blocked()) & set(theirs)) == 5, "within a minute: %s" % sentry.blocked())
    L.wait_for(lambda: set(theirs) <= set(sentry.blocked()), 90, lambda: "the others: %s" % sentry.blocked(), 0.1)
    took = time.monotonic() - begin
    L.check(took >= 45, "the others after %.1f s" % took)
    # Chosen no more: what a restart brings back is let in, and our own block stays.
    sentry.stop()
    sentry.configure({**settings, "CROWDSEC_DECISIONS": None})
    sentry.relaunch()
    L.wait_for(lambda: set(sentry.blocked()) == {own}, 10, lambda: "ours alone: %s" % sentry.blocked(), 0.1)
    return "5 of 8 at once, the others after %.0f s" % took


@L.test("crowdsec.it_may_be_away")
def away(lab):
    api = API(lab)
    sentry = lab.sentry("-atcp", settings=api.settings())
    L.wait_for(lambda: told(sentry)["failing"] is False and not told(sentry)["waiting"], 10, lambda: "the login: %s" % sentry.texts()[-5:])
    api.server.kill()
    api.server.wait(5)
    source = lab.new_source()[0]
    for port in (21, 22, 23, 25, 110):
        connect(lab, source, port)
    L.wait_for(lambda: source in sentry.blocked(), 5, "our block goes on")
    sentry.wait_line("CrowdSec: its local API is not reached", timeout=20)
    api.start()
    L.wait_for(lambda: source in api.decisions(), 70, "what waited", 0.2)
    sentry.wait_line("CrowdSec: its local API is told again", timeout=20)
    lines = [l for l in sentry.texts() if "is not reached" in l]
    L.check(len(lines) <= 2, "said again and again: %s" % lines)


if __name__ == "__main__":
    raise SystemExit(L.main())
