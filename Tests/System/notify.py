"""NOTIFY: messages by curl to a local double of ntfy and of a web hook, and by a sendmail of our own."""

import glob
import json
import os
import re
import shutil
import subprocess
import time

import lab as L

# Keeps each request as a line of JSON, and answers after a while so that the client can be looked at.
DOUBLE = r"""
import http.server, json, sys, time
class Double(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open(sys.argv[2], "a") as f:
            f.write(json.dumps({"path": self.path, "method": self.command, "headers": dict(self.headers), "body": body}) + "\n")
        time.sleep(float(sys.argv[3]))
        self.send_response(int(sys.argv[4]))
        self.end_headers()
    do_PUT = do_POST
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Double)
if len(sys.argv) > 5:
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[5], sys.argv[6])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
BLOCKING = {"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none", "RULE": "classic", "JOURNAL": "0"}


class Server:
    def __init__(self, lab, port=8099, pause=0.05, status=200, certificate=()):
        self.path = os.path.join(lab.folder, "requests-%d" % port)
        self.process = lab.start(lab.target, "python3", "-c", DOUBLE, str(port), self.path, str(pause), str(status), *certificate)
        L.wait_for(lambda: lab.in_target("sh", "-c", "ss -Hltn sport = :%d" % port).stdout, 10, "the double to listen", 0.05)

    def requests(self):
        try:
            return [json.loads(line) for line in open(self.path)]
        except FileNotFoundError:
            return []


def visible(word, seen):
    """Adds to `seen` what every user can read of a process and has the word in it. The double has no secret in its own."""
    for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
        try:
            if word in open(path, "rb").read():
                seen.add((path, open(path, "rb").read()[:200]))
        except OSError:
            pass


@L.test("notify.a_flood_makes_so_many_messages_and_no_more")
def flood(lab):
    secret = lab.folder + "/ntfy.url"
    open(secret, "w").write("http://127.0.0.1:8099/top-SECRETWORD\n")
    os.chmod(secret, 0o600)
    server = Server(lab, pause=0.3)
    sentry = lab.sentry("-stcp", settings={**BLOCKING, "NOTIFY": "ntfy " + secret, "NOTIFY_PER_HOUR": "8", "NOTIFY_EVENTS": "block"})
    sources = [lab.new_source()[0] for _ in range(40)]
    for source in sources:
        lab.syn(source, 111)
    seen = set()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        visible(b"SECRETWORD", seen)
        time.sleep(0.02)
    got = server.requests()
    L.check(len(sentry.blocked()) == 40, "%d blocks" % len(sentry.blocked()))
    L.check(len(got) == 6, "%d messages, not three quarters of 8: %s" % (len(got), [g["body"] for g in got]))
    for source, request in zip(sources, got):
        L.check(re.match("Blocked %s for " % re.escape(source), request["body"]), "%s is not in %r" % (source, request["body"]))
        L.check(request["path"] == "/top-SECRETWORD" and request["headers"]["Title"].startswith("PortSentry on "), request)
    L.check(not seen, "the secret can be seen in %s" % seen)
    L.check(not sentry.find("SECRETWORD"), "the secret is in the log")
    check = sentry.control_command("check").stdout
    L.check("SECRETWORD" not in check and "at most 8 messages an hour" in check, check)
    return "40 blocks, 6 messages, the first six blocks; the others are counted"


@L.test("notify.a_web_hook_gets_json_without_blocks")
def webhook(lab):
    server = Server(lab)
    sentry = lab.sentry("-atcp", settings={
        "NOTIFY": "webhook http://127.0.0.1:8099/hook tok-SECRETWORD", "NOTIFY_EVENTS": "scan", "ADVANCED_DECOY": "0"})
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p1-300", source=source)
    got = L.wait_for(server.requests, 10, "a message")
    body = json.loads(got[0]["body"])
    L.check(got[0]["headers"]["Authorization"] == "Bearer tok-SECRETWORD", got[0])
    L.check(body["event"] == "scan" and body["subject"] == source and body["version"] == 1, body)
    L.check(body["text"].startswith("%s is a scanner: " % source), body)
    answer = sentry.control_command("notify", "--test")
    L.check("succeeded" in answer.stdout, answer.stdout)
    L.check(json.loads(server.requests()[-1]["body"])["event"] == "test", server.requests()[-1])
    return body["text"]


@L.test("notify.hidden_decoys_by_mail")
def mail(lab):
    box = lab.folder + "/box"
    program = lab.folder + "/sendmail"
    open(program, "w").write("#!/bin/sh\n{ echo \"ARGS $*\"; cat; } >> %s\n" % box)
    os.chmod(program, 0o755)
    lab.in_target("nft", "add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; }")
    sentry = lab.sentry("-atcp", settings={**BLOCKING, "PROOF": "handshake", "NOTIFY": "mail root", "ADVANCED_DECOY": "1"},
                        mounts="mount -t tmpfs none /usr/local/sbin\ncp %s /usr/local/sbin/sendmail" % program)
    text = L.wait_for(lambda: os.path.exists(box) and open(box).read().endswith("events\n") and open(box).read(), 10, "mail")
    L.check(text.startswith("ARGS -i -- root\nTo: root\nSubject: [PortSentry] "), text)
    L.check("hides the decoys" in text, text)
    sentry.stop()


@L.test("notify.each_service_gets_the_shape_it_documents")
def shapes(lab):
    """Doubles that refuse what the service would refuse. Telegram has one address, so the double of it has its name and a certificate."""
    key, cert = lab.folder + "/key", lab.folder + "/cert"
    L.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
           "-subj", "/CN=api.telegram.org", "-addext", "subjectAltName=DNS:api.telegram.org"])
    server = Server(lab)
    telegram = Server(lab, port=443, certificate=(cert, key))
    token = lab.folder + "/token"
    open(token, "w").write("123:SECRETWORD\n")
    os.chmod(token, 0o600)
    base = "http://127.0.0.1:8099"
    hosts = lab.folder + "/hosts"
    open(hosts, "w").write("127.0.0.1 localhost api.telegram.org\n")
    mounts = "mount --bind %s /etc/hosts\nmount --bind %s /etc/ssl/certs/ca-certificates.crt" % (hosts, cert)

    def is_text(value, limit):
        return isinstance(value, str) and 0 < len(value) <= limit and "Blocked " in value
    # What each service takes: its documentation of incoming messages, as of 2025.
    services = (
        ("slack %s/services/T0/B0/SECRETWORD" % base, server, lambda r, b: set(b) == {"text"} and is_text(b["text"], 40000)
         and r["path"] == "/services/T0/B0/SECRETWORD"),
        ("discord %s/api/webhooks/1/SECRETWORD" % base, server, lambda r, b: is_text(b["content"], 2000) and b["allowed_mentions"] == {"parse": []}
         and r["path"] == "/api/webhooks/1/SECRETWORD"),
        ("matrix %s !room:matrix.example %s" % (base, token), server, lambda r, b: r["method"] == "PUT" and is_text(b["body"], 60000)
         and b["msgtype"] == "m.text" and r["headers"]["Authorization"] == "Bearer 123:SECRETWORD"
         and re.fullmatch(r"/_matrix/client/v3/rooms/%21room:matrix.example/send/m.room.message/[^/]+", r["path"])),
        ("telegram 4711 " + token, telegram, lambda r, b: r["path"] == "/bot123:SECRETWORD/sendMessage" and b["chat_id"] == "4711"
         and is_text(b["text"], 4096)),
    )
    for target, double, is_right in services:
        before = len(double.requests())
        sentry = lab.sentry("-stcp", settings={**BLOCKING, "NOTIFY": target, "NOTIFY_EVENTS": "block"}, mounts=mounts)
        lab.syn(lab.new_source()[0], 111)
        got = L.wait_for(lambda: double.requests()[before:], 15, lambda: "a message by %s; the log says %s" % (target.split()[0], sentry.texts()[-3:]))
        L.check(got[0]["headers"]["Content-Type"] == "application/json" and is_right(got[0], json.loads(got[0]["body"])), got)
        L.check(len(got) == 1 and not sentry.find("SECRETWORD"), "%d messages, and the log says %s" % (len(got), sentry.texts()[-3:]))
        sentry.stop()


@L.test("notify.digest_has_the_numbers_in_its_subject")
def digest(lab):
    """A day and a week, with a scan in them, by a double of sendmail; what the journal does not have is not in them."""
    box, program = lab.folder + "/box", lab.folder + "/sendmail"
    open(program, "w").write("#!/bin/sh\n{ echo \"ARGS $*\"; cat; } > %s\n" % box)
    os.chmod(program, 0o755)
    sentry = lab.sentry("-atcp", settings={"NOTIFY": "mail root", "BLOCK_TCP": "1", "PROOF": "none", "BLOCK_METHOD": "nftables", "RULE": "native"})
    scanner = lab.new_source()[0]
    sentry.wait_journal()
    lab.nmap("-sS", "-p", "1-300", source=scanner)
    L.wait_for(lambda: [s for s in sentry.ask("sources") if s["verdict"] == "scan"] and sentry.ask("blocked", "--since", "1h"), 15, "the journal to have it", 0.2)
    for word, span in (("daily", "day"), ("weekly", "week")):
        answer = lab.in_target("unshare", "-m", "sh", "-c", "mount --make-rprivate /\nmount -t tmpfs none /usr/local/sbin\ncp %s /usr/local/sbin/\nexec \"$@\"" % program,
                               "sh", sentry.binary_path, "notify", "--digest", word, "-c", sentry.config)
        mail = open(box).read()
        subject = re.search(r"^Subject: \[PortSentry\] \S+: 1 block, 1 scanner, (\d+) probes from 1 address in the last %s$" % span, mail, re.M)
        L.check(subject and int(subject.group(1)) >= 3, mail)
        L.check(scanner in mail and "Event: digest" in mail and "Ports: " in mail, mail)
        L.check(subject.group(0).split(": ", 2)[2] in answer.stdout, answer.stdout)
    wrong = sentry.control_command("notify", "--digest", "hourly", ok=(64,))
    L.check("daily" in wrong.stderr, wrong.stderr)
    wrong = sentry.control_command("notify", "--digest", "daily", "--journal", "/nonexistent", ok=(69,))
    L.check("there is no journal" in wrong.stderr, wrong.stderr)
    if shutil.which("systemd-analyze"):
        found = L.run(["systemd-analyze", "calendar", "daily", "weekly"], ok=None)
        L.check(found.returncode == 0, found.stderr)
    return subject.group(0)


@L.test("notify.mail_by_a_real_postfix")
def postfix(_):
    """Messages and a digest through Debian's Postfix into a mailbox, in a Debian of its own."""
    import neighbours_talk
    import town as T
    if T.missing([s for s in T.scenarios if s.name == "mail"]):
        raise L.Skip("no Debian with Postfix is made: make dependencies-test")
    with T.Town() as town:
        server = town.server
        neighbours_talk.postfix_of(server, "server.example")
        server.daemon("postfix", "start-fg", ready=25)
        shutil.copy(L.binary, "/proc/%d/root/usr/sbin/portsentry" % server.pid)
        keys = {**BLOCKING, "JOURNAL": "1", "NOTIFY": "mail user@server.example", "NOTIFY_EVENTS": "block", "TCP_PORTS": "111", "UDP_PORTS": "69",
                "IGNORE_FILE": "/etc/portsentry/portsentry.ignore"}
        server.write("/etc/portsentry/portsentry.ignore", "")
        server.write("/etc/portsentry/portsentry.conf", "".join('%s="%s"\n' % pair for pair in keys.items()))
        server.shell("mkdir -p /var/lib/portsentry")
        server.start("portsentry", "run", "--stealth", "-l", "stdout")
        L.wait_for(lambda: server.run("portsentry", "status", ok=None).returncode == 0, 15, "the sentry in it", 0.1)
        L.run(["ip", "netns", "exec", town.scanners["nmap -sS"], "nmap", "-n", "-Pn", "-sS", "-p", "111", "--max-retries", "0", "-S", "10.77.0.203", "-e", "lan0", L.TARGET4])

        def mails():
            return re.findall(r"^Subject: (.*(?:\n[ \t].*)*)", server.read("/var/mail/user"), re.M)
        L.wait_for(mails, 20, "a mail about the block", 0.2)
        # The journal is made beside the start, and written twice a second.
        L.wait_for(lambda: "10.77.0.203" in server.run("portsentry", "blocked", "--since", "1h", ok=None).stdout, 20, "the block in the journal", 0.2)
        server.run("portsentry", "notify", "--digest", "weekly")
        L.wait_for(lambda: len(mails()) == 2, 20, lambda: "the digest; there is %s" % mails(), 0.2)
        block, week = (" ".join(m.split()) for m in mails())
        L.check(re.fullmatch(r"\[PortSentry\] server: Blocked 10\.77\.0\.203 for .*", block), block)
        L.check(re.fullmatch(r"\[PortSentry\] server: 1 block, .* in the last week", week), week)
    return week


