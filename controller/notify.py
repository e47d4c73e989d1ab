"""Notifications: tell people and programs what has happened to a rollout, on transitions only.

Owns the messages, their delivery and the file that says how far it has come. Must not decide what happens.

1. What is told comes from the journal, in its order, to each target by itself: one that is slow holds up no other.
2. Nothing is told twice. How far a target has come is written down before the first attempt, and an attempt is only
   repeated when it surely was not heard: no connection, or an answer that says so. After a crash in the middle of a
   message, that message may be lost.
3. A target that is new, or has been silent for too long, is told what happens from then on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from config.controller import Notification
from config.who import Who
from controller.core.book import Happened, LineChanged, SignalRaised
from controller.core.events import Event, Kind
from controller.journal import Journal, Record

_FILE: Final = "notified.json"
#: What is worth a message, and the word for it.
_WORDS: Final[Mapping[Kind, str]] = {
    "created": "was started",
    "prepared": "begins its first step",
    "advanced": "takes the next step",
    "completed": "is promoted",
    "paused": "pauses",
    "resumed": "goes on",
    "held": "holds: please investigate",
    "overstayed": "still holds: please decide",
    "froze": "is frozen",
    "thawed": "goes on after an outage",
    "retreated": "has taken the new version out",
    "turned_back": "rolls back",
    "aborted": "is aborted and rolls back",
    "restored": "is rolled back",
    "retried": "is tried again",
}
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
#: Longer than this, a target is not waited for: what it missed is history.
_PATIENCE: Final = 3600.0

_log = logging.getLogger(__name__)


def message(record: Record, format: str) -> dict[str, Any] | None:
    """What a record is told as, None when it is not worth a message."""
    match record.entry:
        case Happened(rollout=rollout, event=event) if event.kind in _WORDS:
            fields: dict[str, Any] = {"rollout": rollout, "event": event.kind, "why": event.why, **_said(event)}
            text = f"Rollout {rollout} {_WORDS[event.kind]}" + (f": {event.why}" if event.why else "")
            fields["verdicts"] = [dict(verdict) for verdict in event.evidence]
        case LineChanged(stopped=stopped, by=by, actor=actor, reason=reason):
            fields = {"event": "line_stopped" if stopped else "line_released", "why": reason, "by": by, "actor": actor}
            text = f"The line is {'stopped' if stopped else 'released'} by {Who(by, actor)}" + (
                f": {reason}" if reason else ""
            )
        case SignalRaised(service=service, by=by, actor=actor, message=words):
            fields = {"event": "signal", "service": service, "why": words, "by": by, "actor": actor}
            text = f"{Who(by, actor)} says that something is wrong with {service}" + (f": {words}" if words else "")
        case _:
            return None
    return {"text": text} if format == "slack" else {"id": record.n, "at": record.wall, "text": text, **fields}


def _said(event: Event) -> dict[str, str]:
    return {"by": event.by, "actor": event.actor, "reason": event.reason}


class Notifier:
    """Tells every target. `session` belongs to whoever made it."""

    def __init__(
        self, folder: Path, journal: Journal, targets: tuple[Notification, ...], session: aiohttp.ClientSession
    ) -> None:
        self._path = folder / _FILE
        self._journal = journal
        self._session = session
        self._targets = targets
        saved = self._read()
        self._told = {str(target.url): saved.get(str(target.url), journal.last) for target in targets}
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to tell."""
        self._keep()
        self._tasks = [asyncio.create_task(self._tell(target), name=f"notify {target.url}") for target in self._targets]

    def wake(self) -> None:
        """There is something new in the journal."""
        self._news.set()
        self._news = asyncio.Event()

    async def close(self) -> None:
        """Stop telling; what has not been told is told after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell(self, target: Notification) -> None:
        url = str(target.url)
        while True:
            news = self._news
            for record in self._untold(url):
                content = message(record, target.format)
                self._told[url] = record.n
                if content is not None and self._keep():
                    await self._deliver(target, content, record.n)
            await news.wait()

    def _untold(self, url: str) -> Iterator[Record]:
        return iter([record for record in self._journal.records if record.n > self._told[url]])

    async def _deliver(self, target: Notification, content: dict[str, Any], number: int) -> None:
        """Post until it was heard, or may have been."""
        loop = asyncio.get_running_loop()
        began, pause = loop.time(), _FIRST_PAUSE
        while trouble := await self._post(target, content, number):
            if loop.time() - began > _PATIENCE:
                _log.error("notification %d was not delivered to %s: %s", number, target.url, trouble)
                return
            _log.warning("notification %d to %s: %s; trying again", number, target.url, trouble)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _post(self, target: Notification, content: dict[str, Any], number: int) -> str:
        """Why it surely was not heard; empty when it was, and when nobody knows."""
        timeout = aiohttp.ClientTimeout(total=target.timeout)
        headers = {"Idempotency-Key": f"serinus-{number}"}
        try:
            async with self._session.post(target.url, json=content, headers=headers, timeout=timeout) as response:
                if response.status == 429 or response.status >= 500:
                    return f"status {response.status}"
                if response.status >= 300:
                    _log.error("notification %d was refused by %s: status %d", number, target.url, response.status)
        except aiohttp.ClientConnectorError as exc:
            return str(exc)
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            _log.error("notification %d to %s may have been lost: %s", number, target.url, str(exc) or "no answer")
        return ""

    def _keep(self) -> bool:
        """Write down how far each target has come; false when that is not possible, and then nothing is told."""
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._told), encoding="ascii")
            new.rename(self._path)
        except OSError as exc:
            _log.error("%s cannot be written, so nobody is notified: %s", self._path, exc)
            return False
        return True

    def _read(self) -> dict[str, int]:
        try:
            return {str(url): int(n) for url, n in json.loads(self._path.read_text(encoding="ascii")).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as exc:
            _log.warning("%s is of no use (%s): targets are told what happens from now on", self._path, exc)
            return {}
