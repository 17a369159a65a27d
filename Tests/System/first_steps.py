"""`make run`, as somebody does who has just built it: it prints six lines, and what it tells to try works."""

import os
import re

import lab as L


@L.test("first_steps.what_make_run_prints_works")
def steps(lab):
    if L.binary != L.ROOT + "/.build/release/portsentry":
        raise L.Skip("`make run` takes the release build; this is another one")
    folder = lab.folder + "/run"
    out = lab.folder + "/out"
    process = lab.start(lab.target, "sh", L.ROOT + "/scripts/run.sh", stdout=open(out, "wb"), stderr=open(out + ".err", "wb"),
                        env={**os.environ, "RUN_FOLDER": folder})

    def said():
        return open(out).read()
    L.wait_for(lambda: "is now active and listening" in said(), 10, lambda: "the sentry; it said: %s%s" % (said()[-500:], open(out + ".err").read()[-300:]))
    L.wait_for(lambda: "The page is served" in said(), 10, "the page")
    begun = said().splitlines()
    L.check(len(begun) <= 6 and "nothing is blocked" in begun[0], "a first start prints %d lines: %s" % (len(begun), begun))
    told = lab.in_target("sh", "-c", begun[0].split(": ")[-1]).stdout
    lines = [l.strip() for l in told.splitlines() if l.startswith("    ")]
    L.check(len(lines) >= 5 and lines[0].startswith("nc "), "it says how to try it in %s" % lines)
    answers = {}
    for line in lines:
        if line.endswith(" watch"):
            continue  # A terminal's: watch.py.
        result = lab.in_target("sh", "-c", "cd %s && %s" % (lab.folder, line), ok=None)
        answers[line.split("/ask ")[-1]] = result.stdout
        L.check(result.returncode == 0 or line.startswith("nc "), "`%s` ended with %d: %s" % (line, result.returncode, result.stderr))
        if line.startswith("nc "):
            L.wait_for(lambda: re.search(r"Scan from: \[127\.0\.0\.1\].*port: \[23\]", said()), 5, "the touch of port 23 in its output")
            L.wait_for(lambda: "127.0.0.1" in lab.in_target(folder + "/ask", "sources", ok=None).stdout, 5, "the scan in the journal", 0.2)
    L.check("log only" in answers["status"] and "127.0.0.1" in answers["status"], answers["status"])
    L.check("23/tcp" in answers["show 127.0.0.1"], answers["show 127.0.0.1"])
    L.check("What knocked on" in open(lab.folder + "/report.html").read(), "no report")
    L.check(re.match(r"http://s[0-9a-f]+\.localhost:8087/\?login=", answers["console --url"]), answers["console --url"])
    L.check("SUBCOMMANDS" in lab.in_target(folder + "/ask", "--help").stdout, "`ask --help` is no help")
    process.terminate()
    process.wait(5)
    return "%d lines at the start, %d to paste" % (len(begun), len(lines))


if __name__ == "__main__":
    raise SystemExit(L.main())
