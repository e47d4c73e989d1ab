"""Whether a load went well: the error budget, the share of each version, and what became of the rollout.

Owns the judgement over what `tally` counted and what the proxy said that it should be. Must not ask or print
anything, and must not import what needs more than Python.

1. While targets change, nobody can say which of them a request met. So shares are judged stretch by stretch: the
   requests of a time in which the targets stayed as they were, without `MARGIN` at each change. That is also how far
   the clocks of the workers may be from the master's.
2. Requests without a key are dealt exactly, and may be off by a constant. Where others send requests to the same
   service, ours are some of those dealt, and chance decides about each.
3. Users with a key are hashed: n requests of N users have the variance p (1 - p) (1 / n + 1 / N).
4. A share of 0 or 1 is exact for all.

Units: seconds since 1970; shares from 0 to 1.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadtests.tally import PER_SECOND, Kind, Tally

MARGIN: Final = 0.5  # seconds
IDENTITIES: Final = 1000  # how many different keys the sticky users have
_SIGMAS: Final = 5.0
# Requests: up to two per worker of the proxy that splits, and those that begin on one side of a change and are dealt on
# the other.
_SLACK: Final = 16
_KEPT: Final = 90.0  # seconds that are given to no stretch yet: longer than a worker of Locust keeps its counts


@dataclass(slots=True)
class Stretch:
    """A time in which the targets stayed as they were."""

    targets: Mapping[str, float]
    since: float
    until: float
    """When they were last seen to be so."""
    answered: Counter[tuple[Kind, str]] = field(default_factory=Counter)

    def total(self, kind: Kind) -> int:
        """The requests of one kind."""
        return sum(number for (of, _), number in self.answered.items() if of == kind)

    def shares(self) -> dict[str, float]:
        """What each version got; empty without requests."""
        total = self.answered.total()
        versions = {**self.targets, **{version: 0.0 for _, version in self.answered}}
        return {
            name: sum(number for (_, version), number in self.answered.items() if version == name) / total
            for name in versions
            if total
        }

    def complaints(self, *, alone: bool) -> Iterator[str]:
        """Every share that is not as it should be."""
        dealt, keyed = self.total("dealt"), self.total("keyed")
        for name, actual in self.shares().items():
            target = self.targets.get(name, 0.0)
            allowed = tolerance(target, dealt, keyed, alone=alone)
            if abs(actual - target) > allowed:
                due = f"{target:.2%} ± {allowed:.2%}"
                yield f"{name} got {actual:.2%} of {dealt + keyed} requests where it should have {due}"


@dataclass(slots=True)
class Account:
    """Counts and targets of one load, brought together as it goes on, so that a long one needs no more memory."""

    tally: Tally = field(default_factory=Tally)
    stretches: list[Stretch] = field(default_factory=list)

    def see(self, targets: Mapping[str, float], asked: float, answered: float) -> None:
        """Note what the proxy says: the targets at some time between the question and the answer."""
        last = self.stretches[-1] if self.stretches else None
        if last is not None and last.targets == targets:
            last.until = asked
        else:
            # What was so at the last look may have changed right after it, and what is so now may be so only since now.
            self.stretches.append(Stretch(targets, answered, asked))

    def settle(self, before: float = math.inf) -> None:
        """Give the requests that began before to their stretches; without a time, all: the load is over."""
        is_over = math.isinf(before)
        for (moment, kind, version), number in [*self.tally.answered.items()]:
            begins, ends = moment / PER_SECOND, (moment + 1) / PER_SECOND
            if ends > before:
                continue
            del self.tally.answered[moment, kind, version]
            if (stretch := self._stretch_of(begins, ends, is_over=is_over)) is not None:
                stretch.answered[kind, version] += number

    def settle_old(self, now: float) -> None:
        """Give those requests to their stretches of which no more counts are awaited."""
        self.settle(now - _KEPT)

    def _stretch_of(self, begins: float, ends: float, *, is_over: bool) -> Stretch | None:
        """The stretch in which a moment is, away from the changes at both sides."""
        for place, stretch in enumerate(self.stretches):
            # There is no change before the first look and none after the last.
            first = -math.inf if place == 0 else stretch.since + MARGIN
            last = math.inf if is_over and place == len(self.stretches) - 1 else stretch.until - MARGIN
            if first <= begins and ends <= last:
                return stretch
        return None

    def complaints(self, budget: float, *, alone: bool = True) -> Iterator[str]:
        """What is wrong with the answers and the shares."""
        total, failures = self.tally.requests.total(), self.tally.failures.total()
        if not total:
            yield "no request was made"
            return
        if failures > budget * total:
            yield f"{failures} of {total} requests failed; the budget is {budget:.2%}"
        if self.stretches and not any(stretch.answered for stretch in self.stretches):
            yield "no answer says its version: set expose_version: true on the service, or judge without --admin"
        for stretch in self.stretches:
            yield from stretch.complaints(alone=alone)


def tolerance(share: float, dealt: int, keyed: int, *, alone: bool = True) -> float:
    """How far the actual share of a version may be from its target."""
    total = dealt + keyed
    if not total or share in (0.0, 1.0):
        return 0.0
    variance = share * (1 - share)
    spread = keyed * math.sqrt(variance * (1 / keyed + 1 / IDENTITIES)) if keyed else 0.0
    if not alone:
        spread += math.sqrt(variance * dealt)
    return (_SIGMAS * spread + _SLACK) / total


def complaints_of_rollout(rollout: Mapping[str, Any] | None, service: str, *, to_its_end: bool) -> Iterator[str]:
    """What is wrong with the rollout that was under way: it must go on, or have come to its good end."""
    if rollout is None:
        if to_its_end:
            yield f"no rollout of {service} was under way"
        return
    good = ("promoted",) if to_its_end else ("pending", "preparing", "step", "finishing", "promoted")
    if rollout["phase"] not in good:
        yield f"rollout {rollout['id']} is {rollout['phase'].replace('_', ' ')}: {rollout['why'] or rollout['waits']}"


def told(stretches: Sequence[Stretch]) -> Iterator[str]:
    """A line for each stretch that has requests."""
    for stretch in stretches:
        shares, total = stretch.shares(), stretch.answered.total()
        if shares:
            each = (f"{name} {share:.2%} (target {stretch.targets.get(name, 0):.2%})" for name, share in shares.items())
            yield f"of {total} requests: {', '.join(each)}"
