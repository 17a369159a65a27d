"""NOTIFY: messages by curl to a local double of ntfy and of a web hook, and by a sendmail of our own."""

import glob
import json
import os
import re
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
            f.write(json.dumps({"path": self.path, "headers": dict(self.headers), "body": body}) + "\n")
        time.sleep(float(sys.argv[3]))
        self.send_response(int(sys.argv[4]))
        self.end_headers()
    do_PUT = do_POST
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Double).serve_forever()
"""
BLOCKING = {"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none", "RULE": "classic", "JOURNAL": "0"}


class Server:
    def __init__(self, lab, port=8099, pause=0.05, status=200):
        self.path = os.path.join(lab.folder, "requests-%d" % port)
        self.process = lab.start(lab.target, "python3", "-c", DOUBLE, str(port), self.path, str(pause), str(status))
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
