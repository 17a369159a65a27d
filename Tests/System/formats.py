"""What we give to other programs is read by their owners' own validators, or held against their lists of names where those are not to be had."""

import http.server
import json
import os
import re
import socket
import socketserver
import subprocess
import threading

import browser as B
import lab as L

EVERYTHING = {"ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "ADVANCED_EXCLUDE_UDP": None, "BLOCK_TCP": "1",
              "BLOCK_METHOD": "nftables", "BLOCK_TIME": "2s", "PROOF": "none"}

# Fields of the Elastic Common Schema 8.11 that we use, and what they hold. `portsentry.` is our own name, as the schema wants it.
ECS = {
    "@timestamp": "date", "ecs.version": "keyword", "message": "text", "event.kind": "keyword", "event.category": "keywords",
    "event.type": "keywords", "event.action": "keyword", "event.module": "keyword", "event.dataset": "keyword", "event.start": "date",
    "event.end": "date", "event.severity": "long", "event.reason": "keyword", "source.address": "keyword", "source.ip": "ip",
    "source.port": "long", "destination.address": "keyword", "destination.ip": "ip", "destination.port": "long",
    "network.transport": "keyword", "network.type": "keyword", "network.direction": "keyword", "rule.name": "keyword",
    "related.ip": "ips", "observer.vendor": "keyword", "observer.product": "keyword", "observer.type": "keyword",
    "observer.version": "keyword", "observer.hostname": "keyword", "host.name": "keyword", "process.name": "keyword",
    "process.pid": "long",
}
# What each kind of event has to have beside what all have: rules in a SIEM ask for these fields.
ECS_REQUIRED = {
    "probe": {"source.ip", "destination.ip", "network.transport", "network.type", "related.ip"},
    "verdict": {"source.address", "network.type", "network.direction", "rule.name", "event.start", "event.end", "event.severity"},
    "origin-proven": {"source.ip", "destination.port", "network.transport", "network.type"},
    "blocked": {"source.address", "destination.port", "network.transport", "network.type", "event.reason"},
    "block-refused": {"source.ip", "network.type", "event.reason"}, "released": {"source.address", "network.type", "event.reason"},
    "started": {"process.name", "process.pid"}, "stopped": {"process.name", "process.pid"}, "lost": {"process.name", "process.pid"},
    "blind": {"process.pid"}, "seeing": {"process.pid"}, "probes-not-listed": set(),
}
ECS_ALL = {"@timestamp", "message", "ecs.version", "event.kind", "event.category", "event.type", "event.action", "event.dataset",
           "host.name", "observer.hostname", "observer.type"}
