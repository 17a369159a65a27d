"""Neighbours: what the kernel does with packets on their way: translation, proxies, bridges, firewalls, several ways out."""

import contextlib
import time

import lab as L
from neighbours_web import nginx_of
from town import SERVER4, SERVER6, Machine, scenario


def inner(town, name, net, last, bridge):
    """A container of the server's, behind its bridge."""
    server = town.server
    namespace = town.namespace(name)
    L.run(["ip", "link", "add", "to-" + name, "netns", server.namespace, "type", "veth", "peer", "name", "eth0", "netns", namespace])
    server.network("ip", "link", "set", "to-" + name, "master", bridge, "up")
    L.run(["ip", "-n", namespace, "-batch", "-"], input="link set lo up\naddr add %s.%d/24 dev eth0\nlink set eth0 up\nroute add default via %s.1\n" % (
        net, last, net))
    machine = Machine(town, name, namespace, 0)
    machine.four = "%s.%d" % (net, last)
    return machine


def docker(town, name="docker0", net="172.17.0"):
    """What dockerd makes of a host: a bridge, forwarding, its chains."""
    server = town.server
    for words in ("link add %s type bridge" % name, "addr add %s.1/24 dev %s" % (net, name), "link set %s up" % name):
        server.network("ip", *words.split())
    server.network("sysctl", "-qw", "net.ipv4.ip_forward=1")
    server.shell("iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; "
                 "iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER; "
                 "iptables -t nat -A POSTROUTING -s %s.0/24 ! -o %s -j MASQUERADE" % (net, name))


def visits(town, ports=(80,), clients=3, rounds=6, targets=(SERVER4,), expect="hello"):
    machines = [town.client() for _ in range(clients)]

    def visit(client):
        for _ in range(rounds):
            for port in ports:
                for target in targets:
                    town.ask(client, "curl", "-sS", "-f", "-m", "8", "http://%s:%d/" % ("[%s]" % target if ":" in target else target, port), expect=expect)
    town.together(*(lambda c=c: visit(c) for c in machines))


@scenario("Docker-like DNAT without a proxy: five published ports of two containers, one of which goes away and comes back", "nginx-light", quick=True)
def dnat(town):
    server = town.server
    docker(town)
    boxes = [inner(town, "box%d" % n, "172.17.0", n, "docker0") for n in (2, 3)]
    daemons = [nginx_of(box, (80, 81, 82)) for box in boxes]
    for port, box, to in ((80, 0, 80), (8080, 0, 81), (5000, 0, 82), (9000, 1, 80), (3000, 1, 81)):
        server.shell("iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport %d -j DNAT --to-destination %s:%d" % (port, boxes[box].four, to))
    yield
    visits(town, (80, 8080, 5000, 9000, 3000), rounds=4)
    # A container that is restarted: its port is refused by itself, and is no port of this host's.
    boxes[1].end(daemons[1])
    client = town.client()
    for port in (9000, 3000):
        for _ in range(3):
            client.run("curl", "-s", "-m", "1", "http://%s:%d/" % (SERVER4, port), ok=None)
    nginx_of(boxes[1], (80, 81, 82))
    visits(town, (9000, 3000), clients=1, rounds=2)
    # And containers ask for what is outside, and for their host's services.
    far = town.client()
    nginx_of(far)
    for box in boxes:
        town.ask(box, "curl", "-sS", "-m", "5", "http://%s/" % far.four, expect="hello")


@scenario("Docker-like DNAT with a proxy (socat in docker-proxy's place) for IPv6", "nginx-light")
def dnat_proxy(town):
    server = town.server
    docker(town)
    box = inner(town, "box", "172.17.0", 2, "docker0")
    nginx_of(box)
    server.shell("iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination %s:80" % box.four)
    server.daemon("socat", "TCP6-LISTEN:8080,fork,reuseaddr,ipv6only=0", "TCP4:%s:80" % box.four, ready=8080)
    yield
    visits(town, (8080,), targets=(SERVER4, SERVER6))


@scenario("REDIRECT: ports 80 and 443 lead to an unprivileged nginx on 8080 and 8443", "nginx-light", quick=True)
def redirect(town):
    server = town.server
    nginx_of(server, (8080, 8443))
    for tables in ("iptables", "ip6tables"):
        for port, to in ((80, 8080), (443, 8443)):
            server.shell("%s -t nat -A PREROUTING -p tcp --dport %d -j REDIRECT --to-ports %d" % (tables, port, to))
    yield
    visits(town, (80, 443), targets=(SERVER4, SERVER6))


