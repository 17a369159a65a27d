"""`portsentry watch` in a real terminal, tmux's: what it shows, its keys, other sizes, and the terminal afterwards."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import lab as L
import page


class Terminal:
    """A tmux of our own, with a shell in the target's namespace."""

    def __init__(self, lab, columns=80, rows=24):
        if not shutil.which("tmux"):
            raise L.Skip("tmux is not installed")
        self.lab = lab
        self.socket = lab.folder + "/tmux"
        environment = {**os.environ, "LANG": "C.UTF-8", "TERM": "xterm-256color", "PS1": "shell> "}
        environment.pop("TMUX", None)
        L.run(["tmux", "-S", self.socket, "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
               "ip netns exec %s env PS1='shell> ' sh" % lab.target], env=environment)
        lab.processes.append(self)
        self.see("shell>")

    def tmux(self, *words):
        return L.run(["tmux", "-S", self.socket, *words]).stdout

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p").splitlines()

    def ask(self, variable):
        return self.tmux("display-message", "-p", "#{%s}" % variable).strip()

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def see(self, *texts, timeout=8, gone=()):
        """Waits until these texts are on the screen, and those of `gone` are not."""
        def there():
            screen = "\n".join(self.screen())
            return all(t in screen for t in texts) and not any(t in screen for t in gone)
        L.wait_for(there, timeout, lambda: "%s on the screen, which is: %s" % (texts, "|".join(self.screen())[:1500]), 0.05)
        return "\n".join(self.screen())

    # The laboratory ends it as it ends its processes.
    def kill(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)

    def wait(self, _):
        pass


def sources(screen):
    """The addresses in the list, in its order."""
    lines = screen.split("\n")
    start = next(i for i, l in enumerate(lines) if l.startswith("SOURCES"))
    return [l.split()[0] for l in lines[start + 1:] if l[:6] in ("10.77.", "fd77::")]


def modes(lab, name):
    """What `stty -a` said, but for the size."""
    return re.sub(r"rows \d+; columns \d+;", "", open(lab.folder + "/" + name).read())


