"""The loop of one rollout: observe, judge, decide, write down, act; again and again until it has ended for good.

Owns the order of these, and what is remembered between two turns. Must not decide (`controller.core.decide`).

1. What has happened is in the journal before anything is done about it.
2. Between the decision and the journal nothing is waited for, so an order never comes between them.
3. What was decided is acted on at once; the next turn follows at once when there is something new.
4. A turn that fails is logged, and the next one comes.
5. What both versions did is recorded until shortly after the rollout's end. Nothing waits for that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp

from controller.act import act
from controller.checks import Checks, judge_signals
from controller.clock import Clock
from controller.core.actions import Action, EndLease, RenewLease, RunDeploy
from controller.core.book import Book, Entry, Happened, sealed_by
from controller.core.decide import Decision, decide
from controller.core.model import Rollout
from controller.core.observed import Seen, actor
from controller.core.series import said_by
from controller.hooks import Hooks
from controller.judging import Judging
from controller.observe import Look, observe
from controller.proxies import Proxy
from controller.recording import Recording

#: From one turn to the next while nothing but the end of `keep_old` is waited for, seconds.
IDLE_SECONDS: Final = 30.0
#: From one writing down of the judge to the next, seconds.
KEEP_SECONDS: Final = 5.0
#: How much of what comes after the end is recorded, so that one sees what came of it, and how long that is waited for
#: beyond the judge's patience, seconds.
AFTERMATH: Final = 5.0
LAST_SECONDS: Final = 5.0

#: Numbers and durations, such as 1h30m.
_NUMBERS: Final = re.compile(r"(?:\d+(?:ms|[dhms](?![a-z]))?)+")
_log = logging.getLogger(__name__)


class CannotRecord(Exception):
    """What has happened cannot be written down, so it must not happen; the text says why."""


class Recorder(Protocol):
    """Where what happens is written down."""

    @property
    def book(self) -> Book:
        """All rollouts as they are now."""

    def window(self) -> str:
        """Why nobody may move forward now, by the calendar."""

    def record(self, entries: Sequence[Entry]) -> None:
        """Write entries down, and have them in the book. Raises CannotRecord."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every loop works with."""

    proxies: dict[str, Proxy]
    clock: Clock
    hooks: Hooks
    session: aiohttp.ClientSession
    folder: Path
    interval: float


