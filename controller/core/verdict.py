"""What a check says, and how its evidence is put to people.

Owns the five values and the words. Must not say what follows from them: that is `on` of the rollout.

1. Unknown is neither good nor bad: NO_DATA and ERROR are not FAIL, and not PASS.
2. Every verdict carries the numbers that it rests on.
3. Evidence is shown as odds. They are the odds of a bet that the version is bad, against a rule that a good version
   breaks with a probability of alpha at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Value = Literal["PASS", "FAIL", "INCONCLUSIVE", "NO_DATA", "ERROR"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says of one moment; `reason` is a sentence for people."""

    check: str
    value: Value
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.check} {self.value}: {self.reason}"


def odds(evidence: float, needed: float) -> str:
    """The evidence against a version, and what would roll it back: "odds 43 : 1 against, rolls back at 100 : 1"."""
    limit = f"rolls back at {times(needed)} : 1"
    if evidence >= 2:
        return f"odds {times(evidence)} : 1 against, {limit}"
    if evidence > 0.5:
        return f"even odds, {limit}"
    return f"odds 1 : {times(1 / max(evidence, 1e-12))}, {limit}"


def percent(rate: float) -> str:
    """A rate from 0 to 1 in per cent, with two significant digits."""
    return f"{100 * rate:.2g}%" if rate < 0.995 else "100%"


def points(rate: float) -> str:
    """A difference of rates in percentage points, with two significant digits; what is above 100 is as good as 100."""
    return f"{100 * rate:.2g} points" if rate < 0.995 else "100 points"


def seconds(duration: float) -> str:
    """A latency in the unit that suits it, with three significant digits."""
    if duration < 0.9995:
        return f"{1000 * duration:.3g} ms"
    return f"{duration:.3g} s" if duration < 999.5 else f"{duration:.0f} s"


def times(factor: float) -> str:
    """How many times as likely, for odds."""
    if factor >= 1e6:
        return "over 1,000,000"
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"
