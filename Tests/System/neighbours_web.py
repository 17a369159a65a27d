"""Neighbours: web servers, balancers, and what asks them whether they are alive."""

import time

import lab as L
from town import SERVER4, SERVER6, scenario


def nginx_of(machine, ports=(80,), word="hello"):
    """nginx with Debian's own settings, and a page."""
    machine.write("/var/www/html/index.html", word + "\n")
    machine.write("/etc/nginx/sites-enabled/default", "server {\n%s root /var/www/html;\n}\n" % "".join(
        " listen %s;\n listen [::]:%s;\n" % (p, p) for p in ports))
    return machine.daemon("nginx", "-g", "daemon off;", ready=tuple(ports))


@scenario("nginx, restarted under a hundred requests a second", "nginx-light httperf", quick=True)
def nginx(town):
    server = town.server
    process = nginx_of(server)
    yield
    clients = [town.client() for _ in range(3)]

    def load(client, target):
        # A request while nothing serves is refused, and no piece of work; but it may accuse nobody.
        client.run("httperf", "--server", target, "--rate", "33", "--num-conns", "160", "--timeout", "5", ok=None, timeout=60)

    def restart():
        nonlocal process
        for _ in range(4):
            time.sleep(0.7)
            server.end(process)
            time.sleep(0.3)
            process = server.daemon("nginx", "-g", "daemon off;", ready=80)
    for client in clients:
        town.slip(client, 80)
    town.together(restart, *(lambda c=c, t=t: load(c, t) for c, t in zip(clients, (SERVER4, SERVER6, SERVER4))))
    for client in clients:
        for target in (SERVER4, "[%s]" % SERVER6):
            town.ask(client, "curl", "-sS", "-m", "5", "http://%s/" % target, expect="hello")


@scenario("haproxy on another host checks three ports of nginx, which stops for a while", "haproxy nginx-light", quick=True)
def haproxy(town):
    server = town.server
    balancer, visitor = town.client("balancer"), town.client()
    process = nginx_of(server, (80, 8080, 8443))
    backends = "".join("backend b%d\n server s1 %s:%d check inter 100ms\n server s2 [%s]:%d check inter 100ms backup\n" % (p, SERVER4, p, SERVER6, p)
                       for p in (80, 8080, 8443))
    balancer.write("/etc/haproxy/haproxy.cfg", "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n option httpchk GET /\n"
                   + "".join("frontend f%d\n bind *:%d\n default_backend b%d\n" % (p, p, p) for p in (80, 8080, 8443)) + backends)
    balancer.daemon("haproxy", "-f", "/etc/haproxy/haproxy.cfg", "-db", ready=(80, 8080, 8443))
    town.slip(balancer, 80, 8080, 8443)
    yield

    def visits():
        for port in (80, 8080, 8443):
            town.ask(visitor, "curl", "-sS", "-f", "-m", "5", "--retry", "8", "--retry-all-errors", "--retry-delay", "1",
                     "http://%s:%d/" % (balancer.four, port), expect="hello", timeout=60)
    visits()
    time.sleep(3)  # A new service is known within three seconds of its first visitor.
    server.end(process)
    # Who checks now is told that nothing is there, and is not taken in by a decoy.
    for target in (SERVER4, SERVER6):
        for port in (80, 8080, 8443):
            town.did(balancer.connect(port, target) is None, "a decoy stands in for %s port %d" % (target, port))
    time.sleep(1)
    nginx_of(server, (80, 8080, 8443))
    visits()


@scenario("keepalived: an address moves to this host, away and back, nginx behind it", "keepalived nginx-light")
def keepalived(town):
    server, other, visitor = town.server, town.client("other"), town.client()
    address = "10.77.0.50"
    for machine, priority in ((server, 100), (other, 50)):
        machine.shell("sysctl -qw net.ipv4.ip_nonlocal_bind=1")
        machine.write("/etc/keepalived/keepalived.conf", "vrrp_instance v {\n interface lan0\n state BACKUP\n virtual_router_id 7\n priority %d\n"
                      " advert_int 0.2\n virtual_ipaddress { %s/24 }\n}\n" % (priority, address))
        nginx_of(machine, word="from " + machine.name)

    def has(machine):
        return address in machine.network("ip", "-4", "addr", "show", "lan0").stdout
    daemon = server.start("keepalived", "-n", "-l", "-P")
    other.start("keepalived", "-n", "-l", "-P")
    L.wait_for(lambda: has(server), 20, "the address to be the server's", 0.1)
    yield

    def visits(who):
        for _ in range(10):
            town.ask(visitor, "curl", "-sS", "-m", "5", "http://%s/" % address, expect="from " + who)
    visits("server")
    server.end(daemon)
    L.wait_for(lambda: has(other), 20, "the address to move away", 0.1)
    visits("other")
    server.start("keepalived", "-n", "-l", "-P")
    L.wait_for(lambda: has(server) and not has(other), 20, "the address to come back", 0.1)
    visits("server")


@scenario("A CDN's edge (nginx) keeps connections alive longer than this host does, and probes it", "nginx-light", quick=True)
def cdn(town):
    server, edge, visitor = town.server, town.client("edge"), town.client()
    server.write("/etc/nginx/conf.d/short.conf", "keepalive_timeout 1s;\n")
    server.shell("sed -i 's/keepalive_timeout 65;//' /etc/nginx/nginx.conf")
    nginx_of(server)
    edge.write("/etc/nginx/sites-enabled/default", "upstream origin { server %s; server [%s]; keepalive 16; }\nserver {\n listen 80;\n location / {\n"
               "  proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\";\n }\n}\n" % (SERVER4, SERVER6))
    edge.daemon("nginx", "-g", "daemon off;", ready=80)
    yield
    for pause in (0, 0.9, 1.0, 1.05, 1.1, 1.5):
        for _ in range(4):
            town.ask(visitor, "curl", "-sS", "-f", "-m", "5", "http://%s/" % edge.four, expect="hello")
        time.sleep(pause)


