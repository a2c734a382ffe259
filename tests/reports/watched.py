"""Publish an outbox in a network of its own and print every host that a packet was meant for.

    python watched.py KIND OUTBOX          KIND is wandb or weave

Every address leads to this machine there, so that a packet to any host is seen, whichever process
sends it: the client's service is no Python.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from loopback.server import serving
from trace_servers import TraceServer

OURS = "192.0.2.1", 9  # an address for documentation, behind which nobody is


@contextmanager
def server(kind):
    """The environment of a server on the loopback."""
    if kind == "wandb":
        with serving() as one:
            yield {"WANDB_BASE_URL": one.url}
    else:
        with tempfile.TemporaryDirectory() as folder:
            one = TraceServer(Path(folder)).start().wait()
            yield one.environment
            one.kill()


def watch(wire, seen):
    while True:
        packet, (_, protocol, *_) = wire.recvfrom(65535)
        ipv4 = protocol == 0x0800
        seen.add((socket.inet_ntoa(packet[16:20]), packet[9]) if ipv4 else (hex(protocol), 0))


def main(kind, outbox):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo"], check=True)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
    seen = set()
    with server(kind) as environment:
        threading.Thread(target=watch, args=(wire, seen), daemon=True).start()
        command = ["reports.publish", "--outbox", outbox, "--to", kind, "--now"]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        # one that must be seen, or nobody was watching
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"?", OURS)
        time.sleep(0.2)
    said = done.stdout + done.stderr
    print(json.dumps([done.returncode, said, sorted(seen)]))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
