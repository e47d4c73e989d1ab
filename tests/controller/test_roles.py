"""What each role may ask of the controller: the documentation, the OpenAPI document and the answers say the same."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.api.app import openapi
from controller.api.calls import CALLS
from controller.core.book import LineChanged, SignalRaised
from tests.controller.test_api import Api, serving
from tests.support.access_table import ROLES, TOKENS, Row, bearer, described, documented, may
from tests.support.led_stage import FILE, staged

ROWS = documented("Calls of the controller")


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    text = FILE + f"controller: {{tokens: {json.dumps(TOKENS)}}}"
    async with staged(tmp_path, monkeypatch, text) as stage, serving(stage) as api:
        yield api


async def status(api: Api, row: Row, **headers: str) -> int:
    """The status of an answer, whose end is not waited for: a stream of events has none."""
    async with api.client.request(row.method, row.target, headers=headers) as response:
        return response.status


def test_every_call_has_a_role_and_the_documentation_knows_it():
    assert {(row.method, row.path, row.role) for row in ROWS} == described(openapi())


def test_every_call_that_changes_something_says_its_role_itself():
    assert [call.name for call in CALLS if call.changes and call.role is None] == []


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_gets_what_the_documentation_says(api: Api, role: str):
    for row in ROWS:
        found = await status(api, row, **bearer(role))
        assert (found == 403) == (not may(role, row.role)), row
        assert found != 401, row


async def test_without_a_token_only_the_probe_answers(api: Api):
    for row in ROWS:
        assert (await status(api, row) == 401) == (row.role != "everybody"), row


async def test_an_order_says_which_token_gave_it_and_what_its_owner_says(api: Api):
    said = {**bearer("operate"), "X-Serinus-Actor": "kim"}
    await api.good("POST", "/v1/rollouts", {"service": "shop", "reason": "v2.1"}, **said)
    await api.stage.until("shop-1", "step")
    paused = await api.good("POST", "/v1/rollouts/shop-1/pause", {"reason": "lunch"}, **said)
    assert (paused["by"], paused["why"]) == ("operate-er", "paused by operate-er for kim: lunch")
    ordered = dict(paused["ordered"])
    del ordered["at"]
    assert ordered == {"event": "paused", "by": "operate-er", "actor": "kim", "reason": "lunch"}
    why = await api.good("GET", "/v1/rollouts/shop-1/why", **said)
    told = [(each["event"], each["by"], each["actor"], each["reason"]) for each in why["decisions"] if each["by"]]
    assert told == [("created", "operate-er", "kim", "v2.1"), ("paused", "operate-er", "kim", "lunch")]


async def test_what_a_person_has_wanted_is_shown_whatever_the_controller_does_since(api: Api):
    await api.good("POST", "/v1/rollouts", {"service": "shop", "reason": "v2.1"}, **bearer("operate"))
    await api.stage.until("shop-1", "promoted")
    ended = await api.good("GET", "/v1/rollouts/shop-1", **bearer("read"))
    assert (ended["by"], ended["ordered"]["by"], ended["ordered"]["reason"]) == ("", "operate-er", "v2.1")


async def test_the_line_and_signals_say_who_it_was(api: Api):
    said = {**bearer("admin"), "X-Serinus-Actor": "kim"}
    stopped = await api.good("PUT", "/v1/line", {"stopped": True, "reason": "incident"}, **said)
    assert stopped == {"stopped": True, "by": "admin-er", "actor": "kim", "reason": "incident"}
    await api.good("POST", "/v1/signals", {"service": "shop", "message": "12 tickets"}, **said)
    line, signal = (record.entry for record in api.stage.conductor.journal.records[-2:])
    assert isinstance(line, LineChanged)
    assert isinstance(signal, SignalRaised)
    assert ((line.by, line.actor), (signal.by, signal.actor)) == (("admin-er", "kim"), ("admin-er", "kim"))


async def test_with_require_reason_every_order_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = FILE + "controller: {require_reason: true}"
    async with staged(tmp_path, monkeypatch, text) as stage, serving(stage) as api:
        asked: list[tuple[str, str, dict[str, object]]] = [("POST", "/v1/rollouts", {"service": "shop"})]
        orders = ("promote", "pause", "resume", "abort", "retry")
        asked += [("POST", f"/v1/rollouts/shop-1/{verb}", {}) for verb in orders]
        asked += [("POST", "/v1/signals", {"service": "shop"}), ("PUT", "/v1/line", {"stopped": True})]
        for method, path, body in asked:
            status, content = await api.ask(method, path, body)
            assert (status, content["detail"]) == (422, "A change has to say why"), path
        started = await api.good("POST", "/v1/rollouts", {"service": "shop", "reason": "v2.1"})
        assert started["ordered"]["reason"] == "v2.1"
