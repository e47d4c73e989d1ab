"""Which version a request goes to: the split without a key, pool mode, forced routes, and changes under load."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.snapshot import AccessLog, KeySource, Route, Service, Sticky, ValueMatch
from tests.support.access_lines import access_lines
from tests.support.echo_upstream import echoes
from tests.support.long_forms import long_or
from tests.support.one_client import ask, connected
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.waiting import until

BY_HEADER = Sticky((KeySource("header", "x-user"),))
CANARY_HEADER = (ValueMatch("x-preview", "exact", "canary"),)


def renamed(shop: Service, name: str, slots: int) -> Service:
    """The same under another name, with slots of its own."""
    versions = tuple(
        replace(
            version,
            slot=version.slot + slots,
            endpoints=tuple(replace(endpoint, slot=endpoint.slot + slots) for endpoint in version.endpoints),
        )
        for version in shop.versions
    )
    return replace(shop, name=name, versions=versions)


def forced(version: str, **conditions: Any) -> Route:
    return Route("shop", version=version, **conditions)


class TestSplit:
    @pytest.mark.timeout(300)
    async def test_of_thousands_of_requests_at_99_to_1_the_canary_gets_1_in_100_within_4(self):
        """16 connections that ask ahead, through real sockets; counted by the client; 200,000 in the long form."""
        connections, rounds, ahead = 16, long_or(25, 125), 100
        async with echoes(2) as (stable, canary):
            shop = service([[stable.port], [canary.port]], [99, 1], expose_version=True)
            with one_worker(shop) as worker:
                counts = await asyncio.gather(*(count_versions(worker, rounds, ahead) for _ in range(connections)))
                total = sum(counts, Counter[bytes]())
                assert total.total() == connections * rounds * ahead
                assert abs(total[b"v2"] - total.total() // 100) <= 4
                assert total[b"v2"] == len(canary.requests)
                assert worker.slab.read_version(2)["chosen"] == total[b"v2"]

    @pytest.mark.parametrize(("weights", "forks"), [([1, 1, 1], 2), ([5, 0, 3], 1), ([0.7, 0.2, 0.1], 2)])
    async def test_each_version_is_within_two_requests_of_its_share_for_each_fork_at_every_moment(
        self, weights: list[float], forks: int
    ):
        async with echoes(3) as some:
            with one_worker(service([[echo.port] for echo in some], weights)) as worker:
                async with connected(worker.address) as client:
                    for asked in range(1, 201):
                        await client.ask()
                        for echo, weight in zip(some, weights, strict=True):
                            assert abs(len(echo.requests) - asked * weight / sum(weights)) < 2 * forks

    @pytest.mark.parametrize("weights", [[1, 0], [0, 1]])
    async def test_everything_is_everything_and_0_is_nothing(self, weights: list[float]):
        async with echoes(2) as some:
            with one_worker(service([[echo.port] for echo in some], weights)) as worker:
                async with connected(worker.address) as client:
                    for _ in range(100):
                        await client.ask()
            assert [len(echo.requests) for echo in some] == [100 * weight for weight in weights]

    async def test_the_upstream_and_if_wanted_the_client_learn_the_version(self):
        async with echoes(1) as (echo,):
            for expose in (True, False):
                with one_worker(service([[echo.port]], expose_version=expose)) as worker:
                    answer = await ask(worker.address, x_serinus_version="v9")
                    assert echo.requests[-1].headers["x-serinus-version"] == "v1"
                    assert answer.headers.get("x-serinus-version") == ("v1" if expose else None)


async def count_versions(worker: OneWorker, rounds: int, ahead: int) -> Counter[bytes]:
    """Ask so many times ahead, so many times; how often each version answered."""
    marker = b"X-Serinus-Version: "
    versions = Counter[bytes]()
    async with connected(worker.address) as client:
        for _ in range(rounds):
            client.writer.write(b"GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n" * ahead)
            for _ in range(ahead):
                head = await client.reader.readuntil(b"\r\n\r\n")
                at = head.index(marker) + len(marker)
                versions[head[at : head.index(b"\r\n", at)]] += 1
                length = head.index(b"Content-Length: ") + 16
                await client.reader.readexactly(int(head[length : head.index(b"\r\n", length)]))
    return versions


def to_v2(**conditions: Any) -> list[Route]:
    """What matches goes to v2, everything else is 404."""
    return [Route("shop", version="v2", **conditions)]


class TestRoutes:
    """Each case: a route, and heads that match it and heads that do not, as they come from clients."""

    @pytest.mark.parametrize(
        ("conditions", "matching", "others"),
        [
            (
                {"host": "shop.example.com"},
                [
                    "Host: shop.example.com",
                    "Host: SHOP.Example.COM",
                    "Host: shop.example.com:8080",
                    "Host: shop.example.com.",
                ],
                ["Host: example.com", "Host: x.shop.example.com", "Host: shop.example.com.evil", "Host: [::1]"],
            ),
            (
                {"host": "*.example.com"},
                ["Host: shop.example.com", "Host: a.b.EXAMPLE.com:80"],
                ["Host: example.com", "Host: notexample.com"],
            ),
            ({"host": "[::1]"}, ["Host: [::1]", "Host: [::1]:8080"], ["Host: [::2]:8080", "Host: a"]),
            ({"host": "127.0.0.1"}, ["Host: 127.0.0.1:9000"], ["Host: 127.0.0.2"]),
            (
                {"headers": (ValueMatch("x-preview", "exact", "canary"),)},
                ["Host: a\r\nX-Preview: canary", "Host: a\r\nx-PREVIEW:  canary\t"],
                ["Host: a", "Host: a\r\nX-Preview: Canary", "Host: a\r\nX-Preview-2: canary", "Host: a\r\nX-Preview:"],
            ),
            (
                {"cookies": (ValueMatch("beta", "exact", "1"),)},
                [
                    "Host: a\r\nCookie: a=b; beta=1",
                    "Host: a\r\nCookie: a=b\r\nCookie: beta=1",
                    'Host: a\r\nCookie: beta="1"',
                ],
                ["Host: a", "Host: a\r\nCookie: xbeta=1", "Host: a\r\nCookie: beta=12", "Host: a\r\nCookie: BETA=1"],
            ),
        ],
    )
    async def test_by_fields(self, conditions: dict[str, Any], matching: list[str], others: list[str]):
        async with echoes(2) as some:
            with one_worker(service([[echo.port] for echo in some], [1, 0]), routes=to_v2(**conditions)) as worker:
                async with connected(worker.address) as client:
                    for fields, status in [*((one, 200) for one in matching), *((one, 404) for one in others)]:
                        client.writer.write(f"GET / HTTP/1.1\r\n{fields}\r\n\r\n".encode())
                        assert ((await client.receive()).status, fields) == (status, fields)

    @pytest.mark.parametrize(
        ("conditions", "matching", "others"),
        [
            (
                {"path_kind": "prefix", "path": "/api"},
                ["/api", "/api/", "/api/x?a=b", "//api//x", "/x/../api", "/%61pi", "/api/%2e%2E/api", "http://a/api"],
                ["/", "/apix", "/api%2Fx", "/api/..", "/x?/api", "http://a", "http://a/"],
            ),
            ({"path_kind": "exact", "path": "/"}, ["/", "//", "/.", "/?q", "http://a", "http://a?q"], ["/x", "/%2F"]),
            ({"path_kind": "regex", "path": "/v[0-9]+/.*"}, ["/v1/", "/v22/x/y"], ["/v1", "/x/v1/", "/V1/"]),
            (
                {"query": (ValueMatch("color", "exact", "sky blue"),)},
                ["/?color=sky%20blue", "/?a&color=sky+blue&b=c", "/x?c%6Flor=sky+blue"],
                ["/", "/?color", "/?color=sky", "/?xcolor=sky+blue", "/color=sky+blue"],
            ),
            ({"query": (ValueMatch("debug", "present"),)}, ["/?debug", "/?a=b&debug=", "/?debug=1"], ["/", "/?debugx"]),
            ({"query": (ValueMatch("debug", "absent"),)}, ["/", "/?debugx", "/debug"], ["/?debug", "/?a&debug=1"]),
        ],
    )
    async def test_by_targets_which_are_forwarded_as_they_were_sent(
        self, conditions: dict[str, Any], matching: list[str], others: list[str]
    ):
        async with echoes(2) as some:
            with one_worker(service([[echo.port] for echo in some], [1, 0]), routes=to_v2(**conditions)) as worker:
                async with connected(worker.address) as client:
                    for target, status in [*((one, 200) for one in matching), *((one, 404) for one in others)]:
                        assert ((await client.ask(target, Host="a")).status, target) == (status, target)
            origin_forms = [target.removeprefix("http://a") for target in matching]
            assert some[1].targets == [form if form.startswith("/") else f"/{form}" for form in origin_forms]

    async def test_by_methods(self):
        async with echoes(2) as some:
            routes = to_v2(methods=frozenset({"GET", "PURGE"}))
            with one_worker(service([[echo.port] for echo in some]), routes=routes) as worker:
                statuses = [
                    (await ask(worker.address, "/", method)).status for method in ("GET", "PURGE", "POST", "HEAD")
                ]
        assert statuses == [200, 200, 404, 404]

    async def test_the_answer_to_what_no_route_matches_says_so_and_keeps_the_connection(self):
        async with echoes(1) as (echo,):
            with one_worker(service([[echo.port]]), routes=to_v2(path_kind="exact", path="/v2")) as worker:
                async with connected(worker.address) as client:
                    one = await client.ask("/elsewhere")
                    assert (one.status, one.headers["proxy-status"]) == (404, "serinus; error=destination_not_found")
                    assert (await client.ask("/elsewhere")).status == 404
                await until(lambda: worker.slab.read_version(0)["requests"] == {404: 2})


class TestForced:
    async def test_a_route_reaches_a_version_whose_weight_is_0(self):
        async with echoes(2) as (stable, canary):
            routes = [
                forced("v2", headers=CANARY_HEADER),
                forced("v2", path_kind="prefix", path="/beta"),
                Route("shop"),
            ]
            with one_worker(service([[stable.port], [canary.port]], [1, 0]), routes=routes) as worker:
                assert (await ask(worker.address)).port == stable.port
                assert (await ask(worker.address, "/beta/x")).port == canary.port
                assert (await ask(worker.address, X_Preview="canary")).port == canary.port
                assert (await ask(worker.address, X_Preview="other")).port == stable.port

    async def test_forced_requests_do_not_disturb_the_split(self):
        async with echoes(2) as (stable, canary):
            routes = [forced("v2", path_kind="exact", path="/beta"), Route("shop")]
            with one_worker(service([[stable.port], [canary.port]], [9, 1]), routes=routes) as worker:
                async with connected(worker.address) as client:
                    for _ in range(100):
                        await client.ask("/beta")
                        await client.ask("/")
            assert abs(canary.targets.count("/") - 10) <= 2

    async def test_a_forced_version_that_the_service_does_not_have_is_503(self):
        async with echoes(1) as (echo,):
            with one_worker(service([[echo.port]]), routes=[forced("v9")]) as worker:
                assert (await ask(worker.address)).status == 503


class TestChanges:
    async def test_after_a_change_every_request_goes_to_a_version_that_has_weight_now(self):
        async with echoes(2) as some:
            split = service([[echo.port] for echo in some])
            with one_worker(split) as worker:
                async with connected(worker.address) as client:
                    for i in range(200):
                        whole = i % 2
                        worker.serve(replace(split, weights=(1.0 - whole, float(whole))))
                        assert (await client.ask()).port == some[whole].port

    async def test_no_request_fails_while_weights_change(self):
        """The requests in flight when a version loses its weight are answered by it."""
        async with echoes(3) as some:
            split = service([[echo.port] for echo in some])
            with one_worker(split) as worker:
                done = asyncio.Event()
                askers = [asyncio.create_task(ask_until(worker, done)) for _ in range(8)]
                for i in range(300):
                    weights = tuple(float((i + k) % 3) for k in range(3))
                    await asyncio.to_thread(worker.serve, replace(split, weights=weights))
                done.set()
                statuses = sum(await asyncio.gather(*askers), Counter[int]())
            assert set(statuses) == {200}
            assert min(len(echo.requests) for echo in some) > 0

    async def test_a_change_of_weights_keeps_the_connections_to_endpoints(self):
        async with echoes(1) as (echo,):
            split = service([[echo.port], [echo.port]])
            with one_worker(split) as worker:
                async with connected(worker.address) as client:
                    await client.ask()
                    await client.ask()
                    for i in range(20):
                        worker.serve(replace(split, weights=(1.0, float(i))))
                        await client.ask()
            assert echo.accepted == 2

    async def test_a_version_that_is_new_gets_its_share_at_once_and_one_that_is_gone_none(self):
        async with echoes(2) as (old, new):
            split = service([[old.port], [new.port]])
            with one_worker(replace(split, versions=split.versions[:1], weights=(1.0,))) as worker:
                assert {(await ask(worker.address)).port for _ in range(4)} == {old.port}
                worker.serve(split)
                assert {(await ask(worker.address)).port for _ in range(4)} == {old.port, new.port}
                worker.serve(replace(split, versions=split.versions[1:], weights=(1.0,)))
                assert {(await ask(worker.address)).port for _ in range(4)} == {new.port}


async def ask_until(worker: OneWorker, done: asyncio.Event) -> Counter[int]:
    statuses = Counter[int]()
    async with connected(worker.address) as client:
        while not done.is_set():
            statuses[(await client.ask()).status] += 1
    return statuses


async def test_the_access_log_says_why_each_version_was_chosen(tmp_path: Path):
    async with echoes(2) as (stable, canary):
        shop = service([[stable.port], [canary.port]], [1, 0])
        empty = service([[], [canary.port]], [1, 0], fallback=1)
        sticky = service([[stable.port], [canary.port]], [1, 1], sticky=BY_HEADER)
        routes = [
            forced("v2", headers=CANARY_HEADER),
            forced("v2", path_kind="exact", path="/forced"),
            Route("empty", path_kind="exact", path="/fallback"),
            Route("sticky", path_kind="exact", path="/sticky"),
            Route("shop", path_kind="exact", path="/weight"),
        ]
        services = [shop, renamed(empty, "empty", 10), renamed(sticky, "sticky", 20)]
        log = AccessLog(
            "json", str(tmp_path / "access.log"), ("path", "service", "version", "reason", "upstream", "status")
        )
        with one_worker(*services, routes=routes, access_log=log) as worker:
            async with connected(worker.address) as client:
                await client.ask("/header", X_Preview="canary")
                await client.ask("/forced")
                await client.ask("/fallback")
                await client.ask("/sticky", X_User="one")
                await client.ask("/sticky")
                await client.ask("/weight")
                await client.ask("/nowhere")
            lines = await access_lines(tmp_path / "access.log", 7)
    at = {echo: f"127.0.0.1:{echo.port}" for echo in (stable, canary)}
    assert [(line["path"], line["service"], line["version"], line["reason"], line["upstream"]) for line in lines] == [
        ("/header", "shop", "v2", "header", at[canary]),
        ("/forced", "shop", "v2", "forced", at[canary]),
        ("/fallback", "empty", "v2", "fallback", at[canary]),
        ("/sticky", "sticky", lines[3]["version"], "sticky", lines[3]["upstream"]),
        ("/sticky", "sticky", lines[4]["version"], "weight", lines[4]["upstream"]),
        ("/weight", "shop", "v1", "weight", at[stable]),
        ("/nowhere", None, None, None, None),
    ]
    assert [line["status"] for line in lines] == [200] * 6 + [404]