@scenario("Prometheus with node_exporter and blackbox_exporter, which go on asking while what they ask for is away",
          "prometheus prometheus-node-exporter prometheus-blackbox-exporter nginx-light")
def prometheus(town):
    server, monitor = town.server, town.client("monitor")
    exporter = server.daemon("prometheus-node-exporter", ready=9100)
    web = nginx_of(server, (80, 8080))
    monitor.write("/etc/prometheus/lab.yml", """
global: { scrape_interval: 700ms, scrape_timeout: 700ms }
scrape_configs:
- { job_name: node, static_configs: [{ targets: ["%s:9100", "[%s]:9100"] }] }
- job_name: blackbox
  metrics_path: /probe
  params: { module: [tcp_connect] }
  static_configs: [{ targets: ["%s:80", "%s:8080", "[%s]:80"] }]
  relabel_configs:
  - { source_labels: [__address__], target_label: __param_target }
  - { source_labels: [__address__], target_label: instance }
  - { target_label: __address__, replacement: "127.0.0.1:9115" }
""" % (SERVER4, SERVER6, SERVER4, SERVER4, SERVER6))
    monitor.daemon("prometheus-blackbox-exporter", "--config.file=/etc/prometheus/blackbox.yml", "--timeout-offset=0.1", ready=9115)
    monitor.daemon("prometheus", "--config.file=/etc/prometheus/lab.yml", "--storage.tsdb.path=/tmp/tsdb", ready=9090)
    town.slip(monitor, 9100, 80, 8080)
    yield

    def up(query, wanted):
        def asked():
            return '"%d"' % wanted in monitor.run("curl", "-sS", "http://127.0.0.1:9090/api/v1/query", "--data-urlencode", "query=" + query,
                                                   ok=None).stdout
        try:
            L.wait_for(asked, 20, "%s to be %d" % (query, wanted), 0.3)
        except L.Failure as failure:
            return town.did(False, str(failure))
        return town.did(True, "")
    up("sum(up{job='node'})", 2)
    up("sum(probe_success)", 3)
    server.end(exporter)
    server.end(web)
    up("sum(up{job='node'})", 0)
    up("sum(probe_success)", 0)
    time.sleep(1)
    server.daemon("prometheus-node-exporter", ready=9100)
    nginx_of(server, (80, 8080))
    up("sum(up{job='node'})", 2)
    up("sum(probe_success)", 3)


@scenario("Nagios' plugins every second: ping, tcp, http, ssh, smtp, one of them away for a while",
          "monitoring-plugins-basic nginx-light openssh-server", quick=True)
def nagios(town):
    server, monitor = town.server, town.client("monitor")
    process = nginx_of(server)
    server.shell("ssh-keygen -qA; mkdir -p /run/sshd")
    server.daemon("/usr/sbin/sshd", "-D", ready=22)
    town.slip(monitor, 80)
    yield
    plugins = "/usr/lib/nagios/plugins/"
    checks = (("check_ping", "-w", "500,50%", "-c", "900,90%", "-p", "1"), ("check_tcp", "-p", "80"), ("check_http",), ("check_ssh",), ("check_tcp", "-p", "22"))
    for away in (False, True, False):
        if away:
            server.end(process)
        for check, *more in checks:
            for target in (SERVER4, SERVER6):
                how = ("-6",) if ":" in target and check in ("check_tcp", "check_ping", "check_ssh") else ()
                missing = away and ("80" in more or check == "check_http")
                town.ask(monitor, plugins + check, *how, "-H", target, *more, ok=None if missing else 0, expect=None if missing else "OK")
        if away:
            process = nginx_of(server)


@scenario("QUIC: ngtcp2's server and client", "ngtcp2-server ngtcp2-client")
def quic(town):
    server = town.server
    server.shell("cd /etc/ssl; openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=server.example -keyout own.key -out own.crt 2>/dev/null")
    server.write("/srv/www/index.html", "hello over quic\n")
    server.daemon("gtlsserver", "-q", "-d", "/srv/www", "*", "443", "/etc/ssl/own.key", "/etc/ssl/own.crt", ready="udp/443")
    yield
    for client in (town.client(), town.client()):
        for target in (SERVER4, SERVER6):
            for _ in range(3):
                town.ask(client, "gtlsclient", "--exit-on-all-streams-close", "--timeout=4s", target, "443", "https://server.example/index.html",
                         expect="hello over quic")


@scenario("squid: a proxy on this host, whose clients and origins are other hosts", "squid nginx-light")
def squid(town):
    server, origin = town.server, town.client("origin")
    nginx_of(origin)
    server.append("/etc/squid/conf.d/debian.conf", "http_access allow all\ndns_nameservers 10.77.0.1\nshutdown_lifetime 1 seconds\n")
    server.daemon("squid", "--foreground", ready=3128)
    yield
    for client in (town.client(), town.client()):
        for _ in range(5):
            for target in (origin.four, "[%s]" % origin.six):
                town.ask(client, "curl", "-sS", "-f", "-m", "10", "-x", "http://%s:3128" % SERVER4, "http://%s/" % target, expect="hello")
