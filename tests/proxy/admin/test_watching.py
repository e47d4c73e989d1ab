"""The stream of events."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientResponse

from proxy.events import KEPT
from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeSupervisor
from webapi import events

Event = tuple[int | None, str, dict[str, Any]]


async def next_event(response: ClientResponse) -> Event | None:
    """The next event of a stream, comments left out; None at its end."""
    fields: dict[str, str] = {}
    while line := (await response.content.readline()).decode():
        if line == "\n" and fields:
            return int(fields["id"]), fields["event"], json.loads(fields["data"])
        name, _, value = line.rstrip("\n").partition(": ")
        if name:
            fields[name] = value
    return None


async def watch(api: Api, **headers: str) -> ClientResponse:
    response = await api.client.get("/v1/events", headers={name.replace("_", "-"): headers[name] for name in headers})
    assert (response.status, response.content_type) == (200, "text/event-stream")
    return response


async def test_every_change_is_told(api: Api):
    async with await watch(api) as stream:
        await api.ask("PUT", "/v1/services/shop/split", json={"weights": {"stable": 1}})
        assert await next_event(stream) == (1, "change", {"at": 1_700_000_000.0, "generation": 2})


async def test_a_silent_stream_carries_comments(api: Api):
    async with await watch(api) as stream:
        assert await stream.content.readline() == b": ping\n"
        assert await stream.content.readline() == b"\n"


async def test_a_stream_goes_on_after_the_event_that_was_seen_last(api: Api, supervisor: FakeSupervisor):
    for number in range(5):
        supervisor.events.publish("health", number=number)
    async with await watch(api, Last_Event_ID="3") as stream:
        assert [await next_event(stream) for _ in range(2)] == [
            (4, "health", {"at": 1_700_000_000.0, "number": 3}),
            (5, "health", {"at": 1_700_000_000.0, "number": 4}),
        ]


@pytest.mark.parametrize("seen", ["0", "99999999"])
async def test_who_resumes_too_late_is_told_and_goes_on_from_now(api: Api, supervisor: FakeSupervisor, seen: str):
    for _ in range(KEPT + 1):
        supervisor.events.publish("health")
    async with await watch(api, Last_Event_ID=seen) as stream:
        assert await next_event(stream) == (KEPT + 1, "lost", {})
        supervisor.events.publish("change")
        assert await next_event(stream) == (KEPT + 2, "change", {"at": 1_700_000_000.0})


async def test_a_reader_that_falls_behind_is_told_and_dropped(api: Api, supervisor: FakeSupervisor):
    async with await watch(api) as stream:
        for _ in range(KEPT + 1):
            supervisor.events.publish("health")
        assert await next_event(stream) == (KEPT + 1, "lost", {})
        assert await next_event(stream) is None


async def test_a_text_in_an_event_cannot_make_another_event(api: Api, supervisor: FakeSupervisor):
    async with await watch(api) as stream:
        supervisor.events.publish("change", reason="a\n\nevent: forged\u2028")
        assert await next_event(stream) == (
            1,
            "change",
            {"at": 1_700_000_000.0, "reason": "a\n\nevent: forged\u2028"},
        )


async def test_streams_end_when_the_server_does(api: Api):
    async with await watch(api) as stream:
        ended = asyncio.ensure_future(next_event(stream))
        await api.client.server.close()
        assert await ended is None


async def test_streams_end_when_the_events_do(api: Api, supervisor: FakeSupervisor):
    async with await watch(api) as stream:
        supervisor.events.publish("stopping")
        supervisor.events.close()
        assert await next_event(stream) == (1, "stopping", {"at": 1_700_000_000.0})
        assert await next_event(stream) is None


async def test_a_reader_that_takes_nothing_is_cut_off(
    api: Api, supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(events, "WRITE_SECONDS", 0.01)
    stream = await watch(api)
    assert stream.connection is not None
    transport = stream.connection.transport
    assert transport is not None
    transport.pause_reading()
    server = api.client.server.handler
    assert server is not None
    for _ in range(200):  # more than the sockets between hold
        supervisor.events.publish("large", text="x" * 100_000)
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        while server.connections:  # noqa: ASYNC110  # nothing else tells that a connection is gone
            await asyncio.sleep(0.001)
    stream.close()


@pytest.mark.parametrize("seen", ["", "x", "-1", "1" * 19, "١"])
async def test_an_id_that_is_none_is_refused(api: Api, seen: str):
    status, content = await api.problem("GET", "/v1/events", headers={"Last-Event-ID": seen})
    assert (status, content["problems"][0]["path"]) == (422, "Last-Event-ID")