@scenario("TPROXY: haproxy, transparent, takes three ports for an nginx behind this host", "haproxy nginx-light")
def tproxy(town):
    server = town.server
    docker(town, "br1", "172.18.0")
    box = inner(town, "box", "172.18.0", 2, "br1")
    nginx_of(box)
    server.write("/etc/haproxy/haproxy.cfg", "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\nfrontend f\n"
                 " bind *:50080 transparent\n default_backend b\nbackend b\n server s %s:80\n" % box.four)
    server.daemon("haproxy", "-f", "/etc/haproxy/haproxy.cfg", "-db", ready=50080)
    server.shell("for p in 80 8000 8888; do iptables -t mangle -A PREROUTING -i lan0 -p tcp --dport $p -j TPROXY --on-port 50080 --tproxy-mark 1; done; "
                 "ip rule add fwmark 1 lookup 100; ip route add local 0.0.0.0/0 dev lo table 100")
    yield
    visits(town, (80, 8000, 8888))


@scenario("A bridge of virtual machines with br_netfilter: guests talk past this host, and with it", "nginx-light openssh-client")
def bridge(town):
    server = town.server
    docker(town, "virbr0", "192.168.122")
    guests = [inner(town, "guest%d" % n, "192.168.122", n, "virbr0") for n in (2, 3)]
    for guest in guests:
        nginx_of(guest, (80, 8080, 3306))
    nginx_of(server)
    server.network("sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 1 > $f; done", ok=None)
    yield
    for _ in range(4):
        for one, other in (guests, guests[::-1]):
            for port in (80, 8080, 3306):
                town.ask(one, "curl", "-sS", "-m", "5", "http://%s:%d/" % (other.four, port), expect="hello")
            # A port that nobody serves on the other guest is no affair of this host's.
            one.run("curl", "-s", "-m", "1", "http://%s:81/" % other.four, ok=None)
            town.ask(one, "curl", "-sS", "-m", "5", "http://192.168.122.1/", expect="hello")
    visits(town, clients=1)


