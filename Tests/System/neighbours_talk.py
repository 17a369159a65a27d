"""Neighbours: mail, shells, calls, chats, tunnels: what keeps a conversation, and who looks back."""

import contextlib
import threading
import time

import lab as L
from neighbours_files import certificate
from town import SERVER4, SERVER6, scenario


def postfix_of(machine, name, *more):
    """Postfix that takes mail for its own name, and says what it does in /tmp/mail.log."""
    machine.shell("postconf -e compatibility_level=3.6 inet_interfaces=all mydestination=%s,localhost myhostname=%s maillog_file=/dev/stdout "
                  "'mynetworks=127.0.0.0/8' %s && newaliases && useradd -m -p '$(openssl passwd -1 secret)' user 2>/dev/null; "
                  "echo user:secret | chpasswd; true" % (name, name, " ".join("'%s'" % m for m in more)))
    # A machine of its own wants no chroot within its own.
    machine.shell("postconf -F '*/*/chroot = n'")


def mail_server(town):
    """dovecot and postfix, on the usual ports but POP3's and 465."""
    server = town.server
    certificate(server)
    postfix_of(server, "server.example", "smtpd_tls_cert_file=/etc/ssl/own.crt", "smtpd_tls_key_file=/etc/ssl/own.key", "smtpd_tls_security_level=may")
    server.shell("postconf -M submission/inet='submission inet n - n - - smtpd'")
    server.append("/etc/dovecot/local.conf", "ssl_cert = </etc/ssl/own.crt\nssl_key = </etc/ssl/own.key\nmail_location = maildir:~/Maildir\n"
                  "mail_privileged_group = mail\nlog_path = /dev/stderr\n")
    server.daemon("postfix", "start-fg", ready=(25, 587))
    server.daemon("dovecot", "-F", ready=(143, 993))


def reads_mail(town, client, target):
    """Fetches by IMAPS and sends by SMTP, with and without TLS."""
    at = "[%s]" % target if ":" in target else target
    for _ in range(2):
        town.ask(client, "curl", "-sSk", "-m", "8", "-u", "user:secret", "imaps://%s/" % at, expect="INBOX")
        town.ask(client, "curl", "-sSk", "-m", "8", "-u", "user:secret", "--ssl-reqd", "imap://%s/" % at, expect="INBOX")
    town.ask(client, "swaks", "--server", target, "--port", "25", "--to", "user@server.example", "--from", "a@%s.example" % client.name,
             "--silent", "2", "--tls-optional", "--timeout", "8")


def sets_up_mail(town, client, target):
    """What Thunderbird asks for, all at once, when an account is made; no package does that without a screen."""
    def one(port):
        s = client.connect(port, target, timeout=2)
        if s:
            # It waits for the server's greeting, and for longer than this.
            s.settimeout(3)
            with contextlib.suppress(OSError):
                s.recv(100)
            s.close()
    town.slip(client, 995, 110, 465)
    town.together(*(lambda p=p: one(p) for p in (993, 143, 995, 110, 587, 465, 25)))


@scenario("dovecot and postfix: mail programs fetch and send, hold a session, and look for all ports of mail for one more account",
          "dovecot-imapd postfix swaks libio-socket-inet6-perl", quick=True)
def mail(town):
    mail_server(town)
    yield
    for target in (SERVER4, SERVER6):
        client = town.client()
        reads_mail(town, client, target)
        s = client.connect(143, target)
        town.keep("IMAP session of " + client.name, lambda s=s: bool(s) and not s.sendall(b"a noop\r\n") and b"OK" in s.recv(500))
        time.sleep(1.2)  # Who is in conversation is looked up once a second.
        sets_up_mail(town, client, target)
        reads_mail(town, client, target)


@scenario("The same server: a mail program that has never been here looks for all ports of mail first",
          "dovecot-imapd postfix swaks libio-socket-inet6-perl")
