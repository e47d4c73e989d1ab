"""Events reach every reader once and in order; a reader that falls behind is let go."""

import asyncio

import pytest

from proxy.events import KEPT, Event, Events


@pytest.fixture
def events() -> Events:
    return Events(wall_clock=lambda: 5.0)


async def test_a_reader_gets_what_happens_from_now_on(events: Events):
    events.publish("before")
    with events.subscribe() as stream:
        events.publish("health", service="shop", healthy=False)
        assert await anext(stream) == Event(2, 5.0, "health", {"service": "shop", "healthy": False})


async def test_a_reader_can_go_on_where_it_was(events: Events):
    for kind in "abc":
        events.publish(kind)
    with events.subscribe(after=1) as stream:
        assert [(await anext(stream)).kind for _ in range(2)] == ["b", "c"]


async def test_waiting_readers_are_all_woken(events: Events):
    async def read() -> str:
        with events.subscribe() as stream:
            return (await anext(stream)).kind

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.sleep(0)
    events.publish("news")
    assert await asyncio.gather(*readers) == ["news"] * 3


async def test_a_reader_that_fell_behind_is_let_go(events: Events):
    with events.subscribe() as stream:
        for _ in range(KEPT + 1):
            events.publish("flood")
        assert [event async for event in stream] == []
    assert not events.is_known(0)
    assert events.is_known(1)
    assert events.is_known(KEPT + 1)
    assert not events.is_known(KEPT + 2)


async def test_closing_ends_the_iteration_when_all_is_read(events: Events):
    with events.subscribe() as stream:
        events.publish("last")
        events.close()
        assert [event.kind async for event in stream] == ["last"]
    assert events.last_id == 1


async def test_a_reader_that_is_cancelled_leaves_nothing_behind(events: Events):
    async def read() -> None:
        with events.subscribe() as stream:
            await anext(stream)

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    events.publish("nobody waits")
