"""Programs that read our log and our events with the files in etc: the real ones, where they are installed. docs/integrations.md has the table."""

import csv
import io
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import xml.etree.ElementTree

import browser as B
import lab as L

ETC = os.path.join(L.ROOT, "etc")
# Lines that an administrator has to see; the sentry says them in other tests.
ALARMS = [
    "DECOYS ARE HIDDEN by the firewall of this host on lan0 (IPv4): none of 4 test packets got from the rules of PortSentry to the decoys.",
    "3 probes were lost, because they came faster than they could be written", "203.0.113.7 could not be blocked",
    "no interface to watch is up: NOTHING IS SEEN until one is", "the new configuration has errors: the old settings stay in force",
]


def needs(program):
    if not shutil.which(program):
        raise L.Skip("%s is not installed" % program)


def written(lab, **settings):
    """What a sentry says in the log for people, and its events, of a verified and blocked scanner and of one that only sends SYNs."""
    events = lab.folder + "/events.json"
    sentry = lab.sentry("-atcp", "-audp", settings={
        "LOG_FORMAT": "native", "BLOCK_TCP": "1", "BLOCK_TIME": "2s", "ADVANCED_PORTS_TCP": "65535", "EVENTS_FILE": events, **settings})
    (verified, _), (forged, _) = lab.new_source(), lab.new_source()
    lab.nmap("-sT", "-p", "1-60", source=verified, ok=None)
    lab.nmap("-sS", "-p", "1-60", source=forged)
    for source in (verified, forged):
        sentry.wait_line("%s is a scanner" % re.escape(source), timeout=20)
    sentry.wait_line("Block of %s has ended" % re.escape(verified), timeout=20)
    L.wait_for(lambda: "released" in open(events).read(), 10, "the events")
    sentry.stop()
    return sentry.texts("syslog"), events, verified, forged


def syslog(lines):
    return "".join("Nov 29 12:00:%02d gate portsentry[42]: %s\n" % (i % 60, line) for i, line in enumerate(lines))


@L.test("integrations.logcheck_reports_alarms_only")
def logcheck(lab):
    needs("logcheck")
    lines, *_ = written(lab)
    rules, state = lab.folder + "/logcheck", lab.folder + "/state"
    for name in ("cracking.d", "cracking.ignore.d", "violations.d", "violations.ignore.d", "ignore.d.paranoid", "ignore.d.server", "ignore.d.workstation"):
        os.makedirs(os.path.join(rules, name))
    os.makedirs(state)
    shutil.copy(ETC + "/logcheck/portsentry", rules + "/ignore.d.server/portsentry")
    log = lab.folder + "/syslog"
    L.Sentry.write(log, syslog(lines + ALARMS))
    user = pwd.getpwnam("logcheck")
    for folder, _, files in os.walk(lab.folder + "/logcheck"):
        for path in [folder] + [os.path.join(folder, f) for f in files]:
            os.chmod(path, 0o755)
    os.chown(state, user.pw_uid, user.pw_gid)
    L.Sentry.write(lab.folder + "/logcheck.conf", 'REPORTLEVEL="server"\nINTRO=0\nFQDN=1\nSORTUNIQ=0\nSUPPORT_CRACKING_IGNORE=0\nLOCKDIR=%s\n' % state)
    for path in (log, lab.folder + "/logcheck.conf"):
        os.chmod(path, 0o644)
    report = lab.in_target("setpriv", "--reuid=%d" % user.pw_uid, "--regid=%d" % user.pw_gid, "--clear-groups", "env", "HOME=" + state,
                           "logcheck", "-o", "-t", "-c", lab.folder + "/logcheck.conf", "-r", rules, "-S", state, "-l", log, timeout=60).stdout
    for alarm in ALARMS:
        L.check(alarm in report, "not reported: %s; the report: %s" % (alarm, report[-600:]))
    told = [line for line in report.splitlines() if "portsentry[42]" in line and not any(alarm in line for alarm in ALARMS)]
    L.check(not told, "reported as if somebody had to act: %s" % told[:4])
    return "%d lines of routine are ignored, %d alarms reported" % (len(lines), len(ALARMS))


@L.test("integrations.lnav_has_a_table_of_events")
def lnav(lab):
    needs("lnav")
    _, events, verified, _ = written(lab)
    home = dict(os.environ, HOME=lab.folder, TERM="dumb")
    L.run(["lnav", "-i", ETC + "/lnav/portsentry.json"], env=home)
    out = L.run(["lnav", "-n", "-c", ';SELECT "event/action", "source/ip", "destination/port", log_level FROM portsentry_events',
                 "-c", ":write-csv-to -", events], env=home).stdout
    rows = list(csv.reader(io.StringIO(out)))[1:]
    count = sum(1 for _ in open(events))
    L.check(len(rows) == count, "%d rows of %d events: %s" % (len(rows), count, out[:300]))
    L.check({"started", "probe", "verdict", "blocked", "released", "stopped"} <= {row[0] for row in rows}, out[:300])
    L.check(any(row[0] == "verdict" and row[1] == verified and row[3] == "warning" for row in rows), "no verdict about %s: %s" % (verified, out[-400:]))
    return "%d events" % count


