#!/usr/bin/env python3
"""Puts the rows of SimulationTests/theTable, read from standard input, into docs/decisions/0003-fleet.md, and draws docs/images/fleet.svg: how
long scanners go on until they are banned on every host, by the size of the fleet. `make fleet-simulation`
"""

import math
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT, PICTURE = TOP + "/docs/decisions/0003-fleet.md", TOP + "/docs/images/fleet.svg"
HEAD = ("| nodes | addresses a second | time to ban, p50 / p99 | hosts reached, p50 / p99 | a node is sent | signatures |"
        " 100,000 bans a day: a node, an engine |\n|---|---|---|---|---|---|---|\n")
BANS = 100_000 / 86_400
ROW = re.compile(r"^\| (\d+) \| (\d+) \| ([\d.]+) / ([\d.]+) s \| (\d+) / (\d+) \| (\d+) B \| ([\d.]+) \|$", re.M)


def grouped(number):
    return "{:,}".format(int(number))


def table(rows):
    out = [HEAD]
    for nodes, rate, p50, p99, r50, r99, sent, signatures in rows:
        each = int(sent) * BANS
        # Of 100,000 each engine has a tenth.
        engine = each * min(int(nodes), 10_000 if int(nodes) == 100_000 else 65_535) * 8 / 1e6
        out.append("| %s | %s | %s / %s s | %s / %s | %s B | %s | %.1f kB/s, %s Mbit/s |\n" % (
            grouped(nodes), grouped(rate), *(grouped(x) if float(x) >= 100 else x for x in (p50, p99)), r50, r99, grouped(sent), signatures,
            each / 1e3, "%.1f" % engine if engine < 10 else grouped(engine)))
    return "".join(out)


def draw(rows):
    width, height, left, top, right, bottom = 760, 420, 70, 46, 170, 56
    nodes = sorted({int(r[0]) for r in rows})
    times = [float(x) for r in rows for x in r[2:4]]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))

    def x(count):
        a, b = math.log10(nodes[0]), math.log10(nodes[-1])
        return left + (width - left - right) * (math.log10(count) - a) / (b - a)

    def y(time):
        return top + (height - top - bottom) * (high - math.log10(time)) / (high - low)
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="12">' % (width, height),
        "<title>Time from a scanner's first handshake to its ban on every host, by the size of the fleet</title>",
        "<style>:root{color-scheme:light dark}.i{fill:light-dark(#222,#ddd)}.g{stroke:light-dark(#ddd,#444)}"
        ".a{stroke:light-dark(#2563eb,#7aa2ff);fill:none;stroke-width:2}.b{stroke:light-dark(#c2410c,#ff9a5c);fill:none;stroke-width:2}"
        ".d{stroke-dasharray:5 4}</style>",
        '<rect width="100%" height="100%" fill="light-dark(#fff,#181818)"/>',
        '<text class="i" x="%d" y="24" font-size="14">Time to the ban on every host, in simulated time</text>' % left,
    ]
    for power in range(low, high + 1):
        label = "%g s" % 10 ** power
        out.append('<line class="g" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="i" x="%d" y="%.1f" text-anchor="end">%s</text>' % (
            left, width - right, y(10 ** power), y(10 ** power), left - 8, y(10 ** power) + 4, label))
    for count in nodes:
        out.append('<text class="i" x="%.1f" y="%d" text-anchor="middle">%s</text>' % (x(count), height - bottom + 20, grouped(count)))
    out.append('<text class="i" x="%.1f" y="%d" text-anchor="middle">hosts (100,000: ten fleets of 10,000)</text>' % (
        left + (width - left - right) / 2, height - 12))
    for name, rate in (("a", 10_000), ("b", 1_400_000)):
        mine = sorted((r for r in rows if int(r[1]) == rate), key=lambda r: int(r[0]))
        for column, dashed, label in ((2, "", "p50"), (3, " d", "p99")):
            points = " ".join("%.1f,%.1f" % (x(int(r[0])), y(float(r[column]))) for r in mine)
            out.append('<polyline class="%s%s" points="%s"/>' % (name, dashed, points))
            end = mine[-1]
            out.append('<text class="i" x="%.1f" y="%.1f">%s a second, %s</text>' % (
                x(int(end[0])) + 8, y(float(end[column])) + (4 if dashed else 12), grouped(rate), label))
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    text = sys.stdin.read()
    rows = ROW.findall(text)
    if len(rows) < 8:
        sys.exit("no table in what was read:\n" + text[-2_000:])
    document = open(DOCUMENT).read()
    begin = document.index("| nodes | addresses a second")
    end = begin + re.match(r"(?:\|.*\n)+", document[begin:]).end()
    with open(DOCUMENT, "w") as f:
        f.write(document[:begin] + table(rows) + document[end:])
    with open(PICTURE, "w") as f:
        f.write(draw(rows))


main()
