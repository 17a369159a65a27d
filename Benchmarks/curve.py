#!/usr/bin/env python3
"""Draws docs/images/threshold.svg: what a higher or lower RULE_THRESHOLD costs on labelled captures.
python3 Benchmarks/curve.py CAPTURES

For each threshold all captures are scored (score.py there) with `portsentry replay --threshold T`: recall is the part of scans
and floods to be reported that are, a false accusation is a capture or event to be silent about that is not.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
THRESHOLDS = [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.595, 5, 6, 7, 8, 10, 12, 16, 24]
CHOSEN = 4.595


def score(sentry, captures, threshold):
    said = subprocess.run(
        [sys.executable, os.path.join(captures, "score.py"), "--", sentry, "replay", "--json", "--threshold", str(threshold)],
        capture_output=True, text=True).stdout
    told, untold, silent, wrong = 0, 0, 0, 0
    for kind, passed, failed in re.findall(r"^(?:lab|public) .*?(report|silent)\s+passed\s+(\d+) failed\s+(\d+)", said, re.M):
        if kind == "report":
            told, untold = told + int(passed), untold + int(failed)
        else:
            silent, wrong = silent + int(passed) + int(failed), wrong + int(failed)
    return told, told + untold, wrong, silent


def draw(points):
    width, height, left, top, right, bottom = 760, 410, 70, 46, 30, 64
    most = max(4, max(wrong for _, _, _, wrong, _ in points))

    def x(wrong):
        # The square root spreads out the few.
        return left + (width - left - right) * (wrong / most) ** 0.5

    least = min(told / all_ for _, told, all_, _, _ in points)
    floor = max(0, int(least * 10 - 1) / 10)

    def y(recall):
        return top + (height - top - bottom) * (1 - (recall - floor) / (1 - floor))

    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="12">' % (
            width, height),
        "<title>False accusations against recall over the thresholds</title>",
        "<style>:root{color-scheme:light dark}.i{fill:light-dark(#222,#ddd)}.g{stroke:light-dark(#ddd,#444)}"
        ".l{stroke:light-dark(#2563eb,#7aa2ff);fill:none;stroke-width:2}.d{fill:light-dark(#2563eb,#7aa2ff)}"
        ".c{fill:light-dark(#c2410c,#ff9a5c)}</style>",
        '<rect width="100%" height="100%" fill="light-dark(#fff,#181818)"/>',
    ]
    step = 0.1 if floor < 0.7 else 0.05
    recall = floor
    while recall < 1.0001:
        out.append('<line class="g" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="i" x="%d" y="%.1f" text-anchor="end">%d %%</text>' % (
            left, width - right, y(recall), y(recall), left - 8, y(recall) + 4, round(recall * 100)))
        recall += step
    for wrong in sorted({0, 1, 5, 10, 25, 50, 100, 200, 400, most}):
        if wrong <= most:
            out.append('<line class="g" y1="%d" y2="%d" x1="%.1f" x2="%.1f"/><text class="i" x="%.1f" y="%d" text-anchor="middle">%d</text>' % (
                top, height - bottom, x(wrong), x(wrong), x(wrong), height - bottom + 18, wrong))
    out.append('<text class="i" x="%d" y="%d" text-anchor="middle">false accusations among %d captures and events of the innocent</text>' % (
        (left + width) // 2, height - 18, points[0][4]))
    out.append('<text class="i" x="%d" y="18">scans and floods reported, of %d</text>' % (left, points[0][2]))
    out.append('<polyline class="l" points="%s"/>' % " ".join("%.1f,%.1f" % (x(w), y(t / a)) for _, t, a, w, _ in points))
    said = set()
    for threshold, told, all_, wrong, _ in points:
        is_chosen = threshold == CHOSEN
        out.append('<circle class="%s" cx="%.1f" cy="%.1f" r="%d"/>' % (
            "c" if is_chosen else "d", x(wrong), y(told / all_), 6 if is_chosen else 3))
        place = (round(x(wrong) / 22), round(y(told / all_) / 14))
        if is_chosen or place not in said:
            # Beside the points that stand, above those that lie.
            beside = wrong == 0 and not is_chosen
            out.append('<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%g%s</text>' % (
                "c" if is_chosen else "i", x(wrong) + (9 if beside or is_chosen else 0),
                y(told / all_) + (20 if is_chosen else 4 if beside else -8), "start" if beside or is_chosen else "middle", threshold,
                " (default)" if is_chosen else ""))
            said.add(place)
    out.append("</svg>")
    path = os.path.join(TOP, "docs/images/threshold.svg")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n")
    print("wrote docs/images/threshold.svg")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    points = []
    # A copy, so that a build meanwhile changes nothing.
    folder = tempfile.TemporaryDirectory()
    sentry = shutil.copy(os.path.join(TOP, ".build/release/portsentry"), folder.name)
    print("| threshold | reported | falsely accused |\n|---|---|---|")
    for threshold in THRESHOLDS:
        told, all_, wrong, silent = score(sentry, sys.argv[1], threshold)
        if not all_:
            sys.exit("score.py said nothing: are the captures there?")
        points.append((threshold, told, all_, wrong, silent))
        print("| %g%s | %d of %d | %d of %d |" % (threshold, " (default)" if threshold == CHOSEN else "", told, all_, wrong, silent))
    draw(points)


if __name__ == "__main__":
    main()