@L.test("integrations.clickhouse_has_a_table_of_events")
def clickhouse(lab):
    """The schema file, and the lines of EVENTS_FILE through it, in a real ClickHouse (chdb, a module of Python's)."""
    B.use_venv()
    try:
        from chdb import session
    except ImportError:
        raise L.Skip("no chdb (scripts/install-missing.sh test)")
    _, events, verified, _ = written(lab)
    house = session.Session(lab.folder + "/clickhouse")
    text = "\n".join(line for line in open(ETC + "/clickhouse/portsentry.sql") if not line.startswith("--"))
    for _ in range(2):  # It may be said again.
        for statement in filter(str.strip, text.split(";")):
            house.query(statement)
    house.query("INSERT INTO portsentry_lines FROM INFILE '%s' FORMAT LineAsString" % events)
    rows = [json.loads(line) for line in str(house.query(
        "SELECT action, source, port, transport, technique, kind, tool, probes, reason, toUnixTimestamp(time) AS time FROM portsentry_events", "JSONEachRow")).splitlines()]
    wanted = [json.loads(line) for line in open(events)]
    L.check(len(rows) == len(wanted), "%d rows of %d events" % (len(rows), len(wanted)))
    for action in {e["event"]["action"] for e in wanted}:
        L.check(sum(r["action"] == action for r in rows) == sum(e["event"]["action"] == action for e in wanted), action)
    verdict = next(e for e in wanted if e["event"]["action"] == "verdict" and e["source"].get("ip") == verified)
    row = next(r for r in rows if r["action"] == "verdict" and r["source"] == verified)
    for name in ("kind", "tool", "probes"):
        L.check(str(row[name]) == str(verdict["portsentry"][name]), "%s is %r" % (name, row[name]))
    L.check(all(r["time"] > 1.7e9 for r in rows), "times")
    house.close()
    return "%d events" % len(rows)


@L.test("integrations.opensearch_has_a_type_for_each_field")
def opensearch(lab):
    """Each field that is written has a type in the template; what is not looked into is named as such."""
    template = json.load(open(ETC + "/opensearch/portsentry-template.json"))["template"]["mappings"]["properties"]
    _, events, _, _ = written(lab)

    def walk(value, types, path):
        if isinstance(value, list):
            for item in value:
                walk(item, types, path)
        elif isinstance(value, dict):
            for name, item in value.items():
                inner = types.get("properties", {}).get(name)
                L.check(inner or types.get("enabled") is False, "%s.%s has no type" % (path, name))
                if inner:
                    walk(item, inner, path + "." + name)
        elif value is not None and "type" in types:
            number = types["type"] in ("long", "integer", "float")
            L.check(number == (type(value) in (int, float)) and (types["type"] == "boolean") == (type(value) is bool),
                    "%s is %s, and cannot be %r" % (path, types["type"], value))
    count = 0
    for line in open(events):
        walk(json.loads(line), {"properties": template}, "")
        count += 1
    return "%d events" % count


@L.test("integrations.rsyslog_has_a_file_of_ours")
def rsyslog(lab):
    needs("rsyslogd")
    L.run(["rsyslogd", "-N1", "-f", ETC + "/rsyslog/30-portsentry.conf"])
    path, ours, rest = (lab.folder + "/" + name for name in ("dev-log", "portsentry.log", "rest.log"))
    text = open(ETC + "/rsyslog/30-portsentry.conf").read().replace("/var/log/portsentry.log", ours)
    config = lab.folder + "/rsyslog.conf"
    L.Sentry.write(config, 'module(load="imuxsock" SysSock.Use="off")\ninput(type="imuxsock" Socket="%s" CreatePath="on")\n%s*.* action(type="omfile" file="%s")\n' % (
        path, text, rest))
    process = lab.start(lab.target, "rsyslogd", "-n", "-i", "NONE", "-f", config)
    L.wait_for(lambda: os.path.exists(path), 20, "rsyslogd")
    lines, *_ = written(lab)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(path)
    for line in lines:
        s.send(("<29>Nov 29 12:00:00 portsentry[42]: %s" % line).encode())
    s.send(b"<29>Nov 29 12:00:00 sshd[43]: somebody else")
    s.close()
    L.wait_for(lambda: os.path.exists(rest) and "somebody else" in open(rest).read(), 20, "the other program's line")
    L.wait_for(lambda: open(ours).read().count("\n") >= len(lines), 20, "%d lines" % len(lines))
    L.check("portsentry" not in re.sub("(?m)^.*rsyslogd.*$", "", open(rest).read()), "our lines are in the other file too")
    process.terminate()
    return "%d lines" % len(lines)


