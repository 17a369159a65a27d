"""A web server for the laboratory, in a process of its own: `httpd.py PORT...` answers every request on every port with one line."""

import selectors
import socket
import sys

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def main(ports):
    selector = selectors.DefaultSelector()
    for port in ports:
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            s = socket.socket(family, socket.SOCK_STREAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((address, port))
            s.listen(4096)
            s.setblocking(False)
            selector.register(s, selectors.EVENT_READ, True)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            try:
                if key.data:
                    c, _ = key.fileobj.accept()
                    c.setblocking(False)
                    selector.register(c, selectors.EVENT_READ, False)
                    continue
                if key.fileobj.recv(4096):
                    key.fileobj.send(ANSWER)
            except BlockingIOError:
                continue
            except OSError:
                if key.data:
                    continue
            selector.unregister(key.fileobj)
            key.fileobj.close()


if __name__ == "__main__":
    main([int(p) for p in sys.argv[1:]])