@dataclass(slots=True)
class _Memory:
    """What is remembered between turns and may be forgotten by a restart."""

    acknowledged: int = 0
    errors_since: float | None = None
    lost_since: dict[str, float] = field(default_factory=dict)
    previous_at: float | None = None
    kept_at: float = 0.0
    told: str = ""
    decision: Decision | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Loop:
    """The loop of the rollout with this id."""

    def __init__(self, identity: str, recorder: Recorder, tools: Tools) -> None:
        self.identity: Final = identity
        self._recorder = recorder
        self._tools = tools
        self._judging = self._restored_judging()
        self._checks = Checks(self.rollout, tools.session)
        self._memory = _Memory(previous_at=tools.clock.last_alive)
        #: The series of this rollout.
        self.recording: Final = Recording(tools.folder, identity)

    @property
    def rollout(self) -> Rollout:
        """The rollout as it is now."""
        return self._recorder.book.rollouts[self.identity]

    @property
    def decision(self) -> Decision | None:
        """What was decided last, None before the first turn."""
        return self._memory.decision

    @property
    def is_over(self) -> bool:
        """Whether nothing will ever be decided again, unless somebody orders it, and all is recorded."""
        return (self.rollout.phase == "rolled_back" or self.rollout.sealed) and not self._records_the_end

    @property
    def _records_the_end(self) -> bool:
        """Whether it has just ended, and its last seconds are not complete."""
        if not self.rollout.has_ended:
            return False
        last, end = self.rollout.entered_at + AFTERMATH, self.recording.end
        is_missing = end is None or end < last
        return is_missing and self._tools.clock.now() < last + self._judging.patience + LAST_SECONDS

    def wake(self) -> None:
        """Somebody has ordered something: do not sleep."""
        self._memory.news.set()

    async def run(self) -> None:
        """Take turns until the rollout is over."""
        try:
            while not self.is_over:
                self._memory.news.clear()
                try:
                    has_news = await self.turn()
                except CannotRecord as exc:
                    self._tell(str(exc))
                    has_news = False
                except Exception:
                    _log.exception("%s: a turn failed", self.identity)
                    has_news = False
                if not has_news:
                    await self._sleep()
        finally:
            await self._checks.close()
            await self.recording.close()
        self._judge_path().unlink(missing_ok=True)

    async def turn(self) -> bool:
        """Look, judge, decide, write down and act once; true when the next turn should follow at once.

        Raises:
            CannotRecord: what was decided must not happen, since it cannot be written down.
        """
        memory, clock = self._memory, self._tools.clock
        if self.rollout.phase == "promoted" and not self._records_the_end:
            look = Look({}, {}, {})
        else:
            wanted = self._judging.wanted_seconds(clock.monotonic())
            look = await observe(self._tools.proxies, self.rollout.service, wanted)
        rollout = self.rollout
        seen = self._see(rollout, look)
        memory.decision = decision = decide(rollout, seen, clock.now())
        memory.previous_at = clock.now()
        self._record(decision)
        self._tell(decision.sentence)
        self._keep_series(decision)
        has_acted = await self._act(decision.rollout, decision.actions, look)
        await self._keep_judge()
        return has_acted or bool(decision.events)

    async def _sleep(self) -> None:
        seconds = self._tools.interval
        if self.rollout.phase == "promoted" and not self._records_the_end:
            seconds = idle_seconds(self.rollout, self._tools.clock.now(), at_least=seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._memory.news.wait()
        except TimeoutError:
            pass

    def _see(self, rollout: Rollout, look: Look) -> Seen:
        """Put together what the decision looks at."""
        memory, clock, book = self._memory, self._tools.clock, self._recorder.book
        lost = dict(look.lost)
        try:
            since = clock.monotonic_of(rollout.judged_since)
            self._judging.update(rollout, look.counts, clock.monotonic(), since)
        except (KeyError, IndexError, TypeError, ValueError) as exc:
            _log.warning("%s: what a proxy has counted cannot be read: %r", self.identity, exc)
            lost.update(dict.fromkeys(look.counts, f"its counts cannot be read ({exc!r})"))
        self._checks.follow(rollout)
        now = clock.now()
        signals = judge_signals(rollout.policy, book.bad_signals(rollout, now))
        verdicts = (*self._judging.verdicts, *self._checks.during(), *signals)
        has_errors = bool(lost) or any(verdict.value == "ERROR" for verdict in verdicts)
        memory.lost_since = {name: memory.lost_since.get(name, now) for name in lost}
        memory.errors_since = (memory.errors_since if memory.errors_since is not None else now) if has_errors else None
        return Seen(
            proxies={name: found for name, found in look.services.items() if name not in lost},
            lost=lost,
            lost_since=memory.lost_since,
            verdicts=verdicts,
            before=self._checks.before(),
            errors_since=memory.errors_since,
            outage=self._judging.outage,
            blocked=book.blocked(rollout, self._recorder.window()),
            acknowledged=memory.acknowledged,
            run_ends=self._tools.hooks.ends(rollout),
            previous_at=memory.previous_at,
        )

    def _record(self, decision: Decision) -> None:
        entries: list[Entry] = [Happened(self.identity, event) for event in decision.events]
        if any(event.kind == "began" for event in decision.events):
            entries += sealed_by(self._recorder.book, decision.rollout, decision.at)
        if entries:
            self._recorder.record(entries)
        for event in decision.events:
            _log.info("%s: %s%s", self.identity, event.kind.replace("_", " "), f": {event.why}" if event.why else "")

    async def _act(self, rollout: Rollout, actions: Sequence[Action], look: Look) -> bool:
        """Do what was decided; true when the proxies have acknowledged something."""
        changes: list[Action] = []
        for action in actions:
            if isinstance(action, RunDeploy):
                self._tools.hooks.ensure(rollout, action)
            else:
                changes.append(action)
        if not changes:
            return False
        is_done = await act(
            self._tools.proxies, look.services, rollout.service, changes, actor(rollout.id), rollout.why
        )
        # A lease alone is nothing that anybody waits for.
        is_acknowledged = is_done and any(not isinstance(action, RenewLease | EndLease) for action in changes)
        if is_acknowledged:
            self._memory.acknowledged = rollout.intent
        return is_acknowledged

    def _tell(self, sentence: str) -> None:
        """Log what is waited for, once for each kind of wait: numbers in it change all the time."""
        kind = without_numbers(sentence)
        is_news = kind != self._memory.told and self.rollout.phase != "rolled_back"
        if is_news and not (self.decision and self.decision.events):
            _log.info("%s: %s", self.identity, sentence)
        self._memory.told = kind

    def _keep_series(self, decision: Decision) -> None:
        """Have the seconds recorded that are complete now. What was before the rollout's turn is not of it."""
        seconds, clock = self._judging.take_seconds(), self._tools.clock
        if not seconds or decision.rollout.phase == "pending":
            return
        rows = [each.row(math.floor(clock.at_of(each.second) + 0.5)) for each in seconds]
        judged = {verdict.check for verdict in self._judging.verdicts}
        outside = [verdict for verdict in decision.seen.verdicts if verdict.check not in judged]
        rows[-1] = replace(rows[-1], checks={**rows[-1].checks, **said_by(outside)})
        self.recording.put(rows)

    def _judge_path(self) -> Path:
        return self._tools.folder / f"judge-{self.identity}.json"

    async def _keep_judge(self) -> None:
        now, kept = self._tools.clock.now(), self._judging.to_plain()
        if kept is None or now - self._memory.kept_at < KEEP_SECONDS:
            return
        self._memory.kept_at = now
        try:
            await asyncio.to_thread(_replace, self._judge_path(), kept)
        except OSError as exc:
            _log.warning("%s: the judge cannot be kept: %s", self.identity, exc)

    def _restored_judging(self) -> Judging:
        """The judge as it was kept before a restart, else a new one."""
        path = self._judge_path()
        try:
            return Judging(self.rollout, json.loads(path.read_text(encoding="ascii")))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as exc:
            _log.warning("%s is of no use (%r): the judge begins anew", path, exc)
        return Judging(self.rollout)


def idle_seconds(rollout: Rollout, now: float, *, at_least: float) -> float:
    """How long a promoted rollout may be left alone: until `keep_old` is over, and not too long."""
    left = rollout.entered_at + rollout.policy.keep_old - now
    return min(max(left, at_least), IDLE_SECONDS)


def without_numbers(sentence: str) -> str:
    """What is left of a sentence when only its numbers and durations change."""
    return _NUMBERS.sub("", sentence)


def _replace(path: Path, content: Any) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content), encoding="ascii")
    new.rename(path)
