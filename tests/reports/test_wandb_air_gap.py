"""A board gets to a W&B server over bad networks, through proxies, and by way of nobody else."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import trace_servers
from loopback.server import serving
from publishing import ROOT, Publisher

from reports.boards import server as servers
from reports.boards.outbox import Outbox
from reports.boards.target import UnreachableError
from reports.boards.wandb_board import WandbBoard
from reports.boards.wandb_session import Patience

pytest.importorskip("wandb", reason="the wandb client is not installed")

WATCHED = Path(__file__).with_name("watched.py")


def boards(server):
    return [run for run in server.backend.runs.values() if run.fields.get("jobType") == "board"]


def versions(server):
    """The committed contents of the snapshot's artifact, by file."""
    return [
        {name: server.backend.uploads[artifact.path(name)] for name in _names(server, artifact)}
        for artifact in server.backend.artifacts.values()
        if artifact.collection == "snapshot" and artifact.state == "COMMITTED"
    ]


def _names(server, artifact):
    return json.loads(server.backend.uploads[artifact.manifest])["contents"]


def files(outbox):
    (folder,) = (path for path in outbox.iterdir() if (path / "manifest.json").exists())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_a_carried_outbox_arrives_whole_on_each_of_two_servers(tmp_path, outbox):
    """The folder alone is enough, and what one server has is not taken for the other's."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with serving() as one, serving() as other:
        first = Publisher(tmp_path / "a", outbox, one)
        sent = first.publish()
        carried = Publisher(tmp_path / "b", first.outbox, other)
        shutil.rmtree(first.outbox)
        arrived = carried.publish()

        assert (sent.code, arrived.code) == (0, 0), sent.err + arrived.err
        assert versions(one) == versions(other) == [files(carried.outbox)]
        assert len(boards(one)) == len(boards(other)) == 1


@pytest.mark.slow
def test_a_publish_that_is_killed_is_finished_by_the_next(tmp_path, outbox):
    """One run and one version in the end, and no record before the board is whole."""
    with serving() as server:
        server.backend.mute = "CommitArtifact"
        publisher = Publisher(tmp_path, outbox, server)
        process = publisher.start()
        while "CommitArtifact" not in server.requests:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.kill()
        process.communicate()

        assert not (publisher.outbox / "pushed").exists()
        assert versions(server) == []

        server.backend.mute = None
        done = publisher.publish()

        assert (done.code, len(done.board["pushed"])) == (0, 1), done.err
        assert versions(server) == [files(publisher.outbox)]
        assert [run.state for run in boards(server)] == ["finished"]


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_has_the_rest_when_it_is_back(tmp_path, outbox):
    """It is said that it went away, nothing is recorded, and the next push completes the board."""
    with serving() as server:
        port, backend = server.server_port, server.backend
        backend.deadly = "CommitArtifact"
        publisher = Publisher(tmp_path, outbox, server)
        died = pushed(publisher, Patience(2.0, 1e6))

        assert isinstance(died.unreached, UnreachableError)
        assert (died.pushed, len(died.waiting)) == ([], 1)
        assert not (publisher.outbox / "pushed").exists()

    backend.deadly = None
    with serving(port=port, backend=backend) as server:
        done = pushed(publisher, Patience())

        assert (len(done.pushed), done.waiting, done.failed) == (1, [], [])
        assert versions(server) == [files(publisher.outbox)]


def pushed(publisher, patience, timeout_sec=5.0):
    """Push an outbox as the command does, with a patience of the test's own."""
    from datetime import UTC, datetime

    with publisher.told():
        board = WandbBoard(servers.configured(publisher.environment), patience)
        return Outbox(publisher.outbox).push(board, datetime.now(UTC), lambda _: None, timeout_sec)


@pytest.mark.slow
def test_files_that_are_read_back_side_by_side_are_not_taken_for_one_another(tmp_path, outbox):
    """However often threads are switched, each file is found as it was sent."""
    with serving() as server:
        publisher = Publisher(tmp_path, outbox, server)
        board = WandbBoard(servers.configured(publisher.environment), Patience())
        (package,) = Outbox(publisher.outbox).waiting(board)
        before = sys.getswitchinterval()
        with publisher.told():
            board.reach(5.0)
            receipt = board.push(package)
            sys.setswitchinterval(1e-6)
            try:
                assert [board.read_back(receipt, package) for _ in range(8)] == [[]] * 8
            finally:
                sys.setswitchinterval(before)
                board.close()


def test_a_server_that_takes_the_connection_and_never_answers_is_given_up(tmp_path, outbox):
    """Its first page comes, what the client asks for does not; nothing goes on waiting for it.

    Nor is a port with 401 in it taken for a refused key.
    """
    with serving(port=free_port(range(34010, 34020))) as server:
        server.backend.mute = "Viewer"
        publisher = Publisher(tmp_path, outbox, server)
        silent = pushed(publisher, Patience(), timeout_sec=1.0)

    assert "no answer within 1 s" in str(silent.unreached)
    assert (silent.pushed, len(silent.waiting)) == ([], 1)


