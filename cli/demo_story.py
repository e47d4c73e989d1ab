"""The story that `serinus demo` tells: a rollout from its start to its end, and what breaks on the way.

Owns when the rollout starts, when the break begins, what has happened so far and how it ended. Must not show anything,
or decide anything: the controller does, as it would for anybody else.

1. The break begins when the second step does; once.
2. It is over when the rollout has ended, a moment later. After that, what people do to it is followed too.
3. Times of the day are compared with each other only: proxy, controller and demo are on one machine.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from cli.client import AdminClient
from cli.controller import ENDED, ControllerClient, DecisionStatus, Reasons, RolloutStatus
from cli.demo_words import words_of
from cli.faults import Fault, Unreachable
from cli.shapes import ServiceStatus
from loadtests.demo.breaks import BREAKS, Break
from loadtests.demo.configuration import NEW, OLD, SERVICE
from loadtests.demo.stage import Stage
from loadtests.demo.traffic import RECENT_SECONDS, Recent, Tally

#: What the old version does before is what the new one is compared with at first.
LEAD_SECONDS: Final = 3.0
LEAD_REQUESTS: Final = 100
TAIL_SECONDS: Final = 1.5

_POLL_SECONDS: Final = 0.3
_CALL_SECONDS: Final = 5.0
_BREAKER: Final = "breaker"


class CannotBreak(Fault):
    """An endpoint could not be made bad."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened, `at` seconds after the traffic began."""

    at: float
    kind: str
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Damage:
    """What broke, and what came of it."""

    name: str
    began: float
    """The time of the day."""
    failed_before: int
    new_before: int
    taken_out: float | None = None
    """After how many seconds the new version got no requests any more; None while it gets some."""

    @property
    def kind(self) -> Break:
        """What it is."""
        return BREAKS[self.name]

    def failed(self, tally: Tally) -> int:
        """The requests that have failed since then."""
        return tally.failed - self.failed_before

    def hit(self, tally: Tally) -> int:
        """The requests that the new version has answered since then."""
        return tally.answered[NEW] - self.new_before


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything as it is now. What is None is not known yet."""

    seconds: float
    tally: Tally
    recent: Mapping[str, Recent]
    service: ServiceStatus | None
    rollout: RolloutStatus | None
    now: DecisionStatus | None
    """What was said last while there was something to judge."""
    damage: Damage | None
    events: Sequence[Happening]

    def share(self, version: str) -> float | None:
        """The version's share of the last answers."""
        total = sum(recent.answered for recent in self.recent.values())
        return self.recent.get(version, Recent()).answered / total if total else None

    @property
    def rate(self) -> float:
        """Answers a second, lately."""
        span = max(min(RECENT_SECONDS, self.seconds), 0.1)
        return sum(recent.answered for recent in self.recent.values()) / span


