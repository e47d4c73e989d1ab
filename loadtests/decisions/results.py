"""What the simulated rollouts say: rates with their uncertainty, costs, and how they stand to the targets.

Owns the arithmetic. Must not simulate or show anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Final, Literal

from loadtests.decisions.efficiency import Efficiency
from loadtests.decisions.rollouts import Outcome
from loadtests.decisions.worlds import Case

#: The rule as it ships, the same without warm-up, and errors alone without warm-up and without the guard against bad
#: seconds, which is what the design measured.
OURS: Final = "Serinus"
WARM: Final = "Serinus, no warm-up"
BARE: Final = "Serinus, bare"

_MISSED: Final = 0.05  # of all bounds are too low
_TWO_SIDED: Final = 1.96  # standard deviations

Status = Literal["stretch", "reached", "missed"]


@dataclass(frozen=True)
class Cell:
    """One rule in one world."""

    runs: int
    rolled_back: int
    promoted: int
    time: float | None
    """Median seconds: to the rollback of a bad version, since it became bad; to everybody for a good one."""
    excess: float | None
    """Failed requests too many until the rollback of a bad version, on average."""
    exposed: float | None
    """Requests that it was sent until then, on average."""
    margin: float | None = None
    """How far `excess`, or `exposed` where latency is what is wrong, may be off (95 %)."""

    @property
    def bound(self) -> float:
        """The share that is rolled back is surely at most so much (Clopper, Pearson; one side, 95 %)."""
        return upper_bound(self.rolled_back, self.runs)


def upper_bound(seen: int, of: int) -> float:
    """The upper end of the interval of Clopper and Pearson, one side, 95 %."""
    if seen >= of:
        return 1.0
    low, high = seen / of, 1.0
    for _ in range(50):  # halvings: exact to the last digit
        middle = (low + high) / 2
        low, high = (middle, high) if _chance_of_at_most(seen, of, middle) > _MISSED else (low, middle)
    return high


def _chance_of_at_most(seen: int, of: int, rate: float) -> float:
    def log_chance(k: int) -> float:
        ways = math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        return ways + k * math.log(rate) + (of - k) * math.log1p(-rate)

    return math.fsum(math.exp(log_chance(k)) for k in range(seen + 1))


def summed(case: Case, outcomes: Sequence[Outcome]) -> Cell:
    """Sum up the rollouts of one rule in one world."""
    ended = {kind: [outcome for outcome in outcomes if outcome.ended == kind] for kind in ("rolled back", "promoted")}
    counted = ended["promoted" if case.is_good else "rolled back"]
    since = 0.0 if case.is_good else case.bad_from
    costs = [outcome.excess if case.metric == "errors" else outcome.exposed for outcome in counted]
    return Cell(
        runs=len(outcomes),
        rolled_back=len(ended["rolled back"]),
        promoted=len(ended["promoted"]),
        time=median(outcome.at - since for outcome in counted) if counted else None,
        excess=fmean(outcome.excess for outcome in counted) if counted and not case.is_good else None,
        exposed=fmean(outcome.exposed for outcome in counted) if counted and not case.is_good else None,
        margin=_TWO_SIDED * stdev(costs) / math.sqrt(len(costs)) if len(costs) > 1 and not case.is_good else None,
    )


@dataclass(frozen=True)
class Target:
    """A number that was promised."""

    what: str
    target: str
    measured: str
    status: Status


Table = Mapping[str, Mapping[str, Cell]]
"""By world and by rule."""


def targets(
    cases: Sequence[Case], table: Table, errors: Sequence[Efficiency], latency: Sequence[Efficiency]
) -> list[Target]:
    """How Serinus stands to its targets."""
    good = [table[case.name][OURS] for case in cases if case.is_good]
    gross = [case for case in cases if case.is_gross]
    return [
        _judged("false rollbacks, the worst world", max(c.rolled_back / c.runs for c in good), 0.01, 0.005, "{:.2%}"),
        _judged(
            "the same, all worlds, upper 95 %",
            upper_bound(sum(c.rolled_back for c in good), sum(c.runs for c in good)),
            *(0.015, 0.005, "{:.2%}"),
        ),
        _judged("requests / oracle, errors, mean", fmean(r.ours / r.oracle for r in errors), 1.35, 1.20, "{:.2f}"),
        _judged("requests / bound, latency, mean", fmean(r.ours / r.bound for r in latency), 2.7, 2.0, "{:.2f}"),
        *_excess_targets(gross, table, OURS, "", (20, 10), (60, 30)),
        *_excess_targets(gross, table, WARM, ", no warm-up", (20, 10), (60, 30)),
        *_excess_targets(gross, table, BARE, ", bare", (10, 5), (25, 12.5)),
        *(
            _judged(
                f"excess of Flagger (5) / ours, least{suffix}", _times_fewer(gross, table, rule), 15, 100, "{:.1f}x"
            )
            for rule, suffix in ((OURS, ""), (WARM, ", no warm-up"), (BARE, ", bare"))
        ),
        _judged("missed bad versions, 5 % and more", _missed(gross, table), 0.01, 0.0, "{:.1%}"),
        _judged("a good version has everything, 50/s", table["equal, 50/s"][OURS].time or 1e9, 300, 180, "{:.0f} s"),
    ]


def _excess_targets(
    gross: Sequence[Case],
    table: Table,
    rule: str,
    suffix: str,
    for_part: tuple[float, float],
    for_whole: tuple[float, float],
) -> list[Target]:
    whole = [table[c.name][rule].excess or 0.0 for c in gross if c.name.startswith("100%")]
    part = [table[c.name][rule].excess or 0.0 for c in gross if not c.name.startswith("100%")]
    return [
        _judged(f"excess bad requests, 5 and 20 %, the most{suffix}", max(part), *for_part, "{:.1f}"),
        _judged(f"excess bad requests, 100 %, the most{suffix}", max(whole), *for_whole, "{:.1f}"),
    ]


def _times_fewer(gross: Iterable[Case], table: Table, rule: str) -> float:
    rows = [table[case.name] for case in gross]
    return min((row["Flagger (5)"].excess or 0.0) / max(row[rule].excess or 0.0, 1.0) for row in rows)


def _missed(gross: Iterable[Case], table: Table) -> float:
    cells = [table[case.name][OURS] for case in gross]
    return sum(cell.promoted for cell in cells) / sum(cell.runs for cell in cells)


def _judged(what: str, measured: float, target: float, stretch: float, form: str) -> Target:
    """Whether a number is where it should be; less is better, unless the stretch is above the target."""
    sign = -1 if stretch > target else 1
    reached = sign * measured <= sign * target
    status: Status = "stretch" if sign * measured <= sign * stretch else "reached" if reached else "missed"
    relation = ">=" if sign < 0 else "<="
    return Target(what, f"{relation} {form.format(target)} ({form.format(stretch)})", form.format(measured), status)
