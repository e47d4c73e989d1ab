"""Descriptors, memory and ports run out: something is refused, nothing crashes or spins, and afterwards all is well."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.accounts import Accounts
from tests.support.checked import checked, request
from tests.support.injected import failing_calls, in_own_network, limited_memory, traced
from tests.support.peers import Peer
from tests.support.toxic_upstream import ToxicUpstreams, toxic_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

#: What accept(2) says when there is no descriptor, or no memory in the kernel, for what has come.
NO_ACCEPT: Final = ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPROTO")
PORTS: Final = 20
MIB: Final = 1024 * 1024


@pytest.fixture(scope="module")
def proxy(upstreams: ToxicUpstreams, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    with whole_proxy(tmp_path_factory.mktemp("proxy"), a_file(upstreams)) as running:
        yield running


def a_file(*upstreams: ToxicUpstreams, **parts: Any) -> dict[str, Any]:
    """One worker, so that everything meets it."""
    places = [place for each in upstreams for place in each.places.values()]
    return {**a_service({"v1": places}, {"v1": 1}, retries={"attempts": 0}, **parts), "workers": 1}


@pytest.mark.parametrize("error", NO_ACCEPT)
def test_when_accepting_fails_clients_wait_and_nobody_spins(proxy: WholeProxy, tmp_path: Path, error: str):
    accounts = Accounts(proxy)
    (worker,) = proxy.workers()
    log = tmp_path / "strace"
    with ExitStack() as stack:
        with failing_calls(worker, log, f"accept4:error={error}"):
            begun = time.monotonic()
            clients = [stack.enter_context(closing(Peer.connect(proxy.address))) for _ in range(3)]
            wait_until(lambda: len(traced(log)) >= 4, "for it to try again and again")
            tries, waited = len(traced(log)), time.monotonic() - begun
            assert tries < 100 * waited + 100  # ten a second are meant; who spins makes ten thousands
        assert {client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").message().status for client in clients} == {200}
    accounts.settle()


@pytest.mark.parametrize("fault", ["socket:error=EMFILE", "socket:error=ENOMEM", "connect:error=EADDRNOTAVAIL"])
def test_when_no_connection_can_be_made_for_want_of_means_clients_are_told_and_no_endpoint_is_blamed(
    upstreams: ToxicUpstreams, tmp_path: Path, fault: str
):
    with (
        toxic_upstreams("v2") as more,
        whole_proxy(tmp_path, a_file(upstreams, more, ejection={"consecutive": 1}, pool={"idle": 0})) as proxy,
    ):
        accounts = Accounts(proxy)
        with failing_calls(proxy.workers()[0], tmp_path / "strace", fault):
            ended = [checked(proxy.address) for _ in range(20)]
        assert {(each.what, each.reason) for each in ended} == {(503, "connection_limit_reached")}
        assert {checked(proxy.address).what for _ in range(10)} == {200}
        assert accounts.grown("serinus_endpoint_ejections_total") == 0
        assert accounts.grown("serinus_errors_total{reason=exhausted,service=shop,version=v1}") == 20
        accounts.settle()


def test_a_worker_without_a_descriptor_left_serves_again_when_it_has_some(proxy: WholeProxy):
    accounts = Accounts(proxy)
    (worker,) = proxy.workers()
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir(f"/proc/{worker}/fd"))
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (highest + 4, before[1]))
    try:
        with ThreadPoolExecutor(40) as pool:
            ended = list(pool.map(lambda _: checked(proxy.address, "slow"), range(40)))
    finally:
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
    assert {each.what for each in ended} <= {200, 503}
    assert {checked(proxy.address).what for _ in range(20)} == {200}
    assert proxy.workers() == [worker]
    accounts.settle()


@in_own_network
def test_when_the_ports_to_an_endpoint_run_out_clients_are_told_and_it_is_over_when_some_are_free(tmp_path: Path):
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"40000 {40000 + PORTS - 1}")
    place = tmp_path / "socket"
    waits = {"timeouts": {"response": "4s"}}
    with toxic_upstreams("v1") as upstreams:
        tree = a_file(upstreams, **waits)
        with whole_proxy(
            tmp_path, {**tree, "listen": [{"address": "127.0.0.1:0"}, {"address": f"unix:{place}"}]}
        ) as proxy:
            accounts = Accounts(proxy)
            clients = [connected(place) for _ in range(2 * PORTS)]
            for number, client in enumerate(clients):
                client.send(request(f"{number}", "hang before the head"))
            answers = [client.message() for client in clients]
            for client in clients:
                client.close()
            assert {answer.status for answer in answers} == {503, 504}
            wait_until(lambda: asked(place) == 200, "for a port")
            assert {asked(place) for _ in range(3 * PORTS)} == {200}
            accounts.settle()


def asked(path: Path) -> int | str:
    """What comes of a request by a unix socket, which takes no port."""
    with closing(connected(path)) as client:
        return checked(("", 0), peer=client).what


def connected(path: Path) -> Peer:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return Peer(client)


def test_a_worker_that_is_killed_for_its_memory_is_replaced(upstreams: ToxicUpstreams, tmp_path: Path):
    limit, one = 8 * MIB, 7000
    with whole_proxy(tmp_path, a_file(upstreams)) as proxy, limited_memory("worker", limit) as group:
        accounts = Accounts(proxy)
        (worker,) = proxy.workers()
        (group / "cgroup.procs").write_text(str(worker))
        with ExitStack() as stack:
            while proxy.workers() == [worker]:
                client = stack.enter_context(closing(Peer.connect(proxy.address)))
                with suppress(ConnectionError):
                    client.send(b"GET / HTTP/1.1\r\nX-A: " + b"a" * one)  # and the rest never comes
        wait_until(lambda: "worker 0 ended with signal 9" in proxy.log, "to be told")
        wait_until(lambda: proxy.metrics()["serinus_workers{state=ready}"] == 1, "for another worker")
        assert {checked(proxy.address).what for _ in range(20)} == {200}
        accounts.settle()
