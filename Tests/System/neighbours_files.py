"""Neighbours: servers of files, and their clients."""

import lab as L
from town import SERVER4, SERVER6, scenario


def tree(machine, folder, count):
    """So many small files, in folders."""
    machine.run("python3", "-c", "import os, sys\nfor n in range(int(sys.argv[2])):\n os.makedirs(f'{sys.argv[1]}/{n % 7}', exist_ok=True)\n"
                " open(f'{sys.argv[1]}/{n % 7}/file{n}.txt', 'w').write(f'file {n}\\n')", folder, count)


def certificate(machine):
    """A key and a certificate of its own: /etc/ssl/own.pem has both."""
    machine.shell("cd /etc/ssl; openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=server.example -keyout own.key -out own.crt 2>/dev/null; "
                  "cat own.key own.crt > own.pem; chmod 600 own.key own.pem")


def ftp_clients(town):
    """wget -r and curl passively, curl actively, by TLS and over IPv6, lftp's mirror with eight connections at once."""
    clients = [town.client() for _ in range(4)]
    town.together(
        lambda: town.ask(clients[0], "wget", "-q", "-r", "-P", "/tmp/got", "ftp://%s/pub/" % SERVER4, timeout=120),
        lambda: town.ask(clients[1], "lftp", "-e", "set ftp:ssl-allow no; mirror -P 8 /pub /tmp/got; bye", "ftp://" + SERVER4, timeout=120),
        lambda: [town.ask(clients[2], "curl", "-sS", *how, "ftp://%s/pub/0/file0.txt" % at, expect="file 0")
                 for _ in range(4) for how, at in (([], SERVER4), (["-P", "-"], SERVER4), (["--disable-epsv"], SERVER4), ([], "[%s]" % SERVER6),
                                                   (["-P", "-"], "[%s]" % SERVER6), (["-k", "--ssl-reqd"], SERVER4))],
        lambda: [town.ask(clients[3], "curl", "-sS", "ftp://%s/pub/" % SERVER4, expect="6") for _ in range(10)])
    for client in clients[:2]:
        found = client.shell("find /tmp/got -name 'file*.txt' | wc -l").stdout.strip()
        town.did(found == "150", "%s got %s of 150 files" % (client.name, found))


@scenario("vsftpd: passive and active, TLS, `wget -r`, lftp's mirror", "vsftpd wget lftp", quick=True)
def vsftpd(town):
    server = town.server
    tree(server, "/srv/ftp/pub", 150)
    certificate(server)
    server.append("/etc/vsftpd.conf", "anonymous_enable=YES\nbackground=NO\nssl_enable=YES\nallow_anon_ssl=YES\nforce_local_data_ssl=NO\n"
                  "force_local_logins_ssl=NO\nrsa_cert_file=/etc/ssl/own.crt\nrsa_private_key_file=/etc/ssl/own.key\nrequire_ssl_reuse=NO\n")
    server.daemon("/usr/sbin/vsftpd", "/etc/vsftpd.conf", ready=21)
    yield
    ftp_clients(town)


@scenario("proftpd: the same clients", "~proftpd-core ~proftpd-mod-crypto wget lftp")
def proftpd(town):
    server = town.server
    server.shell("apt-get install -qy --no-download --no-install-recommends proftpd-core proftpd-mod-crypto", timeout=120)
    tree(server, "/srv/ftp/pub", 150)
    certificate(server)
    server.shell("echo 'LoadModule mod_tls.c' >> /etc/proftpd/modules.conf")
    server.write("/etc/proftpd/conf.d/lab.conf", "TLSEngine on\nTLSRSACertificateFile /etc/ssl/own.crt\nTLSRSACertificateKeyFile /etc/ssl/own.key\n"
                 "TLSOptions NoSessionReuseRequired\n<Anonymous /srv/ftp>\n User ftp\n Group nogroup\n UserAlias anonymous ftp\n"
                 " RequireValidShell off\n MaxClients 50\n</Anonymous>\n")
    server.daemon("/usr/sbin/proftpd", "--nodaemon", ready=21)
    yield
    ftp_clients(town)


@scenario("An active FTP client on this host: the server (vsftpd) connects back from port 20", "vsftpd lftp", quick=True)
def active_ftp_client(town):
    peer = town.client("ftp")
    tree(peer, "/srv/ftp/pub", 60)
    peer.append("/etc/vsftpd.conf", "anonymous_enable=YES\nbackground=NO\nconnect_from_port_20=YES\n")
    peer.daemon("/usr/sbin/vsftpd", "/etc/vsftpd.conf", ready=21)
    yield
    for target in (peer.four, "[%s]" % peer.six):
        for _ in range(4):
            town.ask(town.server, "curl", "-sS", "-P", "-", "ftp://%s/pub/0/file0.txt" % target, expect="file 0")
    town.ask(town.server, "lftp", "-e", "set ftp:passive-mode no; mirror -P 6 /pub /tmp/got; bye", "ftp://" + peer.four, timeout=60)
    town.ask(town.server, "sh", "-c", "find /tmp/got -name 'file*.txt' | wc -l", expect="^60$")


