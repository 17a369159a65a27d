"""Executes a program with the rights that a systemd unit gives it: `as_unit.py UNIT PROGRAM ARGUMENT...`, as root.

User (nobody where there is none by that name), ambient and bounding capabilities, NoNewPrivileges, and SystemCallFilter with the sets of
this machine's systemd. Namespaces of its own for the file system are not made.
"""

import ctypes
import os
import platform
import pwd
import re
import shlex
import struct
import subprocess
import sys

NUMBERS = {"net_bind_service": 10, "net_admin": 12, "net_raw": 13, "bpf": 39}
libc = ctypes.CDLL(None, use_errno=True)


def settings(path):
    result = {}
    for line in open(path):
        key, _, value = line.strip().partition("=")
        if value and key[0] not in "#[;":
            result.setdefault(key, []).append(value)
    return result


def calls(words):
    """Names of system calls, with those of sets in place of the sets."""
    names = set()
    for word in words:
        if word.startswith("@"):
            text = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True).stdout
            names |= calls(line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#"))
        else:
            names.add(word)
    return names


def allowed(filters):
    """As systemd.exec(5) adds up its lines."""
    names = calls(["@default"])
    for line in filters:
        if line.startswith("~"):
            names -= calls(line[1:].split())
        else:
            names |= calls(line.split())
    return names


def install(names):
    """The filter, as classic BPF: what is not named fails with EPERM."""
    arch, header = {"x86_64": (0xC000003E, "unistd_64.h"), "aarch64": (0xC00000B7, "unistd.h")}[platform.machine()]
    found = subprocess.run(["gcc", "-E", "-dM", "-"], input="#include <sys/syscall.h>\n", capture_output=True, text=True, check=True).stdout
    numbers = {m[1]: int(m[2]) for m in re.finditer(r"#define __NR_(\w+) (\d+)", found)}
    code = [(0x20, 0, 0, 4), (0x15, 1, 0, arch), (0x06, 0, 0, 0x80000000), (0x20, 0, 0, 0)]
    for number in sorted(numbers[n] for n in names if n in numbers):
        code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x7FFF0000)]
    code.append((0x06, 0, 0, 0x00050001))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in code))
    description = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(program)))
    prctl(22, 2, ctypes.addressof(description))


def prctl(*arguments):
    if libc.prctl(*[ctypes.c_ulong(a) for a in arguments + (0,) * (5 - len(arguments))]) != 0:
        raise OSError(ctypes.get_errno(), "prctl %r" % (arguments,))


def main():
    unit = settings(sys.argv[1])
    try:
        user = pwd.getpwnam(unit["User"][-1])
    except KeyError:
        user = pwd.getpwnam("nobody")
    names = allowed(unit["SystemCallFilter"])
    kept = [NUMBERS[c.removeprefix("CAP_").lower()] for c in shlex.split(unit["AmbientCapabilities"][-1])]
    for number in range(64):
        if number not in kept and libc.prctl(24, number, 0, 0, 0) != 0:
            break
    prctl(8, 1)  # keep capabilities over the change of user
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    mask = sum(1 << n for n in kept)
    data = struct.pack("6I", *[mask & 0xFFFFFFFF] * 3, *[mask >> 32] * 3)
    if libc.capset(struct.pack("Ii", 0x20080522, 0), data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    for number in kept:
        prctl(47, 2, number)
    prctl(38, 1)
    install(names)
    os.execv(sys.argv[2], sys.argv[2:])


main()
