"""A real browser, headless Chromium, in a network namespace of the laboratory or here. Python drives it through a pipe, so that
the namespace needs no way out."""

import contextlib
import glob
import os
import shutil
import sys

import lab as L

# What scripts/install-missing.sh puts into a place of its own.
VENV = os.path.join(L.ROOT, ".build", "venv")


def use_venv():
    """Packages of that place can be imported from here on."""
    for path in glob.glob(VENV + "/lib/python%d.%d/site-packages" % sys.version_info[:2]):
        if path not in sys.path:
            sys.path.append(path)


@contextlib.contextmanager
def browser(folder, namespace=None):
    """A browser that may reach what `namespace` reaches."""
    use_venv()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise L.Skip("playwright is not installed: scripts/install-missing.sh test, which needs Python's packages")
    chromium = shutil.which("chromium")
    if not chromium:
        raise L.Skip("chromium is not installed")
    program = chromium
    if namespace:
        program = os.path.join(folder, "chromium")
        with open(program, "w") as f:
            f.write('#!/bin/sh\nexec ip netns exec %s %s "$@"\n' % (namespace, chromium))
        os.chmod(program, 0o755)
    with sync_playwright() as playwright:
        # Root has no sandbox, and shared memory is small in a container.
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
        try:
            yield opened
        finally:
            opened.close()


def axe():
    """The script of axe-core, which looks for what keeps people from using a page."""
    use_venv()
    for folder in sys.path:
        path = os.path.join(folder, "axe_playwright_python", "axe.min.js")
        if os.path.exists(path):
            with open(path) as f:
                return f.read()
    raise L.Skip("axe is not installed: scripts/install-missing.sh test, which needs Python's packages")


def findings(page, axe):
    """What axe finds, of every level, and what it cannot decide. It comes by the debugging protocol: the page itself forbids foreign scripts."""
    page.evaluate(axe)
    result = page.evaluate("axe.run(document)")
    return ["%s: %s" % (v["id"], ", ".join(n["html"][:100] for n in v["nodes"][:2])) for v in result["violations"] + result["incomplete"]]


class Faults:
    """Whatever a page does that ours must not: errors, refused scripts, questions to other hosts, dialogs."""

    def __init__(self, page, own):
        self.found = []
        self.own = own
        page.on("console", lambda m: m.type == "error" and self.add("console: " + m.text))
        page.on("pageerror", lambda e: self.add("error: %s" % e))
        page.on("request", lambda r: r.url.startswith((own, "data:", "file:")) or self.add("asks " + r.url))
        page.on("dialog", lambda d: (self.add("dialog: " + d.message), d.dismiss()))

    def add(self, text):
        self.found.append(text)

    def none(self, *allowed):
        left = [f for f in self.found if not any(a in f for a in allowed)]
        L.check(not left, "the browser found fault: %s" % left[:3])
