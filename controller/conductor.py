"""The conductor: the book and its journal, a loop for each rollout, and what people order.

Owns the book, and that an entry is in it exactly when it is in the journal. Must not decide on a rollout
(`controller.core`), speak HTTP to people (`controller.api`) or look at proxies but to answer whether one can begin.

1. Everything that changes the book goes through `record`, which does not wait: what was checked before is still so.
2. What cannot be written down does not happen. What takes traffic from a new version is the exception: it happens,
   and is written down as soon as that is possible, before anything else.
3. Each rollout that is not over has one loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from config.model import Config
from config.problems import Problem, nearest
from controller.core.beginning import why_not
from controller.core.book import (
    Book,
    Entry,
    Happened,
    IfRunning,
    LineChanged,
    SignalCleared,
    SignalRaised,
    start,
)
from controller.core.events import BACKWARD
from controller.core.model import Policy, Rollout
from controller.core.observed import SIGNAL, Seen
from controller.core.orders import Order, obey
from controller.core.transitions import create
from controller.journal import Journal
from controller.loop import CannotRecord, Loop, Tools
from controller.observe import observe
from controller.series_file import forget_others
from controller.windows import frozen

#: Entries in the journal above which it is looked for what can be forgotten.
COMPACT_ABOVE: Final = 2000

_log = logging.getLogger(__name__)


class Impossible(Exception):
    """What was asked for cannot be done; `problems` are all that is wrong, with the paths of the fields."""

    def __init__(self, sentence: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(sentence)
        self.problems = tuple(problems)


class NotFound(Exception):
    """There is no rollout or service of this name."""

    def __init__(self, sentence: str, suggestion: str | None = None) -> None:
        super().__init__(sentence)
        self.suggestion = suggestion


class Unready(Exception):
    """Not now: a proxy does not answer, or nothing can be written down."""


class Conductor:
    """All rollouts.

    Raises:
        IllegalTransition, BadClock, ValueError, KeyError: the journal holds what cannot have happened.
    """

    def __init__(self, config: Config, journal: Journal, tools: Tools) -> None:
        self.config = config
        self.journal: Final = journal
        self.tools: Final = tools
        self.trouble = ""
        #: Set, and replaced by another one, at every change of the book.
        self.news = asyncio.Event()
        self._unwritten: list[Entry] = []
        self._listeners: list[Callable[[], None]] = []
        self._loops: dict[str, Loop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.book = Book(number=journal.number)
        for record in journal.records:
            self.book = self.book.with_entry(record.entry)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this after every change of the book."""
        self._listeners.append(listener)

    def begin(self) -> None:
        """Have a loop for every rollout that is not over."""
        self._forget()
        forget_others(self.tools.folder, self.book.rollouts.keys())
        for identity in self.book.rollouts:
            self._follow(identity)

    async def close(self) -> None:
        """Decide nothing more; proxies go on as they are."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def window(self) -> str:
        """Why nobody may move forward now, by the calendar."""
        return frozen(self.config.controller.freeze, self.tools.clock.wall())

    def record(self, entries: Sequence[Entry]) -> None:
        """Write entries down, and have them in the book. Raises CannotRecord; then nothing has happened."""
        book = self.book
        for entry in entries:
            book = book.with_entry(entry)
        try:
            self.journal.append([*self._unwritten, *entries], self.tools.clock.wall())
            self._unwritten, self.trouble = [], ""
        except OSError as exc:
            self.trouble = f"{self.journal.path} cannot be written ({exc.strerror or exc}): nothing moves forward"
            if not all(_goes_back(entry) for entry in entries):
                raise CannotRecord(self.trouble) from exc
            _log.error("%s; what takes traffic from a new version is done all the same", self.trouble)
            self._unwritten += entries
        self.book = book
        self.news.set()
        self.news = asyncio.Event()
        for listener in self._listeners:
            listener()

    def flush(self) -> None:
        """Write down what could not be written when it happened, if that is possible now."""
        if self._unwritten:
            with suppress(CannotRecord):
                self.record(())

    def loop_of(self, identity: str) -> Loop | None:
        """The loop of a rollout, as long as there is one."""
        return self._loops.get(identity)

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops of all rollouts that are not over."""
        return tuple(self._loops.values())

    def rollout(self, identity: str) -> Rollout:
        """One rollout. Raises NotFound."""
        found = self.book.rollouts.get(identity)
        if found is None:
            raise NotFound(f"There is no rollout {identity!r}", nearest(identity, self.book.rollouts))
        return found

    def planned(self, service: str) -> tuple[Policy, Rollout | None]:
        """The rollout of a service that is under way, with its policy; else the policy of the file. Raises NotFound."""
        rollout = self.book.acting(service)
        return (rollout.policy, rollout) if rollout is not None else (self._policy(service, {}), None)

    async def start(
        self, service: str, changes: Mapping[str, Any], *, by: str, reason: str, if_running: IfRunning, actor: str = ""
    ) -> Rollout:
        """Create a rollout as the file says, with some fields of it changed.

        Raises:
            NotFound, Impossible, Unready, Refused: it cannot be.
        """
        policy = self._policy(service, changes)
        now = self.tools.clock.now()
        more: dict[str, Any] = {"by": by, "actor": actor, "reason": reason, "if_running": if_running}
        entries = start(self.book, service, policy, now=now, **more)
        if self.book.acting(service) is None:
            await self._check_beginning(create(entries[-1].rollout, entries[-1].event))
            # Somebody may have started another one while the proxies were asked.
            now = self.tools.clock.now()
            entries = start(self.book, service, policy, now=now, **more)
        self._record_order(entries)
        for entry in entries:
            self._follow(entry.rollout)
        return self.book.rollouts[entries[-1].rollout]

    def order(self, identity: str, order: Order) -> Rollout:
        """Obey an order. Raises NotFound, Refused, Unready."""
        rollout, now = self.rollout(identity), self.tools.clock.now()
        event = obey(rollout, order, now, self.book.blocked(rollout, self.window()))
        if event is None:
            return rollout
        entries: list[Entry] = [Happened(identity, event)]
        if order.verb in ("resume", "promote") and self.book.bad_signals(rollout, now):
            # Whoever goes on has heard them.
            entries.insert(0, SignalCleared(rollout.service, "", order.by, now, order.actor))
        self._record_order(entries)
        self._follow(identity)
        return self.rollout(identity)

    def signal(
        self, service: str, check: str, *, bad: bool, by: str, message: str, seconds: float | None, actor: str = ""
    ) -> None:
        """Take a signal from outside. Raises NotFound, Impossible, Unready."""
        policy = self._policy(service, {})
        known = [each.name for each in policy.checks if each.kind == "signal"]
        check = check or (known[0] if known else SIGNAL)
        if check not in known and check != SIGNAL:
            problem = Problem("check", f"{service} has no signal check {check!r}", suggestion=nearest(check, known))
            raise Impossible("Nobody would hear the signal", (problem,))
        now = self.tools.clock.now()
        until = now + seconds if seconds is not None else None
        raised = SignalRaised(service, check, by, message, now, until, actor)
        self._record_order([raised if bad else SignalCleared(service, check, by, now, actor)])
        self._wake()

    def stop_line(self, *, stopped: bool, by: str, reason: str, actor: str = "") -> None:
        """Keep everything from moving forward, or let it go on. Raises Unready."""
        self._record_order([LineChanged(stopped, by, reason, self.tools.clock.now(), actor)])
        self._wake()

    def _policy(self, service: str, changes: Mapping[str, Any]) -> Policy:
        policy = self.config.rollouts.get(service)
        if policy is None:
            names = self.config.rollouts
            sentence = f"The file has no rollout for {service!r}; it has {', '.join(names) or 'none at all'}"
            raise NotFound(sentence, nearest(service, names))
        changed = policy.model_copy(update=dict(changes))
        if changed.from_ == changed.to:
            raise Impossible("The rollout cannot begin", (Problem("to", f"from and to are both {changed.to!r}"),))
        return changed

    async def _check_beginning(self, rollout: Rollout) -> None:
        look = await observe(self.tools.proxies, rollout.service, 1)
        if look.lost:
            raise Unready("; ".join(f"{name} does not answer: {why}" for name, why in look.lost.items()))
        problems = why_not(rollout, Seen(proxies=look.services))
        if problems:
            raise Impossible(f"The rollout of {rollout.service} cannot begin", problems)

    def _record_order(self, entries: Sequence[Entry]) -> None:
        try:
            self.record(entries)
        except CannotRecord as exc:
            raise Unready(str(exc)) from exc

    def _follow(self, identity: str) -> None:
        """Have a loop for a rollout, awake."""
        loop = self._loops.get(identity)
        if loop is not None:
            loop.wake()
            return
        loop = Loop(identity, self, self.tools)
        if loop.is_over:
            return
        self._loops[identity] = loop
        task = self._tasks[identity] = asyncio.create_task(loop.run(), name=f"rollout {identity}")
        task.add_done_callback(lambda task: self._end(identity, task))

    def _end(self, identity: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            _log.error("the loop of %s has ended: %r", identity, exc, exc_info=exc)
        self._loops.pop(identity, None)
        self._tasks.pop(identity, None)
        if task.cancelled():
            return
        self._wake()  # others may have waited for this one
        if identity in self.book.rollouts and not self.book.rollouts[identity].has_ended:
            self._follow(identity)  # it was tried again before its loop had ended

    def _wake(self) -> None:
        for loop in self._loops.values():
            loop.wake()

    def _forget(self) -> None:
        """Leave out of the book and the journal what nobody needs any more."""
        forgettable = self.book.forgettable()
        if not forgettable or len(self.journal.records) <= COMPACT_ABOVE:
            return
        try:
            self.journal.compact(
                lambda entry: not (isinstance(entry, Happened) and entry.rollout in forgettable), self.book.number
            )
        except OSError as exc:
            _log.warning("%s cannot be made smaller: %s", self.journal.path, exc)
            return
        kept = {identity: each for identity, each in self.book.rollouts.items() if identity not in forgettable}
        self.book = Book(kept, self.book.number, self.book.line, self.book.signals)
        self.tools.hooks.forget(forgettable)


def _goes_back(entry: Entry) -> bool:
    return isinstance(entry, Happened) and entry.event.kind in BACKWARD
