"""Leases by the admin API: made, renewed, shown, ended."""

from typing import Any

from proxy.core.leasing import run_out
from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeSupervisor

LEASE = "/v1/services/shop/lease"
ME = {"X-Serinus-Actor": "rollout shop-1"}
BACK = {"seconds": 60, "do": "rollback", "weights": {"stable": 100, "canary": 0}}
SHOWN = {"holder": "rollout shop-1", "seconds": 60.0, "do": "rollback", "active": None, "brings": None}


async def made(api: Api, **more: Any) -> Any:
    response, shop = await api.ask("PUT", LEASE, json=BACK, headers=ME | more)
    assert (response.status, response.headers["ETag"]) == (200, f'"{shop["generation"]}"')
    return shop


async def test_a_lease_is_shown_with_its_service_and_alone(api: Api):
    shop = await made(api)
    assert 59 < shop["lease"].pop("remaining") <= 60
    assert shop["lease"] == {**SHOWN, "weights": {"stable": 100.0, "canary": 0.0}, "ran_out": None}
    alone = await api.get(LEASE)
    assert 59 < alone.pop("remaining") <= 60
    assert alone == shop["lease"]


async def test_a_lease_says_what_its_holder_brings_and_what_guards_that(api: Api):
    brings = {"version": "canary", "reference": "stable", "breaker": {"window": 30, "fails": 3}}
    await api.ask("PUT", LEASE, json={"seconds": 60, "do": "hold", "brings": brings}, headers=ME)
    assert (await api.get(LEASE))["brings"] == brings
    unguarded = {"version": "canary", "reference": "stable"}
    await api.ask("PUT", LEASE, json={"seconds": 60, "do": "hold", "brings": unguarded}, headers=ME)
    assert (await api.get(LEASE))["brings"] == {**unguarded, "breaker": None}
    wrong = {"version": "canry", "reference": "stable", "breaker": {"window": 3, "fails": 5}, "by": "me"}
    _, problem = await api.problem("PUT", LEASE, json={"seconds": 60, "do": "hold", "brings": wrong}, headers=ME)
    assert {each["path"] for each in problem["problems"]} == {"brings.breaker", "brings.by"}


async def test_the_same_again_makes_no_generation(api: Api):
    generation = (await made(api))["generation"]
    assert (await made(api, **{"If-Match": f'"{generation}"'}))["generation"] == generation


async def test_a_lease_can_depend_on_a_generation(api: Api):
    status, _ = await api.problem("PUT", LEASE, json=BACK, headers=ME | {"If-Match": '"7"'})
    assert status == 412


async def test_how_it_ran_out_is_shown(api: Api, supervisor: FakeSupervisor):
    await made(api)
    supervisor.live = run_out(supervisor.live, "shop", 0.0)
    lease = await api.get(LEASE)
    assert lease["remaining"] is None
    assert lease["ran_out"].pop("seconds_ago") > 0
    assert lease["ran_out"] == {"done": "rolled back", "reason": "nothing was heard of rollout shop-1 for 60 s"}


async def test_a_lease_is_ended_by_its_holder_or_by_force(api: Api):
    await made(api)
    status, problem = await api.problem("DELETE", LEASE, headers={"X-Serinus-Actor": "carol"})
    assert (status, problem["detail"]) == (409, "The lease is somebody else's")
    _, shop = await api.ask("DELETE", LEASE, headers=ME)
    assert shop["lease"] is None
    assert (await api.problem("GET", LEASE))[0] == (await api.problem("DELETE", LEASE, headers=ME))[0] == 404
    await made(api)
    response, _ = await api.ask("DELETE", f"{LEASE}?force=true")
    assert response.status == 200


async def test_a_dry_run_changes_nothing(api: Api, supervisor: FakeSupervisor):
    before = supervisor.live
    _, shop = await api.ask("PUT", f"{LEASE}?dry_run=true", json=BACK, headers=ME)
    assert (shop["lease"]["holder"], supervisor.live) == ("rollout shop-1", before)
    await made(api)
    before = supervisor.live
    _, shop = await api.ask("DELETE", f"{LEASE}?dry_run=true", headers=ME)
    assert (shop["lease"], supervisor.live) == (None, before)


async def test_a_wrong_lease_is_told_all_that_is_wrong(api: Api):
    body = {"seconds": 60, "do": "rollback", "weights": {"stabel": 1, "canary": "x"}, "why": "?"}
    status, problem = await api.problem("PUT", LEASE, json=body)
    assert status == 422
    assert [(each["path"], each["message"]) for each in problem["problems"]] == [
        ("why", "is not known here"),
        ("weights.stabel", "there is no version 'stabel'"),
        ("weights.canary", "a weight is a number, not 'x'"),
    ]
    status, problem = await api.problem("PUT", LEASE, json={"seconds": 0, "do": "hold"})
    assert [(each["path"], each["message"]) for each in problem["problems"]] == [("seconds", "must be at least 0.1")]
    assert (await api.problem("PUT", "/v1/services/none/lease", json=BACK))[0] == 404
