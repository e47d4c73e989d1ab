"""Listeners behind other proxies: the PROXY protocol on the wire, in both versions, before HTTP and before TLS."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from proxy.core.introduction import SIGNATURE
from proxy.core.snapshot import AccessLog, KeySource, Sticky
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.peers import PATIENCE, Message, Peer, Upstream, cuts, listen_at
from tests.support.stage import OK, eventually
from tests.support.tls_peers import ASK, OURS, close_kept, kept, tls

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n"
V1_IPV6 = b"PROXY TCP6 2001:db8::7 ::1 56324 443\r\n"
UNKNOWN = b"PROXY UNKNOWN\r\n"
PLACES = bytes([192, 0, 2, 7, 203, 0, 113, 1]) + struct.pack(">HH", 56324, 443)
V2 = SIGNATURE + b"\x21\x11" + struct.pack(">H", 17) + PLACES + struct.pack(">BHH", 4, 2, 0)
V2_LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
V2_UNIX = SIGNATURE + b"\x21\x31" + struct.pack(">H", 216) + bytes(216)
TRUSTED: dict[str, Any] = {"trusted_proxies": ("127.0.0.1/32",)}


class Scene:
    """A worker whose clients come through a proxy that the test plays, and an upstream."""

    def __init__(self, worker: OneWorker, upstream: Upstream, path: Path | None) -> None:
        self.worker, self.upstream, self._path = worker, upstream, path
        self._peers: list[Peer] = []

    def client(self, source: str = "127.0.0.1") -> Peer:
        if self._path is not None:
            peer = Peer(socket.socket(socket.AF_UNIX))
            peer.sock.connect(str(self._path))
        else:
            peer = Peer.connect(self.worker.address, source)
        self._peers.append(peer)
        return peer

    def exchange(self, *parts: bytes) -> Message:
        """What the upstream sees of the request at the end of these parts; it is answered."""
        client = self.client().send_apart(*parts) if self._path is not None else self.client().send(*parts)
        side = self.upstream.asked()
        seen = side.message()
        side.send(OK)
        assert client.message().status == 200
        client.close()
        return seen

    def refusals(self) -> int:
        return self.worker.slab.read_worker()["unintroduced"]

    def end(self) -> None:
        close_kept()
        for peer in (*self._peers, *self.upstream.peers):
            peer.close()
        eventually(lambda: self.worker.slab.read_worker()["connections"] == 0)


@contextmanager
def playing(
    path: Path | None = None, keys: tuple[KeySource, ...] = (), errors: IO[str] | None = None, **settings: Any
) -> Iterator[Scene]:
    upstream = Upstream()
    shop = service([[upstream.port]], sticky=Sticky(keys) if keys else None)
    also = (listen_at(path),) if path is not None else ()
    with one_worker(shop, also=also, errors=errors, introduced=True, **settings) as worker:
        scene = Scene(worker, upstream, path)
        try:
            yield scene
        finally:
            scene.end()
    upstream.close()
    for listening in also:
        listening.close()


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with playing(**TRUSTED) as some:
        yield some


@pytest.fixture(scope="module")
def in_pieces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Over a unix socket, where it is known when something was read."""
    with playing(tmp_path_factory.mktemp("newcomers") / "listener") as some:
        yield some


@pytest.mark.parametrize("header", [V1, V2])
def test_the_client_that_is_named_is_the_one_that_endpoints_hear_of(scene: Scene, header: bytes) -> None:
    seen = scene.exchange(header + GET)

    assert seen.one(b"X-Forwarded-For") == b"192.0.2.7"
    assert seen.one(b"Forwarded") == b'for=192.0.2.7;host="a.example";proto=http'


def test_ipv6_clients_are_named_as_any_other(scene: Scene) -> None:
    seen = scene.exchange(V1_IPV6 + GET)

    assert seen.one(b"X-Forwarded-For") == b"2001:db8::7"
    assert seen.one(b"Forwarded") == b'for="[2001:db8::7]";host="a.example";proto=http'


def test_a_request_without_host_asks_for_where_the_client_connected_to(scene: Scene) -> None:
    assert scene.exchange(V1 + b"GET / HTTP/1.0\r\n\r\n").one(b"Host") == b"203.0.113.1:443"
    assert scene.exchange(V1_IPV6 + b"GET / HTTP/1.0\r\n\r\n").one(b"Host") == b"[::1]:443"