def free_port(ports):
    """Return the first of these that nobody listens at."""
    for port in ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.skip(f"{ports} are all taken")


def test_a_wrong_key_is_said_and_the_key_is_not(tmp_path, outbox):
    """What waits goes on waiting; the fix names the login."""
    with serving() as server:
        server.backend.refusing = True
        publisher = Publisher(tmp_path, outbox, server)
        done = publisher.publish()

    assert done.code == 3
    assert "not logged in" in done.err
    assert "wandb login --host" in done.err
    assert publisher.environment["WANDB_API_KEY"] not in done.out + done.err


def test_an_old_server_gets_what_it_can_show_and_the_rest_is_said(tmp_path, outbox):
    """Neither artifacts nor views: a line for each, and a board all the same."""
    with serving() as server:
        server.backend.lacking = {"CreateArtifact", "ArtifactType", "upsertView", "UpsertView2"}
        done = Publisher(tmp_path, outbox, server).publish()

        assert done.code == 0, done.err
        (board,) = done.board["pushed"]
        said = " | ".join(board["left_out"])
        assert "no artifacts" in said
        assert "no W&B report" in said
        assert "no W&B workspace" in said
        (run,) = boards(server)
        assert "report" in json.loads(run.summary)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A CA of our own and a certificate of its for 127.0.0.1: (the CA's file, an SSL context)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("ca")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    request = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    signing = "-CA ca.pem -CAkey ca.key -CAcreateserial -extfile names"
    steps = (
        f"{request} -x509 -days 2 -subj /CN=own-ca -keyout ca.key -out ca.pem",
        f"{request} -subj /CN=127.0.0.1 -keyout server.key -out server.csr",
        f"x509 -req -in server.csr {signing} -out server.pem",
    )
    for step in steps:
        command = [openssl, *step.split()]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", context


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_server_with_a_certificate_of_its_own_ca_is_trusted_when_named(
    tmp_path, outbox, authority, name
):
    """Whichever of the two names a person knows: the board is sent, and read back."""
    bundle, context = authority
    with serving(certificates=context) as server:
        publisher = Publisher(tmp_path, outbox, server, **{name: str(bundle)})
        done = publisher.publish_apart()

        assert (done.code, len(done.board["pushed"])) == (0, 1), done.err
        assert versions(server) == [files(publisher.outbox)]


def test_a_certificate_that_nobody_vouches_for_is_said(tmp_path, outbox, authority):
    """Without the CA nothing is sent."""
    with serving(certificates=authority[1]) as server:
        done = Publisher(tmp_path, outbox, server).publish()

        assert done.code == 3
        assert "CERTIFICATE_VERIFY_FAILED" in done.err
        assert "SSL_CERT_FILE=" in done.err
        assert not server.requests


@pytest.mark.slow
def test_a_proxy_is_asked_for_everything(tmp_path, outbox):
    """The server has a name that only the proxy can resolve; upload and download go through it."""
    address = "http://wandb.internal"
    with serving(url=address) as server:
        proxy = f"http://127.0.0.1:{server.server_port}"
        proxies = {"HTTP_PROXY": proxy, "http_proxy": proxy}
        done = Publisher(tmp_path, outbox, address, **proxies).publish_apart()

        assert (done.code, len(done.board["pushed"])) == (0, 1), done.err
        assert server.hosts == {"wandb.internal"}


@pytest.mark.parametrize("kind", ["wandb", "weave"])
def test_no_packet_goes_to_any_host_but_the_server(tmp_path, outbox, kind):
    """Not to a cloud, a package index, an error collector, a metadata service or a name server."""
    if kind == "weave":
        trace_servers.required()
    ways = (["unshare", "--net"], ["unshare", "--net", "--map-root-user"])
    if not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("no ip(8) and unshare(1) to make a network with")
    way = next((w for w in ways if not subprocess.run([*w, "true"], check=False).returncode), None)
    if way is None:
        pytest.skip("this machine lets nobody have a network of their own")
    publisher = Publisher(tmp_path, outbox, "")
    watched = subprocess.run(
        [*way, sys.executable, str(WATCHED), kind, str(publisher.outbox)],
        env={**publisher.environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    code, said, hosts = json.loads(watched.stdout)

    assert code == 0, said
    assert ["192.0.2.1", socket.IPPROTO_UDP] in hosts  # ours, after the publish
    assert [host for host in hosts if host[0] != "192.0.2.1"] == [["127.0.0.1", socket.IPPROTO_TCP]]