def mail_setup(town):
    mail_server(town)
    yield
    for target in (SERVER4, SERVER6):
        client = town.client()
        sets_up_mail(town, client, target)
        reads_mail(town, client, target)


@scenario("Mail to a host that looks back: postfix there verifies the sender here", "postfix swaks")
def callout(town):
    server, far = town.server, town.client("far")
    for machine, name, other in ((server, "server.example", far), (far, "far.example", server)):
        machine.shell("printf '%s server.example\\n%s far.example\\n' >> /etc/hosts" % (SERVER4, far.four))
        postfix_of(machine, name, "smtp_host_lookup=native", "smtp_dns_support_level=disabled", "address_verify_negative_cache=no",
                   "address_verify_map=", "address_verify_sender=<>", "address_verify_poll_delay=1s",
                   "address_verify_poll_count=9", "minimal_backoff_time=3s", "queue_run_delay=3s",
                   "smtpd_recipient_restrictions=reject_unverified_sender,permit_mynetworks,reject_unauth_destination")
        machine.daemon("postfix", "start-fg", ready=25)
    yield
    for number in range(3):
        server.shell("printf 'Subject: %d\\n\\nhello\\n' | sendmail -f user@server.example user@far.example" % number)
        far.shell("printf 'Subject: %d\\n\\nhello\\n' | sendmail -f user@far.example user@server.example" % number)
    for machine in (server, far):
        try:
            L.wait_for(lambda: machine.shell("cat /var/mail/user 2>/dev/null | grep -c ^Subject", ok=None).stdout.strip() == "3", 25, "3 mails")
            town.did(True, "")
        except L.Failure:
            town.did(False, "mail to %s: %s" % (machine.name, machine.shell("mailq; cat /var/mail/user", ok=None).stdout[-300:]))


def ssh_of(server, *clients):
    """sshd, and clients whose keys it knows."""
    server.shell("ssh-keygen -qA; mkdir -p /run/sshd; mkdir -p -m 700 /root/.ssh")
    for client in clients:
        client.shell("mkdir -p -m 700 /root/.ssh; ssh-keygen -qt ed25519 -N '' -f /root/.ssh/id_ed25519")
        client.write("/root/.ssh/config", "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nServerAliveInterval 1\n")
        server.append("/root/.ssh/authorized_keys", client.read("/root/.ssh/id_ed25519.pub"))
    return server.daemon("/usr/sbin/sshd", "-D", ready=22)


@scenario("sshd: logins, copies, forwarded ports, sessions that stay open over its restart", "openssh-server openssh-client rsync", quick=True)
def ssh(town):
    server = town.server
    clients = [town.client() for _ in range(2)]
    daemon = ssh_of(server, *clients)
    yield
    for client, target in zip(clients, (SERVER4, SERVER6)):
        town.keep_process(client, "ssh", "-N", "-L", "8022:localhost:22", "root@" + target)
        L.wait_for(lambda: client.listens(8022), 20, "a forwarded port", 0.1)
        for number in range(4):
            town.ask(client, "ssh", "root@" + target, "echo", "hello", expect="hello")
            town.ask(client, "scp", "-q", "/etc/services", "root@[%s]:/tmp/%s-%d" % (target, client.name, number))
            town.ask(client, "ssh", "-p", "8022", "root@localhost", "echo", "through", expect="through")
        town.ask(client, "rsync", "-a", "/usr/share/doc/bash", "root@[%s]:/tmp/%s" % (target, client.name))
    server.end(daemon)
    server.daemon("/usr/sbin/sshd", "-D", ready=22)
    for client, target in zip(clients, (SERVER4, SERVER6)):
        town.ask(client, "ssh", "root@" + target, "echo", "again", expect="again")


