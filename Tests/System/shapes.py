"""All JSON that is written is as man/portsentry-json.5 says: each member is there, is described, and is of its type."""

import json
import os
import re

import lab as L
from formats import EVERYTHING


def page():
    """{shape: {path: (type, may be null, may be missing)}}, from the manual."""
    shapes, rows = {}, None
    for line in open(os.path.join(L.ROOT, "man/portsentry-json.5")):
        if line.startswith(".Ss "):
            rows = shapes.setdefault(line[4:].strip(), {})
        found = re.match(r"\.It Li (\S+) Pq (.*)$", line)
        if found and rows is not None:
            kind = found.group(2).replace(", optional", "")
            rows[found.group(1)] = (kind.replace(" or null", ""), " or null" in kind, ", optional" in found.group(2))
    return shapes


SHAPES = page()
SIMPLE = {"text": lambda v: type(v) is str, "number": lambda v: type(v) is int, "flag": lambda v: type(v) is bool,
          "time": lambda v: type(v) in (int, float) and 1.5e9 < v < 5e9, "points": lambda v: type(v) is float,
          "share": lambda v: type(v) is float, "object": lambda v: isinstance(v, dict)}


def fits(value, kind, where):
    if kind.startswith("list of "):
        L.check(isinstance(value, list), "%s is no list: %r" % (where, value))
        for item in value:
            fits(item, kind[8:], where + "[]")
    elif kind.startswith("map of "):
        L.check(isinstance(value, dict), "%s is no map: %r" % (where, value))
        for name, item in value.items():
            fits(item, kind[7:], "%s.%s" % (where, name))
    elif kind in SHAPES:
        members(value, kind, where)
    else:
        L.check(SIMPLE[kind](value), "%s should be %s and is %r" % (where, kind, value))


def members(value, shape, where, prefix=""):
    """Holds the members of an object against the rows of a shape."""
    rows = SHAPES[shape]
    L.check(isinstance(value, dict), "%s is no object: %r" % (where, value))
    for name, item in value.items():
        path = prefix + name
        inner = any(row.startswith(path + ".") for row in rows)
        L.check(path in rows or inner, "%s.%s is not in the manual: %r" % (where, name, item))
        kind, nullable, _ = rows.get(path, ("object", False, False))
        if item is None:
            L.check(nullable, "%s.%s is null" % (where, name))
            continue
        if inner and kind.startswith("list of ") and kind[8:] in SHAPES:
            # A shape with further members.
            more = {row[len(path) + 1:] for row in rows if row.startswith(path + ".")}
            for one in item:
                members({k: v for k, v in one.items() if k in more}, shape, "%s.%s[]" % (where, name), path + ".")
            item = [{k: v for k, v in one.items() if k not in more} for one in item]
        fits(item, kind, "%s.%s" % (where, name))
        if inner and isinstance(item, dict):
            members(item, shape, "%s.%s" % (where, name), path + ".")
        elif inner and kind.startswith("list of object"):
            for one in item:
                members(one, shape, "%s.%s[]" % (where, name), path + ".")
    for row, (_, _, optional) in rows.items():
        if row.startswith(prefix) and "." not in row[len(prefix):] and not optional:
            L.check(row[len(prefix):] in value, "%s.%s is missing" % (where, row))


@L.test("shapes.manual_and_json_agree")
def agree(lab):
    told = lab.folder + "/told"
    L.Sentry.write(lab.folder + "/tell", "#!/bin/sh\ncat >> %s\n" % told)
    os.chmod(lab.folder + "/tell", 0o755)
    settings = {**EVERYTHING, "PROOF": "handshake", "RULE": "native", "BLOCK_TIME": "1h", "NOTIFY": "command %s/tell" % lab.folder,
                "NOTIFY_EVENTS": "block scan"}
    sentry = lab.sentry("-atcp", "-audp", settings=settings)
    sentry.wait_journal()
    v4, v6 = lab.new_source()
    lab.nmap("-sT", "-p", "1-300", source=v4, ok=None)
    lab.nmap("-sS", "-p", "1-60", source=v6, target=L.TARGET6)
    lab.nmap("-sU", "-p", "500-520", source=lab.new_source()[0])
    lab.nmap("-sS", "-p", "23", source=lab.new_source()[0])
    sentry.control_command("block", "203.0.113.0/24")
    sentry.control_command("block", "198.51.100.9", "--time", "1s")
    sentry.control_command("allow", "192.0.2.7")
    sentry.control_command("allow", "192.0.2.8", "--for", "1h")
    L.wait_for(lambda: v4 in sentry.blocked(), 10, "the block")
    L.wait_for(lambda: any(e["event"] == "released" for e in sentry.ask("events")), 10, "the end of a block", 0.2)
    L.wait_for(lambda: os.path.exists(told) and open(told).read().endswith("}\n"), 10, "a message", 0.2)
    count = 0

    def hold(value, kind, where):
        nonlocal count
        L.check(value, "%s is empty" % where)
        fits(value, kind, where)
        count += 1
    for words, kind in (("status", "status"), ("status --health", "health"), ("sources", "list of source"), ("sources --port 23", "list of source"), ("top sources", "list of source"),
                        ("top ports", "list of port"), ("top ports --since 7d", "list of port"), ("top tools", "list of tool"), ("top networks", "list of network"),
                        ("blocked", "list of block"), ("blocked --since 1h", "list of past block"), ("events", "list of event"), ("report", "report")):
        hold(sentry.ask(*words.split()), kind, words)
    for address in (v4, v6, "198.51.100.9", "203.0.113.5", "192.0.2.99"):
        hold(sentry.ask("show", address), "show", "show " + address)
        hold(sentry.ask("why", address), "why", "why " + address)
    for line in sentry.control_command("export", "--json", "--private").stdout.splitlines():
        hold(json.loads(line), "source", "export")
    decoder, text = json.JSONDecoder(), open(told).read().strip()
    while text:
        value, end = decoder.raw_decode(text)
        hold(value, "message", "NOTIFY")
        text = text[end:].strip()
    L.check({s["ports"] for s in sentry.ask("sources")} >= {None, 1}, "nobody has more ports than are counted")
    sentry.stop()
    hold(json.loads(lab.in_target(L.binary, "show", v4, "--json", "-c", sentry.config).stdout), "show", "show without a sentry")
    # By the classic rule `why` has another reason, and `replay` all kinds of findings.
    classic = lab.sentry("-stcp", name="classic", settings={"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none"})
    source = lab.new_source()[0]
    lab.syn(source, 111)
    L.wait_for(lambda: source in classic.blocked(), 5, "the block")
    hold(classic.ask("why", source), "why", "why by the classic rule")
    capture = lab.folder + "/scan.pcap"
    tap = lab.start(lab.target, "tcpdump", "-q", "-U", "-i", "lan0", "-w", capture)
    L.wait_for(lambda: os.path.exists(capture) and os.path.getsize(capture) >= 24, 10, "tcpdump")
    lab.nmap("-sS", "-p", "1-60", source=lab.new_source()[0])
    lab.nmap("-sU", "-p", "500-530", source=lab.new_source()[0])
    size = -1

    def quiet():
        nonlocal size
        before, size = size, os.path.getsize(capture)
        return before == size
    L.wait_for(quiet, 10, "the capture to be whole", 0.5)
    tap.terminate()
    for line in lab.in_target(L.binary, "replay", "--json", capture).stdout.splitlines():
        hold(json.loads(line), "replay", "replay")
    return "%d outputs, %d members described" % (count, sum(map(len, SHAPES.values())))


if __name__ == "__main__":
    raise SystemExit(L.main())
