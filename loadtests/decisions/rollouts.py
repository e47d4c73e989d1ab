"""How a simulated rollout ends, and what every rule needs to run one.

Owns the outcome and the account of what it cost. Must not know any rule.

Units: seconds since the rollout began; requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from loadtests.decisions.traffic import Seconds
from loadtests.decisions.worlds import Case

Ended = Literal["promoted", "rolled back", "held"]

#: Everybody on the same steps, for a fair comparison; otherwise each rule has those of its documentation.
SAME_STEPS = (0.01, 0.05, 0.10, 0.25, 0.50)
LONGEST = 3600


@dataclass(frozen=True)
class Outcome:
    """The end of one rollout."""

    ended: Ended
    at: float
    excess: float
    """Failed requests more than the old version would have had, while the new one was bad."""
    exposed: int
    """Requests that the new version was sent while it was bad."""
    by: str = ""
    """What stopped it, where the rule says so."""


class Account:
    """What a rollout has cost so far."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.served = 0.0
        self.excess = 0.0
        self.exposed = 0

    def take(self, begin: int, old: Seconds, new: Seconds, rows: slice = slice(None)) -> None:
        """Some seconds have passed, the first of the sample at `begin`."""
        requests, errors, expected = new.requests[rows], new.errors[rows], old.expected[rows]
        time = np.arange(begin, begin + len(new.requests))[rows]
        bad = time >= self._case.bad_from
        self.served += float(requests.sum())
        self.exposed += int(requests[bad].sum())
        self.excess += float((errors - expected * requests)[bad].sum())

    def end(self, ended: Ended, at: float, by: str = "") -> Outcome:
        """The rollout ends."""
        return Outcome(ended, at, self.excess, self.exposed, by)


class Rule(Protocol):
    """A way to decide."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    def run(self, case: Case, rng: np.random.Generator) -> Outcome:
        """One rollout by this rule."""
