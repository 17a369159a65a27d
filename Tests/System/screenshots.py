"""`make screenshots`: pictures of report and page, and the screens of `watch`, for the documents. A simulated month goes through the
real journal, a real sentry goes on with it while nmap scans, and a real browser looks. Writes docs/images/*.png and docs/watch.md."""

import os
import random
import subprocess
import sys
import time

import browser as B
import lab as L
import month
import packets as P
import watch

IMAGES = L.ROOT + "/docs/images"
PORT = 8087


def traffic(lab, seconds, pace):
    """Strangers who ask for what strangers ask for."""
    link = lab.link()
    numbers = random.Random(5)
    ports = [23, 22, 445, 3389, 8080, 6379, 5555, 2323, 1433, 8728, 5900, 81]
    people = ["%d.%d.%d.%d" % tuple(numbers.randrange(1, 250) for _ in range(4)) for _ in range(400)]
    people = ["%d.%s" % (numbers.randrange(240, 250), p.split(".", 1)[1]) for p in people]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        link.send(P.segment(numbers.choice(people), L.TARGET4, numbers.randrange(1024, 65000), ports[min(int(numbers.expovariate(0.5)), len(ports) - 1)]))
        time.sleep(numbers.expovariate(pace))


def shoot(browser, name, url, width, scheme, whole=True, height=900, before=None):
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    # A link opens the page once.
    page.goto(before() if before else url)
    if before:
        page.goto(url)
    if not url.startswith("file:"):
        page.wait_for_timeout(1500)
    wide = page.evaluate("document.documentElement.scrollWidth")
    L.check(wide <= width, "%s is %d wide on a screen of %d" % (name, wide, width))
    path = "%s/%s.png" % (IMAGES, name if name.endswith("-top") else "%s-%d-%s" % (name, width, scheme))
    page.screenshot(path=path, full_page=whole)
    context.close()
    # A quarter of the size, and the eye sees no difference.
    subprocess.run(["pngquant", "--force", "--skip-if-larger", "--output", path, "--speed", "1", "128", path], check=False)
    print(os.path.relpath(path, L.ROOT), os.path.getsize(path) // 1024, "KiB", flush=True)


def write_watch(screens):
    text = "# portsentry watch\n\nWritten by `make screenshots`: a simulated month, then real scans, in tmux.\n"
    for title, lines in screens:
        text += "\n## %s\n\n```\n%s\n```\n" % (title, "\n".join(l.rstrip() for l in lines).rstrip("\n"))
    L.Sentry.write(L.ROOT + "/docs/watch.md", text)


def main():
    quick = "--quick" in sys.argv
    L.binary = L.find_binary(sys.argv[sys.argv.index("--binary") + 1] if "--binary" in sys.argv else None)
    os.makedirs(IMAGES, exist_ok=True)
    with L.Lab() as lab:
        folder = lab.folder + "/sentry"
        print(month.simulated(folder + "/state/journal.db", *((20_000, 500_000, 30) if quick else (200_000, 5_000_000, 30))), end="", flush=True)
        L.Sentry.write(folder + "/portsentry.ignore", "")
        sentry = lab.sentry("-atcp", "-audp", folder=folder, settings={
            "ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "ADVANCED_EXCLUDE_UDP": None, "BLOCK_TCP": "1", "BLOCK_METHOD": "nftables",
            "CONSOLE_LISTEN": "127.0.0.1:%d" % PORT})
        def link():
            return L.wait_for(lambda: sentry.control_command("console", "--url", ok=None).stdout.strip(), 5, "the address of the page")
        home = link().split("/?")[0]
        watched = watch.Terminal(lab, 80, 24)
        watched.type("clear; %s watch --utc -c %s" % (L.binary, sentry.config), "Enter")
        scanner = lab.new_source()[0]
        traffic(lab, 4 if quick else 60, 20)
        lab.nmap("-sT", "-p", "1-1000", source=scanner)
        traffic(lab, 2 if quick else 30, 60)
        lab.nmap("-sX", "-p", "1-100", source=lab.new_source()[0])
        lab.nmap("-sU", "-p", "500-550", source=lab.new_source()[0])
        lab.nmap("-sS", "-p", "20-90", source=lab.new_source()[0])
        lab.nmap("-sT", "-p", "440-450", source=lab.new_source()[0])
        traffic(lab, 2 if quick else 20, 30)
        report = lab.folder + "/report.html"
        began = time.monotonic()
        sentry.control_command("report", "--utc", "--host", "host.example", "--html", report)
        print("report in %.2f s" % (time.monotonic() - began), flush=True)
        time.sleep(1.5)
        screens = []
        for columns, rows in ((80, 24), (200, 60)):
            watched.resize(columns, rows)
            time.sleep(2.5)
            screens.append(("%d columns, %d rows" % (columns, rows), watched.screen()))
        watched.resize(80, 24)
        watched.type("/")
        watched.type(scanner, "Enter")
        watched.type("Enter")
        watched.see("esc back")
        screens.append(("All about one address (enter)", watched.screen()))
        write_watch(screens)
        with B.browser(lab.folder, lab.target) as browser:
            for width in (1280, 390):
                for scheme in ("light", "dark"):
                    shoot(browser, "report", "file://" + report, width, scheme)
                    shoot(browser, "page", home + "/", width, scheme, before=link)
            shoot(browser, "address", home + "/source?address=" + scanner, 1280, "light", before=link)
            shoot(browser, "blocks", home + "/blocks", 1280, "dark", whole=False, before=link)
            # What the README shows.
            shoot(browser, "report-top", "file://" + report, 1280, "light", whole=False, height=1200)
            shoot(browser, "page-top", home + "/", 1280, "light", whole=False, height=1200, before=link)
            shoot(browser, "configuration", home + "/configuration", 390, "light", before=link)
        if "--keep" in sys.argv:
            subprocess.run(["cp", report, "/tmp/portsentry-report.html"])
        sentry.stop()


if __name__ == "__main__":
    try:
        main()
    except (L.Skip, L.Failure) as reason:
        raise SystemExit(str(reason))