@L.test("integrations.crowdsec_bans_verified_scanners")
def crowdsec(lab):
    """Real CrowdSec with our parser and scenario, on what the sentry has written; and the list of `export --crowdsec`."""
    # Installed, or unpacked by scripts/install-missing.sh.
    root = "" if shutil.which("crowdsec") else os.path.join(L.ROOT, ".build", "crowdsec")
    crowdsec, cscli, hub = (root + path for path in ("/usr/bin/crowdsec", "/usr/bin/cscli", "/usr/share/crowdsec/hub/parsers"))
    if not os.path.exists(crowdsec) or not os.path.exists(hub):
        raise L.Skip("CrowdSec is not where Debian has it")
    lines, _, verified, forged = written(lab)
    home = lab.folder + "/crowdsec"
    for part in ("etc/parsers/s00-raw", "etc/parsers/s01-parse", "etc/parsers/s02-enrich", "etc/scenarios", "data", "hub"):
        os.makedirs(os.path.join(home, part))
    shutil.copy(hub + "/s00-raw/crowdsecurity/syslog-logs.yaml", home + "/etc/parsers/s00-raw")
    shutil.copy(hub + "/s02-enrich/crowdsecurity/dateparse-enrich.yaml", home + "/etc/parsers/s02-enrich")
    shutil.copy(ETC + "/crowdsec/parsers/portsentry-logs.yaml", home + "/etc/parsers/s01-parse")
    shutil.copy(ETC + "/crowdsec/scenarios/portsentry-scan.yaml", home + "/etc/scenarios")
    shutil.copytree(root + "/etc/crowdsec/patterns", home + "/etc/patterns")
    for name in ("profiles.yaml", "simulation.yaml"):
        shutil.copy(root + "/etc/crowdsec/" + name, home + "/etc")
    L.Sentry.write(home + "/hub/.index.json", '{"parsers":{},"scenarios":{},"postoverflows":{},"collections":{}}')
    L.Sentry.write(home + "/etc/credentials.yaml", "")
    L.Sentry.write(home + "/log", syslog(lines) + "Nov 29 12:00:00 gate sshd[7]: 203.0.113.9 is a scanner: vertical scan (syn), 12 ports\n")
    config = home + "/config.yaml"
    L.Sentry.write(config, json.dumps({
        "common": {"daemonize": False, "log_media": "stdout", "log_level": "info", "working_dir": "."},
        "config_paths": {"config_dir": home + "/etc/", "data_dir": home + "/data/", "simulation_path": home + "/etc/simulation.yaml",
                         "hub_dir": home + "/hub/", "index_path": home + "/hub/.index.json"},
        "crowdsec_service": {"parser_routines": 1}, "cscli": {"output": "human"},
        "db_config": {"log_level": "info", "type": "sqlite", "db_path": home + "/data/crowdsec.db"},
        "api": {"client": {"insecure_skip_verify": False, "credentials_path": home + "/etc/credentials.yaml"},
                "server": {"log_level": "info", "listen_uri": "127.0.0.1:8080", "profiles_path": home + "/etc/profiles.yaml",
                           "trusted_ips": ["127.0.0.1"]}},
        "prometheus": {"enabled": False}}))
    lab.in_target("ip", "link", "set", "lo", "up")
    lab.in_target(cscli, "-c", config, "machines", "add", "-a", "--force", "-f", home + "/etc/credentials.yaml", timeout=60)
    out = lab.in_target(crowdsec, "-c", config, "-no-capi", "-dsn", "file://%s/log" % home, "-type", "syslog", timeout=120)
    said = out.stdout + out.stderr
    banned = set(re.findall(r"ban on Ip ([0-9a-f.:]+)", said))
    L.check(banned == {verified}, "CrowdSec bans %s, and not %s: %s" % (sorted(banned), verified, said[-600:]))
    listed = lab.in_target(L.binary, "export", "--crowdsec", "--private", "--duration", "2h", "-c", lab.sentries[-1].config).stdout
    L.check(verified in listed and forged not in listed, listed)
    L.Sentry.write(home + "/decisions.csv", listed)
    server = lab.start(lab.target, crowdsec, "-c", config, "-no-capi", "-no-cs")

    def decisions():
        result = lab.in_target(cscli, "-c", config, "decisions", "list", "-a", "-o", "json", ok=None, timeout=60)
        return [d for alert in json.loads(result.stdout or "null") or [] for d in alert["decisions"]] if result.returncode == 0 else None
    L.wait_for(lambda: decisions() is not None, 30, "CrowdSec's local API", 0.2)
    lab.in_target(cscli, "-c", config, "decisions", "import", "-i", home + "/decisions.csv", timeout=60)
    found = L.wait_for(lambda: [d for d in decisions() if d["scenario"] == "portsentry/port-scan"], 30, lambda: "the decision: %s" % decisions(), 0.2)
    L.check([d["value"] for d in found] == [verified] and found[0]["type"] == "ban", "%s" % found)
    server.terminate()
    return "banned %s, not %s; imported %d decision" % (verified, forged, len(found))