@L.test("watch.in_a_terminal")
def terminal(lab):
    sentry = lab.sentry("-atcp", settings={**page.BLOCKING, "BLOCK_TCP": "0", "CONSOLE_LISTEN": None})
    journal = sentry.wait_journal()
    few, many = lab.new_source()[0], lab.new_source()[0]
    lab.nmap("-sS", "-p", "1-60", source=few)
    t = Terminal(lab)
    before = t.ask("cursor_flag"), t.ask("alternate_on")
    t.type("stty -a > %s/before; %s watch -c %s; stty -a > %s/after; echo status $?" % (lab.folder, L.binary, sentry.config, lab.folder), "Enter")
    t.see("PortSentry", "up ", few, "EVENTS", "PORTS, 24 hours", "q quit")
    L.check(t.ask("alternate_on") == "1" and t.ask("cursor_flag") == "0", "it is not on the screen of its own")
    # Live: a scan while it is open.
    begun = time.monotonic()
    lab.nmap("-sS", "-p", "1-300", source=many)
    t.see(many, "verdict")
    took = time.monotonic() - begun
    screen = t.see("300")
    L.check(sources(screen)[:2] == [many, few], "by probes: %s" % sources(screen))
    t.type("s")
    t.see("by last")
    t.type("s")
    screen = t.see("by first")
    L.check(set(sources(screen)) == {many, few}, "%s" % sources(screen))
    t.type("s")
    t.see("by ports")
    t.type("s")
    t.see("by probes")
    # Filter, find.
    t.type("f")
    t.see("scans")
    t.type("f", "f")
    screen = t.see(", blocked")
    L.check(sources(screen) == [], "nobody is blocked, but %s are shown" % sources(screen))
    t.type("f")
    t.type("/")
    t.see("begin with")
    t.type(few, "Enter")
    screen = t.see(few + "*")
    L.check(sources(screen) == [few], "%s" % sources(screen))
    t.type("Escape")
    screen = t.see(many, gone=(few + "*",))
    # Block and unblock what is chosen: the first.
    t.type("b")
    t.see("Block %s? y" % many)
    t.type("n")
    t.see("nothing was done")
    L.check(many not in sentry.blocked(), "blocked without a yes")
    t.type("b", "y")
    t.see("BLOCKED")
    L.check(many in sentry.blocked() and many in lab.nft_elements(), "it is not blocked")
    t.type("u", "y")
    t.see("released", gone=("BLOCKED",))
    L.check(many not in sentry.blocked() and many not in lab.nft_elements(), "it is still blocked")
    # All about it, down and back.
    t.type("Enter")
    t.see("esc back", "nmap")
    t.type("Down", "Down", "Escape")
    t.see("q quit")
    t.type("?")
    t.see("all about it")
    t.type("x")
    t.see("q quit")
    # Other sizes: nothing is torn, lines fit.
    for columns, rows in ((200, 60), (40, 10), (20, 5), (80, 24)):
        t.resize(columns, rows)
        screen = t.see("PortSentry", gone=("\x1b",))
        L.wait_for(lambda: len(t.screen()) <= rows and (columns < 80 or "q quit" in t.screen()[-1]), 5,
                   lambda: "the foot at the bottom of %dx%d: %s" % (columns, rows, "|".join(t.screen())), 0.05)
        L.check(all(len(l) <= columns for l in t.screen()), "%dx%d: a line is too long" % (columns, rows))
    # What strangers wrote stays text.
    with contextlib.closing(sqlite3.connect(journal, timeout=10)) as database, database:
        database.execute("UPDATE source SET name = ?", (page.HOSTILE,))
        database.execute("UPDATE note SET text = ?", (page.HOSTILE,))
    t.resize(200, 60)
    lab.nmap("-sS", "-p", "1-5", source=lab.new_source()[0])
    t.see("<script>alert(1)")
    L.check("owned" not in t.ask("pane_title"), "a stranger has named the window")
    t.type("Enter")
    screen = t.see("esc back", "<script>")
    L.check("\nfake: line" not in screen and page.is_plain(screen), "a stranger's line is on the screen")
    t.type("Escape")
    # The sentry ends, and comes back.
    sentry.stop()
    t.see("NOT running")
    sentry.launch()
    t.see("up ", gone=("NOT running",))
    # Put to sleep and woken, the terminal is the shell's meanwhile.
    t.type("C-z")
    t.see("shell>", gone=("EVENTS",))
    L.check(t.ask("cursor_flag") == "1" and t.ask("alternate_on") == "0", "asleep, it keeps the screen")
    t.type("fg", "Enter")
    t.see("EVENTS", "q quit")
    t.type("q")
    t.see("status 0", gone=("EVENTS",))
    L.check((t.ask("cursor_flag"), t.ask("alternate_on")) == before, "the terminal is not as it was")
    L.check(modes(lab, "before") == modes(lab, "after"), "stty is not as it was: %s" % modes(lab, "after"))
    # Ended from outside likewise.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV):
        t.type("clear; %s watch -c %s; stty -a > %s/after" % (L.binary, sentry.config, lab.folder), "Enter")
        t.see("EVENTS", "q quit")
        pid = int(L.run(["pgrep", "-f", "%s watch -c %s$" % (L.binary, sentry.config)]).stdout.split()[0])
        os.kill(pid, number)
        t.see("shell>", gone=("EVENTS",))
        L.check((t.ask("cursor_flag"), t.ask("alternate_on")) == before, "signal %d: the terminal is not as it was" % number)
        L.wait_for(lambda: modes(lab, "before") == modes(lab, "after"), 3, "stty as it was after signal %d" % number)
    # Without a terminal it says so.
    out = lab.in_target(L.binary, "watch", "-c", sentry.config, ok=(1,))
    L.check("needs a terminal" in out.stderr, out.stderr)
    return "a scan was on the screen %.1f s after it began" % took


if __name__ == "__main__":
    raise SystemExit(L.main())
