"""The page, in the browser it is made for: live, obedient to whoever has the token and to nobody else, and deaf to what strangers write."""

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import sqlite3
import subprocess
import threading
import time

import browser as B
import dialects
import http.server
import lab as L

PORT = 8087
HOME = "http://127.0.0.1:%d" % PORT
BLOCKING = {"ADVANCED_PORTS_TCP": "65535", "BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none",
            "CONSOLE_LISTEN": "127.0.0.1:%d" % PORT}
# What a reverse name may try: markup, the end of an attribute, terminal escapes, a path, lines, marks that turn the direction around.
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b]0;owned\x07\x1b[2J/../../etc\nfake: line\r\u202egnp.exe\u200f\x9b31m"


def link(sentry):
    """A link that lets in once; HOME is what the page goes by."""
    global HOME
    url = L.wait_for(lambda: sentry.control_command("console", "--url", ok=None).stdout.strip(), 5, "a link to the page")
    L.check(re.fullmatch(r"http://s[0-9a-f]{32}\.localhost:%d/\?login=[0-9a-f]{32}" % PORT, url), "`console --url` says %r" % url)
    HOME = url.split("/?")[0]
    return url


def start(lab, **settings):
    """A sentry that serves the page."""
    sentry = lab.sentry("-atcp", settings={**BLOCKING, **settings})
    sentry.wait_line("The page is served on", timeout=5)
    url = link(sentry)
    L.wait_for(lambda: lab.in_target("curl", "-s", "-o", "/dev/null", HOME, ok=None).returncode == 0, 5, "the page to be served", 0.05)
    return sentry, url


def curl(lab, *arguments):
    """Status, headers and body of an answer."""
    out = lab.in_target("curl", "-s", "-i", "--max-time", "5", *arguments).stdout
    head, _, body = out.partition("\n\n")
    lines = head.splitlines()
    return int(lines[0].split()[1]), {k.lower(): v.strip() for k, _, v in (l.partition(":") for l in lines[1:])}, body


@L.test("page.lives_and_unblocks")
def live(lab):
    """nmap scans while the overview is open: it shows so without being loaded again. Then the scanner is unblocked by its button."""
    sentry, url = start(lab)
    source, other = lab.new_source()[0], lab.new_source()[0]
    with B.browser(lab.folder, lab.target) as browser:
        page = browser.new_page()
        faults = B.Faults(page, HOME)
        page.goto(url)
        L.check(page.url == HOME + "/", "the ticket stays in the address: %s" % page.url)
        page.wait_for_selector("#live.on", timeout=5000)
        page.evaluate("window.stayed = true")
        before = page.inner_text("#figures")
        lab.nmap("-sS", "-p", "1-300", source=source)
        begun = time.monotonic()
        page.wait_for_selector("#active >> text=%s" % source, timeout=5000)
        page.wait_for_selector("#events >> text=blocked", timeout=5000)
        took = time.monotonic() - begun
        L.check(page.inner_text("#figures") != before, "the figures are as before: %s" % before)
        L.check(page.evaluate("window.stayed"), "the page was loaded anew")
        # Its own page, and the button.
        page.click("#active a >> text=%s" % source)
        L.check(source in page.inner_text("h1") and page.inner_text(".why h2") == "Blocked", page.inner_text("main")[:300])
        L.check(source in lab.nft_elements(), "it is not blocked")
        page.click('button:has-text(\"Unblock\")')
        L.check("released" in page.inner_text(".said") and "x0a" not in page.inner_text(".said"), page.inner_text("main")[:200])
        L.check(source not in lab.nft_elements() and source not in sentry.blocked(), "it is still blocked")
        L.check(page.inner_text(".why h2") == "Not blocked", page.inner_text(".why"))
        # Allowed, and not any more.
        page.click('button:text-is("Allow")')
        L.check(page.inner_text(".why h2") == "Allowed" and source in str(sentry.ask("status")["allowed"]), page.inner_text("main")[:200])
        page.click('button:has-text("Take the allowance back")')
        L.check(page.inner_text(".why h2") == "Not blocked" and not sentry.ask("status")["allowed"], page.inner_text("main")[:200])
        # And blocked again by hand, found in the list, and released there.
        page.click('button:text-is("Block")')
        L.check(source in lab.nft_elements(), "it was not blocked by hand")
        page.click("nav >> text=Blocks")
        L.check(source in page.inner_text("main"), page.inner_text("main")[:200])
        page.fill("#q", other)
        page.press("#q", "Enter")
        L.check("No block matches" in page.inner_text("main"), page.inner_text("main")[:200])
        page.fill("#q", source)
        page.press("#q", "Enter")
        page.click('button:has-text(\"Unblock\")')
        L.check(source not in lab.nft_elements(), "it is still blocked")
        for place in ("Report", "Configuration"):
            page.click("nav >> text=" + place)
            L.check(page.inner_text("h1"), place + " has no title")
        # Of these settings one thing is to be said, and none of what the page's own process cannot know.
        problems = page.inner_text("main pre").strip().splitlines()
        L.check(len(problems) == 1 and "PROOF=" in problems[0], "the configuration page finds fault: %s" % problems)
        # The sentry ends: the page's process ends with it, and the overview says that it is not live.
        page.goto(HOME + "/")
        page.wait_for_selector("#live.on", timeout=5000)
        faults.none()
        sentry.stop()
        page.wait_for_selector("#live:not(.on)", state="attached", timeout=5000)
    return "%.1f s after the scan it was on the page" % took


@L.test("page.obeys_nobody_else")
def strangers(lab):
    """Without the token there is nothing to see; a foreign page cannot press a button; a foreign name is not ours."""
    sentry, url = start(lab)
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p", "1-100", source=source)
    L.wait_for(lambda: source in lab.nft_elements(), 5, "the block", 0.05)
    token = open(sentry.folder + "/state/console.token").read().split()[0]
    L.check(os.stat(sentry.folder + "/state/console.token").st_mode & 0o777 == 0o600, "the token is readable by others")
    for path in ("/", "/blocks", "/report", "/source?address=" + source, "/configuration", "/events", "/metrics", "/card.svg",
                 "/port?port=23/tcp", "/hour?at=0"):
        status, headers, body = curl(lab, HOME + path)
        L.check(status == 401 and source not in body, "%s without a token gives %d: %s" % (path, status, body[:100]))
        policy = headers.get("content-security-policy", "")
        L.check("default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, "the policy is %r" % policy)
        L.check(headers.get("x-content-type-options") == "nosniff" and headers.get("cache-control") == "no-store", "%s" % headers)
    for query in ("?login=" + "0" * 32, "?login=" + token, "?token=" + token):
        status, headers, _ = curl(lab, HOME + "/" + query)
        L.check(status == 401 and "set-cookie" not in headers, "%s opens" % query)
    for name in ("evil.example", "localhost:%d" % PORT, "127.0.0.1:%d" % PORT, "x.localhost:%d" % PORT):
        L.check(curl(lab, "-H", "Host: " + name, url)[0] == 421, "the name %s opens" % name)
    for place in (HOME, "http://127.0.0.1:%d" % PORT):
        L.check(curl(lab, "-H", "Authorization: Bearer " + token, place + "/metrics")[0] == 200, "the token does not open /metrics")
    # With a session, but not by a form of ours.
    _, headers, _ = curl(lab, url)
    cookie = headers["set-cookie"].split(";")[0]
    L.check(curl(lab, url)[0] == 401, "a link lets in twice")
    L.check("HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"], headers["set-cookie"])
    _, _, body = curl(lab, "-b", cookie, HOME + "/blocks")
    key = body.split('name="key" value="')[1].split('"')[0]
    for form, origin in (("target=" + source, HOME), ("target=%s&key=%s" % (source, "0" * len(key)), HOME),
                         ("target=%s&key=%s" % (source, key), "http://evil.example"), ("target=%s&key=%s" % (source, key), None)):
        more = ["-H", "Origin: " + origin] if origin else []
        status, _, _ = curl(lab, "-b", cookie, *more, "-d", form, HOME + "/unblock")
        L.check(status == 403, "the form %r from %s gives %d" % (form[:20], origin, status))
    L.check(curl(lab, "-b", cookie, HOME + "/unblock?target=%s&key=%s" % (source, key))[0] == 404, "GET changes something")
    # Control: the page's own form is obeyed.
    lab.in_target(L.binary, "block", "192.0.2.9", "-c", sentry.config)
    L.check("192.0.2.9" in sentry.blocked(), "no block to begin with")
    status, _, _ = curl(lab, "-b", cookie, "-H", "Origin: " + HOME, "-d", "target=192.0.2.9&key=" + key, HOME + "/unblock")
    L.check(status == 303 and "192.0.2.9" not in sentry.blocked(), "the control: the page's own form gives %d" % status)
    # Another page of the same host, whose forms a browser sends with the cookie: ports do not part sites.
    form = '<form id=f method=post action="%s/unblock"><input name=target value="%s"></form><script>f.submit()</script>' % (HOME, source)

    cookies = []

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            cookies.append(self.headers.get("Cookie"))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(form.encode())

        def log_message(self, *_):
            pass
    with lab.inside(lab.target):
        server = socketserver.TCPServer(("127.0.0.1", 8099), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with B.browser(lab.folder, lab.target) as browser:
            page = browser.new_page()
            page.goto(link(sentry))
            L.check(page.url == HOME + "/", "the browser is at %s" % page.url)
            page.goto("http://127.0.0.1:8099/")
            page.wait_for_url(HOME + "/unblock", timeout=5000)
            # Another site: the browser keeps the cookie to itself.
            L.check("Log in" in page.inner_text("main"), page.inner_text("main")[:200])
            L.check(cookies and not any(cookies), "the cookie goes to another port: %s" % cookies)
            # Nor is ours shown in its frame.
            page.goto("http://127.0.0.1:8099/")
            page.goto("about:blank")
            page.set_content('<iframe src="%s/"></iframe>' % HOME)
            time.sleep(0.5)
            L.check(all("PortSentry" not in f.content() for f in page.frames[1:]), "it is shown in a foreign frame")
    finally:
        server.shutdown()
        server.server_close()
    L.check(source in lab.nft_elements(), "a stranger has unblocked it")
    L.check(sentry.process.poll() is None, "the sentry ended")


def reported(lab, sentry, source):
    """Where the pages are, with something on each of them."""
    hour = int(time.time()) // 3600
    return ["/", "/?span=7d", "/?span=30d", "/source?address=" + source, "/port?port=23/tcp", "/port?port=23/tcp&span=7d", "/hour?at=%d" % hour,
            "/hour?at=%d&hours=3&port=23/tcp" % (hour - 2), "/blocks", "/blocks?q=" + source, "/report?since=24h", "/configuration"]


@L.test("page.answers_first_and_everybody_can_use_it")
def usable(lab):
    """The first line is the answer; every page in both widths and colours: axe finds nothing, nothing is wider than a phone, what one
    taps is 44 pixels high there, and the keyboard alone finds and unblocks a scanner."""
    sentry, url = start(lab)
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p", "1-300", source=source)
    L.wait_for(lambda: source in lab.nft_elements(), 5, "the block", 0.05)
    sentry.wait_journal()
    axe = B.axe()
    with B.browser(lab.folder, lab.target) as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
        page = context.new_page()
        faults = B.Faults(page, HOME)
        page.goto(url)
        page.wait_for_selector("#live.on", timeout=5000)
        L.check(page.inner_text("main h1") == "Protected, nothing needs you.", "the answer is %r" % page.inner_text("main")[:300])
        findings, tried = [], 0
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.set_viewport_size({"width": width, "height": 900})
                # Colours and widths are judged apart: all pages twice, the first of them in each combination.
                for place in reported(lab, sentry, source)[:None if (width, scheme) in ((1280, "light"), (390, "dark")) else 3]:
                    page.goto(HOME + place)
                    if place.startswith("/?") or place == "/":
                        page.wait_for_selector("#live.on", timeout=5000)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    L.check(wide <= width, "%s is %d wide on a screen of %d" % (place, wide, width))
                    L.check(page.evaluate("document.querySelectorAll('h1').length") == 1, "%s has not one title" % place)
                    tried += 1
                    findings += ["%s (%d, %s): %s" % (place, width, scheme, f) for f in B.findings(page, axe)]
                    if width == 390:
                        small = page.evaluate(SMALL)
                        L.check(not small, "%s has targets too small for a finger: %s" % (place, small[:5]))
        L.check(not findings, "axe: %s" % findings[:8])
        # What a table hides on a phone stands below the name.
        page.goto(HOME + "/")
        L.check("scan" in page.inner_text("#active tr:has-text('%s')" % source), page.inner_text("#active"))
        page.set_viewport_size({"width": 1280, "height": 900})
        # The keyboard alone: from the top to the scanner, to its button.
        page.goto(HOME + "/")
        tab_to(page, lambda: page.evaluate("document.activeElement.getAttribute('href')") == "/source?address=" + source)
        page.keyboard.press("Enter")
        page.wait_for_url("**/source?address=" + source)
        tab_to(page, lambda: page.evaluate("document.activeElement.textContent").startswith("Unblock"))
        L.check(page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus cannot be seen")
        page.keyboard.press("Enter")
        page.wait_for_selector(".said")
        L.check(source not in lab.nft_elements(), "it is still blocked")
        # A cell of the heat map opens its hour, a port its page.
        page.goto(HOME + "/")
        port = page.inner_text("#heat-24h tr:first-child th a")
        page.click("#heat-24h tr:first-child .cells a:last-child")
        L.check("/hour?" in page.url and source in page.inner_text("main"), page.inner_text("main")[:300])
        page.click("main p >> text=" + port)
        L.check("/port?" in page.url and source in page.inner_text("main"), page.inner_text("main")[:300])
        # With the keyboard: a stop for each row, from there by arrows; what a cell is stands below the map.
        page.goto(HOME + "/")
        tab_to(page, lambda: page.evaluate("!!document.activeElement.closest('#heat-24h .cells')"))
        told = page.inner_text("#heat-24h .cell")
        for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
        where = page.evaluate("[...document.querySelectorAll('#heat-24h .cells')].map(r => [...r.children].indexOf(document.activeElement))")
        L.check(where[:2] == [-1, 22], "arrows lead to %s" % where)
        L.check(page.inner_text("#heat-24h .cell") not in ("", told), "the cell is not told: %r" % told)
        page.keyboard.press("Enter")
        page.wait_for_url("**/hour?**")
        status, headers, card = curl(lab, "-b", "portsentry=" + context.cookies()[0]["value"], HOME + "/card.svg")
        L.check(status == 200 and headers["content-type"] == "image/svg+xml" and source not in card, card[:200])
        faults.none()
        context.close()
        # Without JavaScript it is the same page.
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(link(sentry))
        L.check("Protected" in page.inner_text("main h1") and "as of" in page.inner_text("header"), page.inner_text("body")[:200])
    # A second page, by itself, that no sentry answers.
    sentry.stop()
    return "axe: no finding on %d pages" % tried


def tab_to(page, is_there):
    for _ in range(200):
        page.keyboard.press("Tab")
        if is_there():
            return
    raise L.Failure("the keyboard does not get there")


# Links, buttons and fields that a finger is to hit, and that are lower than 44 pixels.
SMALL = """
[...document.querySelectorAll('a, button, input:not([type=hidden]), select, summary')].filter(e => {
  const box = e.getBoundingClientRect(), style = getComputedStyle(e);
  return box.width && style.pointerEvents !== 'none' && !e.classList.contains('skip') && box.height < 43.5;
}).map(e => e.outerHTML.slice(0, 120))
"""


@L.test("page.is_not_live_without_a_sentry")
def dead(lab):
    """A sentry that is killed leaves its blocks in the kernel: the page says that it is not live, and calls nobody free."""
    sentry, _ = start(lab)
    source = lab.new_source()[0]
    lab.nmap("-sS", "-p", "1-300", source=source)
    L.wait_for(lambda: source in lab.nft_elements(), 5, "the block", 0.05)
    journal = sentry.wait_journal()
    L.wait_for(lambda: sentry.ask("blocked", "--since", "1h"), 5, "the block in the journal", 0.1)
    sentry.stop(signal.SIGKILL)
    L.check(source in lab.nft_elements(), "the kernel lost the block")
    page_process = subprocess.Popen(
        ["ip", "netns", "exec", lab.target, L.binary, "console", "--listen", "127.0.0.1:%d" % PORT, "--journal", journal,
         "--control-socket", lab.folder + "/no-such-socket", "-c", sentry.config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = ""
        while "login=" not in said:
            line = page_process.stdout.readline()
            L.check(line, "the page ended: %s" % said)
            said += line
        url = re.search(r"http://\S+login=[0-9a-f]+", said).group(0)
        home = url.split("/?")[0]
        with B.browser(lab.folder, lab.target) as browser:
            page = browser.new_page()
            page.goto(url)
            page.wait_for_selector("#live:text-is('no sentry')", state="attached", timeout=5000)
            L.check(not page.evaluate("document.getElementById('live').classList.contains('on')"), "it is called live")
            L.check(page.inner_text("main h1") == "No sentry is running: nothing is watched.", page.inner_text("main")[:200])
            page.goto(home + "/source?address=" + source)
            L.check(page.inner_text(".why h2") == "Blocked when the sentry last ran", page.inner_text(".why"))
            page.goto(home + "/blocks")
            L.check(source in page.inner_text("main") and "not known" in page.inner_text("main"), page.inner_text("main")[:300])
    finally:
        page_process.kill()
        page_process.wait()


def is_plain(text):
    """Nothing in it that a terminal obeys, or that turns it around."""
    return all(c in "\n" or 0x20 <= ord(c) < 0x7f or ord(c) >= 0xa0 and c not in "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
               for c in text)


def names(sentry):
    return {s["address"]: s.get("name") for s in sentry.ask("sources")}


@L.test("page.hostile_names_stay_text")
def hostile(lab):
    """A name server says what it likes; and a name that is in the journal all the same (a copy from elsewhere, an older version) is
    text wherever it comes out."""
    bad, good = lab.new_source()[0], lab.new_source()[0]
    raw = HOSTILE.encode()[:60].replace(b".", b"")
    dialects.Names(lab, {bad: raw + b".example", good: b"scanner.example"}, {raw + b".example": bad, b"scanner.example": good})
    conf, hosts = lab.folder + "/resolv.conf", lab.folder + "/nsswitch.conf"
    L.Sentry.write(conf, "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
    L.Sentry.write(hosts, "hosts: files dns\n")
    sentry = lab.sentry("-atcp", settings={**BLOCKING, "RESOLVE_HOST": "1", "EVENTS_FILE": lab.folder + "/events.json"}, mounts=
                        'mount --bind %s "$(readlink -f /etc/resolv.conf)"; [ -e /etc/nsswitch.conf ] && mount --bind %s /etc/nsswitch.conf' % (conf, hosts))
    for source in (bad, good):
        lab.nmap("-sS", "-p", "1-150", source=source)
    journal = sentry.wait_journal()
    L.wait_for(lambda: names(sentry).get(good) == "scanner.example", 8, "the good name", 0.2)
    L.check(names(sentry)[bad] is None, "the hostile name was believed: %s" % names(sentry))
    # Into the journal behind its back, in every column that has text.
    database = sqlite3.connect(journal, timeout=10)
    with database:
        database.execute("UPDATE source SET name = ?", (HOSTILE,))
        database.execute("UPDATE block SET reason = ?, because = ?", (HOSTILE, HOSTILE))
        database.execute("UPDATE note SET text = ?", (HOSTILE,))
        database.execute("UPDATE meta SET value = value + 1")
    database.close()
    url = link(sentry)
    report = lab.folder + "/report.html"
    sentry.control_command("report", "--since", "1h", "--html", report)
    words = [("sources",), ("show", bad), ("show", good), ("events",), ("report", "--since", "1h"), ("blocked", "--since", "1h"),
             ("status",), ("top", "sources"), ("top", "networks"), ("export", "--csv", "--private")]
    seen = 0
    for command in words:
        out = sentry.control_command(*command).stdout
        L.check(is_plain(out.replace("\r\n", "\n")), "`%s` lets something through: %r" % (" ".join(command), [c for c in out if not is_plain(c)][:5]))
        L.check("\nfake: line" not in out, "`%s` writes a line of a stranger's" % " ".join(command))
        seen += "<script>alert(1)" in out
        if command[0] not in ("status", "export", "top"):
            json.dumps(sentry.ask(*command))
    L.check(seen >= 4, "the name is shown as text in %d places only" % seen)
    with B.browser(lab.folder, lab.target) as browser:
        page = browser.new_page()
        faults = B.Faults(page, HOME)
        shown = 0
        for place in (url, HOME + "/source?address=" + bad, HOME + "/blocks", HOME + "/report?since=24h",
                      HOME + "/hour?at=%d" % (time.time() // 3600), HOME + "/port?port=23/tcp", "file://" + report):
            page.goto(place)
            time.sleep(0.3)
            L.check(page.evaluate("document.querySelectorAll('main img, main script:not([src]), [onerror]').length") == 0, "markup of a stranger's at %s" % place)
            text = page.inner_text("body")
            L.check(is_plain(text.replace("\t", " ")), "%s shows %r" % (place, [c for c in text if not is_plain(c)][:5]))
            shown += "<script>alert(1)</script>" in text
        L.check(shown >= 3, "the name is text on %d pages only" % shown)
        faults.none()
        # News, which come as markup into the open page.
        page.goto(HOME + "/")
        page.wait_for_selector("#live.on", timeout=5000)
        with contextlib.closing(sqlite3.connect(journal, timeout=10)) as database, database:
            for column in ("note SET text", "block SET reason", "source SET name"):
                database.execute("UPDATE %s = ?" % column, (HOSTILE + "news",))
        lab.nmap("-sS", "-p", "1-20", source=lab.new_source()[0])
        page.wait_for_selector("#events >> text=news", timeout=8000)
        faults.none()
    return "as text in %d answers and on %d pages" % (seen, shown)


# What a user of this host tries; it runs as nobody.
SQUATTER = """
import os, socket, sys, time
os.setgid(65534); os.setuid(65534)
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    listener.bind((sys.argv[1], %d))
    listener.listen()
    print("bound", flush=True)
except OSError as error:
    print(error, flush=True)
while True: time.sleep(1)
""" % PORT


@L.test("page.tells_no_squatter")
def squatter(lab):
    """A user who binds the page's address first, in either family, gets no link; once the page runs, its other family is held too."""
    def squat(address):
        process = subprocess.Popen(["ip", "netns", "exec", lab.target, "python3", "-c", SQUATTER, address], stdout=subprocess.PIPE, text=True)
        return process, process.stdout.readline().strip()
    for address in ("127.0.0.1", "::1", "0.0.0.0"):
        process, said = squat(address)
        try:
            L.check(said == "bound", "the squatter could not bind %s: %s" % (address, said))
            sentry = lab.sentry("-atcp", settings=BLOCKING)
            result = None
            for _ in range(10):
                result = sentry.control_command("console", "--url", ok=None)
                L.check("login=" not in result.stdout and result.returncode != 0, "a link is printed beside a squatter on %s: %s" % (address, result.stdout))
                time.sleep(0.1)
            L.check("held by user 65534" in result.stderr, "on %s it says: %s" % (address, result.stderr))
            sentry.stop()
        finally:
            process.kill()
            process.wait()
    start(lab)
    for address in ("127.0.0.1", "::1"):
        process, said = squat(address)
        process.kill()
        process.wait()
        L.check(said != "bound", "%s can be had while the page runs" % address)
    # 64 clients that say nothing: the page answers at once.
    with lab.inside(lab.target):
        held = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(64)]
        begun = time.monotonic()
    status = curl(lab, HOME + "/")[0]
    took = time.monotonic() - begun
    for connection in held:
        connection.close()
    L.check(status == 401 and took < 2, "beside 64 idle clients it gives %d after %.1f s" % (status, took))
    return "answered beside 64 idle clients in %.2f s" % took


@L.test("page.on_a_socket_for_a_web_server_in_front")
def unix(lab):
    path = lab.folder + "/console.sock"
    sentry = lab.sentry("-atcp", settings={**BLOCKING, "CONSOLE_LISTEN": path})
    sentry.wait_line("The page is served on", timeout=5)
    L.wait_for(lambda: os.path.exists(path), 5, "the socket")
    L.check(os.stat(path).st_mode & 0o007 == 0, "everybody may connect")
    status, _, body = curl(lab, "--unix-socket", path, "http://sentry.example/")
    L.check(status == 401 and "console --url" in body, "it answers %d" % status)
    words = sentry.control_command("console", "--url").stdout
    ticket = words.split("login ")[1].strip()
    status, headers, _ = curl(lab, "--unix-socket", path, "http://sentry.example/?login=" + ticket)
    L.check(status == 303, "the ticket gives %d" % status)
    # Killed, it is started anew.
    processes = json.loads(sentry.control_command("status", "--health", "--json").stdout)["processes"]
    os.kill(next(p["pid"] for p in processes if p["role"] == "page"), 9)
    L.wait_for(lambda: curl_ok(lab, path), 8, "the page to be back", 0.2)
    # One that does not answer anybody holds nobody up.
    mark = sentry.mark()
    lab.syn(lab.new_source()[0], 23)
    sentry.wait_line("to TCP port: 23", since=mark)


def curl_ok(lab, path):
    return lab.in_target("curl", "-s", "-o", "/dev/null", "--max-time", "2", "--unix-socket", path, "http://x/", ok=None).returncode == 0


if __name__ == "__main__":
    raise SystemExit(L.main())