@scenario("mosh: a shell over UDP, whose client changes its port", "mosh openssh-server openssh-client bsdutils")
def mosh(town):
    server, client = town.server, town.client()
    ssh_of(server, client)
    yield
    for number in range(2):
        said = town.ask(client, "ssh", "root@" + SERVER4, "mosh-server", "new", "-c", "256", "-i", SERVER4, "--", "sh", "-c",
                        "'while :; do echo tick-%d; sleep 0.2; done'" % number, expect="MOSH CONNECT")
        _, _, port, key = next(line for line in said.splitlines() if line.startswith("MOSH CONNECT")).split()
        process = town.keep_process(client, "script", "-qfc", "stty rows 24 cols 80; MOSH_KEY=%s exec mosh-client %s %s" % (key, SERVER4, port), "/dev/null")
        L.wait_for(lambda: "tick-%d" % number in open(process.log, errors="replace").read(), 20, "mosh to show something")
        town.did(True, "")


@scenario("A server of chats (ngircd) looks for open proxies on its clients (hopm); this host is a client", "ngircd hopm")
def irc(town):
    server, far = town.server, town.client("irc")
    far.write("/etc/ngircd/ngircd.conf", "[Global]\n Name = irc.example\n Info = lab\n Motd Phrase = hello\n ServerUID = irc\n ServerGID = irc\n[Options]\n"
              " Ident = yes\n DNS = no\n PAM = no\n[Operator]\n Name = hopm\n Password = operpass\n")
    far.shell("sed -i -e 's/irc.example.org/127.0.0.1/; s/^\\(.*timeout = \\)30 seconds/\\13 seconds/' /etc/hopm/hopm.conf; mkdir -p /run/hopm /var/log/hopm; "
              "chmod 777 /run/hopm /var/log/hopm")
    # hopm wants the words of another server for a client that comes; ngircd's are these.
    far.shell("sed -i 's/^\\tconnregex.*/\\tconnregex = \".*Client connecting: ([^ ]+) \\\\\\\\(([^@]+)@([^\\\\\\\\)]+)\\\\\\\\) \\\\\\\\[([0-9a-f\\\\\\\\.:]+)\\\\\\\\].*\";/' "
              "/etc/hopm/hopm.conf")
    far.daemon("ngircd", "-n", ready=6667)
    far.start("hopm", "-d", "-d")
    town.slip(far, 113, 23, 80, 81, 1080, 3128, 6588, 8000, 8001, 8080, 8081, 4480)
    yield

    def login(nick):
        from town import socket
        s = town.open_socket(server.namespace, socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(20)
        s.connect((far.four, 6667))
        s.sendall(b"NICK %s\r\nUSER u 0 * :me\r\n" % nick)
        seen = b""
        while b" 001 " not in seen and (data := s.recv(4096)):
            seen += data
        return s

    def talks(s):
        with contextlib.suppress(OSError):
            s.sendall(b"PING :x\r\n")
            seen = b""
            while b"PONG" not in seen and (data := s.recv(4096)):
                seen += data
            return b"PONG" in seen
        return False
    s = login(b"one")
    town.keep("conversation with the chat server", lambda: talks(s))
    time.sleep(1)
    # The same questions as hopm's, as often as clients come.
    for number in range(2):
        for port in (113, 23, 80, 1080, 3128, 6588, 8080):
            far.shell("curl -s -m 1 telnet://%s:%d < /dev/null" % (SERVER4, port), ok=None)
        town.did(talks(s), "the chat server hears us no more")


@scenario("SIP and RTP: sipp calls, with a port of its own for each call's sound", "sip-tester")
def sip(town):
    server = town.server
    server.daemon("sipp", "-sn", "uas", "-rtp_echo", "-i", "0.0.0.0", "-mi", SERVER4, "-nostdin", ready="udp/5060")
    yield
    for client in (town.client(), town.client()):
        town.ask(client, "sh", "-c", "cd /tmp; sipp -sn uac -nostdin -r 20 -m 40 -d 300 -i %s -mi %s %s:5060" % (client.four, client.four, SERVER4),
                 timeout=60)


@scenario("transmission: peers come, and come again after it has stopped", "transmission-daemon transmission-cli aria2")
def transmission(town):
    server = town.server
    server.shell("mkdir -p /srv/t; head -c 3000000 /dev/urandom > /srv/t/big; cd /srv/t; transmission-create -o /srv/t/big.torrent /srv/t/big")
    server.write("/srv/config/settings.json", '{"download-dir": "/srv/t", "lpd-enabled": true, "dht-enabled": false, "pex-enabled": true, '
                 '"port-forwarding-enabled": false, "peer-port": 51413, "rpc-enabled": true, "rpc-whitelist-enabled": false}')
    daemon = server.daemon("transmission-daemon", "-f", "-g", "/srv/config", ready=(51413, 9091))
    server.run("transmission-remote", "-a", "/srv/t/big.torrent", timeout=30)
    torrent = server.run("base64", "/srv/t/big.torrent").stdout
    clients = [town.client() for _ in range(3)]
    for client in clients:
        client.write("/tmp/big.b64", torrent)
        client.shell("base64 -d /tmp/big.b64 > /tmp/big.torrent")
        town.slip(client, 51413)
    yield
    town.together(*(lambda c=c: town.ask(c, "aria2c", "-q", "--enable-dht=false", "--bt-enable-lpd=true", "--seed-time=0", "--dir=/tmp",
                                         "--bt-exclude-tracker=*", "--bt-stop-timeout=40", "/tmp/big.torrent", timeout=60) for c in clients))
    server.end(daemon)
    # A peer that was told of it tries again and again.
    for client in clients:
        for _ in range(5):
            client.shell("curl -s -m 1 telnet://%s:51413 < /dev/null" % SERVER4, ok=None)


@scenario("mosquitto: subscribers that stay, publishers that come and go", "mosquitto mosquitto-clients", quick=True)
def mosquitto(town):
    server = town.server
    server.write("/etc/mosquitto/conf.d/lab.conf", "listener 1883\nallow_anonymous true\n")
    server.shell("mkdir -p /run/mosquitto; chown mosquitto /run/mosquitto")
    server.daemon("mosquitto", "-c", "/etc/mosquitto/mosquitto.conf", ready=1883)
    yield
    clients = [town.client() for _ in range(2)]
    listeners = [town.keep_process(c, "mosquitto_sub", "-h", t, "-t", "x", "-k", "5") for c, t in zip(clients, (SERVER4, SERVER6))]
    time.sleep(0.5)
    for number in range(20):
        town.ask(clients[number % 2], "mosquitto_pub", "-h", (SERVER4, SERVER6)[number % 2], "-t", "x", "-m", "message %d" % number)
    for process in listeners:
        try:
            L.wait_for(lambda: "message 19" in open(process.log).read(), 10, "the last message")
            town.did(True, "")
        except L.Failure as failure:
            town.did(False, str(failure))


@scenario("WireGuard (wireguard-go): a peer whose address and port change, an endpoint that was restarted", "wireguard-go wireguard-tools")
def wireguard(town):
    server, client = town.server, town.client()
    keys = {}
    for machine in (server, client):
        private = machine.shell("wg genkey").stdout.strip()
        keys[machine] = (private, machine.run("wg", "pubkey", input=private + "\n").stdout.strip())
    for machine, other, last, endpoint in ((server, client, 1, ""), (client, server, 2, "Endpoint = %s:51820\nPersistentKeepalive = 1\n" % SERVER4)):
        machine.write("/etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = %s\nListenPort = %d\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.9.0.0/24\n%s" % (
            keys[machine][0], 51820 if machine is server else 0, keys[other][1], endpoint))
        machine.shell("wireguard-go wg0 && wg setconf wg0 /etc/wireguard/wg0.conf && ip addr add 10.9.0.%d/24 dev wg0 && ip link set wg0 up" % last)
    yield
    for _ in range(4):
        town.ask(client, "ping", "-c", "3", "-i", "0.2", "-W", "3", "10.9.0.1")
        client.shell("wg set wg0 listen-port $((40000 + $(od -An -N1 -tu1 /dev/urandom)))")
    # The server's end is away for a while, and its peer goes on.
    server.shell("ip link del wg0")
    town.slip(client, 51820)
    time.sleep(3)
    server.shell("wireguard-go wg0 && wg setconf wg0 /etc/wireguard/wg0.conf && ip addr add 10.9.0.1/24 dev wg0 && ip link set wg0 up")
    # A peer takes a new handshake when it has heard nothing for fifteen seconds.
    town.ask(client, "sh", "-c", "for n in $(seq 40); do ping -c 1 -W 1 10.9.0.1 && exit 0; done; exit 1", timeout=60)


@scenario("OpenVPN over UDP, restarted; services through the tunnel", "openvpn nginx-light")
def openvpn(town):
    from neighbours_web import nginx_of
    server, client = town.server, town.client()
    key = server.shell("openvpn --genkey secret /tmp/k >/dev/null; cat /tmp/k").stdout
    common = "dev tun\nproto udp\nsecret /tmp/k\ncipher AES-256-CBC\nping 1\nping-restart 5\n"
    for machine, more in ((server, "lport 1194\nifconfig 10.9.0.1 10.9.0.2\n"), (client, "remote %s 1194\nnobind\nifconfig 10.9.0.2 10.9.0.1\n" % SERVER4)):
        machine.write("/tmp/k", key, "600")
        machine.write("/tmp/vpn.conf", common + more)
    daemon = server.daemon("openvpn", "--config", "/tmp/vpn.conf", ready="udp/1194")
    client.start("openvpn", "--config", "/tmp/vpn.conf")
    nginx_of(server)
    town.slip(client, 1194)
    yield
    town.ask(client, "sh", "-c", "for n in 1 2 3 4 5 6 7 8; do ping -c 1 -W 1 10.9.0.1 && exit 0; sleep 1; done; exit 1")
    for _ in range(5):
        town.ask(client, "curl", "-sS", "-m", "5", "http://10.9.0.1/", expect="hello")
    server.end(daemon)
    time.sleep(3)
    server.daemon("openvpn", "--config", "/tmp/vpn.conf", ready="udp/1194")
    town.ask(client, "sh", "-c", "for n in $(seq 20); do curl -sS -m 1 http://10.9.0.1/ && exit 0; sleep 1; done; exit 1", expect="hello", timeout=60)


@scenario("knockd: three knocks open ssh to whoever knows them", "knockd openssh-server openssh-client", quick=True, ADVANCED_EXCLUDE_TCP="113,139,7000,8000,9000")
def knockd(town):
    server, client = town.server, town.client()
    ssh_of(server, client)
    server.shell("iptables -A INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset")
    server.shell("sed -i -e 's/-A INPUT/-I INPUT/; s/UseSyslog/logfile = \\/tmp\\/knockd.log/' /etc/knockd.conf")
    server.start("knockd", "-i", "lan0")
    # Half a sequence would be the beginning of another one of its settings.
    L.wait_for(lambda: "starting up" in server.read("/tmp/knockd.log"), 20, "knockd", 0.1)
    time.sleep(1)
    yield
    L.wait_for(lambda: not client.connect(22), 5, "ssh to be closed")
    for _ in range(5):
        client.run("knock", "-d", "200", SERVER4, "7000", "8000", "9000")
        with contextlib.suppress(L.Failure):
            L.wait_for(lambda: "-s " in server.shell("iptables -S INPUT").stdout, 6, "knockd's rule", 0.1)
            break
    town.ask(client, "ssh", "root@" + SERVER4, "echo", "hello", expect="hello")
