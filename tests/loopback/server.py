"""A W&B server on the loopback, for the real client to sync to and to read from.

    with serving() as server:
        server.url                       # to give to WANDB_BASE_URL
        server.backend.run("nanochat", "abc").log({"loss": 1.0})

Runs in threads of the test's own process, so that a test can look at the backend and change it.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

from loopback.backend import Backend
from loopback.graphql import UnknownError, answer

STREAM = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")


class Handler(BaseHTTPRequestHandler):
    """One connection; ``server`` is the Server below."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def parse_request(self):
        if self.server.dead:  # a connection that was open when it died
            self.close_connection = True
            return False
        known = super().parse_request()
        if known:  # as a proxy is asked: with the whole address
            self.server.hosts.add(urlparse(self.path).netloc)
        return known

    def do_POST(self):
        body, path = self.body(), unquote(urlparse(self.path).path)
        stream = STREAM.fullmatch(path)
        if path == "/graphql":
            asked = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            if self.faulty(name[1] if name else "?"):
                return
            self.graphql(asked)
        elif stream:
            with self.server.backend.lock:
                self.server.backend.stream(stream.groups(), json.loads(body or b"{}"))
            self.send(200, {"exitcode": None, "limits": {}})
        else:  # the client's own telemetry
            self.send(200, {})

    def graphql(self, asked):
        backend, url = self.server.backend, self.server.url
        try:
            data = answer(backend, url, asked["query"], asked.get("variables") or {})
        except UnknownError as problem:
            self.server.unknown.append(str(problem))
            message = f"Cannot query field: {problem}"
            self.send(200, {"errors": [{"message": message}], "data": None})
        else:
            self.send(200, {"data": data})

    def do_PUT(self):
        body, path = self.body(), unquote(urlparse(self.path).path)
        with self.server.backend.lock:
            self.server.backend.uploads[path] = body
            parts = path.split("/", 5)
            run = self.server.backend.runs.get(tuple(parts[2:5]))
            if run is not None:
                run.files[parts[5]] = body
        self.send(200, b"")

    def do_GET(self):
        path = unquote(urlparse(self.path).path) or "/"
        if self.faulty(path.split("/")[1]):
            return
        parts = path.split("/", 5)
        with self.server.backend.lock:
            run = self.server.backend.runs.get(tuple(parts[2:5]))
            data = None
            if run is not None and parts[1] == "parquet":
                data = run.parquet()
            elif run is not None and parts[1] == "store":
                data = run.files.get(parts[5])
            elif parts[1] == "store":
                data = self.server.backend.uploads.get(path)
        if parts[1] == "parquet":
            time.sleep(self.server.backend.slow_sec)
        if data is None:
            self.send(404, {})
        else:
            self.send_range(data)

    do_HEAD = do_GET  # noqa: N815  http.server's name for it

    def faulty(self, name):
        """Note a request, and whether it was dealt with as the test wants it to fail."""
        server, backend = self.server, self.server.backend
        with backend.lock:
            server.requests.append(name)
            limited, failing = backend.rate_limited > 0, backend.failing > 0
            backend.rate_limited -= limited
            backend.failing -= failing and not limited
        if backend.deadly == name:
            server.die()
            self.close_connection = True
        elif backend.mute == name:
            server.closing.wait()
            self.close_connection = True
        elif backend.refusing:
            self.send(401, {"errors": [{"message": "user is not logged in"}]})
        elif limited:
            self.send(429, {}, {"Retry-After": "1"})
        elif failing:
            self.send(500, {})
        return limited or failing or backend.refusing or name in (backend.mute, backend.deadly)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            pieces = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            data = b"".join(pieces)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def send(self, status, content, headers=None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_range(self, data):
        """Send a file, or the bytes of it that were asked for: Parquet is read from its end."""
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not asked:
            self.send(200, data, {"Accept-Ranges": "bytes"})
            return
        first, last = asked.groups()
        begin = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last), len(data) - 1) if first and last else len(data) - 1
        place = f"bytes {begin}-{end}/{len(data)}"
        self.send(206, data[begin : end + 1], {"Content-Range": place, "Accept-Ranges": "bytes"})


class Server(ThreadingHTTPServer):
    """The listening half; ``requests`` names every operation and file that was asked for.

    With *certificates*, an ssl.SSLContext, it speaks HTTPS. *port* and *backend* are those of a
    server that died, for it to come back; *url* is the address that it gives out.
    """

    daemon_threads = True

    def __init__(self, certificates=None, port=0, backend=None, url=None):
        super().__init__(("127.0.0.1", port), Handler)
        if certificates is not None:
            self.socket = certificates.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if certificates else "http"
        self.url = url or f"{scheme}://127.0.0.1:{self.server_port}"
        self.backend = backend or Backend()
        self.requests, self.unknown, self.hosts = [], [], set()
        self.closing = threading.Event()
        self.dead = False

    def die(self):
        """Answer nothing more, as if the process were gone."""
        self.dead = True
        self.socket.close()

    def handle_error(self, request, address):
        """A client that was killed hangs up: that is no failure of the server's."""


@contextmanager
def serving(**options):
    """A server until the block ends."""
    server = Server(**options)
    thread = threading.Thread(target=_serve, args=(server,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _serve(server):
    with suppress(OSError, ValueError):  # of the socket that die() has closed
        server.serve_forever(0.05)
