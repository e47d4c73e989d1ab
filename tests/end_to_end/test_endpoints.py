"""The life of an endpoint: found well or not, drained, added, removed, dead; and of a version that fails."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from cli.faults import Conflict
from tests.support.knobbed_upstream import KnobbedUpstream, knobbed_upstreams
from tests.support.load import load
from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

HEALTH = {"path": "/healthz", "interval": "100ms", "timeout": "5s", "rise": 2, "fall": 3}


@contextmanager
def two_endpoints(folder: Path, **parts: Any) -> Iterator[tuple[WholeProxy, KnobbedUpstream, KnobbedUpstream]]:
    """A version with two endpoints, `one` and `two`."""
    with knobbed_upstreams("one", "two") as (one, two):
        tree = a_service({"v1": [one.address, two.address]}, {"v1": 1}, **parts)
        with whole_proxy(folder, tree) as proxy:
            yield proxy, one, two


def answers(proxy: WholeProxy, requests: int = 40) -> set[tuple[int, str]]:
    return {proxy.ask() for _ in range(requests)}


def endpoint(proxy: WholeProxy, address: str, version: str = "v1") -> dict[str, Any]:
    endpoints = proxy.admin.service("shop")["versions"][version]["endpoints"]
    (found,) = [each for each in endpoints if each["address"] == address]
    return dict(found)


# --- health -----------------------------------------------------------------------------------------------------------


def test_an_endpoint_goes_down_after_3_bad_probes_and_comes_up_after_2_good_ones(tmp_path: Path):
    with two_endpoints(tmp_path, health=HEALTH) as (proxy, one, _):
        wait_until(lambda: one.probes, "for the first probe")
        one.is_healthy = False
        wait_until(lambda: not endpoint(proxy, one.address)["healthy"], "for the endpoint to go down")
        assert one.probes.count(503) >= 3
        assert "503" in endpoint(proxy, one.address)["detail"]
        wait_until(lambda: answers(proxy) == {(200, "two")}, "for every worker to know")
        one.is_healthy, good = True, one.probes.count(200)
        wait_until(lambda: endpoint(proxy, one.address)["healthy"], "for the endpoint to come up")
        assert one.probes.count(200) - good >= 2
        wait_until(lambda: answers(proxy) == {(200, "one"), (200, "two")}, "for every worker to know")


def test_a_new_endpoint_gets_nothing_until_its_first_good_probe(tmp_path: Path):
    with two_endpoints(tmp_path, health=HEALTH) as (proxy, *_), knobbed_upstreams("three") as (three,):
        three.is_healthy = False
        assert proxy.serinus("endpoint", "add", "shop", "v1", three.address)[0] == 0
        wait_until(lambda: len(three.probes) > 3)
        assert not endpoint(proxy, three.address)["healthy"]
        assert answers(proxy) == {(200, "one"), (200, "two")}
        three.is_healthy = True
        wait_until(lambda: endpoint(proxy, three.address)["healthy"])
        wait_until(lambda: answers(proxy) == {(200, "one"), (200, "two"), (200, "three")}, "for every worker to know")


def test_a_version_without_a_usable_endpoint_gives_its_share_to_the_stable_one(tmp_path: Path):
    with knobbed_upstreams("stable", "canary") as (stable, canary):
        tree = a_service(
            {"stable": stable.address, "canary": canary.address}, {"stable": 1, "canary": 1}, health=HEALTH
        )
        with whole_proxy(tmp_path, tree) as proxy:
            canary.is_healthy = False
            wait_until(lambda: not endpoint(proxy, canary.address, "canary")["healthy"])
            wait_until(lambda: answers(proxy) == {(200, "stable")}, "for every worker to know")
            stable.is_healthy = False
            wait_until(lambda: not proxy.admin.is_well("/readyz"), "for readyz to say that nothing is usable")
            wait_until(lambda: {status for status, _ in answers(proxy)} == {503}, "for every worker to know")


def test_an_endpoint_that_dies_under_load_costs_no_request(tmp_path: Path):
    with named_upstreams("two") as living, ExitStack() as stack:
        dying = stack.enter_context(named_upstreams("one"))
        tree = a_service({"v1": [dying["one"], living["two"]]}, {"v1": 1})
        with whole_proxy(tmp_path, tree) as proxy, load(proxy, kept=8, fresh=2, path="/after/0.005") as running:
            wait_until(lambda: proxy.answers()["v1"] > 1000, "for some traffic, of which a part may be retried")
            stack.close()
            assert answers(proxy) == {(200, "two")}
            requests = running.end()
    assert {(request.status, request.failure) for request in requests} == {(200, "")}
    assert {request.answer for request in requests} == {"one", "two"}


# --- drain, add, remove -----------------------------------------------------------------------------------------------


def test_drain_waits_for_what_is_in_flight_and_remove_takes_the_endpoint_away(tmp_path: Path):
    with two_endpoints(tmp_path) as (proxy, one, two), ThreadPoolExecutor() as pool:
        one.gate.clear()
        held = [pool.submit(proxy.ask) for _ in range(8)]
        wait_until(lambda: one.requests, "for a request to be held")
        drained = pool.submit(proxy.serinus, "endpoint", "drain", "--wait", "shop", "v1", one.address)
        wait_until(lambda: endpoint(proxy, one.address)["state"] == "drain")
        assert answers(proxy) == {(200, "two")}
        with pytest.raises(Conflict, match="not idle"):
            proxy.admin.remove_endpoint("shop", "v1", one.address)
        assert not drained.done()
        one.gate.set()
        code, words = drained.result()
        assert (code, f"{one.address} of shop/v1 is idle" in words) == (0, True), words
        assert {request.result()[0] for request in held} == {200}
        assert proxy.serinus("endpoint", "remove", "shop", "v1", one.address)[0] == 0
        assert answers(proxy) == {(200, "two")}
        assert [each["address"] for each in proxy.admin.service("shop")["versions"]["v1"]["endpoints"]] == [two.address]


def test_endpoints_change_under_load_without_a_failed_request(tmp_path: Path):
    with (
        named_upstreams("one", "two", "three") as places,
        whole_proxy(tmp_path, a_service({"v1": places["one"]}, {"v1": 1})) as proxy,
        load(proxy, kept=8, fresh=2) as running,
    ):
        for old, new in [("one", "two"), ("two", "three"), ("three", "one")] * 3:
            proxy.admin.add_endpoint("shop", "v1", places[new])
            assert proxy.serinus("endpoint", "drain", "--wait", "shop", "v1", places[old])[0] == 0
            proxy.admin.remove_endpoint("shop", "v1", places[old])
            assert answers(proxy, 5) == {(200, new)}
        requests = running.end()
    assert {(request.status, request.failure) for request in requests} == {(200, "")}


# --- the breaker ------------------------------------------------------------------------------------------------------


@contextmanager
def a_canary(folder: Path) -> Iterator[tuple[WholeProxy, KnobbedUpstream, KnobbedUpstream]]:
    with knobbed_upstreams("stable", "canary") as (stable, canary):
        versions = {"stable": stable.address, "canary": canary.address}
        tree = a_service(versions, {"stable": 50, "canary": 50}, breaker={"window": 20, "fails": 5})
        with whole_proxy(folder, tree) as proxy:
            yield proxy, stable, canary


def test_the_breaker_takes_a_failing_canary_out_and_says_so(tmp_path: Path):
    with a_canary(tmp_path) as (proxy, _, canary), events(proxy) as heard, load(proxy, kept=4):
        canary.status = 500
        wait_until(lambda: proxy.admin.service("shop")["split"]["canary"] == 0, "for the breaker")
        shop = proxy.admin.service("shop")
        assert (shop["split"], shop["last_change"]["by"]) == ({"stable": 50, "canary": 0}, "breaker")
        assert shop["last_change"]["reason"].startswith("breaker: ")
        wait_until(lambda: any(kind == "breaker" for kind, _ in heard), "for the event")
        (event,) = [event for kind, event in heard if kind == "breaker"]
        assert (event["service"], event["version"], event["reason"]) == (
            "shop",
            "canary",
            shop["last_change"]["reason"],
        )
        assert answers(proxy) == {(200, "stable")}
        assert f"took shop/canary out: {event['reason']}" in proxy.log


def test_the_breaker_leaves_a_canary_alone_when_the_stable_version_fails_as_well(tmp_path: Path):
    with a_canary(tmp_path) as (proxy, stable, canary), load(proxy, kept=4) as running:
        stable.status = canary.status = 500
        wait_until(lambda: stable.requests > 200 and canary.requests > 200)
        assert {request.status for request in running.end()} >= {500}
        assert proxy.admin.service("shop")["split"] == {"stable": 50, "canary": 50}


@contextmanager
def events(proxy: WholeProxy) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Everything that /v1/events says within the block, as it comes."""
    host, _, port = proxy.admin_address.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=30)
    connection.request("GET", "/v1/events")
    response = connection.getresponse()
    heard: list[tuple[str, dict[str, Any]]] = []

    def listen() -> None:
        kind = ""
        for line in response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                heard.append((kind, json.loads(value)))

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield heard
    finally:
        connection.sock.shutdown(2)
        listener.join()
        response.close()
        connection.close()