@scenario("NFS: rpcbind, nfs-ganesha, mounted and unmounted by libnfs", "rpcbind nfs-ganesha nfs-ganesha-vfs libnfs-utils")
def nfs(town):
    server = town.server
    tree(server, "/run/nfs", 20)  # A file system whose files have handles, as an overlay has not.
    server.write("/etc/ganesha/ganesha.conf", "NFS_CORE_PARAM { Protocols = 3, 4; mount_path_pseudo = true; Enable_NLM = false; Enable_RQUOTA = false; }\n"
                 "EXPORT { Export_Id = 1; Path = /run/nfs; Pseudo = /run/nfs; Access_Type = RW; Squash = None; SecType = sys; FSAL { Name = VFS; } }\n")
    server.shell("mkdir -p /run/ganesha")
    server.daemon("rpcbind", "-f", "-w", ready=(111, "udp/111"))
    server.daemon("ganesha.nfsd", "-F", "-L", "/tmp/ganesha.log", ready=2049)
    yield
    clients = [town.client() for _ in range(2)]
    for _ in range(4):
        for client in clients:
            town.ask(client, "nfs-ls", "nfs://%s/run/nfs/0" % SERVER4, expect="file0")
            town.ask(client, "nfs-cat", "nfs://%s/run/nfs/0/file0.txt" % SERVER4, expect="file 0")
            town.ask(client, "nfs-cat", "nfs://%s/run/nfs/0/file0.txt?version=4" % SERVER4, expect="file 0")


@scenario("Samba: files, browsing, NetBIOS names, asked for and asking", "samba smbclient")
def samba(town):
    server = town.server
    clients = [town.client() for _ in range(3)]
    tree(server, "/srv/share", 20)
    server.append("/etc/samba/smb.conf", "[share]\n path = /srv/share\n guest ok = yes\n read only = no\n force user = root\n")
    server.daemon("smbd", "--foreground", "--no-process-group", ready=(139, 445))
    for machine in (server, *clients):
        machine.daemon("nmbd", "--foreground", "--no-process-group", ready=("udp/137", "udp/138"))
    yield
    L.wait_for(lambda: all(clients[0].run("nmblookup", name, ok=None).returncode == 0 for name in ("server", "client2")), 30, "the names", 0.5)
    for client in clients:
        town.ask(client, "smbclient", "-N", "-L", "//" + SERVER4, expect="share", timeout=40)
        for target in (SERVER4, SERVER6):
            town.ask(client, "smbclient", "-N", "//%s/share" % target, "-c", "cd 0; get file0.txt /tmp/got; put /tmp/got new; dir", expect="new", timeout=40)
        # Port 139 is left out by the shipped settings; a client that only speaks the old way uses it.
        town.ask(client, "smbclient", "-N", "-p", "139", "-L", "//" + SERVER4, expect="share", timeout=40)
        town.ask(client, "nmblookup", "server", expect=SERVER4)
        town.ask(client, "nmblookup", "-A", SERVER4, expect="SERVER")
    # A broadcast question of this host's, which every neighbour answers.
    for _ in range(3):
        town.ask(server, "nmblookup", "*", expect=clients[0].four)
        town.ask(server, "nmblookup", "client2", expect=clients[1].four)


@scenario("rsync's daemon, and TFTP, whose answers come from other ports", "rsync tftpd-hpa", quick=True)
def rsync(town):
    server = town.server
    tree(server, "/srv/tftp", 40)
    server.write("/etc/rsyncd.conf", "[files]\n path = /srv/tftp\n")
    server.daemon("rsync", "--daemon", "--no-detach", ready=873)
    server.daemon("in.tftpd", "--foreground", "--secure", "--address", ":69", "/srv/tftp", ready="udp/69")
    yield
    clients = [town.client() for _ in range(2)]
    for client in clients:
        for target in (SERVER4, "[%s]" % SERVER6):
            town.ask(client, "rsync", "-a", "rsync://%s/files/" % target, "/tmp/got")
            for _ in range(5):
                town.ask(client, "curl", "-sS", "-m", "10", "tftp://%s/0/file0.txt" % target, expect="file 0")
