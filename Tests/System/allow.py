"""`portsentry allow`: left alone for a time, at once, over a restart, and taken back."""

import time

import lab as L

BLOCKING = {"BLOCK_TCP": "1", "BLOCK_METHOD": "nftables", "PROOF": "none", "RULE": "classic"}


def scan(lab, sentry, source):
    lab.syn(source, 111)
    sentry.wait_line("from host: [^/]*/%s to" % source)


def wait_blocked(sentry, source, is_blocked=True):
    L.wait_for(lambda: (source in sentry.blocked()) == is_blocked, 5, lambda: "%s %sto be blocked; there are %s" % (
        source, "" if is_blocked else "no longer ", sentry.blocked()), 0.1)


def allowed(sentry):
    return [a["network"] for a in sentry.ask("status")["allowed"]]


@L.test("allow.at_once_over_a_restart_and_back")
def allow(lab):
    sentry = lab.sentry("-stcp", settings=BLOCKING)
    source, other = lab.new_source()[0], lab.new_source()[0]
    for address in (source, other):
        scan(lab, sentry, address)
        wait_blocked(sentry, address)
    said = sentry.control_command("allow", source, "--for", "1h").stdout
    L.check(said == "%s is allowed for 1h; no longer blocked: %s\n" % (source, source), said)
    L.check(source not in sentry.blocked() and other in sentry.blocked(), sentry.blocked())
    L.check(source not in str(lab.nft_elements()), "the kernel still blocks it: %s" % lab.nft_elements())
    lab.syn(source, 79)
    time.sleep(0.5)
    L.check(source not in sentry.blocked(), "it is blocked again")
    said = sentry.control_command("block", source, ok=(1,))
    L.check("portsentry allow" in said.stdout + said.stderr, said)
    L.check(allowed(sentry) == [source], allowed(sentry))
    L.check("allowed" in sentry.control_command("status").stdout, "not in status")
    L.check("it was allowed" in sentry.control_command("why", source).stdout, "not in why")

    sentry.process.kill()
    sentry.process.wait(5)
    sentry.relaunch()
    L.check(allowed(sentry) == [source], "after kill -9: %s" % allowed(sentry))
    L.check(other in sentry.blocked(), sentry.blocked())
    lab.syn(source, 79)
    time.sleep(0.5)
    L.check(source not in sentry.blocked(), "it is blocked after a restart")
    sentry.send_signal(1)
    sentry.wait_line("configuration read again")
    L.check(allowed(sentry) == [source], "after HUP: %s" % allowed(sentry))
    lab.syn(source, 111)
    time.sleep(0.5)
    L.check(source not in sentry.blocked(), "it is blocked after HUP")

    said = sentry.control_command("allow", source, "--end").stdout
    L.check(said == "%s is no longer allowed\n" % source, said)
    lab.syn(source, 143)
    wait_blocked(sentry, source)
    sentry.control_command("allow", source, "--end", ok=(1,))


@L.test("allow.a_network_for_a_moment")
def network(lab):
    sentry = lab.sentry("-stcp", settings=BLOCKING)
    source = lab.new_source()[0]
    scan(lab, sentry, source)
    wait_blocked(sentry, source)
    said = sentry.control_command("allow", "10.77.0.0/25", "--for", "2s").stdout
    L.check(source in said, said)
    wait_blocked(sentry, source, False)
    sentry.wait_line("10.77.0.0/25 is no longer allowed: its time is over", timeout=6)
    lab.syn(source, 79)
    wait_blocked(sentry, source)
    said = sentry.control_command("allow", "0.0.0.0/0", ok=(1,))
    L.check("every address" in said.stderr, said)
    for words in (("nonsense",), (source, "--for", "soon"), (source, "--for", "1h", "--end")):
        sentry.control_command("allow", *words, ok=(64,))


if __name__ == "__main__":
    raise SystemExit(L.main())
