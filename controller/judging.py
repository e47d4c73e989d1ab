"""The judge of one rollout at work: fed with the seconds of all proxies, told of every step, kept through restarts.

Owns which judge there is, and what it is given. Must not say what follows from a verdict (`controller.core`).

1. Evidence counts from the rollout's `judged_since`; whenever that changes, there is a new judge. What the old version
   did before is its history.
2. A step is told to the judge when the proxies have acknowledged it, and when its share differs from that of the last.
3. Once the new version has everything, there is nothing at the same time to compare it with. Then each second is
   compared with one of the old version's past, each of which is used once, the latest first; when these are used up,
   or a restart has forgotten them, with what the judge knows of them. That is weaker: what happens to everybody at that
   time counts against the new version.
4. After a restart the judge goes on from where it was kept, with the seconds that the proxies still know.

Units: seconds of our CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.core.buckets import Bucket
from controller.core.judge import Judge
from controller.core.judgement import Judgement
from controller.core.model import Rollout
from controller.core.outage import Outage
from controller.core.series import Odds, Row, said_by
from controller.core.strategy import strategy_of
from controller.core.terms import Terms
from controller.core.verdict import Verdict
from controller.harvest import KEPT, Counted, Harvest

Plain = Mapping[str, Any]
_JUDGED: Final = frozenset({"step", "paused", "holding", "frozen", "finishing"})


@dataclass(frozen=True, slots=True)
class JudgedSecond:
    """What both versions did in a second, and what the judge said after it, if that could still matter."""

    second: int
    old: Bucket
    new: Bucket
    judgement: Judgement | None

    def row(self, at: int) -> Row:
        """The second as a row of the series; `at` is when it began by the rollout clock."""
        judgement = self.judgement
        if judgement is None:
            return Row(at, at + 1, self.old, self.new)
        odds = Odds(judgement.evidence, judgement.evidence)
        return Row(at, at + 1, self.old, self.new, 1, odds, said_by(judgement.verdicts, judgement.parts))


class Judging:
    """The judge of one rollout. `kept` is what `to_plain` gave before a restart."""

    def __init__(self, rollout: Rollout, kept: Plain | None = None) -> None:
        self._terms = Terms.of(rollout.policy.checks, rollout.policy.alpha, rollout.policy.warm_up)
        self._harvest = Harvest(rollout.service, rollout.old, rollout.new, self._terms.patience)
        #: The closed seconds of the old version, the last ones, and those of them that are left to compare with.
        self._past: list[tuple[int, Bucket]] = []
        self._left: list[Bucket] = []
        self._judge: Judge | None = None
        self._key: list[Any] = []
        self._step: list[Any] = []
        self._new_units = 0
        self._last: Judgement | None = None
        self._seconds: list[JudgedSecond] = []
        #: How long a second waits for its requests to end.
        self.patience: Final = self._terms.patience
        if kept is not None:
            self._judge = Judge.from_plain(kept["judge"])
            self._key, self._step, self._new_units = kept["key"], kept["step"], kept["new_units"]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What the checks on the proxies' numbers say; empty as long as nothing has been judged."""
        return self._last.verdicts if self._last is not None else ()

    @property
    def outage(self) -> Outage | None:
        """Both versions fail."""
        return self._last.outage if self._last is not None else None

    def wanted_seconds(self, now: float) -> int:
        """How many seconds back the proxies should be asked for."""
        return self._harvest.wanted_seconds(now)

    def update(self, rollout: Rollout, answers: Mapping[str, Counted], now: float, since: float) -> None:
        """Take what the proxies have counted; `since` is the rollout's `judged_since` by our clock.

        Raises:
            KeyError, IndexError, TypeError, ValueError: an answer is of another shape.
        """
        self.take_closed(rollout, self._harvest.take(answers, now), since)

    def take_closed(self, rollout: Rollout, seconds: Iterable[tuple[int, Bucket, Bucket]], since: float) -> None:
        """Take closed seconds of the old and the new version, in order."""
        if rollout.phase in _JUDGED:
            self._follow(rollout)
        for second, old, new in seconds:
            judgement = None
            if self._judge is not None and second >= since:
                judgement = self._feed(self._judge, second, old, new)
            elif self._judge is not None:
                self._judge.remember(second, old)
            # What is known only after the end has decided nothing.
            told = judgement if rollout.phase in _JUDGED else None
            self._seconds.append(JudgedSecond(second, old, new, told))
            if self.outage is None:
                self._past.append((second, old))
        del self._past[:-KEPT], self._seconds[:-KEPT]

    def take_seconds(self) -> list[JudgedSecond]:
        """The seconds that were complete since the last time that this was asked."""
        seconds, self._seconds = self._seconds, []
        return seconds

    def to_plain(self) -> dict[str, Any] | None:
        """What has to be kept, None as long as there is nothing."""
        if self._judge is None:
            return None
        return {"judge": self._judge.to_plain(), "key": self._key, "step": self._step, "new_units": self._new_units}

    def _follow(self, rollout: Rollout) -> None:
        """Have the judge that the rollout asks for, and tell it of a new step."""
        key = [rollout.attempt, rollout.judged_since]
        if self._judge is None or key != self._key:
            self._judge = Judge(self._terms, self._past)
            self._key, self._step, self._last = key, [], None
        strategy = strategy_of(rollout.policy)
        share = strategy.split(rollout).share(rollout.new)
        step = [rollout.step, share, strategy.next_share(rollout)]
        if rollout.is_applied and step != self._step:
            self._judge.begin_step(share, step[2])
            self._step = step
            self._left = [bucket for _, bucket in self._past if bucket.requests] if share == 1 else []
        new_units = sum(unit.stage == "new" for unit in rollout.units)
        if new_units > self._new_units:
            self._judge.warm_up_again()
        self._new_units = new_units

    def _feed(self, judge: Judge, second: int, old: Bucket, new: Bucket) -> Judgement | None:
        if judge.last is not None and second <= judge.last:
            return None  # before a restart
        is_past = bool(self._left and new.requests and not old.requests)
        if is_past:
            old = self._left.pop()
        self._last = judge.take(second, old, new, is_past=is_past)
        return self._last
