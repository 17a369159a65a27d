"""make demo: two hosts on a cable, a real nmap, and what the sentry says and does about it. Under 20 seconds.

    python3 Tests/System/demo.py [--binary PATH]
"""

import os
import re
import shutil
import sys
import time

import lab as L

INTERFACE = "eth0"
SENTRY, SCANNER = "10.0.0.2", "10.0.0.121"
colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(code, text):
    return "\033[%sm%s\033[0m" % (code, text) if colour else text


def tell(text):
    print("\n" + paint("1", text), flush=True)


WIDTH = shutil.get_terminal_size((100, 24)).columns


def wrap(text, first="  ", then="      "):
    """Folds a line at blanks where the terminal is too narrow for it; its words stay as they are."""
    lines, current = [], first
    for word in text.split(" "):
        if len(current) + len(word) > WIDTH and current.strip():
            lines.append(current.rstrip())
            current = then
        current += word + " "
    return lines + [current.rstrip()]


def show(text, code="36"):
    for line in wrap(text):
        print(paint(code, line), flush=True)


def command(text):
    print(paint("33", "\n".join(wrap("$ " + text, "  ", "    "))), flush=True)


def said(sentry, pattern, since=0, limit=12):
    """Shows what the sentry said since a mark, as far as it matches."""
    shown = 0
    for text in sentry.texts("syslog", since) or sentry.texts(since=since):
        if re.search(pattern, text) and shown < limit:
            show(text.strip(), "31" if text.startswith("attackalert") else "36")
            shown += 1


def nmap(lab, kind, ports):
    words = ["nmap", "-n", "-Pn", kind, "-r", "-p", ports, SENTRY]
    command(" ".join(words))
    for line in lab.in_attacker(*words, timeout=30).stdout.splitlines():
        if re.match(r"(PORT|\d+/tcp)", line):
            print("  " + line, flush=True)


def control(sentry, *words):
    command("portsentry " + " ".join(words))
    out = sentry.control_command(*words, ok=None)
    for line in (out.stdout + out.stderr).strip().splitlines()[:10]:
        show(line, "0")
    time.sleep(0.3)


def main():
    arguments = sys.argv[1:]
    L.binary = L.find_binary(arguments[arguments.index("--binary") + 1] if "--binary" in arguments else None)
    if os.geteuid() != 0:
        print("The demo makes two network namespaces, for which it needs root: sudo make demo")
        return 77
    if not L.binary:
        print("No portsentry built yet: make build")
        return 1
    import atexit
    import signal
    atexit.register(L.cleanup)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, L._on_signal)
    begun = time.monotonic()
    with L.Lab(spare=0, cable=False) as lab:
        lab.add_cable(INTERFACE, net="10.0.0", prefix6="fd00:", attacker_last="121")
        tell("Two hosts on one cable: %s runs portsentry and serves ports 22 and 80,\n%s is a stranger with nmap." % (SENTRY, SCANNER))
        lab.service(22)
        lab.service(80)
        tell("1. The sentry starts. It watches the first 1024 TCP ports, but for the two\n   that are served and those that the configuration excludes.")
        command("portsentry -atcp")
        sentry = lab.sentry("-atcp", settings={
            "ADVANCED_PORTS_TCP": "1024", "ADVANCED_EXCLUDE_TCP": "113,139", "BLOCK_TCP": "1", "BLOCK_METHOD": "nftables"})
        time.sleep(0.2)
        said(sentry, "adminalert: (PortSentry|Advanced)")

        tell("2. The stranger scans. The sentry names the scan, and lies: ports that nobody\n   serves look open, like those that are served. It does not block yet, for\n   anybody could have written this address on such packets.")
        mark = sentry.mark()
        nmap(lab, "-sS", "22,80,594,595,600")
        sentry.wait_line("to TCP port: 600", since=mark)
        time.sleep(0.2)
        said(sentry, "attackalert", mark, 3)
        L.check(not sentry.blocked(), "blocked without a proof")

        tell("3. The stranger connects to one of them. That proves the address, and it is\n   shut out.")
        mark = sentry.mark()
        nmap(lab, "-sT", "601")
        sentry.wait_line("has been blocked", since=mark)
        time.sleep(0.2)
        said(sentry, "attackalert", mark)

        tell("4. It tries again. The served ports are gone too, for this one source.")
        mark = sentry.mark()
        nmap(lab, "-sS", "22,80,602")
        time.sleep(0.3)
        said(sentry, "attackalert", mark, 2)

        tell("5. The administrator asks who is shut out and why, and lets the stranger in again.")
        control(sentry, "blocked")
        control(sentry, "why", SCANNER)
        control(sentry, "unblock", SCANNER)

        tell("6. The served ports answer as before.")
        nmap(lab, "-sS", "22,80")
        status = sentry.stop()
    tell("Both hosts are gone again; nothing of this touched your own network. (%.0f s)" % (time.monotonic() - begun))
    return status or 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except L.Failure as evidence:
        print("The demo failed: %s" % evidence)
        sys.exit(1)
