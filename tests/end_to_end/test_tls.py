"""TLS of a whole proxy: common programs as clients, certificates that change under load, endpoints that speak it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.whole_proxy import WholeProxy, a_service, failed_start, wait_until, whole_proxy

RequireTool = Callable[[str, str], str]
OURS = Authority()
ROTATIONS = 100


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.headers["X-Forwarded-Proto"].encode() if "X-Forwarded-Proto" in self.headers else b"probe"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture(scope="module")
def upstream() -> Iterator[ThreadingHTTPServer]:
    """Says by which protocol the client came."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def secure(folder: Path, upstream: ThreadingHTTPServer, **tls: Any) -> dict[str, Any]:
    """A file with one listener that speaks TLS with server.pem, of which the folder has a first one."""
    OURS.write(folder, "server", "localhost")
    listen = [{"address": "127.0.0.1:0", "tls": {"cert": "server.pem", "key": "server.key", **tls}}]
    return {"listen": listen, **a_service({"v1": f"127.0.0.1:{upstream.server_port}"}, {"v1": 1})}


def serial(proxy: WholeProxy) -> int:
    """The number of the certificate that a new connection is shown."""
    with (
        socket.create_connection(proxy.address, 30) as plain,
        OURS.trusting().wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        shown = connection.getpeercert()
        assert shown is not None
        return int(str(shown["serialNumber"]), 16)


class Knocking:
    """Clients that shake hands and ask, again and again, each time on a new connection."""

    def __init__(self, proxy: WholeProxy, clients: int = 2) -> None:
        self.failures: list[str] = []
        self.answered = 0
        self._address = proxy.address
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        context = OURS.trusting()
        while not self._ending.is_set():
            connection = HTTPSConnection("localhost", self._address[1], timeout=30, context=context)
            try:
                connection.request("GET", "/")
                assert connection.getresponse().read() == b"https"
                self.answered += 1
            except Exception as exc:
                self.failures.append(repr(exc))
            finally:
                connection.close()

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.timeout(180)
def test_certificates_are_renewed_a_hundred_times_under_load_and_no_handshake_fails(
    tmp_path: Path, upstream: ThreadingHTTPServer
):
    with whole_proxy(tmp_path, secure(tmp_path, upstream)) as proxy:
        knocking = Knocking(proxy)
        try:
            before = serial(proxy)
            OURS.write(tmp_path, "server", "localhost")
            wait_until(lambda: serial(proxy) != before, "for the files to be read again")
            for _ in range(ROTATIONS):
                before = serial(proxy)
                OURS.write(tmp_path, "server", "localhost")
                proxy.admin.reload()
                assert serial(proxy) != before
        finally:
            knocking.end()
        assert knocking.failures == []
        assert knocking.answered
        assert "certificates were read again: localhost" in proxy.log


def test_half_of_a_new_pair_changes_nothing_until_the_other_half_is_there(
    tmp_path: Path, upstream: ThreadingHTTPServer
):
    with whole_proxy(tmp_path, secure(tmp_path, upstream)) as proxy:
        before = serial(proxy)
        new = OURS.certificate("localhost")
        (tmp_path / "server.pem").write_bytes(new.chain)
        wait_until(lambda: "does not belong to the certificate" in proxy.log)
        assert serial(proxy) == before
        (tmp_path / "server.key").write_bytes(new.key)
        wait_until(lambda: serial(proxy) != before)


def test_a_worker_that_is_replaced_in_the_middle_of_a_rotation_has_the_old_pair(
    tmp_path: Path, upstream: ThreadingHTTPServer
):
    with whole_proxy(tmp_path, secure(tmp_path, upstream)) as proxy:
        before = serial(proxy)
        (tmp_path / "server.key").unlink()
        first = proxy.workers()
        for pid in first:
            os.kill(pid, 9)
        wait_until(lambda: len(proxy.workers()) == 2 and not set(proxy.workers()) & set(first))
        wait_until(lambda: proxy.metrics()["serinus_workers{state=ready}"] == 2)
        assert serial(proxy) == before


def test_a_pair_that_does_not_match_is_refused_at_the_start(tmp_path: Path, upstream: ThreadingHTTPServer):
    tree = secure(tmp_path, upstream)
    (tmp_path / "server.key").write_bytes(OURS.certificate("localhost").key)
    code, words = failed_start(tmp_path, tree)
    assert code == 2
    assert "listen[0].tls" in words
    assert "does not belong to the certificate" in words


def test_curl_speaks_tls_1_2_and_1_3_with_it_and_is_served_by_name(
    tmp_path: Path, upstream: ThreadingHTTPServer, require_tool: RequireTool
):
    curl = require_tool("curl", "curl")
    authority = OURS.write_own(tmp_path / "ca.pem")
    with whole_proxy(tmp_path, secure(tmp_path, upstream)) as proxy:
        for version in (["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3"]):
            asked = [curl, "-sS", "--cacert", str(authority), *version, f"https://localhost:{proxy.address[1]}/"]
            result = subprocess.run(asked, capture_output=True, timeout=60, check=False)
            assert (result.returncode, result.stdout) == (0, b"https"), result.stderr


def test_openssl_finds_no_old_protocol_no_compression_and_no_renegotiation(
    tmp_path: Path, upstream: ThreadingHTTPServer, require_tool: RequireTool
):
    openssl = require_tool("openssl", "openssl")
    with whole_proxy(tmp_path, secure(tmp_path, upstream)) as proxy:

        def connect(*options: str, say: bytes = b"") -> str:
            asked = [openssl, "s_client", "-connect", "{}:{}".format(*proxy.address), "-servername", "localhost"]
            result = subprocess.run([*asked, *options], input=say, capture_output=True, timeout=60, check=False)
            return (result.stdout + result.stderr).decode()

        for old in ("-tls1", "-tls1_1"):
            words = connect(old, "-cipher", "ALL:@SECLEVEL=0")
            assert "Cipher is (NONE)" in words or "Cipher    : 0000" in words
        for weak in ("AES128-SHA", "DES-CBC3-SHA", "NULL", "aNULL", "RC4", "ECDHE-ECDSA-AES128-SHA"):
            assert "ECDHE" not in connect("-tls1_2", "-cipher", f"{weak}:@SECLEVEL=0").partition("Cipher is")[2][:40]
        good = connect("-tls1_2")
        assert "Compression: NONE" in good
        assert "Cipher is ECDHE" in good
        # R is the command of s_client to negotiate anew.
        assert "no renegotiation" in connect("-tls1_2", say=b"R\n").lower()


def test_endpoints_that_speak_tls_are_probed_and_served(tmp_path: Path):
    inner = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    inner.daemon_threads = True
    inner.socket = OURS.serving(OURS.certificate("127.0.0.1")).wrap_socket(inner.socket, server_side=True)
    thread = threading.Thread(target=inner.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        OURS.write_own(tmp_path / "ca.pem")
        version = {"endpoints": [f"127.0.0.1:{inner.server_port}"], "tls": {"ca": "ca.pem"}}
        health = {"path": "/", "interval": "100ms", "rise": 1, "fall": 1, "optimistic": False}
        tree = {"services": {"shop": {"versions": {"v1": version}, "health": health}}}
        with whole_proxy(tmp_path, tree) as proxy:
            wait_until(lambda: proxy.ask() == (200, "http"))
            (place,) = proxy.admin.service("shop")["versions"]["v1"]["endpoints"]
            assert "GET https://127.0.0.1" in place["detail"]
    finally:
        inner.shutdown()
        thread.join()
        inner.server_close()


def test_the_days_and_the_handshakes_of_a_certificate_are_in_the_metrics(tmp_path: Path, upstream: ThreadingHTTPServer):
    with whole_proxy(tmp_path, secure(tmp_path, upstream)) as proxy:
        serial(proxy)
        stranger = Authority().trusting()
        with socket.create_connection(proxy.address, 30) as plain, pytest.raises(ssl.SSLCertVerificationError):
            stranger.wrap_socket(plain, server_hostname="localhost")
        wait_until(lambda: proxy.metrics()["serinus_tls_handshakes_total{result=failed}"] == 1)
        samples = proxy.metrics()
        assert samples["serinus_tls_handshakes_total{result=ok}"] >= 1
        assert samples["serinus_tls_certs_not_after_timestamp_seconds{cn=localhost}"] > 1.7e9
