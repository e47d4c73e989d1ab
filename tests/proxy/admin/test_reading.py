"""What can be looked at: the live state, services, the configuration, statistics."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from proxy.core.live import Refused
from proxy.core.stats import Rates
from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeObservations, FakeSupervisor
from tests.support.lives import a_config

SPLIT = "/v1/services/shop/split"


async def test_a_service_shows_what_is_live_and_how_it_does(
    api: Api, supervisor: FakeSupervisor, observations: FakeObservations
):
    observations.known_rates["shop", "stable"] = Rates(120.0, 0.25, 0.004, 0.09)
    observations.shares["shop"] = {"stable": 0.98, "canary": 0.02}
    supervisor.fell_ill("shop", "stable", "127.0.0.1:9002")
    supervisor.busy["shop", "canary", "127.0.0.1:9003"] = 7
    supervisor.ejected["shop", "canary", "127.0.0.1:9003"] = 2

    shop = await api.get("/v1/services/shop")

    since = shop["versions"]["stable"]["endpoints"][1].pop("since")
    assert since > 0
    assert shop == {
        "name": "shop",
        "generation": 1,
        "split": {"stable": 99.0, "canary": 1.0},
        "active": None,
        "versions": {
            "stable": {
                "weight": 99.0,
                "target": 0.99,
                "actual": 0.98,
                "requests_per_second": 120.0,
                "error_share": 0.25,
                "p50": 0.004,
                "p99": 0.09,
                "endpoints": [
                    an_endpoint("127.0.0.1:9001"),
                    {
                        "address": "127.0.0.1:9002",
                        "state": "up",
                        "healthy": False,
                        "detail": "connection refused",
                        "in_flight": 0,
                        "ejected_workers": 0,
                    },
                ],
            },
            "canary": {
                "weight": 1.0,
                "target": 0.01,
                "actual": 0.02,
                "requests_per_second": 0.0,
                "error_share": None,
                "p50": None,
                "p99": None,
                "endpoints": [an_endpoint("127.0.0.1:9003", in_flight=7, ejected_workers=2)],
            },
        },
        "last_change": {"by": "file", "actor": "", "reason": "", "at": 0.0, "generation": 1},
        "split_change": {"by": "file", "actor": "", "reason": "", "at": 0.0, "generation": 1},
        "lease": None,
    }


def an_endpoint(address: str, **more: Any) -> dict[str, Any]:
    well = {"state": "up", "healthy": True, "detail": "", "since": None, "in_flight": 0, "ejected_workers": 0}
    return {"address": address, **well, **more}


async def test_the_state_has_every_service_and_the_routes_of_the_file(api: Api, supervisor: FakeSupervisor):
    supervisor.live = FakeSupervisor(
        a_config(routes=({"match": {"host": "shop.example"}, "service": "shop", "version": "canary"},))
    ).live

    state = await api.get("/v1/state")

    assert state["generation"] == 1
    assert list(state["services"]) == ["shop", "cart"]
    assert state["services"]["shop"] == await api.get("/v1/services/shop")
    assert state["services"]["cart"]["active"] == "blue"
    assert [(route["match"]["host"], route["service"], route["version"]) for route in state["routes"]] == [
        (["shop.example"], "shop", "canary")
    ]
    assert await api.get("/v1/services") == {"generation": 1, "services": state["services"]}


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', "1", '"0", "1"', "*"])
async def test_the_state_is_not_sent_again_to_who_has_this_generation(api: Api, tag: str):
    response, content = await api.ask("GET", "/v1/state", headers={"If-None-Match": tag})
    assert (response.status, response.headers["ETag"], content) == (304, '"1"', "")


async def test_the_state_is_sent_again_when_there_is_a_new_generation(api: Api):
    await api.ask("PUT", SPLIT, json={"weights": {"stable": 1}})
    response, content = await api.ask("GET", "/v1/state", headers={"If-None-Match": '"1"'})
    assert (response.status, response.headers["ETag"], content["generation"]) == (200, '"2"', 2)


async def test_an_unknown_service_is_answered_with_the_nearest_name(api: Api):
    status, content = await api.problem("GET", "/v1/services/shpo")
    assert (status, content["title"], content["detail"]) == (404, "Not Found", "There is no service 'shpo'")
    assert [(each["path"], each["suggestion"]) for each in content["problems"]] == [("service", "shop")]


async def test_the_configuration_is_shown_with_its_defaults_and_without_its_token(api: Api, supervisor: FakeSupervisor):
    token = "correct-horse-battery-staple"
    supervisor.live = FakeSupervisor(a_config(admin={"address": "127.0.0.1:0", "token": token})).live

    response, content = await api.ask("GET", "/v1/config", headers={"Authorization": f"Bearer {token}"})

    assert content["generation"] == 1
    assert content["config"]["services"]["shop"]["timeouts"]["connect"] == "2s"
    assert token not in await response.text()


async def test_nothing_differs_from_the_file_before_a_change(api: Api):
    assert await api.get("/v1/config/diff") == {"generation": 1, "differences": []}


async def test_what_differs_from_the_file_is_shown_with_who_changed_it(api: Api):
    body = {"weights": {"stable": 90, "canary": 10}, "reason": "looks well"}
    await api.ask("PUT", SPLIT, json=body, headers={"X-Serinus-Actor": "kim"})

    diff = await api.get("/v1/config/diff")

    (difference,) = diff["differences"]
    change = difference.pop("last_change")
    assert (change["by"], change["reason"], change["generation"]) == ("kim", "looks well", 2)
    assert difference == {
        "service": "shop",
        "path": "services.shop.split",
        "file": {"stable": 99.0, "canary": 1.0},
        "live": {"stable": 90.0, "canary": 10.0},
    }


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", (60, None)),
        ("?seconds=900", (900, None)),
        ("?seconds=5&service=shop", (5, ["shop"])),
        ("?service=shop&service=cart", (60, ["shop", "cart"])),
    ],
)
async def test_statistics_can_be_narrowed(api: Api, observations: FakeObservations, query: str, asked: object):
    await api.get(f"/v1/stats{query}")
    assert observations.asked == [asked]


async def test_statistics_of_an_unknown_service_do_not_exist(api: Api):
    status, content = await api.problem("GET", "/v1/stats?service=shp")
    assert (status, content["problems"][0]["suggestion"]) == (404, "shop")


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ("seconds=0", [("seconds", "must be at least 1", None)]),
        ("seconds=901", [("seconds", "must be at most 900", None)]),
        ("seconds=ten", [("seconds", "must be a whole number", None)]),
        ("secnds=10", [("secnds", "is not known here", "seconds")]),
        (
            "seconds=x&sevice=shop",
            [("seconds", "must be a whole number", None), ("sevice", "is not known here", "service")],
        ),
    ],
)
async def test_a_wrong_query_is_told_all_that_is_wrong(api: Api, query: str, problems: object):
    status, content = await api.problem("GET", f"/v1/stats?{query}")
    assert status == 422
    assert [(each["path"], each["message"], each["suggestion"]) for each in content["problems"]] == problems


async def test_it_says_whom_it_follows_and_why_nobody_follows_it(api: Api, supervisor: FakeSupervisor):
    supervisor.succession.predecessor = 4711
    alone = {"pid": os.getpid(), "phase": "alone", "predecessor": 4711, "successor": 0}
    assert await api.get("/v1/handover") == {**alone, "failures": 0, "last_failure": None}
    supervisor.succession.enter("starting")
    supervisor.succession.fail(7.0, "it refused")
    failed = {"failures": 1, "last_failure": {"at": 7.0, "reason": "it refused"}}
    assert await api.get("/v1/handover") == {**alone, **failed}


async def test_a_change_that_may_be_tried_again_says_when(api: Api, supervisor: FakeSupervisor):
    supervisor.failure = Refused(503, "This proxy is being handed over", retry_after=1)
    response, _ = await api.ask("PUT", SPLIT, json={"weights": {"stable": 1}})
    assert (response.status, response.headers["Retry-After"]) == (503, "1")


@pytest.fixture
def snapshot(supervisor: FakeSupervisor) -> Callable[[], object]:
    return lambda: (supervisor.live, supervisor.events.last_id)


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/v1/state",
        "/v1/services",
        "/v1/services/shop",
        "/v1/config",
        "/v1/config/diff",
        "/v1/stats",
        "/v1/handover",
    ],
)
async def test_looking_changes_nothing_and_head_is_get_without_content(
    api: Api, snapshot: Callable[[], object], path: str
):
    before = snapshot()
    await api.get(path)
    response, content = await api.ask("HEAD", path)
    assert (response.status, content) == (200, "")
    assert snapshot() == before