def with_library(name, code, text):
    """What Python code prints that needs a library of `.build/venv`."""
    python = os.path.join(L.ROOT, ".build", "venv", "bin", "python")
    if not os.path.exists(python) or subprocess.run([python, "-c", "import " + name], capture_output=True).returncode:
        raise L.Skip("Python's %s is not installed" % name)
    return L.run([python, "-c", code], input=text, timeout=60).stdout


# What Vector itself compiles and runs: the program of a `remap` transform, on an event as its source `file` makes it of a line.
REMAP = """
import json, sys, vrl_python
program, *lines = sys.stdin.read().split("\\0")
runtime = vrl_python.VRLRuntime("UTC")
for line in lines:
    print(json.dumps(runtime.execute(program, {"message": line, "file": "events.json"}).processed_event, default=str))
"""


@L.test("integrations.vector_remaps_every_event")
def vector(lab):
    """The transform of our file for Vector, compiled and run by Vector's own language (VRL), on every event that a sentry wrote."""
    _, events, verified, _ = written(lab)
    lines = open(events).read().splitlines()
    # The program is an indented block of the YAML, up to the next line that is less so.
    block = open(ETC + "/vector/portsentry.yaml").read().split("source: |\n")[1]
    program = "\n".join(line[6:] for line in block.split("\n\n")[0].splitlines())
    made = [json.loads(line) for line in with_library("vrl_python", REMAP, "\0".join([program, *lines])).splitlines()]
    L.check(len(made) == len(lines), "%d events of %d lines" % (len(made), len(lines)))
    for line, event in zip(lines, made):
        before = json.loads(line)
        L.check("message" not in event or event["message"] == before.get("message"), "the line is still in it: %s" % event)
        L.check(event.pop("timestamp", None) and event == before, "%s was made of %s" % (event, line))
    return "%d events" % len(made)


# Wazuh's `type="pcre2"` is this library.
PCRE2 = """
import json, pcre2, sys
asked = json.load(sys.stdin)
print(json.dumps([[m and [m.group(0), *m.groups()] for m in (pcre2.compile(e).search(l) for l in asked["lines"])] for e in asked["expressions"]]))
"""


@L.test("integrations.wazuh_files_match_our_lines")
def wazuh(lab):
    """Wazuh itself is not available here: the form of its files, and whether their expressions match what we write by its library, PCRE2."""
    lines, _, verified, _ = written(lab)
    rules = xml.etree.ElementTree.parse(ETC + "/wazuh/portsentry_rules.xml").getroot()
    decoders = xml.etree.ElementTree.fromstring("<all>%s</all>" % re.sub("<!--.*?-->", "", open(ETC + "/wazuh/portsentry_decoders.xml").read(), flags=re.S))
    expressions = [d.find("regex").text for d in decoders if d.find("regex") is not None]
    sample = lines + ["attackalert: TCP SYN/Normal scan from host: a.example/%s to TCP port: 23" % verified]
    def matched(expressions, lines):
        return dict(zip(expressions, json.loads(with_library("pcre2", PCRE2, json.dumps({"expressions": expressions, "lines": lines})))))
    for expression, found in matched(expressions, sample).items():
        L.check(any(m and verified in m[1:] for m in found), "%s matches nothing" % expression)
    matches = [rule.find("match") for rule in rules if rule.find("match") is not None]
    for match in matches:
        L.check(match.get("type") == "pcre2" or re.fullmatch(r"[\w ]+", match.text), "%s is read by another library, which knows no such signs" % match.text)
    for expression, found in matched([match.text for match in matches], sample + ALARMS).items():
        L.check(any(found), "%s matches nothing" % expression)
    L.check(len({rule.get("id") for rule in rules}) == len(rules), "numbers of rules come twice")
    return "%d decoders, %d rules" % (len(expressions), len(rules))


if __name__ == "__main__":
    raise SystemExit(L.main())