@scenario("Rootless forwarding as podman's: pasta publishes ports of an nginx in a namespace of its own", "passt nginx-light", quick=True)
def pasta(town):
    server = town.server
    # As it is used: by a user without rights.
    server.write("/srv/www/index.html", "hello\n")
    temporary = " ".join("%s_temp_path /tmp/%s;" % (what, what) for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    server.write("/srv/nginx.conf", "user root; daemon off; master_process off; pid /tmp/nginx.pid; events {}\n"
                 "http { access_log off; %s server { listen 80; listen [::]:80; listen 81; root /srv/www; } }\n"
                 % temporary)
    server.daemon("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "pasta", "-f", "-q", "-t", "8080:80,8081:81",
                  "-u", "none", "-T", "none", "-U", "none", "--config-net", "--", "nginx", "-e", "stderr", "-c", "/srv/nginx.conf", ready=(8080, 8081))
    time.sleep(3)  # Its IPv6 address is tentative for a while.
    yield
    visits(town, (8080, 8081))
    visits(town, (8080,), clients=1, targets=(SERVER6,))


@scenario("Rootless forwarding by slirp4netns", "slirp4netns nginx-light util-linux")
def slirp(town):
    server = town.server
    server.write("/var/www/html/index.html", "hello\n")
    server.write("/etc/nginx/sites-enabled/default", "server { listen 80; root /var/www/html; }\n")
    server.start("unshare", "-n", "sh", "-c", "echo $$ > /tmp/inner; while ! grep -q tap0 /proc/net/dev; do sleep 0.1; done; sleep 0.5; ip link set lo up; "
                 "exec nginx -g 'daemon off;'")
    L.wait_for(lambda: server.read("/tmp/inner").strip(), 10, "the inner namespace", 0.1)
    server.start("slirp4netns", "--configure", "--api-socket", "/tmp/slirp.sock", server.read("/tmp/inner").strip(), "tap0")
    L.wait_for(lambda: server.shell("test -S /tmp/slirp.sock", ok=None).returncode == 0, 10, "slirp4netns", 0.1)
    server.shell('echo \'{"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_addr": "0.0.0.0", "host_port": 8080, "guest_port": 80}}\' '
                 "| socat - UNIX-CONNECT:/tmp/slirp.sock")
    L.wait_for(lambda: server.listens(8080), 10, "the published port", 0.1)
    time.sleep(1)
    yield
    visits(town, (8080,))


IMAGE = ("mkdir -p /srv/image/bin /srv/image/tmp && cp /bin/busybox /srv/image/bin/ && echo hello > /srv/image/index.html && "
         "ln -sf busybox /srv/image/bin/sh && tar -C /srv/image -c . > /srv/image.tar")


@scenario("Docker itself: dockerd with its chains and proxies, two containers with published ports, one restarted", "docker.io iptables busybox-static")
def dockerd(town):
    server = town.server
    server.shell(IMAGE)
    # The hierarchies that this kernel has; nothing is set in them but by dockerd.
    server.shell("mount -t tmpfs none /sys/fs/cgroup; for c in cpu cpuacct cpuset memory devices freezer blkio pids; do "
                 "mkdir -p /sys/fs/cgroup/$c; mount -t cgroup -o $c none /sys/fs/cgroup/$c; done; test -d /sys/fs/cgroup/devices/..")
    server.shell("mkdir -p /run/docker; mount -t tmpfs none /var/lib/docker 2>/dev/null || { mkdir -p /var/lib/docker; mount -t tmpfs none /var/lib/docker; }")
    server.start("dockerd", "--storage-driver", "vfs", "--cgroup-parent", "/ps-neighbours")
    L.wait_for(lambda: server.run("docker", "info", ok=None, timeout=20).returncode == 0, 60, "dockerd", 0.5)
    server.shell("docker import /srv/image.tar web > /dev/null")
    for name, ports in (("one", "-p 8080:80 -p 5000:81"), ("two", "-p 9000:80")):
        server.shell("docker run -d --name %s %s web /bin/sh -c 'busybox httpd -p 81 -h /; exec busybox httpd -f -p 80 -h /'" % (name, ports), timeout=60)
    L.wait_for(lambda: server.listens(8080, 5000, 9000), 20, "docker's proxies", 0.1)
    yield
    visits(town, (8080, 5000, 9000), rounds=4)
    visits(town, (8080,), clients=1, rounds=2, targets=(SERVER6,))
    server.run("docker", "restart", "-t", "1", "two", timeout=60)
    L.wait_for(lambda: server.listens(9000), 20, "docker's proxy again", 0.1)
    visits(town, (9000,), clients=1, rounds=2)
    server.run("docker", "rm", "-f", "one", "two", timeout=60, ok=None)


@scenario("podman without root: a container of a user without rights, with published ports (rootlessport, slirp4netns)",
          "podman slirp4netns uidmap busybox-static crun")
def podman(town):
    server = town.server
    server.shell(IMAGE)
    # It only looks whether there is one.
    server.shell("mount -t cgroup2 none /sys/fs/cgroup")
    server.shell("useradd -m -u 1000 pod; echo pod:100000:65536 > /etc/subuid; echo pod:100000:65536 > /etc/subgid; install -d -o pod -m 700 /run/user/1000; "
                 "chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap; install -d -o pod /home/pod/.config/containers; "
                 "printf '[storage]\\ndriver = \"vfs\"\\n' > /home/pod/.config/containers/storage.conf; "
                 "printf '[engine]\\ncgroup_manager = \"cgroupfs\"\\nevents_logger = \"file\"\\n' > /home/pod/.config/containers/containers.conf; chown -R pod /home/pod")

    def user(words, **more):
        return server.shell("cd /home/pod; exec setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/home/pod USER=pod XDG_RUNTIME_DIR=/run/user/1000 " + words, **more)
    user("podman import -q /srv/image.tar localhost/web", timeout=120)
    user("podman run -d --name one --cgroups=disabled --security-opt seccomp=unconfined -p 8080:80 -p 5000:81 localhost/web /bin/sh -c "
         "'busybox httpd -p 81 -h /; exec busybox httpd -f -p 80 -h /'", timeout=120)
    L.wait_for(lambda: server.listens(8080, 5000), 20, "podman's published ports", 0.1)
    yield
    visits(town, (8080, 5000), rounds=4)
    user("podman restart -t 1 one", timeout=60)
    L.wait_for(lambda: server.listens(8080, 5000), 20, "podman's published ports again", 0.1)
    visits(town, (8080, 5000), clients=1, rounds=2)


@scenario("ufw as it comes, allowing ssh and http", "ufw nginx-light openssh-server openssh-client", hidden=True)
def ufw(town):
    from neighbours_talk import ssh_of
    server = town.server
    client = town.client()
    nginx_of(server)
    ssh_of(server, client)
    server.shell("ufw allow 22/tcp && ufw allow 80/tcp && ufw --force enable")
    yield
    for target in (SERVER4, SERVER6):
        for _ in range(3):
            town.ask(client, "ssh", "root@" + target, "echo", "hello", expect="hello")
    visits(town, targets=(SERVER4, SERVER6))


@scenario("firewalld as it comes, allowing ssh and http", "firewalld dbus nginx-light", hidden=True)
def firewalld(town):
    server = town.server
    nginx_of(server)
    server.shell("mkdir -p /run/dbus")
    server.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
    L.wait_for(lambda: server.shell("test -S /run/dbus/system_bus_socket", ok=None).returncode == 0, 10, "D-Bus")
    server.start("firewalld", "--nofork", "--nopid")
    L.wait_for(lambda: "running" == server.run("firewall-cmd", "--state", ok=None).stdout.strip(), 40, "firewalld", 0.3)
    server.run("firewall-cmd", "--add-service=http")
    yield
    visits(town, targets=(SERVER4, SERVER6))


@scenario("Several ways: two cables, policy routing, answers that leave by the other one", "nginx-light", quick=True)
def multihomed(town):
    server = town.server
    town.plug(server.namespace, 2, interface="lan1", net="10.78.0.", net6="fd78::")
    nginx_of(server, (80, 8080))
    # Two providers: what came to an address of lan1's is answered by lan0, and the other way round for some clients.
    clients = [town.client() for _ in range(3)]
    for number, client in enumerate(clients):
        client.network("ip", "addr", "add", "10.78.0.%d/24" % (11 + number), "dev", "lan0")
        client.network("ip", "-6", "addr", "add", "fd78::%d/64" % (11 + number), "dev", "lan0", "nodad")
    server.network("ip", "rule", "add", "from", "10.78.0.2", "lookup", "100")
    server.network("ip", "route", "add", "10.78.0.0/24", "dev", "lan0", "table", "100")
    server.network("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2", "net.ipv4.conf.lan0.rp_filter=2", "net.ipv4.conf.lan1.rp_filter=2")
    yield
    for _ in range(5):
        for client in clients:
            for target in ("10.78.0.2", SERVER4, "[fd78::2]"):
                town.ask(client, "curl", "-sS", "-m", "8", "http://%s/" % target, expect="hello")
                town.ask(client, "curl", "-sS", "-m", "8", "http://%s:8080/" % target, expect="hello")


@scenario("IPv6 privacy addresses: clients that change theirs every second, and this host's own that goes", "nginx-light")
def privacy(town):
    server = town.server
    nginx_of(server, (80, 8080))
    clients = [town.client() for _ in range(2)]
    yield
    for number in range(6):
        server.network("ip", "-6", "addr", "add", "fd77::aa:%x/64" % number, "dev", "lan0", "nodad")
        for client in clients:
            mine = "fd77::%x:%s" % (number + 1, client.six.rpartition(":")[2])
            client.network("ip", "-6", "addr", "add", mine + "/64", "dev", "lan0", "nodad")
            for target in (SERVER6, "fd77::aa:%x" % number):
                for port in (80, 8080):
                    town.ask(client, "curl", "-sS", "-m", "8", "--interface", mine, "http://[%s]:%d/" % (target, port), expect="hello")
            client.network("ip", "-6", "addr", "del", mine + "/64", "dev", "lan0")
        server.network("ip", "-6", "addr", "del", "fd77::aa:%x/64" % number, "dev", "lan0")


@scenario("SCTP in user space (usrsctp): associations on five ports, three of them served", "libusrsctp-examples")
def sctp(town):
    server = town.server
    server.start("/usr/lib/usrsctp/echo_server")
    server.start("/usr/lib/usrsctp/daytime_server")
    server.start("/usr/lib/usrsctp/discard_server")
    time.sleep(1)
    yield
    for client in (town.client(), town.client()):
        for _ in range(3):
            town.ask(client, "sh", "-c", "(sleep 0.5; echo hello; sleep 0.5) | timeout 5 /usr/lib/usrsctp/client %s 7" % SERVER4, ok=None, expect="hello|Receiver")
