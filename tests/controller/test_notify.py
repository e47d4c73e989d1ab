"""Notifications: on transitions only, in order, retried, never twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from config.controller import Notification
from controller import notify
from controller.core.book import Entry, Happened, LineChanged, SignalRaised
from controller.core.events import Event
from controller.journal import Journal, Record
from controller.notify import Notifier, message
from tests.support.rollout_world import CANARY, created
from tests.support.waiting import until


class Chat:
    """A target. `answers` are taken one after the other, the last one stays; None: no answer at all."""

    def __init__(self) -> None:
        self.answers: list[int | None] = [200]
        self.heard: list[Any] = []
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.headers["Idempotency-Key"])
        content = await request.json()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await asyncio.Event().wait()
        if answer == 200:
            self.heard.append(content)
        return web.Response(status=answer or 200)


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    chat, app = Chat(), web.Application()
    app.router.add_post("/", chat.answer)
    async with TestServer(app, handler_cancellation=True) as server:
        chat.url = str(server.make_url("/"))
        yield chat


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_FIRST_PAUSE", 0.01)


def happened(kind: str, why: str = "") -> Entry:
    return Happened("shop-1", Event(kind, 1.0, why))  # type: ignore[arg-type]


def targets(*urls: str, format: str = "json", timeout: float = 10.0) -> tuple[Notification, ...]:
    return tuple(Notification.model_validate({"url": url, "format": format, "timeout": timeout}) for url in urls)


def test_a_message_says_what_happened_and_why():
    record = Record(7, 1700.0, Happened("shop-1", Event("held", 1.0, "latency: slow", "", ({"check": "latency"},))))
    assert message(record, "slack") == {"text": "Rollout shop-1 holds: please investigate: latency: slow"}
    assert message(record, "json") == {
        "id": 7,
        "at": 1700.0,
        "text": "Rollout shop-1 holds: please investigate: latency: slow",
        "rollout": "shop-1",
        "event": "held",
        "why": "latency: slow",
        "by": "",
        "actor": "",
        "reason": "",
        "verdicts": [{"check": "latency"}],
    }


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (LineChanged(True, "dave", "incident", 1.0), "The line is stopped by dave: incident"),
        (LineChanged(False, "dave", "", 1.0), "The line is released by dave"),
        (
            SignalRaised("shop", "x", "support", "12 tickets", 1.0),
            "support says that something is wrong with shop: 12 tickets",
        ),
        (Happened("shop-1", created(CANARY)), "Rollout shop-1 was started: started by alice"),
    ],
)
def test_other_things_are_told_too(entry: Entry, text: str):
    assert message(Record(1, 1.0, entry), "slack") == {"text": text}


@pytest.mark.parametrize("kind", ["applied", "moved", "missed", "slipped", "failed", "sealed", "began"])
def test_what_is_no_transition_is_not_told(kind: str):
    assert message(Record(1, 1.0, happened(kind)), "json") is None


async def test_transitions_are_told_in_their_order(
    tmp_path: Path, journal: Journal, session: aiohttp.ClientSession, chat: Chat
):
    notifier = Notifier(tmp_path, journal, targets(chat.url), session)
    notifier.start()
    for batch in (["prepared", "applied"], ["advanced", "missed", "held"]):
        journal.append([happened(kind) for kind in batch], 1.0)
        notifier.wake()
    await until(lambda: len(chat.heard) == 3)
    assert [content["event"] for content in chat.heard] == ["prepared", "advanced", "held"]
    await notifier.close()


async def test_what_was_not_heard_is_told_again_until_it_is(
    tmp_path: Path, journal: Journal, session: aiohttp.ClientSession, chat: Chat
):
    chat.answers = [503, 429, 500, 200]
    notifier = Notifier(tmp_path, journal, targets(chat.url), session)
    notifier.start()
    journal.append([happened("held")], 1.0)
    notifier.wake()
    await until(lambda: chat.heard)
    assert chat.asked == ["serinus-1"] * 4
    await notifier.close()


async def test_what_may_have_been_heard_is_not_told_again(
    tmp_path: Path, journal: Journal, session: aiohttp.ClientSession, chat: Chat
):
    chat.answers = [None, 200]
    notifier = Notifier(tmp_path, journal, targets(chat.url, timeout=0.1), session)
    notifier.start()
    journal.append([happened("held"), happened("resumed")], 1.0)
    notifier.wake()
    await until(lambda: chat.heard)
    assert chat.asked == ["serinus-1", "serinus-2"]
    await notifier.close()


async def test_a_restart_tells_what_is_new_and_nothing_twice(
    tmp_path: Path, journal: Journal, session: aiohttp.ClientSession, chat: Chat
):
    async def told(kind: str, heard: int) -> None:
        """Append while a notifier runs, and once more when it has gone."""
        notifier = Notifier(tmp_path, journal, targets(chat.url), session)
        notifier.start()
        journal.append([happened(kind)], 1.0)
        notifier.wake()
        await until(lambda: len(chat.heard) == heard)
        await notifier.close()
        journal.append([happened("held")], 1.0)

    await told("prepared", 1)
    await told("advanced", 3)
    assert [content["event"] for content in chat.heard] == ["prepared", "held", "advanced"]


async def test_a_target_that_is_gone_holds_up_no_other(
    tmp_path: Path, journal: Journal, session: aiohttp.ClientSession, chat: Chat, unused_tcp_port: int
):
    nobody = f"http://127.0.0.1:{unused_tcp_port}/"
    notifier = Notifier(tmp_path, journal, targets(nobody, chat.url, format="slack"), session)
    notifier.start()
    journal.append([happened("completed", "canary has everything")], 1.0)
    notifier.wake()
    await until(lambda: chat.heard)
    assert chat.heard == [{"text": "Rollout shop-1 is promoted: canary has everything"}]
    await notifier.close()


async def test_a_new_target_is_not_told_the_past(
    tmp_path: Path, journal: Journal, session: aiohttp.ClientSession, chat: Chat
):
    journal.append([happened("held")], 1.0)
    notifier = Notifier(tmp_path, journal, targets(chat.url), session)
    notifier.start()
    journal.append([happened("resumed")], 1.0)
    notifier.wake()
    await until(lambda: chat.heard)
    assert [content["event"] for content in chat.heard] == ["resumed"]
    await notifier.close()


async def test_nothing_is_told_when_it_cannot_be_written_down(
    tmp_path: Path, journal: Journal, session: aiohttp.ClientSession, chat: Chat, caplog: pytest.LogCaptureFixture
):
    notifier = Notifier(tmp_path / "missing", journal, targets(chat.url), session)
    notifier.start()
    journal.append([happened("held")], 1.0)
    notifier.wake()
    await until(lambda: "nobody is notified" in caplog.text)
    await notifier.close()
    assert chat.asked == []


@pytest.mark.parametrize("text", ["[", "[1]", '{"a": "x"}'])
async def test_a_broken_file_is_no_trouble(tmp_path: Path, journal: Journal, session: aiohttp.ClientSession, text: str):
    (tmp_path / "notified.json").write_text(text)
    await Notifier(tmp_path, journal, targets("http://127.0.0.1:1/"), session).close()
