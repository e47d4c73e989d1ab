"""What can be changed: splits, pools, endpoints, and the file itself."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from proxy.core.live import Refused
from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeSupervisor, a_bad_file
from tests.support.lives import SERVICES, a_config

SPLIT = "/v1/services/shop/split"
STABLE = "/v1/services/shop/versions/stable/endpoints"
CANARY = "/v1/services/shop/versions/canary/endpoints"
FIRST = f"{STABLE}/127.0.0.1:9001"


async def test_a_split_answers_with_the_service_that_is_served_now(api: Api, supervisor: FakeSupervisor):
    body = {"weights": {"stable": 90, "canary": 10}, "reason": "looks well"}

    response, shop = await api.ask("PUT", SPLIT, json=body, headers={"X-Serinus-Actor": "kim"})

    assert (response.status, response.headers["ETag"]) == (200, '"2"')
    assert shop == await api.get("/v1/services/shop")
    assert shop["split"] == dict(supervisor.live.services["shop"].weights) == {"stable": 90.0, "canary": 10.0}
    assert {name: version["target"] for name, version in shop["versions"].items()} == {"stable": 0.9, "canary": 0.1}
    change = shop["last_change"]
    assert change.pop("at") > 0
    assert change == {"by": "kim", "actor": "", "reason": "looks well", "generation": 2}


@pytest.mark.parametrize("text", ["größer", "👩‍💻 said so", "a\u00a0b", "ใช้ได้", '"quoted"'])
async def test_a_reason_and_a_name_may_be_of_any_language(api: Api, text: str):
    headers = {"X-Serinus-Actor": text}
    _, shop = await api.ask("PUT", SPLIT, json={"weights": {"stable": 1}, "reason": text}, headers=headers)
    assert (shop["last_change"]["by"], shop["last_change"]["reason"]) == (text, text)


async def test_a_change_without_a_name_is_one_of_the_admin_api(api: Api):
    _, shop = await api.ask("PUT", SPLIT, json={"weights": {"stable": 1}})
    assert (shop["last_change"]["by"], shop["last_change"]["reason"]) == ("admin api", "")


async def test_a_new_rollout_deals_the_users_anew(api: Api, supervisor: FakeSupervisor):
    old = supervisor.live.services["shop"].salt
    await api.ask("PUT", SPLIT, json={"weights": {"stable": 99, "canary": 1}})
    assert supervisor.live.services["shop"].salt == old
    await api.ask("PUT", SPLIT, json={"weights": {"stable": 99, "canary": 1}, "salt": "new"})
    assert supervisor.live.services["shop"].salt != old
    await api.ask("PUT", SPLIT, json={"weights": {"stable": 99, "canary": 1}, "salt": "0f" * 16})
    assert supervisor.live.services["shop"].salt == b"\x0f" * 16
    status, _ = await api.problem("PUT", SPLIT, json={"weights": {"stable": 1}, "salt": "0f"})
    assert status == 422


async def test_a_pool_is_switched(api: Api):
    _, cart = await api.ask("PUT", "/v1/services/cart/active", json={"version": "green"})
    assert (cart["active"], cart["split"]) == ("green", {"blue": 0.0, "green": 1.0})


async def test_an_endpoint_comes_drains_and_goes(api: Api):
    _, shop = await api.ask("POST", CANARY, json={"address": "127.0.0.1:9004"})
    assert states(shop, "canary") == {"127.0.0.1:9003": "up", "127.0.0.1:9004": "up"}
    _, shop = await api.ask("PUT", f"{CANARY}/127.0.0.1:9003/state", json={"state": "drain"})
    assert states(shop, "canary") == {"127.0.0.1:9003": "drain", "127.0.0.1:9004": "up"}
    response, shop = await api.ask("DELETE", f"{CANARY}/127.0.0.1:9003?reason=too%20old")
    assert (response.status, response.headers["ETag"]) == (200, '"4"')
    assert states(shop, "canary") == {"127.0.0.1:9004": "up"}
    assert shop["last_change"]["reason"] == "too old"


def states(service: dict[str, Any], version: str) -> dict[str, str]:
    return {endpoint["address"]: endpoint["state"] for endpoint in service["versions"][version]["endpoints"]}


@pytest.mark.parametrize(
    "address", ["[::1]:9001", "unix:/run/app.sock", "unix:/run/odd {name} 100%.sock", "backend.example:80"]
)
@pytest.mark.parametrize("safe", ["", ":[]"])
async def test_an_address_in_a_path_may_be_of_any_kind(api: Api, address: str, safe: str):
    await api.ask("POST", CANARY, json={"address": address})
    path = f"{CANARY}/{quote(address, safe=safe)}"
    _, shop = await api.ask("PUT", f"{path}/state", json={"state": "down"})
    assert states(shop, "canary")[address] == "down"
    _, shop = await api.ask("DELETE", path)
    assert address not in states(shop, "canary")


async def test_an_address_in_a_path_may_be_written_in_another_way(api: Api):
    await api.ask("POST", CANARY, json={"address": "[0:0::1]:9001"})
    response, _ = await api.ask("DELETE", f"{CANARY}/[::0:1]:9001")
    assert response.status == 200


async def test_a_busy_endpoint_stays_unless_it_is_forced_out(api: Api, supervisor: FakeSupervisor):
    supervisor.busy["shop", "stable", "127.0.0.1:9001"] = 3
    status, content = await api.problem("DELETE", FIRST)
    assert (status, content["detail"], content["in_flight"]) == (409, "127.0.0.1:9001 is not idle", 3)
    assert supervisor.live.generation == 1
    _, shop = await api.ask("DELETE", f"{FIRST}?force=true")
    assert states(shop, "stable") == {"127.0.0.1:9002": "up"}


async def test_draining_answers_at_once_and_shows_what_is_in_flight(api: Api, supervisor: FakeSupervisor):
    supervisor.busy["shop", "stable", "127.0.0.1:9001"] = 3
    _, shop = await api.ask("PUT", f"{FIRST}/state", json={"state": "drain"})
    assert shop["versions"]["stable"]["endpoints"][0]["in_flight"] == 3


# --- conditions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ['"1"', "1", 'W/"1"', "*", '"7", "1"'])
async def test_a_change_based_on_this_generation_is_made(api: Api, tag: str):
    response, _ = await api.ask("PUT", SPLIT, json={"weights": {"stable": 1}}, headers={"If-Match": tag})
    assert response.status == 200


@pytest.mark.parametrize("tag", ['"7"', "7", '"01"', '"x"', "x", ""])
async def test_a_change_based_on_something_else_is_refused(api: Api, supervisor: FakeSupervisor, tag: str):
    status, _ = await api.problem("PUT", SPLIT, json={"weights": {"stable": 1}}, headers={"If-Match": tag})
    assert (status, supervisor.live.generation) == (412, 1)


async def test_of_many_changes_based_on_one_generation_exactly_one_wins(api: Api, supervisor: FakeSupervisor):
    changes = [
        api.ask("PUT", SPLIT, json={"weights": {"stable": 99 - n, "canary": n}}, headers={"If-Match": '"1"'})
        for n in range(1, 21)
    ]
    answers = await asyncio.gather(*changes)
    won = [content for response, content in answers if response.status == 200]
    assert sorted(response.status for response, _ in answers) == [200] + [412] * 19
    assert [content["split"] for content in won] == [dict(supervisor.live.services["shop"].weights)]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", SPLIT, {"weights": {"canary": 1}}),
        ("PUT", "/v1/services/cart/active", {"version": "green"}),
        ("POST", CANARY, {"address": "127.0.0.1:9004"}),
        ("PUT", f"{FIRST}/state", {"state": "down"}),
        ("DELETE", FIRST, None),
    ],
)
async def test_a_dry_run_shows_what_would_be_and_changes_nothing(
    api: Api, supervisor: FakeSupervisor, method: str, path: str, body: object
):
    before = supervisor.live
    response, would_be = await api.ask(method, f"{path}?dry_run=true", json=body)
    assert (response.status, would_be["generation"], "ETag" in response.headers) == (200, 2, False)
    assert (supervisor.live, supervisor.events.last_id) == (before, 0)
    _, real = await api.ask(method, path, json=body)
    for service in (would_be, real):
        del service["last_change"]["at"], service["split_change"]["at"]
    assert would_be == real


async def test_a_dry_run_is_refused_like_the_real_thing(api: Api):
    assert (await api.problem("PUT", f"{SPLIT}?dry_run=true", json={"weights": {}}))[0] == 422
    stale = {"If-Match": '"7"'}
    assert (await api.problem("PUT", f"{SPLIT}?dry_run=true", json={"weights": {"stable": 1}}, headers=stale))[0] == 412


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, [("weights", "is required", None)]),
        ({"weights": [1]}, [("weights", "must be an object", None)]),
        ({"weights": {}}, [("weights", "all weights are 0: at least one version has to get the requests", None)]),
        ({"weights": {"stable": 1}, "salt": "old"}, [("salt", "must be 'new' or 32 hexadecimal digits", None)]),
        ({"weights": {"stable": 1}, "reason": 1}, [("reason", "must be text", None)]),
        ({"weights": {"stable": 1}, "reason": "x" * 501}, [("reason", "has more than 500 characters", None)]),
        (
            {"weights": {"stable": 1}, "reason": "a\nb"},
            [("reason", "holds a control character; one line of plain text is wanted", None)],
        ),
        (
            {"weights": {"stabel": "much", "canary": True}, "reasn": "x", "salt": 1},
            [
                ("salt", "must be text", None),
                ("reasn", "is not known here", "reason"),
                ("weights.stabel", "there is no version 'stabel'", "stable"),
                ("weights.stabel", "a weight is a number, not 'much'", None),
                ("weights.canary", "a weight is a number, not True", None),
            ],
        ),
    ],
)
async def test_a_wrong_body_is_told_all_that_is_wrong(
    api: Api, supervisor: FakeSupervisor, body: object, problems: object
):
    status, content = await api.problem("PUT", SPLIT, json=body)
    assert (status, supervisor.live.generation) == (422, 1)
    assert [(each["path"], each["message"], each["suggestion"]) for each in content["problems"]] == problems


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "suggestion"),
    [
        ("PUT", "/v1/services/shp/split", {"weights": {"stable": 1}}, 404, "shop"),
        ("PUT", "/v1/services/shp/split", {"weights": {"stable": 1}, "x": 1}, 404, "shop"),
        ("PUT", "/v1/services/cart/active", {"version": "gren"}, 422, "green"),
        ("POST", "/v1/services/shop/versions/canry/endpoints", {"address": "127.0.0.1:9004"}, 404, "canary"),
        ("POST", CANARY, {"address": "127.0.0.1"}, 422, None),
        ("POST", CANARY, {"address": "127.0.0.1:9003"}, 409, None),
        ("PUT", f"{FIRST}/state", {"state": "drian"}, 422, "drain"),
        ("PUT", f"{STABLE}/127.0.0.1:9011/state", {"state": "up"}, 404, "127.0.0.1:9001"),
        ("DELETE", f"{STABLE}/not-an-address", None, 404, None),
    ],
)
async def test_what_is_not_there_is_named_with_the_nearest_that_is(
    api: Api, method: str, path: str, body: object, status: int, suggestion: str | None
):
    answered, content = await api.problem(method, path, json=body)
    assert (answered, content["problems"][0]["suggestion"]) == (status, suggestion)


@pytest.mark.parametrize("actor", ["", "x" * 101, "a\tb", "\u2028", "\x85"])
async def test_a_name_that_cannot_be_shown_is_refused(api: Api, supervisor: FakeSupervisor, actor: str):
    headers = {"X-Serinus-Actor": actor}
    status, content = await api.problem("PUT", SPLIT, json={"weights": {"stable": 1}}, headers=headers)
    assert (status, content["problems"][0]["path"], supervisor.live.generation) == (422, "X-Serinus-Actor", 1)


@pytest.mark.parametrize("status", [503, 507])
async def test_what_the_supervisor_refuses_is_told_as_it_says(api: Api, supervisor: FakeSupervisor, status: int):
    supervisor.failure = Refused(status, "Not now")
    answered, content = await api.problem("PUT", SPLIT, json={"weights": {"stable": 1}})
    assert (answered, content["status"], content["detail"]) == (status, status, "Not now")


# --- reload -----------------------------------------------------------------------------------------------------------


async def test_a_reload_takes_the_file_and_shows_what_is_live_beside_it(api: Api, supervisor: FakeSupervisor):
    await api.ask("PUT", "/v1/services/cart/active", json={"version": "green"})
    supervisor.file = a_config({**SERVICES, "shop": {**SERVICES["shop"], "split": {"canary": 1}}})
    response, content = await api.ask("POST", "/v1/reload")
    assert (response.status, response.headers["ETag"]) == (200, '"3"')
    assert [each["path"] for each in content["differences"]] == ["services.cart.split"]
    assert content["notices"] == ["workers has changed: restart the proxy"]
    assert (await api.get("/v1/services/shop"))["split"] == {"stable": 0.0, "canary": 1.0}


async def test_a_bad_file_changes_nothing_and_is_told_where_it_is_wrong(api: Api, supervisor: FakeSupervisor):
    supervisor.file = a_bad_file()
    status, content = await api.problem("POST", "/v1/reload")
    assert (status, supervisor.live.generation) == (422, 1)
    assert content["problems"] == [
        {
            "path": "services.shop.split.cnary",
            "message": "there is no version 'cnary'",
            "suggestion": "canary",
            "line": 12,
            "column": 14,
        }
    ]


async def test_there_is_no_dry_run_of_a_reload(api: Api, supervisor: FakeSupervisor):
    supervisor.file = a_bad_file()
    status, content = await api.problem("POST", "/v1/reload?dry_run=true")
    assert (status, content["problems"][0]["path"]) == (422, "dry_run")