class Story:
    """One demonstration; `tell` is called with everything that happens."""

    def __init__(self, stage: Stage, tally: Tally, damage: str | None, tell: Callable[[Happening], None]) -> None:
        self._stage = stage
        self._tally = tally
        self._wanted_damage = damage
        self._tell = tell
        self._began = time.monotonic()
        self._admin = AdminClient(stage.url("admin"), timeout=_CALL_SECONDS)
        self._controller = ControllerClient(stage.url("controller"), actor="demo", timeout=_CALL_SECONDS)
        self._service: ServiceStatus | None = None
        self._reasons: Reasons | None = None
        self._now: DecisionStatus | None = None
        self._damage: Damage | None = None
        self._breaking: asyncio.Task[None] | None = None
        self._events: list[Happening] = []
        self._seen = (0, 0)  # the number of the last decision that was told, and the generation that was looked at
        self._sentence = ""  # of the last decision
        self.is_over = asyncio.Event()
        self.started_at: float | None = None
        """When the rollout started, in seconds of the story."""

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self._began

    @property
    def rollout(self) -> RolloutStatus | None:
        """The rollout as it was last seen."""
        return self._reasons["rollout"] if self._reasons else None

    def scene(self) -> Scene:
        """Everything as it is now."""
        recent = self._tally.recent(asyncio.get_running_loop().time())
        return Scene(
            self.seconds, self._tally, recent, self._service, self.rollout, self._now, self._damage, self._events[-50:]
        )

    async def run(self) -> None:
        """Tell it, until cancelled.

        Raises:
            Fault: the rollout cannot be started, or the new version not be broken.
        """
        try:
            await self._lead_in()
            rollout = await asyncio.to_thread(self._controller.start, SERVICE, reason="serinus demo")
            self.started_at = self.seconds
            self._say("started", f"{rollout['id']} starts: from {OLD} to {NEW}", rollout=rollout["id"])
            while True:
                with suppress(Unreachable):  # who is gone is told by `Stage.wait_for_death`
                    await self._look()
                if self.rollout is not None and self.rollout["phase"] in ENDED and not self.is_over.is_set():
                    await asyncio.sleep(TAIL_SECONDS)
                    self.is_over.set()
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            if self._breaking is not None:
                self._breaking.cancel()

    async def _lead_in(self) -> None:
        self._say("traffic", f"clients call {self._stage.url('proxy')}; {OLD} answers")
        while self.seconds < LEAD_SECONDS or 0 < self._tally.requests < LEAD_REQUESTS:
            await asyncio.sleep(_POLL_SECONDS)
            with suppress(Unreachable):
                self._service = await asyncio.to_thread(self._admin.service, SERVICE)

    async def _look(self) -> None:
        found = await asyncio.to_thread(self._controller.find, SERVICE)
        reasons = await asyncio.to_thread(self._controller.why, found["id"])
        service = await asyncio.to_thread(self._admin.service, SERVICE)
        self._reasons, self._service = reasons, service
        if reasons["now"]["verdicts"]:
            self._now = reasons["now"]
        self._notice_split(service)
        self._say_decisions(list(self._news(reasons)), reasons["rollout"]["step"])
        self._break_when_due(reasons["rollout"])
        if self._breaking is not None and self._breaking.done() and not self._breaking.cancelled():
            try:
                self._breaking.result()
            except Exception as exc:
                raise CannotBreak(f"could not break {NEW}: {exc}") from exc

    def _news(self, reasons: Reasons) -> Iterator[DecisionStatus]:
        for decision in reasons["decisions"]:
            if (decision["n"] or 0) > self._seen[0]:
                self._seen = (decision["n"] or 0, self._seen[1])
                yield decision

    def _say_decisions(self, news: Sequence[DecisionStatus], step: int) -> None:
        """Say what is new. `step` is where the rollout is after all of it."""
        weights = self._stage.walk.weights
        for number, decision in enumerate(news):
            event, sentence = decision["event"] or "", decision["sentence"]
            later = sum(each["event"] == "advanced" for each in news[number + 1 :])
            weight = weights[min(max(step - later, 0), len(weights) - 1)]
            text = words_of(decision, weight, said=self._sentence)
            self._sentence = sentence
            if text:
                self._say(event, text, why=sentence, verdicts=decision["verdicts"], wall=decision["wall"])

    def _notice_split(self, service: ServiceStatus) -> None:
        """See when the new version is out, and whether it was the proxy that took it out."""
        change, damage = service["split_change"], self._damage
        is_out = not service["versions"][NEW]["target"]
        if damage is not None:
            if not is_out:
                damage.taken_out = None
            elif damage.taken_out is None and change["at"] >= damage.began:
                damage.taken_out = change["at"] - damage.began
        if change["generation"] != self._seen[1] and change["by"] == _BREAKER:
            self._say(_BREAKER, f"the proxy takes {NEW} out by itself: {change['reason'].removeprefix('breaker: ')}")
        self._seen = (self._seen[0], change["generation"])

    def _break_when_due(self, rollout: RolloutStatus) -> None:
        if self._wanted_damage is None or self._breaking is not None or rollout["phase"] != "step":
            return
        is_second = rollout["step"] >= min(1, rollout["steps"] - 1)
        if is_second and rollout["applied"]:
            self._breaking = asyncio.ensure_future(self._break(self._wanted_damage))

    async def _break(self, name: str) -> None:
        self._damage = Damage(name, time.time(), self._tally.failed, self._tally.answered[NEW])
        self._say("break", BREAKS[name].what, name=name)
        await BREAKS[name].does(self._stage)
        if BREAKS[name].ends:
            self._say("mend", BREAKS[name].ends)

    def _say(self, kind: str, text: str, **numbers: Any) -> None:
        happening = Happening(round(self.seconds, 1), kind, text, numbers)
        self._events.append(happening)
        self._tell(happening)
