# SPDX-License-Identifier: MIT
"""Real transfers over long paths: files by curl from nginx and to a small HTTP server, and what the
senders have learned about the path meanwhile."""

import contextlib
import hashlib
import http.server
import os
import socket
import threading

import lab as labs
from packets import udp_socket

BYTES = 5_000_000
TARGET = labs.embed(labs.FAR_SERVER)
UPLOAD_PORT = 8080
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_DONTFRAG = 23, 24, 62
EMSGSIZE = 90


@contextlib.contextmanager
def far_lab_with(offloads=True, mtu=1500, **middle):
    """A lab with hosts further away, nginx and viaductd; `middle`: see Lab.extend()."""
    with labs.Lab(offloads=offloads, mtu=mtu) as lab:
        lab.extend(**middle)
        root = lab.start_web(lab.far_server, labs.FAR_SERVER)
        (root / "file").write_bytes(os.urandom(BYTES))
        lab.start_daemon(nat64=lab.ALLOW_FAR)
        yield lab


def _hash_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _curl(lab, *args):
    lab.far_client.run("curl", "-g", "-sS", "--fail", "--max-time", "10", *args)


def download(lab):
    """From the IPv4 server to the IPv6 host; the file arrives as it is."""
    copy = lab.folder / "copy"
    _curl(lab, "-o", copy, f"http://[{TARGET}]/file")
    assert _hash_of(copy) == _hash_of(lab.folder / "www/file")


class _Uploads(http.server.BaseHTTPRequestHandler):
    """Answers PUT with the SHA-256 of what came."""

    def do_PUT(self):
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                return
            digest.update(piece)
            left -= len(piece)
        answer = digest.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def upload(lab):
    """From the IPv6 host to the IPv4 server; the file arrives as it is."""
    server = http.server.HTTPServer((labs.FAR_SERVER, UPLOAD_PORT), _Uploads,
                                    bind_and_activate=False)
    server.socket.close()
    server.socket = lab.far_server.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.socket.bind((labs.FAR_SERVER, UPLOAD_PORT))
    server.socket.listen()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    answer = lab.folder / "answer"
    try:
        _curl(lab, "-o", answer, "-T", lab.folder / "www/file",
              f"http://[{TARGET}]:{UPLOAD_PORT}/file")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert answer.read_text() == _hash_of(lab.folder / "www/file")


def _learned(route):
    for metrics in route.get("metrics", []):
        if "mtu" in metrics:
            return metrics["mtu"]
    return None


def client_learned(lab):
    """The MTU that the far client has heard of for the way to the far server; None: of none."""
    return _learned(lab.far_client.ip_json("-6", "route", "get", TARGET)[0])


def server_learned(lab):
    return _learned(lab.far_server.ip_json("-4", "route", "get", labs.POOL)[0])


def forget(lab):
    """Takes back what the hosts have learned."""
    lab.far_client.ip("-6", "route", "flush", "cache")
    lab.far_server.ip("-4", "route", "flush", "cache")


@contextlib.contextmanager
def datagrams(lab):
    """(client's socket, server's socket): UDP that is never fragmented by its sender, connected
    through the gateway in both directions."""
    server = lab.far_server.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((labs.FAR_SERVER, 7002))
    server.settimeout(3)
    server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    client = udp_socket(lab.far_client, labs.FAR_CLIENT, timeout=3)
    client.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO)
    client.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)
    client.connect((TARGET, 7002))
    try:
        client.send(b"open")
        data, sender = server.recvfrom(100)
        assert data == b"open"
        server.connect(sender)
        yield client, server
    finally:
        client.close()
        server.close()


def too_big(sender, length):
    """Sends until the socket refuses: the answer to the first one has come back."""
    def refused():
        try:
            sender.send(b"x" * length)
        except OSError as error:
            return error.errno == EMSGSIZE
        return False

    labs.wait_for(f"{length} bytes are refused", refused, 3)
    sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # the answer's may still be pending


def pings(where, target, size, *options):
    """One ping of `size` bytes of data that may not be fragmented: (exit code, what it said)."""
    done = where.run("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", size, *options, target,
                     check=False)
    return done.returncode, done.stdout + done.stderr
