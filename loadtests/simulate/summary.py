"""What many simulated rollouts come to: shares with their bounds, medians, and the sentences for people.

Owns the arithmetic and the words. Must not run or draw anything.

Units: seconds, requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from config.units import render_duration
from loadtests.decisions.results import upper_bound
from loadtests.decisions.rollouts import Ended, Outcome
from loadtests.decisions.worlds import Case


@dataclass(frozen=True)
class Spread:
    """The median and the 95th percentile of something."""

    median: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Of some values; None without any."""
        ranked = sorted(values)
        if not ranked:
            return None
        return cls(*(ranked[min(int(share * len(ranked)), len(ranked) - 1)] for share in (0.5, 0.95)))


@dataclass(frozen=True)
class Cell:
    """One rule in one scenario."""

    runs: int
    is_good: bool
    rolled_back: int
    held: int
    promoted: int
    causes: Mapping[str, int]
    """What rolled back or held how often, where the rule says so."""
    time: Spread | None
    """Until it was stopped (rolled back, or held), since it became bad; until everybody had it, for a good one."""
    bad: Spread | None
    """Requests spoilt until then: failed ones too many or, for a slow version, all that it was sent."""

    @property
    def wrong(self) -> int:
        """How often the end was the wrong one: a good version rolled back, a bad one promoted."""
        return self.rolled_back if self.is_good else self.promoted

    @property
    def bound(self) -> float:
        """The chance of a wrong end is surely at most this (Clopper, Pearson; one side, 95 %)."""
        return upper_bound(self.wrong, self.runs)

    def to_plain(self) -> dict[str, Any]:
        """The cell as plain values."""
        return {**asdict(self), "wrong": self.wrong, "wrong_at_most": round(self.bound, 4)}


def summed(case: Case, outcomes: Sequence[Outcome]) -> Cell:
    """Sum up the rollouts of one rule in one scenario."""
    counted: Counter[Ended] = Counter(outcome.ended for outcome in outcomes)
    stopped = [outcome for outcome in outcomes if outcome.ended != "promoted"]
    ended = [outcome for outcome in outcomes if outcome.ended == "promoted"] if case.is_good else stopped
    since = 0.0 if case.is_good else case.bad_from
    spoilt = [float(max(o.excess, 0.0) if case.metric == "errors" else o.exposed) for o in stopped]
    return Cell(
        runs=len(outcomes),
        is_good=case.is_good,
        rolled_back=counted["rolled back"],
        held=counted["held"],
        promoted=counted["promoted"],
        causes=dict(Counter(outcome.by for outcome in stopped if outcome.by)),
        time=Spread.of([outcome.at - since for outcome in ended]),
        bad=None if case.is_good else Spread.of(spoilt),
    )


def in_short(seconds: float) -> str:
    """A duration in two parts at most."""
    whole = round(seconds)
    return render_duration(float(whole if whole < 3600 else 60 * round(whole / 60)))


def percent(share: float) -> str:
    """A share in per cent, with two significant digits."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"


def cell_in_words(cell: Cell) -> str:
    """The cell in a few lines."""
    lines = []
    if cell.is_good:
        lines.append(f"{cell.rolled_back} of {cell.runs} rolled back")
        if cell.time:
            lines.append(f"all of it after {in_short(cell.time.median)}")
    elif cell.promoted == cell.runs:
        lines.append("never sees it")
    else:
        if cell.time and cell.bad:
            lines += [f"{in_short(cell.time.median)} ({in_short(cell.time.p95)})", bad_in_words(cell.bad)]
        if cell.promoted:
            lines.append(f"{cell.promoted} of {cell.runs} missed")
    if cell.held:
        lines.append(f"{cell.held} of {cell.runs} held")
    return "\n".join(lines)


def bad_in_words(bad: Spread) -> str:
    """Spoilt requests, median and 95th percentile."""
    return f"{bad.median:,.0f} bad ({bad.p95:,.0f})"


def verdict_in_words(scenario: str, cell: Cell) -> str:
    """What the policy does in one scenario, as a sentence."""
    if cell.is_good:
        return f"{scenario}: {_of_a_good_one(cell)}"
    return f"{scenario}: {_of_a_bad_one(cell)}"


def _of_a_good_one(cell: Cell) -> str:
    chance = f"the chance is below {percent(cell.bound)}"
    sentence = f"rolled back by mistake in {cell.wrong} of {cell.runs} rollouts ({chance})"
    if cell.wrong and cell.causes:
        sentence += f", by {_causes(cell)}"
    if cell.held:
        sentence += f"; held {cell.held} times"
    return f"{sentence}; everybody has it after {in_short(cell.time.median)}." if cell.time else f"{sentence}."


def _of_a_bad_one(cell: Cell) -> str:
    if cell.promoted == cell.runs:
        return "this policy does not see it; every rollout went through."
    assert cell.time is not None
    assert cell.bad is not None
    verb = f"stopped ({cell.held} of {cell.runs} held for people to look at)" if cell.held else "rolled back"
    sentence = (
        f"{verb} after {in_short(cell.time.median)} and {cell.bad.median:,.0f} bad requests"
        f" (95 of 100: {in_short(cell.time.p95)} and {cell.bad.p95:,.0f})"
    )
    if cell.causes:
        sentence += f", by {_causes(cell)}"
    if not cell.promoted:
        return f"{sentence}; never missed (the chance is below {percent(cell.bound)})."
    return f"{sentence}; missed in {cell.promoted} of {cell.runs}: promoted before enough was known."


def _causes(cell: Cell) -> str:
    ranked = sorted(cell.causes, key=lambda cause: -cell.causes[cause])
    return ", ".join(f"{cause} ({cell.causes[cause]})" for cause in ranked) if len(ranked) > 1 else ranked[0]
