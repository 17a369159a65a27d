"""What the sentry costs: start, memory, size, and CPU while honest traffic passes."""

import os
import re
import shutil
import socket
import struct
import tempfile
import threading
import time

import lab as L
import packets as P

ALL_PORTS = {"ADVANCED_PORTS_TCP": "65535", "ADVANCED_PORTS_UDP": "65535", "ADVANCED_EXCLUDE_TCP": None, "HISTORY_FORMAT": "2"}


@L.test("footprint.start_to_first_packet_under_50_ms")
def start(lab):
    figures = []
    for attempt in range(5):
        link = lab.link()
        sent, stop = {}, threading.Event()

        def knock():
            n = 0
            while not stop.is_set():
                source = "10.9%d.%d.%d" % (attempt, n // 250, n % 250 + 1)
                frame = P.segment(source, L.TARGET4, 40000, 594)
                sent[source] = time.time()
                link.send(frame)
                n += 1
                time.sleep(0.0005)
        knocker = threading.Thread(target=knock, daemon=True)
        knocker.start()
        try:
            sentry = lab.sentry("-atcp", "-audp", settings=ALL_PORTS, name="start%d" % attempt)
            seen = sentry.wait_line(r"attackalert: TCP SYN/Normal scan from host: [^/]*/(\S+) to")
        finally:
            stop.set()
            knocker.join()
        ready = next(t for t, c, text in sentry.entries if re.search("READY=1|now active and listening", text))
        figures.append((sent[seen.group(1)] - sentry.exec_time, ready - sentry.exec_time))
        sentry.stop()
        link.close()
    first, ready = sorted(f[0] for f in figures)[2], sorted(f[1] for f in figures)[2]
    text = "first packet watched %.1f ms after exec, ready after %.1f ms (medians of 5, all ports, both protocols)" % (first * 1e3, ready * 1e3)
    L.check(first < L.bar(0.050), text)
    return text


@L.test("footprint.memory_under_36_MB")
def memory(lab):
    sentry = lab.sentry("-atcp", "-audp", settings=ALL_PORTS)
    idle = L.resident_kib(sentry.pid)
    lab.nmap("-sS", "-p-", "-T5", "--min-rate", "60000", source=lab.new_source()[0])
    time.sleep(1)
    after = L.resident_kib(sentry.pid)
    text = "%.1f MB resident at start, %.1f MB after a scan of all ports" % (idle / 1024, after / 1024)
    L.check(max(idle, after) < 36 * 1024, text)
    return text


def wakes(pid):
    """How often threads of a process went to sleep so far, by thread."""
    found = {}
    for thread in os.listdir("/proc/%d/task" % pid):
        text = open("/proc/%d/task/%s/status" % (pid, thread)).read()
        name, count = re.search(r"Name:\t(.*)", text)[1], re.search(r"\nvoluntary_ctxt_switches:\t(\d+)", text)[1]
        found[name + " " + thread] = int(count)
    return found


@L.test("footprint.idle_wakes_twice_a_second_at_most")
def idle(lab):
    seconds = 30 if os.environ.get("PORTSENTRY_BENCH") else 8
    sentry = lab.sentry("-atcp", "-audp", settings={"BLOCK_TCP": "1", "RULE": "native", **ALL_PORTS})
    time.sleep(4)  # What a start leaves to do is done by then.
    before, began = wakes(sentry.pid), time.monotonic()
    time.sleep(seconds)
    after, took = wakes(sentry.pid), time.monotonic() - began
    rates = {name: (count - before.get(name, 0)) / took for name, count in after.items()}
    text = "%.1f a second: %s" % (sum(rates.values()), ", ".join("%s %.1f" % (name.split()[0], rate) for name, rate in rates.items() if rate))
    L.check(sum(rates.values()) <= 2, text)
    return text


def is_static(path):
    """Whether an ELF program names no interpreter (PT_INTERP, elf(5)) that would load libraries for it."""
    with open(path, "rb") as f:
        head = f.read(64)
        offset, = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        f.seek(offset)
        table = f.read(size * count)
    return all(struct.unpack_from("<I", table, i * size)[0] != 3 for i in range(count))


@L.test("footprint.static_binary_under_25_MB")
def size(lab):
    path = L.binary
    L.check(is_static(path), "%s is not the static build that `make build` makes" % os.path.relpath(path, L.ROOT))
    strip = shutil.which("strip") or shutil.which("llvm-strip") or shutil.which("llvm-objcopy")
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "portsentry")
        if strip:
            L.run([strip, *(["--strip-all"] if "objcopy" in strip else []), *(["-o"] if "objcopy" not in strip else []),
                   *([copy, path] if "objcopy" not in strip else [path, copy])])
        else:
            shutil.copy(path, copy)
        megabytes = os.path.getsize(copy) / 1e6
    L.check(megabytes < 25, "%.1f MB" % megabytes)
    return "%.1f MB stripped" % megabytes


