"""Endpoints that fail real requests get none for a while: after how much, how many at once, and how they come back."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.snapshot import Ejection, Retries, Service, Timeouts
from tests.support.echo_upstream import Act, Echo, answer, echoes, hold, reset, status
from tests.support.one_client import Client, ask, connected
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.waiting import until

FOR_EVER = 1e6
FAILS = status(500)


def ejecting(some: Sequence[Echo], **fields: Any) -> Service:
    """One version whose endpoints are asked in turn; nothing is retried."""
    ejection = Ejection(**{"base_time": FOR_EVER, "max_time": FOR_EVER, "max_share": 1.0, "panic": 0.0, **fields})
    return service(
        [[echo.port for echo in some]],
        balance="round-robin",
        retries=Retries(attempts=0),
        ejection=ejection,
        timeouts=Timeouts(response=0.05),
    )


def ejected(worker: OneWorker, some: Sequence[Echo]) -> list[Echo]:
    """Which are, when the worker has done with what it answered last."""
    worker.say("ping")
    return [echo for slot, echo in enumerate(some, 1) if worker.slab.read_endpoint(slot)["ejected"]]


async def ask_often(client: Client, count: int) -> Counter[int]:
    return Counter([(await client.ask()).status for _ in range(count)])


class TestConsecutive:
    @pytest.mark.parametrize("failures", [1, 3, 5])
    async def test_so_many_failures_in_a_row_eject(self, failures: int):
        async with echoes(2) as (good, bad):
            bad.always = FAILS
            with one_worker(ejecting([good, bad], consecutive=failures)) as worker:
                async with connected(worker.address) as client:
                    assert await ask_often(client, 2 * failures) == {200: failures, 500: failures}
                    assert ejected(worker, [good, bad]) == [bad]
                    assert worker.slab.read_endpoint(2)["ejections"] == 1
                    assert await ask_often(client, 20) == {200: 20}

    async def test_a_good_answer_in_between_begins_the_count_anew(self):
        async with echoes(2) as (good, bad):
            bad.script += [FAILS, FAILS, answer] * 5
            with one_worker(ejecting([good, bad], consecutive=3)) as worker:
                async with connected(worker.address) as client:
                    assert await ask_often(client, 30) == {200: 20, 500: 10}
                assert ejected(worker, [good, bad]) == []

    @pytest.mark.parametrize("failure", [reset, hold, status(500), status(503)])
    async def test_every_kind_of_failure_counts(self, failure: Act):
        async with echoes(2) as (good, bad):
            bad.always = failure
            with one_worker(ejecting([good, bad], consecutive=2)) as worker:
                async with connected(worker.address) as client:
                    await ask_often(client, 4)
                assert ejected(worker, [good, bad]) == [bad]

    async def test_refused_connections_count(self):
        async with echoes(2) as (good, bad):
            await bad.stop()
            with one_worker(ejecting([good, bad], consecutive=2)) as worker:
                async with connected(worker.address) as client:
                    assert await ask_often(client, 8) == {200: 6, 502: 2}

    @pytest.mark.parametrize("code", [400, 404, 429])
    async def test_what_the_client_did_wrong_does_not_count(self, code: int):
        async with echoes(2) as (good, bad):
            bad.always = status(code)
            with one_worker(ejecting([good, bad], consecutive=1)) as worker:
                async with connected(worker.address) as client:
                    assert await ask_often(client, 20) == {200: 10, code: 10}

    async def test_a_client_that_goes_away_is_nobody_s_failure(self):
        async with echoes(2) as (good, slow):
            slow.always = hold
            shop = replace(ejecting([good, slow], consecutive=1), timeouts=Timeouts())
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await slow.has_held(1)
                    client.reset()
                    await until(lambda: worker.slab.read_version(1)["in_flight"] == 0)
                assert ejected(worker, [good, slow]) == []

    async def test_off_is_off(self):
        async with echoes(2) as (good, bad):
            bad.always = FAILS
            off = ejecting([good, bad], consecutive=0)
            for shop in (off, replace(off, ejection=None)):
                with one_worker(shop) as worker:
                    async with connected(worker.address) as client:
                        assert await ask_often(client, 40) == {200: 20, 500: 20}


class TestShare:
    async def test_a_share_of_failures_ejects_once_there_are_enough_requests(self):
        async with echoes(2) as (good, bad):
            bad.script += [FAILS, answer, answer] * 10
            shop = ejecting([good, bad], consecutive=0, error_share=0.3, min_requests=10)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    await ask_often(client, 18)
                    assert ejected(worker, [good, bad]) == []
                    await ask_often(client, 2)
                    assert ejected(worker, [good, bad]) == [bad]

    async def test_a_smaller_share_does_not(self):
        async with echoes(2) as (good, bad):
            bad.script += [FAILS, answer, answer] * 10
            shop = ejecting([good, bad], consecutive=0, error_share=0.5, min_requests=10)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    await ask_often(client, 60)
                assert ejected(worker, [good, bad]) == []


class TestHowMany:
    @pytest.mark.parametrize(("share", "most"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.7, 2), (1.0, 4)])
    async def test_no_larger_share_of_the_endpoints_is_ejected_at_once(self, share: float, most: int):
        async with echoes(4) as some:
            for echo in some:
                echo.always = FAILS
            with one_worker(ejecting(some, consecutive=1, max_share=share)) as worker:
                async with connected(worker.address) as client:
                    await ask_often(client, 40)
                assert len(ejected(worker, some)) == most

    async def test_a_version_all_of_whose_endpoints_are_ejected_has_none(self):
        async with echoes(2) as some:
            for echo in some:
                echo.always = FAILS
            with one_worker(ejecting(some, consecutive=1)) as worker:
                async with connected(worker.address) as client:
                    assert await ask_often(client, 5) == {500: 2, 503: 3}

    async def test_in_a_panic_all_are_used_ejected_or_not(self):
        async with echoes(4) as some:
            some[0].always = some[1].always = FAILS
            with one_worker(ejecting(some, consecutive=1, panic=0.6)) as worker:
                async with connected(worker.address) as client:
                    await ask_often(client, 8)
                    assert ejected(worker, some) == some[:2]
                    assert await ask_often(client, 40) == {200: 20, 500: 20}

    async def test_above_the_threshold_there_is_no_panic(self):
        async with echoes(4) as some:
            some[0].always = some[1].always = FAILS
            with one_worker(ejecting(some, consecutive=1, panic=0.5)) as worker:
                async with connected(worker.address) as client:
                    await ask_often(client, 8)
                    assert await ask_often(client, 40) == {200: 40}

    async def test_endpoints_that_active_checks_found_down_count_for_a_panic_too(self):
        async with echoes(4) as some:
            shop = ejecting(some, consecutive=1, panic=0.6)
            first, second, *others = shop.versions[0].endpoints
            down = (replace(first, healthy=False), replace(second, healthy=False), *others)
            for panic, used in ((0.6, 4), (0.5, 2)):
                version = replace(shop.versions[0], endpoints=down)
                ejection = Ejection(panic=panic)
                with one_worker(replace(shop, versions=(version,), ejection=ejection)) as worker:
                    async with connected(worker.address) as client:
                        assert len({(await client.ask()).port for _ in range(20)}) == used


class TestReturn:
    async def test_when_its_time_is_over_an_endpoint_is_used_again(self):
        async with echoes(2) as (good, bad):
            bad.script.append(FAILS)
            with one_worker(ejecting([good, bad], consecutive=1, base_time=0.05)) as worker:
                async with connected(worker.address) as client:
                    assert await ask_often(client, 2) == {200: 1, 500: 1}
                    await until(lambda: ejected(worker, [good, bad]) == [])
                    assert await ask_often(client, 20) == {200: 20}
            assert len(bad.requests) == 11

    async def test_an_endpoint_that_fails_again_is_ejected_again(self):
        async with echoes(2) as (good, bad):
            bad.always = FAILS
            with one_worker(ejecting([good, bad], consecutive=1, base_time=0.01)) as worker:
                async with connected(worker.address) as client:
                    while worker.slab.read_endpoint(2)["ejections"] < 3:
                        await client.ask()

    async def test_a_change_of_weights_lets_nobody_back(self):
        async with echoes(2) as (good, bad):
            bad.always = FAILS
            shop = ejecting([good, bad], consecutive=1)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    await ask_often(client, 2)
                    for weight in (2.0, 3.0):
                        worker.serve(replace(shop, weights=(weight,)))
                        assert await ask_often(client, 10) == {200: 10}

    async def test_an_endpoint_that_is_replaced_begins_well(self):
        async with echoes(3) as (good, bad, new):
            bad.always = FAILS
            shop = ejecting([good, bad], consecutive=1)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    await ask_often(client, 2)
                    first, second = shop.versions[0].endpoints
                    other = replace(second, address="new", slot=9, sockets=(("inet", "127.0.0.1", new.port),))
                    worker.serve(replace(shop, versions=(replace(shop.versions[0], endpoints=(first, other)),)))
                    assert await ask_often(client, 10) == {200: 10}
            assert len(new.requests) == 5

    async def test_ejection_that_is_switched_off_lets_everybody_back(self):
        async with echoes(2) as (good, bad):
            bad.script.append(FAILS)
            shop = ejecting([good, bad], consecutive=1)
            with one_worker(shop) as worker:
                await ask(worker.address)
                await ask(worker.address)
                assert ejected(worker, [good, bad]) == [bad]
                worker.serve(replace(shop, ejection=None))
                assert {(await ask(worker.address)).port for _ in range(4)} == {good.port, bad.port}
                assert ejected(worker, [good, bad]) == []