@L.test("notify.a_failing_or_hanging_client_delays_nobody")
def hanging(lab):
    for settings, words in (({"NOTIFY": "command /bin/sleep 100"}, None), ({"NOTIFY": "command /nonexistent/tell"}, "could not be sent"),
                            ({"NOTIFY": "ntfy http://127.0.0.1:9/x"}, "could not be sent: curl ended with status 7")):
        sentry = lab.sentry("-stcp", settings={**BLOCKING, **settings, "NOTIFY_EVENTS": "block"})
        for _ in range(5):
            source = lab.new_source()[0]
            begun = time.monotonic()
            lab.syn(source, 111)
            sentry.wait_line("from host: [^/]*/%s to" % source, timeout=3)
            L.check(time.monotonic() - begun < L.bar(0.5), "an alert after %.2f s" % (time.monotonic() - begun))
        if words:
            sentry.wait_line(words)
            L.check(len([t for t in sentry.texts() if "NOTIFY" in t]) == 1, "one line about it, not %s" % sentry.texts())
        begun = time.monotonic()
        L.check(sentry.stop(timeout=10) == 0, "no clean end")
        L.check(time.monotonic() - begun < 5, "TERM took %.1f s" % (time.monotonic() - begun))
    left = subprocess.run(["ip", "netns", "pids", lab.target], capture_output=True, text=True).stdout.split()
    L.check(not left, "left behind: %s" % [open("/proc/%s/cmdline" % p).read() for p in left])


