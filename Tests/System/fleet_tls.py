"""The fleet by TLS: a real engine's, with an authority of its own; and engines that are not the one they should be."""

import os
import re
import shutil

import lab as L
from fleet import seen_by_three, status
from fleet_lab import ENGINE, Fleet

TLS_PORT = 6380
NAME = "engine.example"


class Authority:
    """A certificate authority, and what it signs."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        if not shutil.which("openssl"):
            raise L.Skip("no openssl (scripts/install-missing.sh fleet)")
        os.makedirs(folder, exist_ok=True)
        self.key, self.certificate = "%s/%s.key" % (folder, name), "%s/%s.pem" % (folder, name)
        L.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=" + name,
               "-keyout", self.key, "-out", self.certificate])

    def sign(self, name, alternatives, days=30):
        """Paths of a certificate and its key, for names such as `DNS:a` and `IP:10.0.0.1`."""
        path = "%s/%s-%s" % (self.folder, self.name, name)
        L.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name,
               "-keyout", path + ".key", "-out", path + ".csr"])
        with open(path + ".ext", "w") as f:
            f.write("subjectAltName=%s\n" % alternatives)
        L.run(["openssl", "x509", "-req", "-in", path + ".csr", "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
               "-days", str(days), "-extfile", path + ".ext", "-out", path + ".pem"])
        return path + ".pem", path + ".key"


def tls_fleet(lab, nodes, init=(), engine=()):
    """A fleet whose engine is asked by TLS alone; its plain port is for the laboratory."""
    pki = lab.folder + "/pki"
    authority = Authority(pki, "authority")
    certificate, key = authority.sign("engine", "DNS:%s,IP:%s" % (NAME, ENGINE))
    fleet = Fleet(
        lab, nodes, port=TLS_PORT, init=("--authority", authority.certificate, *(a.replace("PKI", pki) for a in init)),
        engine=("--tls-port", str(TLS_PORT), "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file",
                authority.certificate, "--tls-auth-clients", *(engine or ("no",))))
    return fleet, authority


@L.test("fleet_tls.a_sweep_is_banned_on_all")
def by_tls(lab):
    fleet, _ = tls_fleet(lab, 4)
    fleet.coordinate()
    fleet.start_nodes()
    scanner = "45.67.40.1"
    seen_by_three(fleet, scanner)
    took = fleet.wait_banned(scanner)
    # Nobody of the fleet speaks with the plain port.
    peers = L.run(["ip", "netns", "exec", fleet.engine_host, "ss", "-Htn", "state", "established", "sport", "= :6379"]).stdout
    L.check("10.88.1." not in peers, peers)
    pid = status(fleet.nodes[3])["carrier_pid"]
    own = int(re.search(r"RssAnon:\s+(\d+)", open("/proc/%d/status" % pid).read()).group(1)) / 1024
    L.check(own < 12, "the carrier has %.1f MB of its own" % own)
    fleet.command("unban", scanner)
    fleet.wait_banned(scanner, is_banned=False)
    # As the files end with the process's rights, a new connection must need none.
    fleet.engine.kill()
    fleet.engine.wait(5)
    fleet.start_engine()
    for node in fleet.nodes:
        L.wait_for(lambda: status(node)["connected"], 60, lambda: status(node), 0.2)
    check = fleet.nodes[0].sentry.control_command("check", ok=None).stdout
    L.check("by TLS, as %s" % ENGINE in check, check)
    return "in force everywhere %.2f s after the third handshake; a carrier has %.1f MB, %.1f its own" % (
        took, L.resident_kib(pid) / 1024, own)


@L.test("fleet_tls.another_engine_is_refused")
def refused(lab):
    """Expired, for another name, of another authority, and without TLS: each is said, and no password goes out."""
    fleet, authority = tls_fleet(lab, 1, init=("--name", NAME))
    L.check("hosts, 0 orders" in fleet.command("status"), "the right one is not believed")
    other = Authority(lab.folder + "/pki", "other")
    words = []
    for what, (certificate, key) in {
            "has expired": authority.sign("old", "DNS:" + NAME, days=-1),
            "is not for " + NAME: authority.sign("elsewhere", "DNS:else.example,IP:" + ENGINE),
            "is not of the authority": other.sign("engine", "DNS:" + NAME)}.items():
        fleet.cli("CONFIG", "SET", "tls-cert-file", certificate, "tls-key-file", key)
        out = L.run(["ip", "netns", "exec", fleet.engine_host, L.binary, "fleet", "status", "--folder", fleet.folder], ok=(69,))
        L.check(what in out.stderr, out.stderr)
        words.append(out.stderr.strip().removeprefix("portsentry: "))
    node = fleet.nodes[0]
    node.start()
    node.sentry.wait_ready(60)
    node.sentry.wait_line("The fleet is not reached: the engine's certificate is not of the authority", timeout=20)
    users = fleet.cli("CLIENT", "LIST")
    L.check("user=ps-" not in users, users)
    # No plain text where there is no TLS.
    fleet.engine.kill()
    fleet.engine.wait(5)
    fleet.settings["engine"] = ("--port", str(TLS_PORT))
    fleet.start_engine(port=TLS_PORT)
    out = L.run(["ip", "netns", "exec", fleet.engine_host, L.binary, "fleet", "status", "--folder", fleet.folder], ok=(69,))
    L.check("speak no TLS" in out.stderr, out.stderr)
    return "; ".join(words)


@L.test("fleet_tls.an_engine_that_asks_for_certificates")
def client_certificates(lab):
    pki = lab.folder + "/pki"
    mine = Authority(pki, "clients")
    mine.sign("member", "DNS:member.example")
    fleet, authority = tls_fleet(
        lab, 2, init=("--client-certificate", "PKI/clients-member.pem", "--client-key", "PKI/clients-member.key"))
    with open(authority.certificate) as a, open(mine.certificate) as b:
        both = a.read() + b.read()
    with open(pki + "/both.pem", "w") as f:
        f.write(both)
    fleet.cli("CONFIG", "SET", "tls-ca-cert-file", pki + "/both.pem", "tls-auth-clients", "yes")
    node = fleet.nodes[0]
    node.start()
    node.sentry.wait_ready(60)
    node.sentry.wait_line("The fleet is reached", timeout=20)
    # Without it.
    path = fleet.file("host2")
    lines = [line for line in open(path) if not line.startswith("tls-")]
    with open(path, "w") as f:
        f.writelines(lines)
    other = fleet.nodes[1]
    other.start()
    other.sentry.wait_ready(60)
    other.sentry.wait_line("The fleet is not reached: the engine wants to see a certificate", timeout=20)
    return "with one it is reached, without it says so"
