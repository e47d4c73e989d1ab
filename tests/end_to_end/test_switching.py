"""The switch between two pools under load: no request fails, and once it is acknowledged the old pool gets nothing.

What arrives is judged at the upstreams. A request that a client has sent after the acknowledgement of a switch and
before the next one was ordered may arrive at the new pool only, at every attempt.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.load import Request, load
from tests.support.long_forms import long_or
from tests.support.noting_upstreams import Arrival, NotingUpstreams, noting_upstreams
from tests.support.whole_controller import WholeController, whole_controller
from tests.support.whole_proxy import WholeProxy, whole_proxy

SWITCHES = long_or(200, 1_000)
ROLLOUTS = long_or(3, 10)
POOLS = {"blue": ("blue-1", "blue-2"), "green": ("green-1", "green-2")}

pytestmark = pytest.mark.timeout(300)


class Reign(NamedTuple):
    """Only this pool may get what is sent from `begin` to `end`."""

    pool: str
    begin: int
    end: int


class Client:
    """A client that keeps one connection, to a worker that the system has chosen."""

    def __init__(self, proxy: WholeProxy) -> None:
        self._connection = HTTPConnection(*proxy.address, timeout=30)
        self._asked = 0
        self.ask("client")

    @property
    def port(self) -> int:
        return int(self._connection.sock.getsockname()[1])

    def ask(self, name: str) -> str:
        self._connection.request("GET", "/", headers={"X-Load": name})
        response = self._connection.getresponse()
        body = response.read().decode()
        assert response.status == 200, body
        return body

    def close(self) -> None:
        self._connection.close()


@contextmanager
def a_client_of_each_worker(proxy: WholeProxy) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        found: dict[int, Client] = {}
        while len(found) < 2:
            client = Client(proxy)
            stack.callback(client.close)
            worker = next(pid for pid in proxy.workers() if client.port in proxy.clients_of(pid))
            found.setdefault(worker, client)
        yield list(found.values())


@contextmanager
def pools(folder: Path, **more: Any) -> Iterator[tuple[WholeProxy, NotingUpstreams, dict[str, Any]]]:
    """Blue and green with two endpoints each, blue active, behind two workers."""
    with noting_upstreams(*POOLS["blue"], *POOLS["green"]) as upstreams:
        versions = {pool: {"endpoints": [upstreams.places[name] for name in names]} for pool, names in POOLS.items()}
        shop = {"versions": versions, "active": "blue", "ejection": "off"}
        tree = {"services": {"shop": shop}, "state_dir": str(folder / "state"), **more}
        with whole_proxy(folder, tree) as proxy:
            yield proxy, upstreams, tree


def test_after_each_of_many_switches_under_load_nothing_reaches_the_old_pool_and_nothing_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pools(tmp_path) as (proxy, upstreams, _):
        with load(proxy, kept=6, fresh=2, pause=0.001) as running:
            reigns, calls = switch(proxy, SWITCHES)
            requests = running.end()
        arrivals = upstreams.end()
    judged = judge(reigns, requests, arrivals)
    with capsys.disabled():
        calls.sort()
        print(
            f"\n{len(calls)} switches under {len(requests)} requests, {judged} of them sent between two switches: "
            f"median {calls[len(calls) // 2] / 1e6:.1f} ms, longest {calls[-1] / 1e6:.1f} ms"
        )


def switch(proxy: WholeProxy, times: int) -> tuple[list[Reign], list[int]]:
    """Switch, and ask each worker after each switch; the reigns, and how long each call took."""
    reigns, calls, admin = [], [], proxy.admin
    with a_client_of_each_worker(proxy) as clients:
        for turn in range(times):
            pool = ("green", "blue")[turn % 2]
            ordered = time.monotonic_ns()
            admin.activate("shop", pool)
            acknowledged = time.monotonic_ns()
            assert {client.ask(f"switch.{turn}.{n}") in POOLS[pool] for n, client in enumerate(clients)} == {True}
            reigns.append(Reign(pool, acknowledged, time.monotonic_ns()))
            calls.append(acknowledged - ordered)
    return reigns, calls


def judge(reigns: Sequence[Reign], requests: Sequence[Request], arrivals: dict[str, list[Arrival]]) -> int:
    """Check every request, wherever it has arrived; how many were sent within a reign."""
    assert [request for request in requests if request.failure or request.status != 200] == []
    places: dict[str, set[str]] = {}
    for upstream, arrived in arrivals.items():
        for arrival in arrived:
            places.setdefault(arrival.request, set()).add(upstream)
    assert {request.name for request in requests} <= places.keys()
    begins, judged = [reign.begin for reign in reigns], 0
    for request in requests:
        index = bisect_right(begins, request.begin) - 1
        if index >= 0 and request.begin < reigns[index].end:
            judged += 1
            assert places[request.name] <= set(POOLS[reigns[index].pool]), (request, reigns[index])
    assert judged
    return judged


def test_a_switch_by_a_rollout_and_the_way_back_are_as_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    policy = {"strategy": "blue-green", "from": "blue", "to": "green", "bake": "off", "on": {"no_data": "advance"}}
    with pools(tmp_path, rollouts={"shop": policy}) as (proxy, upstreams, tree):
        with whole_controller(proxy, {**tree, "controller": {"interval": "50ms"}}) as controller:
            with load(proxy, kept=6, fresh=2, pause=0.002) as running:
                reigns = [reign for turn in range(ROLLOUTS) for reign in there_and_back(proxy, controller, turn)]
                requests = running.end()
            phases = [rollout["phase"] for rollout in controller.client.rollouts()["rollouts"]]
        arrivals = upstreams.end()
    assert phases == ["rolled_back"] * ROLLOUTS
    judged = judge(reigns, requests, arrivals)
    with capsys.disabled():
        print(f"\n{len(reigns)} switches by rollouts under {len(requests)} requests, {judged} of them between two")


def there_and_back(proxy: WholeProxy, controller: WholeController, turn: int) -> Iterator[Reign]:
    """One rollout, taken back once it is promoted; from its end to the next order, a pool reigns."""
    started = controller.client.start("shop")
    for phase in ("promoted", "rolled_back"):
        controller.until(started["id"], phase)
        begin = time.monotonic_ns()
        for n in range(10):
            proxy.ask(X_Load=f"rollout.{turn}.{phase}.{n}")
        yield Reign("green" if phase == "promoted" else "blue", begin, time.monotonic_ns())
        if phase == "promoted":
            controller.client.order(started["id"], "abort", reason="try the way back")
