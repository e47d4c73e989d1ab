"""The API of the controller, over HTTP, held against its own description."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args, get_type_hints
from xml.etree import ElementTree

import jsonschema
import pytest
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from controller.api.app import create_app, openapi
from controller.api.calls import CALLS
from controller.metrics import ControllerCollector
from controller.series_file import path_of
from tests.support.led_stage import FILE, Stage, staged
from webapi.call import Call
from webapi.gate import WRONG_TOKENS

DOCUMENT = openapi()


class Api:
    """Asks, and holds every answer against the description."""

    def __init__(self, stage: Stage, client: TestClient[Any, Any]) -> None:
        self.stage = stage
        self.client = client

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        async with self.client.request(method, path, json=body, headers=headers) as response:
            content = await response.json(content_type=None)
            self._check(method, path, response.status, response.content_type, content)
            return response.status, content

    async def good(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        status, content = await self.ask(method, path, body, **headers)
        assert status in (200, 201), content
        return content

    def _check(self, method: str, path: str, status: int, media_type: str, content: Any) -> None:
        for template, operations in DOCUMENT["paths"].items():
            known, asked = template.split("/"), path.split("?")[0].split("/")
            fits = len(known) == len(asked) and all(a == b or a == "{id}" for a, b in zip(known, asked, strict=True))
            if fits and method.lower() in operations:
                shape = operations[method.lower()]["responses"][str(status)]["content"][media_type]["schema"]
                schema = {**shape, "components": DOCUMENT["components"]}
                jsonschema.Draft202012Validator(schema).validate(content)
                return
        assert status in (404, 405), f"{method} {path} is not described"


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    async with staged(tmp_path, monkeypatch) as stage, serving(stage) as api:
        yield api


@asynccontextmanager
async def serving(stage: Stage) -> AsyncIterator[Api]:
    registry = CollectorRegistry()
    registry.register(ControllerCollector(stage.conductor))
    async with TestClient(TestServer(create_app(stage.conductor, registry, ping_seconds=0.01))) as client:
        yield Api(stage, client)


def test_the_description_is_valid_openapi_and_names_every_call():
    validate(DOCUMENT)
    assert {call.path for call in CALLS} == set(DOCUMENT["paths"])
    names = [call.name for call in CALLS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_view_gets_the_body_of_its_row(call: Call[Any]):
    assert get_args(get_type_hints(call.view)["asked"]) == (call.body,)


async def test_a_rollout_is_started_watched_and_promoted(api: Api):
    started = await api.good("POST", "/v1/rollouts", {"service": "shop", "reason": "v2.1"}, **{"X-Serinus-Actor": "ci"})
    assert (started["id"], started["phase"], started["why"]) == ("shop-1", "pending", "started by ci: v2.1")
    await api.stage.until("shop-1", "step")
    await api.stage.tick(2)
    one = await api.good("GET", "/v1/rollouts/shop-1")
    assert one["weights"] == {"stable": 90, "canary": 10}
    assert (one["step"], one["steps"], one["bake"], one["applied"], one["elapsed"]) == (0, 3, 5, True, 2)
    assert one["waits"].startswith("bakes: 2s of 5s")
    await api.stage.until("shop-1", "promoted")
    everything = await api.good("GET", "/v1/rollouts")
    assert [each["phase"] for each in everything["rollouts"]] == ["promoted"]


async def test_orders_are_obeyed_with_who_and_why(api: Api):
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    await api.stage.until("shop-1", "step")
    paused = await api.good("POST", "/v1/rollouts/shop-1/pause", {"reason": "lunch"}, **{"X-Serinus-Actor": "bob"})
    assert (paused["phase"], paused["why"], paused["by"]) == ("paused", "paused by bob: lunch", "bob")
    assert (await api.good("POST", "/v1/rollouts/shop-1/resume"))["phase"] == "step"
    assert (await api.good("POST", "/v1/rollouts/shop-1/promote"))["step"] == 1
    assert (await api.good("POST", "/v1/rollouts/shop-1/promote", {"all": True}))["phase"] == "finishing"
    for _ in range(2):
        assert (await api.good("POST", "/v1/rollouts/shop-1/abort"))["phase"] == "rolling_back"
    await api.stage.until("shop-1", "rolled_back")
    assert (await api.good("POST", "/v1/rollouts/shop-1/retry"))["attempt"] == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/v1/rollouts/shop-9", None, 404, "There is no rollout 'shop-9'"),
        ("POST", "/v1/rollouts", {"service": "shp"}, 404, "The file has no rollout for 'shp'"),
        ("POST", "/v1/rollouts", {"service": "shop", "to": "canry"}, 422, "The rollout of shop cannot begin"),
        ("POST", "/v1/rollouts", {}, 422, "The request cannot be used"),
        ("POST", "/v1/rollouts", {"service": "shop", "resaon": "x"}, 422, "The request cannot be used"),
        ("POST", "/v1/rollouts", {"service": "shop", "reason": "a\nb"}, 422, "The request cannot be used"),
        ("POST", "/v1/rollouts", [1], 422, "The request cannot be used"),
        ("POST", "/v1/rollouts/shop-9/abort", None, 404, "There is no rollout 'shop-9'"),
        ("POST", "/v1/signals", {"service": "shop", "check": "x"}, 422, "Nobody would hear the signal"),
        ("DELETE", "/v1/rollouts", None, 405, "DELETE is not for this path"),
        ("GET", "/v1/nothing", None, 404, "There is no such path"),
    ],
)
async def test_what_cannot_be_is_answered_as_a_problem(
    api: Api, method: str, path: str, body: Any, status: int, words: str
):
    found, content = await api.ask(method, path, body)
    assert (found, content["status"]) == (status, status)
    assert content["detail"].startswith(words)


async def test_all_problems_of_a_request_are_told_with_the_nearest_name(api: Api):
    _, content = await api.ask("POST", "/v1/rollouts", {"service": "shop", "resaon": "x", "if_running": "wait"})
    assert {(each["path"], each["suggestion"]) for each in content["problems"]} == {
        ("resaon", "reason"),
        ("if_running", None),
    }


async def test_an_order_that_makes_no_sense_is_a_conflict(api: Api):
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    status, content = await api.ask("POST", "/v1/rollouts", {"service": "shop"})
    assert (status, content["detail"][:34]) == (409, "shop has the rollout shop-1, which")
    status, content = await api.ask("POST", "/v1/rollouts/shop-1/resume")
    assert (status, content["detail"]) == (
        409,
        "shop-1 is pending, where there is nothing to resume; abort is possible",
    )
    assert (await api.good("POST", "/v1/rollouts", {"service": "shop", "if_running": "queue"}))["id"] == "shop-2"


async def test_why_tells_every_decision_with_its_numbers(api: Api):
    await api.stage.tick(60)
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    api.stage.proxy.traffic.error_shares["canary"] = 1.0
    await api.stage.until("shop-1", "step")
    await api.stage.tick()
    now = (await api.good("GET", "/v1/rollouts/shop-1/why"))["now"]
    assert now["proxies"][api.stage.proxy.address]["weights"] == {"stable": 90, "canary": 10}
    await api.stage.until("shop-1", "rolled_back")
    why = await api.good("GET", "/v1/rollouts/shop-1/why")
    failed = next(each for each in why["decisions"] if each["event"] == "failed")
    verdict = next(each for each in failed["verdicts"] if each["check"] == "error-rate")
    assert verdict["value"] == "FAIL"
    assert verdict["numbers"]["new"]["errors"] > 0
    assert "rolls back at 100 : 1" in failed["sentence"]


async def test_the_series_tells_what_each_version_did_over_time(api: Api):
    await api.stage.tick(60)
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    await api.stage.until("shop-1", "step")
    await api.stage.tick(4)
    await api.stage.loop("shop-1").recording.flush()
    series = await api.good("GET", "/v1/rollouts/shop-1/series")
    assert (series["from"], series["to"], series["needed"], series["ended"]) == ("stable", "canary", 100, None)
    assert series["rows"][0]["at"] - series["began"] <= 1
    last = series["rows"][-1]
    assert (last["span"], last["seconds"]) == (1, 1)
    assert last["versions"]["canary"] == {
        **{"requests": 10, "errors": 0, "unanswered": 0, "target": 0.1, "actual": 0.1},
        **{"p50": last["versions"]["stable"]["p50"], "p99": last["versions"]["stable"]["p99"]},
    }
    assert last["odds"]["low"] == last["odds"]["high"] > 0
    assert set(last["checks"]) == {"error-rate", "latency"}
    assert last["wall"] - series["began_wall"] == last["at"] - series["began"]


async def test_the_series_outlives_the_rollout_and_a_damaged_row(api: Api):
    await api.stage.tick(30)
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    await api.stage.until("shop-1", "promoted")
    await api.stage.tick(10)
    await api.stage.loop("shop-1").recording.flush()
    before = await api.good("GET", "/v1/rollouts/shop-1/series")
    assert before["ended"] is not None
    path = path_of(api.stage.folder, "shop-1")
    damaged = int(before["rows"][3]["at"])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(b"?" + line if b'"t":[%d,' % damaged in line else line for line in lines))
    await api.stage.restart()
    async with serving(api.stage) as again:
        after = await again.good("GET", "/v1/rollouts/shop-1/series")
    assert after["damaged"] == 1
    assert after["rows"] == [row for row in before["rows"] if row["at"] != damaged]


async def test_the_report_says_what_why_says(api: Api):
    await api.stage.tick(60)
    await api.good("POST", "/v1/rollouts", {"service": "shop", "reason": "a <b> & c"})
    api.stage.proxy.traffic.error_shares["canary"] = 1.0
    await api.stage.until("shop-1", "rolled_back", most=30)
    await api.stage.tick(5)
    await api.stage.loop("shop-1").recording.flush()
    why = await api.good("GET", "/v1/rollouts/shop-1/why")
    async with api.client.get("/v1/rollouts/shop-1/report") as response:
        assert (response.status, response.content_type, response.charset) == (200, "text/html", "utf-8")
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        page = await response.text()
    root = ElementTree.fromstring(page.removeprefix("<!doctype html>\n"))
    (body,) = root.iterfind("body")
    text = " ".join(" ".join(body.itertext()).split())
    assert why["outcome"].startswith("canary of shop was rolled back after ")
    assert why["now"]["verdicts"] == [], "what comes after the end decides nothing"
    assert f"{why['outcome']}." in text
    for decision in why["decisions"]:
        assert decision["sentence"] in text
        for verdict in decision["verdicts"]:
            assert verdict["reason"] in text
        for generation in decision["generations"].values():
            assert f"generation {generation}" in text
    async with api.client.get("/v1/rollouts/shop-9/report") as response:
        assert response.status == 404


async def test_a_plan_is_made_from_the_traffic_of_now(api: Api):
    await api.stage.tick(100)
    plan = await api.good("GET", "/v1/plan?service=shop")
    assert (plan["rate"], plan["errors"], plan["rollout"], plan["seconds"]) == (100, 0, None, 98)
    assert [(step["weight"], step["requests"], step["is_now"]) for step in plan["steps"]] == [
        (10, 50, False), (50, 250, False), (100, 500, False),
    ]  # fmt: skip
    assert (await api.good("GET", "/v1/plan?service=shop&rate=2000"))["steps"][0]["requests"] == 1000
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    await api.stage.until("shop-1", "step")
    plan = await api.good("GET", "/v1/plan?service=shop")
    assert (plan["rollout"], [step["is_now"] for step in plan["steps"]]) == ("shop-1", [True, False, False])


async def test_a_plan_of_a_rolling_rollout_has_a_step_for_each_endpoint(api: Api):
    plan = await api.good("GET", "/v1/plan?service=legacy")
    assert [round(step["weight"]) for step in plan["steps"]] == [33, 67, 100]
    assert plan["sentences"][0].startswith("There is no traffic")


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("service=shp", 404, "The file has no rollout for 'shp'"),
        ("rate=5", 422, "cannot be used"),
        ("service=shop&rate=0", 422, "cannot be used"),
        ("service=shop&rate=inf", 422, "cannot be used"),
        ("service=shop&speed=1", 422, "cannot be used"),
    ],
)
async def test_a_plan_that_cannot_be_made_is_refused(api: Api, query: str, status: int, words: str):
    found, content = await api.ask("GET", f"/v1/plan?{query}")
    assert (found, words in content["detail"]) == (status, True), content


async def test_signals_and_the_line(api: Api):
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    await api.stage.until("shop-1", "step")
    await api.good("POST", "/v1/signals", {"service": "shop", "message": "12 tickets", "expires": "30m"})
    await api.stage.tick(2)
    assert (await api.good("GET", "/v1/rollouts/shop-1"))["phase"] == "holding"
    stopped = await api.good("PUT", "/v1/line", {"stopped": True, "reason": "incident"}, **{"X-Serinus-Actor": "dave"})
    assert (
        stopped
        == {"stopped": True, "by": "dave", "actor": "", "reason": "incident"}
        == await api.good("GET", "/v1/line")
    )
    assert (await api.good("GET", "/v1/rollouts"))["stopped"] == "incident"
    status, content = await api.ask("POST", "/v1/rollouts/shop-1/resume")
    assert (status, "the line is stopped by dave: incident" in content["detail"]) == (409, True)
    assert not (await api.good("PUT", "/v1/line", {"stopped": False}))["stopped"]


async def test_a_gone_proxy_is_a_service_that_is_unavailable(api: Api):
    await api.stage.proxy.server.close()
    status, content = await api.ask("POST", "/v1/rollouts", {"service": "shop"})
    assert (status, "does not answer" in content["detail"]) == (503, True)
    assert (await api.ask("GET", "/v1/plan?service=shop"))[0] == 503


async def read_events(api: Api, number: int, **headers: str) -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = []
    async with api.client.get("/v1/events", headers=headers) as response:
        assert response.content_type == "text/event-stream"
        while len(found) < number:
            block = (await response.content.readuntil(b"\n\n")).decode().split("\n")
            if not block[0].startswith(":"):
                fields = dict(line.split(": ", 1) for line in block if line)
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


async def test_everything_that_happens_is_told_as_an_event(api: Api):
    reading = asyncio.create_task(read_events(api, 3))
    await asyncio.sleep(0.05)
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    await api.stage.tick(2)
    events = await reading
    assert [(kind, content["rollout"]) for _, kind, content in events] == [
        *(("created", "shop-1"), ("began", "shop-1"), ("applied", "shop-1"))
    ]
    resumed = await read_events(api, 2, **{"Last-Event-ID": events[0][0]})
    assert resumed == events[1:]
    status, _ = await api.ask("GET", "/v1/events", **{"Last-Event-ID": "x"})
    assert status == 422


async def test_it_counts_itself(api: Api):
    await api.good("POST", "/v1/rollouts", {"service": "shop"})
    await api.stage.until("shop-1", "step")
    async with api.client.get("/metrics") as response:
        text = await response.text()
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["serinus_rollout_phase", "canary", "shop", "step"] == 1
    assert samples["serinus_rollout_phase", "canary", "promoted", "shop"] == 0
    assert samples["serinus_rollout_wanted_ratio", "canary", "shop"] == 0.1
    assert samples["serinus_rollout_events_total", "created", "shop"] == 1
    assert samples["serinus_controller_proxy_answers", api.stage.proxy.address] == 1
    assert samples["serinus_controller_line_stopped",] == 0


async def test_without_a_token_only_this_machine_and_no_page_of_another_site_gets_in(api: Api):
    assert (await api.ask("GET", "/v1/rollouts", Host="evil.example"))[0] == 403
    assert (await api.ask("GET", "/v1/rollouts", Host="localhost:1"))[0] == 200
    assert (await api.ask("GET", "/v1/rollouts", Origin="http://evil.example"))[0] == 403
    own = f"{api.client.host}:{api.client.port}"
    assert (await api.ask("GET", "/v1/rollouts", Origin=f"http://{own}", Host=own))[0] == 200


async def test_with_a_token_every_call_needs_it_but_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = FILE + "controller: {token: s3cret}"
    async with staged(tmp_path, monkeypatch, text) as stage, serving(stage) as api:
        assert (await api.ask("GET", "/healthz"))[0] == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            assert (await api.ask("GET", "/v1/rollouts", **headers))[0] == 401
        assert (await api.ask("GET", "/v1/rollouts", Authorization="Bearer s3cret"))[0] == 200


async def test_who_guesses_tokens_is_slowed_down_and_learns_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with staged(tmp_path, monkeypatch, FILE + "controller: {token: s3cret}") as stage, serving(stage) as api:
        tokens = [*(f"guess-{number}" for number in range(WRONG_TOKENS)), "s3cret"]
        statuses = [(await api.ask("GET", "/v1/rollouts", Authorization=f"Bearer {token}"))[0] for token in tokens]
    assert statuses == [401] * WRONG_TOKENS + [429]


async def test_a_body_that_is_not_json_or_too_large_is_refused(api: Api):
    for content, media_type, status in (("{", "application/json", 422), ("a=1", "text/plain", 415)):
        async with api.client.post("/v1/rollouts", data=content, headers={"Content-Type": media_type}) as response:
            assert response.status == status
    async with api.client.post("/v1/rollouts", json={"service": "x" * 100_000}) as response:
        assert response.status == 413
    status, _ = await api.ask("POST", "/v1/rollouts", {"service": "shop"}, **{"X-Serinus-Actor": "x" * 200})
    assert status == 422


async def test_a_failure_inside_tells_nothing_of_itself(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(api.stage.conductor, "window", lambda: 1 / 0)
    status, content = await api.ask("GET", "/v1/rollouts")
    assert (status, content["detail"]) == (500, "Something went wrong in the controller; its log says what")
