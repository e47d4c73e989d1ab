"""What each role may ask of the proxy: the documentation, the OpenAPI document and the answers say the same."""

from typing import Any

import pytest

from proxy.admin.app import openapi
from proxy.admin.calls import CALLS
from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeSupervisor
from tests.support.access_table import ROLES, TOKENS, Row, bearer, described, documented, may
from tests.support.lives import SERVICES, a_config

ROWS = documented("Calls of the proxy")
SPLIT = "/v1/services/shop/split"


@pytest.fixture
def supervisor() -> FakeSupervisor:
    return FakeSupervisor(a_config(admin={"address": "127.0.0.1:0", "tokens": TOKENS}))


async def status(api: Api, row: Row, query: str = "", **headers: str) -> int:
    """The status of an answer, whose end is not waited for: a stream of events has none."""
    async with api.client.request(row.method, row.target + query, headers=headers) as response:
        return response.status


def test_every_call_has_a_role_and_the_documentation_knows_it():
    assert {(row.method, row.path, row.role) for row in ROWS} == described(openapi())
    options = {(call.method, call.path, *pair) for call in CALLS for pair in call.roles_of_options.items()}
    assert options == {(row.method, row.path, row.option, row.role_with_option) for row in ROWS if row.option}


def test_every_call_that_changes_something_says_its_role_itself():
    assert [call.name for call in CALLS if call.changes and call.role is None] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_gets_what_the_documentation_says(api: Api, role: str, row: Row):
    found = await status(api, row, **bearer(role))
    assert (found == 403) == (not may(role, row.role))
    assert found != 401
    if row.role_with_option:
        found = await status(api, row, f"?{row.option}=true", **bearer(role))
        assert (found == 403) == (not may(role, row.role_with_option))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
async def test_without_a_token_only_the_probes_answer(api: Api, row: Row):
    assert (await status(api, row) == 401) == (row.role != "everybody")


async def test_a_change_says_which_token_made_it_and_what_its_owner_says(api: Api, supervisor: FakeSupervisor):
    body = {"weights": {"stable": 1}, "reason": "calm night"}
    _, shop = await api.ask("PUT", SPLIT, json=body, headers={**bearer("operate"), "X-Serinus-Actor": "kim"})
    change = {key: shop["last_change"][key] for key in ("by", "actor", "reason")}
    assert change == {"by": "operate-er", "actor": "kim", "reason": "calm night"}
    made = supervisor.live.services["shop"].split_change
    assert (made.by, made.actor, made.reason) == ("operate-er", "kim", "calm night")


async def test_a_reload_says_who_wanted_it(api: Api, supervisor: FakeSupervisor):
    services = {**SERVICES, "shop": {**SERVICES["shop"], "split": {"stable": 5, "canary": 5}}}
    supervisor.file = a_config(services, admin={"address": "127.0.0.1:0", "tokens": TOKENS})
    more: dict[str, Any] = {"json": {"reason": "new limits"}, "headers": bearer("admin")}
    response, _ = await api.ask("POST", "/v1/reload", **more)
    assert response.status == 200
    change = supervisor.live.services["shop"].last_change
    assert (change.by, change.actor, change.reason) == ("reload", "admin-er", "new limits")


async def test_a_lease_belongs_to_what_the_owner_of_the_token_says_it_leads(api: Api):
    said = {**bearer("admin"), "X-Serinus-Actor": "rollout shop-1"}
    lease = {"seconds": 5, "do": "hold"}
    _, shop = await api.ask("PUT", "/v1/services/shop/lease", json=lease, headers=said)
    assert shop["lease"]["holder"] == "rollout shop-1"
    other = {**said, "X-Serinus-Actor": "rollout shop-2"}
    assert (await api.problem("DELETE", "/v1/services/shop/lease", headers=other))[0] == 409
    response, _ = await api.ask("DELETE", "/v1/services/shop/lease", headers=said)
    assert response.status == 200


@pytest.mark.parametrize("supervisor", [FakeSupervisor(a_config(admin={"require_reason": True}))])
async def test_with_require_reason_every_change_by_people_says_why(api: Api):
    endpoint = "/v1/services/shop/versions/canary/endpoints/127.0.0.1:9003"
    asked: list[tuple[str, str, dict[str, Any] | None]] = [
        ("PUT", SPLIT, {"weights": {"stable": 1}}),
        ("PUT", "/v1/services/shop/active", {"version": "stable"}),
        ("POST", "/v1/services/shop/versions/canary/endpoints", {"address": "127.0.0.1:9004"}),
        ("PUT", f"{endpoint}/state", {"state": "drain"}),
        ("DELETE", endpoint, None),
        ("POST", "/v1/reload", None),
    ]
    for method, path, body in asked:
        status, content = await api.problem(method, path, json=body)
        assert (status, content["detail"]) == (422, "A change has to say why"), path
    response, _ = await api.ask("PUT", f"{SPLIT}?dry_run=true", json={"weights": {"stable": 1}})
    assert response.status == 200
    response, _ = await api.ask("DELETE", f"{endpoint}?reason=gone")
    assert response.status == 200