@L.test("footprint.cpu_while_honest_traffic_passes")
def honest_traffic(lab):
    if not shutil.which("iperf3"):
        raise L.Skip("iperf3 is not installed")
    lab.start(lab.target, "iperf3", "-s", "-p", "5201")
    web = lab.service(80)

    def serve():
        while True:
            try:
                c, _ = web.accept()
                c.recv(100)
                c.send(b"HTTP/1.0 204 \r\n\r\n")
                c.close()
            except OSError:
                return
    threading.Thread(target=serve, daemon=True).start()
    time.sleep(0.3)
    sentry = lab.sentry("-atcp", "-audp", settings=ALL_PORTS)
    time.sleep(0.5)

    def received():
        out = lab.in_target("cat", "/sys/class/net/lan0/statistics/rx_packets").stdout
        return int(out)
    packets0, cpu0, wall = received(), L.cpu_seconds(sentry.pid), time.monotonic()
    # One packet on the wire for each segment, so that there are enough of them to divide by.
    lab.in_attacker("ip", "link", "set", "lan0", "gso_max_segs", "1")
    lab.in_attacker("iperf3", "-c", L.TARGET4, "-t", "5", "-M", "536", timeout=30)
    packets1, cpu1 = received(), L.cpu_seconds(sentry.pid)
    lab.service(5353, socket.SOCK_DGRAM)
    time.sleep(0.2)
    flood = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("%s", 5353))
end = time.time() + 5
while time.time() < end:
    for _ in range(500): s.send(b"x" * 64)
""" % L.TARGET4
    lab.in_attacker("python3", "-c", flood)
    packets3, cpu3 = received(), L.cpu_seconds(sentry.pid)
    code = """
import socket
for i in range(10000):
    s = socket.create_connection(("%s", 80)); s.send(b"GET / HTTP/1.0\\r\\n\\r\\n"); s.recv(100); s.close()
""" % L.TARGET4
    lab.in_attacker("python3", "-c", code, timeout=120)
    packets2, cpu2, wall = received(), L.cpu_seconds(sentry.pid), time.monotonic() - wall
    millions = (packets2 - packets0) / 1e6
    each = (cpu2 - cpu0) / millions
    # A server whose UDP socket is connected to its client (iperf3 does so) serves nobody else: measured, and only told.
    lab.in_attacker("iperf3", "-c", L.TARGET4, "-u", "-b", "0", "-l", "64", "-t", "3", timeout=30)
    connected = (L.cpu_seconds(sentry.pid) - cpu2) / ((received() - packets2) / 1e6)
    text = "%.4f s of CPU per million packets (%.2f million in %.0f s; TCP stream %.4f s per million, UDP stream %.4f, " \
           "10,000 connections %.4f s); connected UDP server %.4f s per million" % (each, millions, wall, (cpu1 - cpu0) / ((packets1 - packets0) / 1e6),
                                           (cpu3 - cpu1) / ((packets3 - packets1) / 1e6), cpu2 - cpu3, connected)
    L.check(not sentry.find("attackalert|Scan from"), "honest traffic was called a scan: %s" % (sentry.texts()[-2:],))
    # By the packet, by the second, and by the connection: on a busy machine few packets come within these seconds.
    L.check(cpu2 - cpu0 <= L.bar(0.005) * millions + L.bar(0.0005) * wall + L.bar(1e-6) * 10_000, text)
    return text


if __name__ == "__main__":
    raise SystemExit(L.main())