# What the schema allows in fields of few values, and which types go with which category.
ECS_VALUES = {
    "event.kind": {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"},
    "network.direction": {"ingress", "egress", "inbound", "outbound", "internal", "external", "unknown"},
}
ECS_TYPES = {
    "network": {"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"},
    "intrusion_detection": {"allowed", "denied", "info"},
    "process": {"access", "change", "end", "info", "start"},
}
# Suricata's etc/schema.json: what stands at the top of a line, and in `alert`. Nothing else may.
EVE = {"timestamp": str, "event_type": str, "src_ip": str, "src_port": int, "dest_ip": str, "dest_port": int, "proto": str,
       "icmp_type": int, "icmp_code": int, "alert": dict}
EVE_ALERT = {"action": str, "gid": int, "signature_id": int, "rev": int, "signature": str, "category": str, "severity": int}
EVE_SCHEMAS = [os.environ.get("SURICATA_SCHEMA", ""), "/usr/share/suricata/schema.json", "/etc/suricata/schema.json"]

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def lines(path):
    return [json.loads(line) for line in open(path)] if os.path.exists(path) else []


def flat(value, path=""):
    if isinstance(value, dict):
        for k, v in value.items():
            yield from flat(v, path + "." + k if path else k)
    else:
        yield path, value


def is_address(text):
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
            return True
        except OSError:
            continue
    return False


def fits(kind, value):
    if kind.endswith("s") and kind != "address":
        return isinstance(value, list) and all(fits(kind[:-1], v) for v in value)
    return {"date": lambda: isinstance(value, str) and bool(STAMP.match(value)), "long": lambda: type(value) is int,
            "ip": lambda: isinstance(value, str) and is_address(value)}.get(kind, lambda: isinstance(value, str) and value != "")()


@L.test("formats.ecs_and_eve")
def files(lab):
    """Scans of every kind, a block, its end, a proof, a restart: each line of both files is in its owner's words."""
    ecs, eve = lab.folder + "/events.json", lab.folder + "/eve.json"
    sentry = lab.sentry("-atcp", "-audp", settings={**EVERYTHING, "EVENTS_FILE": ecs, "EVE_FILE": eve})
    v4, v6 = lab.new_source()
    for flag in ("-sS", "-sF", "-sX", "-sN", "-sA", "-sM"):
        lab.nmap(flag, "-p", "1-30", source=lab.new_source()[0])
    lab.nmap("-sS", "-p", "1-60", source=v4)
    lab.nmap("-sS", "-p", "1-60", source=v6, target=L.TARGET6)
    lab.nmap("-sU", "-p", "500-520", source=lab.new_source()[0])
    lab.nmap("-sO", "-p", "100-120", source=lab.new_source()[0], ok=None)
    L.wait_for(lambda: any(e["event"]["action"] == "released" for e in lines(ecs)), 8, "the end of a block", 0.2)
    sentry.stop()
    events, alerts = lines(ecs), lines(eve)
    actions = {e["event"]["action"] for e in events}
    L.check({"started", "probe", "verdict", "blocked", "released", "stopped"} <= actions, "only %s" % sorted(actions))
    for event in events:
        for path, value in flat(event):
            if path.startswith("portsentry."):
                continue
            L.check(path in ECS, "%s is no field of the schema: %s" % (path, event))
            L.check(fits(ECS[path], value), "%s cannot be %r" % (path, value))
            L.check(value in ECS_VALUES.get(path, [value]), "%s cannot be %r" % (path, value))
        for category in event["event"]["category"]:
            L.check(category in ECS_TYPES, "the category %s" % category)
        allowed = set().union(*(ECS_TYPES[c] for c in event["event"]["category"]))
        L.check(set(event["event"]["type"]) <= allowed, "the type %s in %s" % (event["event"]["type"], event["event"]["category"]))
        action, fields = event["event"]["action"], {path for path, _ in flat(event)}
        wanted = ECS_ALL | ECS_REQUIRED[action]
        if action == "probe" and event["network"]["transport"] in ("tcp", "udp"):
            wanted |= {"source.port", "destination.port"}
        if action == "verdict" and set(event["portsentry"]["techniques"]) - {"icmp", "ip-protocol"}:
            wanted |= {"destination.port", "network.transport"}
        L.check(wanted <= fields, "%s lacks %s: %s" % (action, sorted(wanted - fields), event))
    L.check(any(a.get("alert", {}).get("action") == "blocked" for a in alerts), "no block among %d alerts" % len(alerts))
    for alert in alerts:
        for known, found in ((EVE, alert), (EVE_ALERT, alert["alert"])):
            for name, value in found.items():
                L.check(name in known and type(value) is known[name], "%s cannot be %r" % (name, value))
        L.check(alert["event_type"] == "alert" and re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000$", alert["timestamp"]), "%s" % alert)
    schema = next((p for p in EVE_SCHEMAS if p and os.path.exists(p)), None)
    if schema:
        B.use_venv()
        import jsonschema
        validator = jsonschema.Draft7Validator(json.load(open(schema)))
        for alert in alerts:
            faults = list(validator.iter_errors(alert))
            L.check(not faults, "Suricata's schema: %s in %s" % (faults[:1], alert))
    return "%d events, %d alerts%s" % (len(events), len(alerts), ", by Suricata's schema" if schema else "; Suricata's schema is not here, its names are")


@L.test("formats.prometheus")
def prometheus(lab):
    """promtool reads what the page serves and what the textfile collector gets; no label is an address; the dashboard asks for
    nothing that is not there."""
    textfile = lab.folder + "/portsentry.prom"
    sentry = lab.sentry("-atcp", settings={**EVERYTHING, "METRICS_FILE": textfile, "CONSOLE_LISTEN": "127.0.0.1:8087"})
    sources = [lab.new_source()[0] for _ in range(3)]
    for source in sources:
        lab.nmap("-sS", "-p", "1-100", source=source)
    sentry.wait_journal()
    L.wait_for(lambda: len([s for s in sentry.ask("sources") if s["address"] in sources]) == 3, 5, "the sources", 0.1)
    token = L.wait_for(lambda: os.path.exists(sentry.folder + "/state/console.token") and open(sentry.folder + "/state/console.token").read().split(), 5, "the token")[0]

    def served():
        return lab.in_target("curl", "-s", "-H", "Authorization: Bearer " + token, "http://127.0.0.1:8087/metrics", ok=None).stdout
    page = L.wait_for(lambda: "day_port_probes" in served() and served(), 5, "/metrics", 0.2)
    texts = {"/metrics": page, "portsentry metrics": sentry.control_command("metrics").stdout,
             "METRICS_FILE": L.wait_for(lambda: os.path.exists(textfile) and open(textfile).read(), 20, "METRICS_FILE", 0.2)}
    for name, text in texts.items():
        result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        L.check(result.returncode == 0 and not result.stderr.strip(), "promtool on %s: %s" % (name, (result.stderr + result.stdout)[:300]))
        L.check("10.77.0." not in text and "fd77:" not in text, "%s has an address in it" % name)
    L.check(os.stat(textfile).st_mode & 0o004, "node_exporter may not read the file")
    values = dict(re.findall(r"^(portsentry_\w+(?:\{[^}]*\})?) (\d+)$", page, re.M))
    L.check(int(values["portsentry_probes_total"]) == 300 and values["portsentry_day_sources"] == "3", "%s" % {
        k: v for k, v in values.items() if "probes" in k or "sources" in k})
    known = set(re.findall(r"^# TYPE (\w+)", page, re.M))
    dashboard = json.load(open(L.ROOT + "/etc/grafana/portsentry.json"))
    alerts = L.ROOT + "/etc/grafana/portsentry-alerts.yml"
    questions = re.findall(r"expr: (.*)", open(alerts).read())
    asked = set(re.findall(r"portsentry_\w+", json.dumps(dashboard) + " ".join(questions)))
    # Without samples a metric is not written.
    source = "".join(open(L.ROOT + "/Sources/" + p).read() for p in (
        "Daemon/Sentry+Metrics.swift", "Daemon/Sentry+Companions.swift", "Daemon/Sentry+Fleet.swift", "Daemon/Sentry+CrowdSec.swift", "Report/Metrics.swift"))
    missing = {n for n in asked - known if '"%s"' % n.removeprefix("portsentry_") not in source}
    L.check(not missing and len(asked) >= 12, "the dashboard asks for %s" % sorted(missing))
    rules = {"groups": [{"name": "dashboard", "rules": [
        {"record": "x:y%d" % i, "expr": t["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for i, t in enumerate(t for p in dashboard["panels"] for t in p["targets"])]}]}
    L.Sentry.write(lab.folder + "/rules.json", json.dumps(rules))
    out = L.run(["promtool", "check", "rules", lab.folder + "/rules.json"], ok=None)
    L.check(out.returncode == 0, "promtool on the dashboard's questions: %s" % (out.stderr + out.stdout)[-400:])
    out = L.run(["promtool", "check", "rules", alerts], ok=None)
    L.check(out.returncode == 0 and "%d rules found" % len(questions) in out.stdout, "promtool on the alerts: %s" % (out.stderr + out.stdout)[-400:])
    return "%d metrics, %d questions of the dashboard, %d alerts" % (len(known), len(rules["groups"][0]["rules"]), len(questions))


@L.test("formats.stix_xarf_and_lists")
def exports(lab):
    """stix2 and xarf by their owners; our own address masked and left out; private sources only when asked for."""
    sentry = lab.sentry("-atcp", settings={**EVERYTHING, "BLOCK_TCP": "0"})
    v4, v6 = lab.new_source()
    sentry.wait_journal()
    lab.nmap("-sT", "-p", "1-80", source=v4)
    lab.nmap("-sS", "-p", "1-80", source=v4)
    lab.nmap("-sS", "-p", "1-80", source=v6, target=L.TARGET6)
    L.wait_for(lambda: sum(s["verdict"] == "scan" for s in sentry.ask("sources")) == 2, 8, "two scanners", 0.2)

    def export(*words):
        return sentry.control_command("export", *words).stdout
    wide = ("--private", "--unproven")
    for form in ("--csv", "--json", "--stix", "--abuseipdb", "--dshield", "--crowdsec"):
        text = export(form)
        L.check(v4 not in text and v6 not in text, "%s has a source of a private network: %s" % (form, text[:200]))
        text = export(form, *wide)
        L.check(v4 in text and v6 in text, "%s leaves one out: %s" % (form, text[:300]))
        # The laboratory's address begins with 10, as a masked one does: only that of IPv6 tells.
        masked = re.split(r"[,\t\"\s]", export(form, *wide, "--own", "mask"))
        L.check(L.TARGET6 not in masked, "%s --own mask has our address" % form)
        omitted = re.split(r"[,\t\"\s]", export(form, *wide, "--own", "omit"))
        L.check(L.TARGET6 not in omitted and (form == "--dshield" or L.TARGET4 not in omitted), "%s --own omit has our address" % form)
    L.check(L.TARGET6 in export("--csv", *wide), "our own address is not kept by default")
    counts = {}
    B.use_venv()
    try:
        import stix2
        import xarf
    except ImportError:
        return "lists only: Python's stix2 and xarf are not installed"
    bundle = stix2.parse(export("--stix", *wide), allow_custom=False)
    counts["STIX objects"] = len(bundle.objects)
    patterns = [o for o in bundle.objects if o.type == "indicator"]
    L.check({v4, v6} == {o.pattern.split("'")[1] for o in patterns}, "%s" % patterns)
    again = stix2.parse(export("--stix", *wide))
    L.check({o.id for o in bundle.objects} == {o.id for o in again.objects}, "another export doubles the objects")
    empty = stix2.parse(export("--stix"))
    L.check([o.type for o in empty.objects] == ["identity"], "%s" % empty)
    text = export("--xarf", *wide, "--org", "Example", "--contact", "abuse@example.org", "--domain", "example.org")
    reports = text.splitlines()
    L.check(reports, "no report")
    for report in reports:
        result = xarf.parse(report, strict=False)
        L.check(not result.errors and result.report is not None, "xarf: %s in %s" % (result.errors, report))
    counts["XARF reports"] = len(reports)
    return ", ".join("%d %s" % (n, what) for what, n in counts.items())


@L.test("formats.journald_fields")
def journald(lab):
    """A socket where systemd's journal has its own: the 1.2 text is the message, and what it is about stands beside it."""
    path = lab.folder + "/journald.sock"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(0.2)
    lab.sockets.append(s)
    found = []

    def read():
        while not lab.closed:
            try:
                found.append(dict(line.split("=", 1) for line in s.recv(1 << 16).decode().splitlines()))
            except socket.timeout:
                continue
            except OSError:
                return
    threading.Thread(target=read, daemon=True).start()
    sentry = lab.sentry("-atcp", "-l", "journald", settings=EVERYTHING, mounts=
                        "mount -t tmpfs none /run\nmkdir -p /run/systemd/journal\nln -s %s /run/systemd/journal/socket" % path)
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p", "21-23", source=source)

    def has(event):
        return next((f for f in found if f.get("PORTSENTRY_EVENT") == event), None)
    probe = L.wait_for(lambda: has("probe"), 5, "a probe in the journal")
    L.check(probe["PORTSENTRY_SOURCE"] == source and probe["PORTSENTRY_TARGET"] == L.TARGET4 and probe["PORTSENTRY_TECHNIQUE"] == "syn"
            and probe["PORTSENTRY_PROTOCOL"] == "TCP" and probe["PORTSENTRY_PORT"] in ("21", "22", "23"), "%s" % probe)
    L.check(re.match(r"attackalert: TCP SYN/Normal scan from host: %s/%s to TCP port: %s" % (source, source, probe["PORTSENTRY_PORT"]),
                     probe["MESSAGE"]), "%s" % probe)
    L.check(probe["SYSLOG_IDENTIFIER"] == "portsentry" and probe["SYSLOG_PID"] == str(sentry.pid), "%s" % probe)
    for event in ("blocked", "released"):
        L.check(L.wait_for(lambda: has(event), 6, event)["PORTSENTRY_SOURCE"] == source, event)
    return "%d messages" % len(found)


@L.test("formats.examples_of_web_hook_and_digest")
def examples(lab):
    """The web hook as KILL_RUN_CMD, against a web server; the digest, with a file in place of a mailer."""
    got = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass
    with lab.inside(lab.target):
        server = socketserver.TCPServer(("127.0.0.1", 8090), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        sentry = lab.sentry("-atcp", settings={
            **EVERYTHING, "BLOCK_TIME": "1h", "KILL_RUN_CMD": L.ROOT + "/etc/examples/webhook.sh http://127.0.0.1:8090/hook $TARGET$ $PORT$ $MODE$"})
        v4, v6 = lab.new_source()
        sentry.wait_journal()
        lab.syn(v4, 23)
        lab.syn(v6, 445)
        L.wait_for(lambda: len(got) >= 2, 8, "both calls of the web hook")
    finally:
        server.shutdown()
        server.server_close()
    L.check({(g["source"], g["port"]) for g in got} == {(v4, "23"), (v6, "445")} and all(g["text"] == g["content"] for g in got), "%s" % got)
    L.wait_for(lambda: len(sentry.ask("blocked", "--since", "1h")) == 2, 5, "the blocks in the journal", 0.1)
    mail = lab.folder + "/mail"
    wrapper = lab.folder + "/portsentry"
    L.Sentry.write(wrapper, '#!/bin/sh\nexec %s "$@" -c %s\n' % (L.binary, sentry.config))
    os.chmod(wrapper, 0o755)
    lab.in_target("env", "PORTSENTRY=" + wrapper, "SENDMAIL=tee " + mail, L.ROOT + "/etc/examples/digest.sh", "admin@example.org", "1h")
    text = open(mail).read()
    head, _, body = text.partition("\n\n")
    L.check("To: admin@example.org" in head and "Subject: PortSentry on" in head, head)
    L.check(v4 in body and "Which doors" in body, body[:500])
    # Without a journal there is no mail, and cron hears of it.
    os.unlink(mail)
    out = lab.in_target("env", "PORTSENTRY=%s report --journal /nonexistent/x.db" % L.binary, "SENDMAIL=tee " + mail, L.ROOT + "/etc/examples/digest.sh", ok=None)
    L.check(out.returncode != 0 and out.stderr and not os.path.exists(mail), "a mail without a report")
    return "%d calls, %d lines of mail" % (len(got), len(text.splitlines()))


if __name__ == "__main__":
    raise SystemExit(L.main())