@pytest.mark.parametrize("header", [UNKNOWN, V2_LOCAL])
def test_a_proxy_that_speaks_for_itself_is_the_client_and_is_trusted(scene: Scene, header: bytes) -> None:
    seen = scene.exchange(header + GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n"))
    assert seen.one(b"X-Forwarded-For") == b"198.51.100.9, 127.0.0.1"


def test_a_client_of_a_unix_socket_is_unknown(scene: Scene) -> None:
    seen = scene.exchange(V2_UNIX + GET)
    assert (seen.one(b"X-Forwarded-For"), (seen.one(b"Forwarded") or b"")[:12]) == (None, b"for=unknown;")


def test_what_the_named_client_says_of_others_is_not_believed(scene: Scene) -> None:
    seen = scene.exchange(V1 + GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n"))
    assert seen.one(b"X-Forwarded-For") == b"192.0.2.7"


@pytest.mark.parametrize("header", [V1, V2, UNKNOWN, V2_LOCAL])
def test_a_header_may_be_cut_anywhere(in_pieces: Scene, header: bytes) -> None:
    named = None if header in (UNKNOWN, V2_LOCAL) else b"192.0.2.7"
    for parts in cuts(header + GET[:1]):
        seen = in_pieces.exchange(*parts[:-1], parts[-1] + GET[1:])
        assert (seen.line, seen.one(b"X-Forwarded-For")) == (b"GET / HTTP/1.1", named)


WRONG = [
    GET,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    V1.replace(b"\r", b""),
    V1.replace(b"TCP4", b"TCP5"),
    V1[6:] + GET,
]


@pytest.mark.parametrize("header", [*WRONG, V2.replace(b"\x21\x11", b"\x31\x11"), V2[:15] + b"\x05" + V2[16:]])
def test_without_a_good_header_a_connection_is_closed_and_counted(scene: Scene, header: bytes) -> None:
    before = scene.refusals()
    client = scene.client().send(header)

    assert client.end() in ("closed", "reset")
    assert client.record == b""
    assert scene.refusals() == before + 1


@pytest.mark.parametrize("start", [b"", V1[:-1], V2[:20]])
def test_an_end_in_the_header_is_no_header(scene: Scene, start: bytes) -> None:
    before = scene.refusals()
    client = scene.client().send(start)
    client.end_sending()

    assert client.rest() == b""
    assert scene.refusals() == before + 1


def test_a_second_header_is_no_request(scene: Scene) -> None:
    client = scene.client().send(V1 + V1)
    assert client.message().status == 400


def test_only_trusted_peers_may_say_who_they_are(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("w") as errors, playing(trusted_proxies=("127.0.0.2/32",), errors=errors) as scene:
        stranger = scene.client().send(V1 + GET)
        assert stranger.end() in ("closed", "reset")
        assert scene.refusals() == 1
        friend = scene.client("127.0.0.2").send(V1 + GET)
        assert scene.upstream.asked().message().one(b"X-Forwarded-For") == b"192.0.2.7"
        friend.close()
    assert "a connection from 127.0.0.1 is closed: it is not in trusted_proxies" in (tmp_path / "errors").read_text()


def test_why_a_connection_was_closed_is_in_the_log(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("w") as errors, playing(**TRUSTED, errors=errors) as scene:
        assert scene.client().send(GET).end() in ("closed", "reset")
    line = "listener test: a connection from 127.0.0.1 is closed: it does not begin with a PROXY header"
    assert line in (tmp_path / "errors").read_text()


def test_a_header_has_its_time_as_a_whole() -> None:
    with playing(**TRUSTED, head_timeout=0.2) as scene:
        silent, slow = scene.client(), scene.client().send(V1[:-1])
        assert (silent.rest(), slow.rest()) == (b"", b"")
        assert scene.refusals() == 2


def test_each_named_client_has_its_limit_of_connections() -> None:
    with playing(**TRUSTED, connections_per_client=1) as scene:
        first = scene.client().send(V1 + GET)
        side = scene.upstream.asked()
        side.message()
        second = scene.client().send(V1 + GET)
        assert second.message().status == 503
        other = scene.exchange(V1.replace(b"0.2.7", b"0.2.8") + GET)
        assert other.one(b"X-Forwarded-For") == b"192.0.2.8"
        side.send(OK)
        assert first.message().status == 200


def test_newcomers_count_for_the_limit_of_all_connections() -> None:
    with playing(**TRUSTED, connections=1) as scene:
        first = scene.client().send(V1[:5])
        eventually(lambda: scene.worker.slab.read_worker()["connections"] == 1)
        assert scene.client().message().status == 503
        first.send(V1[5:] + GET)
        assert scene.upstream.asked().message().line == b"GET / HTTP/1.1"


def test_a_worker_that_ends_waits_for_no_header() -> None:
    with playing(**TRUSTED, drain_timeout=600.0) as scene:
        scene.client().send(V1[:-1])
        eventually(lambda: scene.worker.slab.read_worker()["connections"] == 1)
        assert scene.worker.say("drain", 600.0) is None
        assert scene.worker.program.wait(PATIENCE) == 0


def test_the_named_client_is_the_key_of_ip_and_stands_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with playing(**TRUSTED, keys=(KeySource("ip"),), access_log=AccessLog("json", str(log), ("client_ip",))) as scene:
        scene.exchange(V2 + GET)
        eventually(log.read_bytes)
    assert log.read_bytes() == b'{"client_ip":"192.0.2.7"}\n'


@pytest.mark.parametrize("header", [V1, V2, UNKNOWN])
def test_tls_begins_behind_the_header(header: bytes) -> None:
    with playing(**TRUSTED, **tls()) as scene:
        plain = socket.create_connection(scene.worker.address, PATIENCE)
        plain.sendall(header)
        client = kept(Peer(OURS.trusting().wrap_socket(plain, server_hostname="localhost"))).send(ASK)
        side = scene.upstream.asked()
        seen = side.message()
        side.send(OK)
        assert client.message().status == 200
        assert seen.one(b"X-Forwarded-Proto") == b"https"
        assert seen.one(b"X-Forwarded-For") == (b"127.0.0.1" if header == UNKNOWN else b"192.0.2.7")


def test_trust_follows_the_settings(scene: Scene) -> None:
    settings = scene.worker.settings
    assert scene.worker.say("settings", replace(settings, trusted_proxies=())) is None
    assert scene.client().send(V1 + GET).end() in ("closed", "reset")
    assert scene.worker.say("settings", settings) is None
    assert scene.exchange(V1 + GET).one(b"X-Forwarded-For") == b"192.0.2.7"
