"""Checks that ask somebody, and signals."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from config.check import parse_comparison
from controller.checks import Checks, judge_prometheus, judge_signals
from controller.core.book import SignalRaised
from controller.core.verdict import Verdict
from tests.support.rollout_world import World, policy_of
from tests.support.waiting import until


class Asked:
    """A server that answers what the test says."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.requests: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await asyncio.Event().wait()
        return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    asked = Asked()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", asked.answer)
    async with TestServer(app, handler_cancellation=True) as server:
        asked.url = str(server.make_url("/")).rstrip("/")
        yield asked


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def a_world(checks: str, phase: str = "step") -> World:
    world = World(f"strategy: canary, checks: [{checks}]")
    if phase == "step":
        world.until("step")
    else:
        world.tick()
        assert world.rollout.phase == phase
    return world


async def said(checks: Checks, value: str, before: bool = False) -> Verdict:
    """The first verdict with this value."""
    while True:
        await asyncio.sleep(0.001)
        for verdict in checks.before() if before else checks.during():
            if verdict.value == value:
                return verdict


async def test_an_http_check_fails_after_failures_in_a_row(asked: Asked, session: aiohttp.ClientSession):
    world = a_world(
        f"{{kind: http, url: '{asked.url}/health', interval: 10ms, attempts: 3, headers: {{X-Smoke: '1'}}}}"
    )
    checks = Checks(world.rollout, session)
    asked.answers = [200]
    checks.follow(world.rollout)
    assert (await said(checks, "PASS")).reason == f"{asked.url}/health answers as expected"
    asked.answers = [500, 200, 500, 500, 302]
    verdict = await said(checks, "FAIL")
    assert verdict.reason == f"{asked.url}/health: status 302 (3 of 3 failures in a row)"
    assert {request.headers["X-Smoke"] for request in asked.requests} == {"1"}
    await checks.close()


async def test_an_http_server_that_is_not_there_fails(session: aiohttp.ClientSession, unused_tcp_port: int):
    url = f"http://127.0.0.1:{unused_tcp_port}/"
    checks = Checks(a_world(f"{{kind: http, url: '{url}', attempts: 1}}").rollout, session)
    checks.follow(a_world(f"{{kind: http, url: '{url}', attempts: 1}}").rollout)
    assert (await said(checks, "FAIL")).reason.startswith(f"{url}: Cannot connect to host")
    await checks.close()


async def test_an_http_server_that_is_silent_fails(asked: Asked, session: aiohttp.ClientSession):
    asked.answers = [None]
    world = a_world(f"{{kind: http, url: '{asked.url}/', timeout: 50ms, attempts: 1}}")
    checks = Checks(world.rollout, session)
    checks.follow(world.rollout)
    assert (await said(checks, "FAIL")).reason.startswith(f"{asked.url}/: no answer within 0.05 s")
    await checks.close()


@pytest.mark.parametrize(
    ("command", "value", "reason"),
    [
        ("-c 'print(1)'", "PASS", "exit status 0: 1"),
        ("-c 'import sys; sys.exit(\"orders are missing\")'", "FAIL", "exit status 1: orders are missing"),
        ("-c 'import time; time.sleep(60)'", "ERROR", "killed after 0.5 s"),
    ],
)
async def test_a_command_passes_fails_or_could_not_be_run(
    session: aiohttp.ClientSession, command: str, value: str, reason: str
):
    settings = json.dumps({"kind": "exec", "command": f"{sys.executable} {command}", "timeout": "500ms"})
    if value != "ERROR":
        settings = settings.replace("500ms", "30s")
    world = a_world(settings)
    checks = Checks(world.rollout, session)
    checks.follow(world.rollout)
    assert (await said(checks, value)).reason == reason
    await checks.close()


async def test_a_check_that_must_pass_first_is_asked_until_it_passes_or_fails(
    asked: Asked, session: aiohttp.ClientSession
):
    world = a_world(f"{{kind: http, url: '{asked.url}/', at: before, interval: 1ms}}", "preparing")
    checks = Checks(world.rollout, session)
    asked.answers = [503, 503, 200]
    checks.follow(world.rollout)
    await said(checks, "PASS", before=True)
    count = len(asked.requests)
    await asyncio.sleep(0.02)
    assert len(asked.requests) == count == 3
    assert checks.during() == ()
    world.until("step")
    checks.follow(world.rollout)
    assert checks.before() == ()


