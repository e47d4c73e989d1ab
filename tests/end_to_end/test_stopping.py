"""The end: SIGTERM finishes what was begun, SIGINT does not wait long, and a second SIGINT does not wait at all."""

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.frames import CLOSE, GOING_AWAY, frame
from tests.support.load import load
from tests.support.named_upstreams import named_upstreams
from tests.support.peers import Peer, Upstream
from tests.support.websocket_ends import HANDSHAKE
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with named_upstreams("v1") as places:
        yield places["v1"]


def test_sigterm_under_load_fails_no_request(upstream: str, tmp_path: Path):
    tree = a_service({"v1": upstream}, {"v1": 1})
    with (
        whole_proxy(tmp_path, {**tree, "drain_timeout": "20s"}) as proxy,
        load(proxy, kept=16, fresh=4, pause=0.005) as running,
        asking(proxy, "/after/1.5") as slow,
    ):
        proxy.program.send_signal(signal.SIGTERM)
        wait_until(lambda: not proxy.admin.is_well("/readyz"), "for readyz to say that it stops")
        assert proxy.admin.is_well("/healthz")
        assert slow.result() == (200, "v1")
        assert proxy.program.wait(20) == 0
        requests = running.end()
    assert {(request.status, request.answer, request.failure) for request in requests} == {
        (200, "v1", ""),
        (0, "", "refused"),
    }


def test_readyz_says_503_at_once_and_nothing_new_is_taken(upstream: str, tmp_path: Path):
    tree = a_service({"v1": upstream}, {"v1": 1})
    with whole_proxy(tmp_path, tree) as proxy, asking(proxy, "/after/2") as slow:
        proxy.program.send_signal(signal.SIGTERM)
        wait_until(lambda: not proxy.admin.is_well("/readyz"))
        wait_until(lambda: is_refused(proxy))
        assert "SIGTERM: finishing what is in flight, within 30 s" in proxy.log
        assert (slow.result(), proxy.program.wait(20)) == ((200, "v1"), 0)


def test_what_takes_longer_than_the_drain_timeout_is_cut_off(upstream: str, tmp_path: Path):
    tree = a_service({"v1": upstream}, {"v1": 1})
    with whole_proxy(tmp_path, {**tree, "drain_timeout": "500ms"}) as proxy, asking(proxy, "/after/60") as slow:
        assert proxy.end(signal.SIGTERM) == 0
        assert isinstance(slow.exception(), ConnectionError)
        assert "ending 1 connections that were not done" in proxy.log


def test_idle_connections_hold_up_nothing(upstream: str, tmp_path: Path):
    with whole_proxy(tmp_path, a_service({"v1": upstream}, {"v1": 1})) as proxy:
        idle = [socket.create_connection(proxy.address) for _ in range(20)]
        for connection in idle[:10]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            assert connection.recv(65536).endswith(b"v1")
        assert proxy.end(signal.SIGTERM) == 0
        assert [connection.recv(65536) for connection in idle] == [b""] * 20
        for connection in idle:
            connection.close()
        assert "not done" not in proxy.log


def test_sigint_waits_for_a_short_time_only(upstream: str, tmp_path: Path):
    tree = a_service({"v1": upstream}, {"v1": 1})
    with whole_proxy(tmp_path, {**tree, "drain_timeout": "1h"}) as proxy, asking(proxy, "/after/600") as slow:
        assert proxy.end(signal.SIGINT) == 0
        assert isinstance(slow.exception(), ConnectionError)


def test_a_second_sigint_ends_it_at_once(upstream: str, tmp_path: Path):
    tree = a_service({"v1": upstream}, {"v1": 1})
    with whole_proxy(tmp_path, {**tree, "drain_timeout": "1h"}) as proxy, asking(proxy, "/after/600") as slow:
        proxy.program.send_signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM: finishing" in proxy.log)
        assert proxy.end(signal.SIGINT) == 130
        assert isinstance(slow.exception(), ConnectionError)
        assert "SIGINT again" in proxy.log


def test_websockets_whose_peers_never_answer_are_told_and_ended_within_the_drain_timeout(tmp_path: Path):
    """Nobody answers the Close, nobody closes, and one side of one of them has not even ended its frame."""
    log = tmp_path / "access.log"
    with closing(Upstream()) as upstream:
        tree = a_service({"v1": upstream.address}, {"v1": 1}, drain={"jitter": "0s"})
        access_log = {"format": "json", "output": str(log), "fields": ["status", "error"]}
        with whole_proxy(tmp_path, {**tree, "drain_timeout": "2s", "access_log": access_log}) as proxy:
            client, side = open_tunnel(proxy, upstream)
            silent, _ = open_tunnel(proxy, upstream, begun=frame(b"long")[:-1])
            with closing(client), closing(silent):
                assert proxy.end(signal.SIGTERM) == 0
                assert [client.end() in ("closed", "reset"), silent.end()] == [True, "reset"]
            assert client.record.endswith(b"\r\n\r\n" + frame(GOING_AWAY, CLOSE))
            side.end()
            assert side.record[-8:-6] == bytes([128 | CLOSE, 128 | 2])
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert lines == [{"status": 101, "error": "draining"}] * 2


def open_tunnel(proxy: WholeProxy, upstream: Upstream, begun: bytes = b"") -> tuple[Peer, Peer]:
    """A WebSocket to an upstream that says this much."""
    client = Peer.connect(proxy.address).send(HANDSHAKE)
    side = upstream.accept()
    side.head()
    side.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + begun)
    client.head()
    client.exactly(len(begun))
    return client, side


class asking:  # noqa: N801  # reads as what it does
    """A request that is on its way to the upstream within the block."""

    def __init__(self, proxy: WholeProxy, path: str) -> None:
        self._proxy = proxy
        self._path = path
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Future[tuple[int, str]]:
        before = in_flight(self._proxy)
        asked = self._pool.submit(self._proxy.ask, self._path)
        wait_until(lambda: in_flight(self._proxy) > before, "for the request to arrive")
        return asked

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def in_flight(proxy: WholeProxy) -> float:
    return proxy.metrics()["serinus_requests_in_flight{service=shop,version=v1}"]


def is_refused(proxy: WholeProxy) -> bool:
    try:
        socket.create_connection(proxy.address).close()
    except ConnectionRefusedError:
        return True
    return False
