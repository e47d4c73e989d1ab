"""A version without a usable endpoint, or whose endpoint failed: who answers, and whose failure it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.outcome import Outcome
from proxy.core.snapshot import Retries, Route, Service
from tests.support.echo_upstream import Act, Echo, echoes, reset, status
from tests.support.one_client import ask, connected
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.waiting import until

NO_ENDPOINT = (503, "serinus; error=destination_unavailable")
ON_ERROR = {
    "fallback_on_error": True,
    "retries": Retries(budget_min=100, on=frozenset({"connect_error", "reset", "5xx"})),
}


def half(stable: Echo, canary: Echo, **fields: Any) -> Service:
    """The canary has everything; the stable version is its fallback."""
    return service([[stable.port], [canary.port]], [0, 1], **{"fallback": 0, **fields})


def with_canary(shop: Service, **fields: Any) -> Service:
    """The same, but for the endpoint of the canary."""
    stable, canary = shop.versions
    (endpoint,) = canary.endpoints
    return replace(shop, versions=(stable, replace(canary, endpoints=(replace(endpoint, **fields),))))


async def attempts(worker: OneWorker, count: int) -> list[dict[str, int]]:
    """What became of the attempts of each version, when so many requests are over."""
    await until(lambda: sum(sum(worker.slab.read_version(slot)["requests"].values()) for slot in (1, 2)) == count)
    read = [worker.slab.read_endpoint(slot)["outcomes"] for slot in (1, 2)]
    counts = [{outcome.label: some[outcome] for outcome in Outcome if some[outcome]} for some in read]
    for version, slot in zip(counts, (1, 2), strict=True):
        if unavailable := worker.slab.read_version(slot)["unavailable"]:
            version["unavailable"] = unavailable
    return counts


GONE: Sequence[dict[str, Any]] = (
    {"state": "down"},
    {"state": "drain"},
    {"healthy": False},
    {"sockets": ()},
)


class TestWithoutEndpoint:
    @pytest.mark.parametrize("gone", GONE)
    async def test_the_fallback_takes_its_share_and_the_failure_is_its_own(self, gone: dict[str, Any]):
        async with echoes(2) as (stable, canary):
            with one_worker(with_canary(half(stable, canary, expose_version=True), **gone)) as worker:
                async with connected(worker.address) as client:
                    for _ in range(5):
                        one = await client.ask()
                        assert (one.port, one.headers["x-serinus-version"]) == (stable.port, "v1")
                assert await attempts(worker, 5) == [{"ok": 5}, {"unavailable": 5}]
                assert worker.slab.read_endpoint(0)["outcomes"][Outcome.UNAVAILABLE] == 5
                assert [worker.slab.read_version(slot)["chosen"] for slot in (1, 2)] == [0, 5]
                assert worker.slab.read_version(1)["requests"] == {200: 5}
            assert {request.headers["x-serinus-version"] for request in stable.requests} == {"v1"}

    async def test_only_its_share_moves(self):
        async with echoes(2) as (stable, canary):
            shop = with_canary(replace(half(stable, canary), weights=(3.0, 1.0)), state="down")
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    for _ in range(40):
                        assert (await client.ask()).port == stable.port
                assert abs(worker.slab.read_version(2)["unavailable"] - 10) <= 2

    async def test_it_has_its_share_again_as_soon_as_its_endpoint_is_back(self):
        async with echoes(2) as (stable, canary):
            shop = half(stable, canary)
            with one_worker(with_canary(shop, healthy=False)) as worker:
                assert (await ask(worker.address)).port == stable.port
                worker.serve(shop)
                assert (await ask(worker.address)).port == canary.port
                worker.serve(with_canary(shop, state="drain"))
                assert (await ask(worker.address)).port == stable.port

    @pytest.mark.parametrize("fallback", [-1, 1])
    async def test_without_another_version_to_fall_back_on_it_is_503(self, fallback: int):
        async with echoes(2) as (stable, canary):
            with one_worker(with_canary(half(stable, canary, fallback=fallback), state="down")) as worker:
                one = await ask(worker.address)
                assert (one.status, one.headers["proxy-status"], one.headers["retry-after"]) == (*NO_ENDPOINT, "1")
                assert await attempts(worker, 1) == [{}, {"unavailable": 1}]
                assert worker.slab.read_version(2)["requests"] == {503: 1}

    async def test_a_fallback_that_is_down_itself_is_503_once(self):
        async with echoes(2) as (stable, canary):
            shop = service([[], []], [0, 1], fallback=0)
            with one_worker(shop) as worker:
                assert (await ask(worker.address)).status == 503
                assert await attempts(worker, 1) == [{}, {"unavailable": 1}]
            assert stable.requests + canary.requests == []

    async def test_a_body_goes_to_the_fallback_whole(self):
        body = bytes(range(256)) * 2048
        async with echoes(2) as (stable, canary):
            with one_worker(with_canary(half(stable, canary), state="down")) as worker:
                assert (await ask(worker.address, "/", "POST", body)).port == stable.port
            assert stable.requests[0].body == body

    async def test_a_forced_version_without_an_endpoint_falls_back_too(self):
        async with echoes(2) as (stable, canary):
            shop = with_canary(half(stable, canary), state="down")
            with one_worker(shop, routes=[Route("shop", version="v2")]) as worker:
                assert (await ask(worker.address)).port == stable.port

    async def test_while_an_endpoint_is_left_there_is_no_fallback(self):
        async with echoes(3) as (stable, canary, other):
            shop = service([[stable.port], [canary.port, other.port]], [0, 1], fallback=0)
            first, second = shop.versions[1].endpoints
            left = replace(shop.versions[1], endpoints=(replace(first, state="down"), second))
            with one_worker(replace(shop, versions=(shop.versions[0], left))) as worker:
                assert {(await ask(worker.address)).port for _ in range(5)} == {other.port}


class TestOnError:
    @pytest.mark.parametrize(("failure", "label"), [(reset, "reset"), (status(500), "5xx")])
    async def test_a_failed_request_goes_to_the_fallback_and_counts_against_the_version_that_failed(
        self, failure: Act, label: str
    ):
        async with echoes(2) as (stable, canary):
            canary.always = failure
            with one_worker(half(stable, canary, **ON_ERROR)) as worker:
                assert (await ask(worker.address)).port == stable.port
                assert await attempts(worker, 1) == [{"ok": 1}, {label: 1}]
                assert [worker.slab.read_version(slot)["retries"] for slot in (1, 2)] == [0, 1]
                assert worker.slab.read_version(1)["requests"] == {200: 1}
            assert [request.headers["x-serinus-version"] for request in canary.requests + stable.requests] == [
                "v2",
                "v1",
            ]

    async def test_a_refused_connection_goes_to_the_fallback_with_any_method(self):
        async with echoes(2) as (stable, canary):
            await canary.stop()
            with one_worker(half(stable, canary, ejection=None, **ON_ERROR)) as worker:
                for method in ("GET", "POST"):
                    assert (await ask(worker.address, method=method)).port == stable.port
                assert await attempts(worker, 2) == [{"ok": 2}, {"connect_error": 2}]

    async def test_what_is_not_safe_to_repeat_does_not(self):
        async with echoes(2) as (stable, canary):
            canary.always = reset
            with one_worker(half(stable, canary, **ON_ERROR)) as worker:
                assert (await ask(worker.address, method="POST")).status == 502
            assert stable.requests == []

    async def test_another_endpoint_of_the_version_comes_first(self):
        async with echoes(3) as (stable, good, bad):
            bad.always = reset
            shop = service(
                [[stable.port], [good.port, bad.port]], [0, 1], fallback=0, balance="round-robin", **ON_ERROR
            )
            with one_worker(shop) as worker:
                assert (await ask(worker.address)).port == good.port

    async def test_unless_it_is_wanted_an_error_stays_with_the_version(self):
        async with echoes(2) as (stable, canary):
            canary.always = reset
            with one_worker(half(stable, canary, retries=Retries(budget_min=10))) as worker:
                assert (await ask(worker.address)).status == 502
            assert stable.requests == []

    async def test_the_fallback_s_own_failure_is_told(self):
        async with echoes(2) as (stable, canary):
            stable.always = canary.always = reset
            with one_worker(half(stable, canary, **ON_ERROR)) as worker:
                assert (await ask(worker.address)).status == 502
                assert await attempts(worker, 1) == [{"reset": 1}, {"reset": 1}]