async def test_nothing_is_asked_while_a_rollout_waits_or_goes_back(asked: Asked, session: aiohttp.ClientSession):
    world = World(f"strategy: canary, checks: [{{kind: http, url: '{asked.url}/', interval: 1ms}}]")
    checks = Checks(world.rollout, session)
    asked.answers = [200]
    checks.follow(world.rollout)
    world.until("step")
    checks.follow(world.rollout)
    await said(checks, "PASS")
    world.order("abort")
    checks.follow(world.rollout)
    count = len(asked.requests)
    await asyncio.sleep(0.02)
    assert len(asked.requests) == count
    assert checks.during() == ()


async def test_prometheus_is_asked_an_instant_query(asked: Asked, session: aiohttp.ClientSession):
    check = {"kind": "prometheus", "url": f"{asked.url}/prom/", "query": "up{a='b'}", "fail_if": "< 0.95"}
    world = a_world(json.dumps(check))
    checks = Checks(world.rollout, session)
    asked.answers = [a_result("0.9")]
    checks.follow(world.rollout)
    assert (await said(checks, "FAIL")).reason == "0.9, fails if < 0.95"
    assert asked.requests[0].path == "/prom/api/v1/query"
    assert asked.requests[0].query["query"] == "up{a='b'}"
    await checks.close()


async def test_a_prometheus_that_is_not_there_is_an_error(session: aiohttp.ClientSession, unused_tcp_port: int):
    check = {"kind": "prometheus", "url": f"http://127.0.0.1:{unused_tcp_port}", "query": "up", "fail_if": "< 1"}
    world = a_world(json.dumps(check))
    checks = Checks(world.rollout, session)
    checks.follow(world.rollout)
    await said(checks, "ERROR")
    await checks.close()


def a_result(*values: str, kind: str = "vector") -> dict[str, Any]:
    result: Any = [{"metric": {}, "value": [1.0, value]} for value in values]
    return {
        "status": "success",
        "data": {"resultType": kind, "result": [1.0, values[0]] if kind == "scalar" else result},
    }


@pytest.mark.parametrize(
    ("answer", "value", "reason"),
    [
        (a_result("1"), "PASS", "1, fails if < 0.95"),
        (a_result("0.5", kind="scalar"), "FAIL", "0.5, fails if < 0.95"),
        (a_result(), "NO_DATA", "the query gives no number now"),
        (a_result("NaN"), "NO_DATA", "the query gives no number now"),
        (a_result("-Inf"), "FAIL", "-inf, fails if < 0.95"),
        (a_result("1", "2"), "ERROR", "the query gives 2 numbers; it must give one"),
        ({"status": "error", "error": "bad query"}, "ERROR", "the query failed: bad query"),
        ({"status": "success", "data": {}}, "ERROR", "the answer is of another shape than Prometheus gives (KeyError"),
        ([], "ERROR", "the query failed: status 200"),
    ],
)
def test_what_prometheus_answers(answer: Any, value: str, reason: str):
    verdict = judge_prometheus("revenue", parse_comparison("< 0.95"), 200, json.dumps(answer).encode())
    assert verdict.value == value
    assert verdict.reason.startswith(reason)


def test_an_answer_that_is_not_json_is_an_error():
    assert judge_prometheus("x", parse_comparison("< 1"), 502, b"<html>").reason == "the query failed: status 502"


def a_signal(check: str) -> SignalRaised:
    return SignalRaised("shop", check, "support", "12 tickets", 1.0)


def test_a_signal_fails_the_check_that_listens_to_it():
    policy = policy_of("strategy: canary, checks: [{kind: signal, name: tickets}, {kind: signal, name: sales}]")
    assert judge_signals(policy, {}) == [
        Verdict("tickets", "PASS", "nobody complains"),
        Verdict("sales", "PASS", "nobody complains"),
    ]
    first, second = judge_signals(policy, {"sales": a_signal("sales")})
    assert (first.value, second.value, second.reason) == (
        *("PASS", "FAIL", "support says that something is wrong: 12 tickets"),
    )


def test_a_signal_is_heard_when_no_check_listens():
    policy = policy_of("strategy: canary")
    assert judge_signals(policy, {}) == []
    (found,) = judge_signals(policy, {"signal": a_signal("signal")})
    assert (found.check, found.value) == ("signal", "FAIL")


async def test_a_check_ends_with_its_rollout(asked: Asked, session: aiohttp.ClientSession):
    asked.answers = [None]
    world = a_world(f"{{kind: http, url: '{asked.url}/'}}")
    checks = Checks(world.rollout, session)
    checks.follow(world.rollout)
    await until(lambda: asked.requests)
    await checks.close()
    assert checks.during() == ()