@L.test("notify.test_says_what_is_wrong")
def says(lab):
    Server(lab, status=403)
    sentry = lab.sentry("-stcp", settings={"NOTIFY": "ntfy http://127.0.0.1:8099/SECRETWORD"})
    secret = lab.folder + "/open"
    open(secret, "w").write("http://127.0.0.1:8099/SECRETWORD\n")
    os.chmod(secret, 0o644)
    for target, words in (("ntfy http://127.0.0.1:8099/SECRETWORD", "403"), ("slack " + secret, "can be read or written by other users"),
                          ("slack /nonexistent", "cannot read /nonexistent"), ("", "NOTIFY is not set")):
        sentry.configure({"NOTIFY": target or None})
        answer = sentry.control_command("notify", "--test", ok=(1, 78))
        said = answer.stdout + answer.stderr
        L.check(words in said and "SECRETWORD" not in said, said)


@L.test("status.for_nagios_and_c_before_the_subcommand")
def nagios(lab):
    """One line and a state; and the option for the configuration before the subcommand."""
    sentry = lab.sentry("-stcp", settings={"JOURNAL": "0"})

    def plugin(*words):
        answer = lab.in_target(sentry.binary_path, *words, ok=None)
        return answer.returncode, answer.stdout
    status, line = plugin("-c", sentry.config, "status", "--nagios")
    L.check(status == 0 and re.match(r"PORTSENTRY OK - watching \(stcp\), 0 blocks in force \| blocks=0 .*\n$", line), (status, line))
    for words in (("status", "--nagios", "--jsn"), ("status", "--nagios", "--json"), ("status", "--nagios", "-c")):
        status, line = plugin(*words)
        L.check(status == 3 and re.match(r"PORTSENTRY UNKNOWN - [^|\n]+\n$", line), (words, status, line))
    lab.in_target("ip", "link", "set", "lan0", "down")
    L.wait_for(lambda: plugin("status", "--nagios", "--config", sentry.config)[0] == 2, 5, lambda: "CRITICAL without an interface: %s" % (
        plugin("status", "--nagios", "--config", sentry.config),), 0.2)
    sentry.stop()
    status, line = plugin("--config=" + sentry.config, "status", "--nagios")
    L.check(status == 2 and line.startswith("PORTSENTRY CRITICAL - no sentry is running"), (status, line))
    answer = lab.in_target(sentry.binary_path, "-c", sentry.config, "statsu", ok=None)
    L.check(answer.returncode == 64 and "did you mean 'status'?" in answer.stderr, answer)


if __name__ == "__main__":
    raise SystemExit(L.main())
