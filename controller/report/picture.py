"""The rows of a rollout as they are drawn: where each stands, and what both versions did over all of them.

Owns the choice of rows and their place in time. Must not say what is drawn of them (`controller.report.panels`).

1. A row stands at its middle. Seconds that nobody observed are gaps.
2. A rate is of the seconds that were observed; a share or a latency without requests is a gap.

Units: instants in seconds since the rollout began; shares from 0 to 1; latencies in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from controller.core.account import Account
from controller.core.buckets import EMPTY, Bucket, quantile
from controller.core.model import Phase
from controller.core.series import Row, thinned
from controller.core.situation import reaction_to_failure

Value = float | None
Reading = Callable[[Row], Value]


@dataclass(frozen=True, slots=True)
class Picture:
    """A rollout with the rows that are drawn of it."""

    account: Account
    rows: Sequence[Row]
    end: float
    """The last instant of the time axis."""
    old: Bucket
    """What the old version did over all rows."""
    new: Bucket

    @classmethod
    def of(cls, account: Account, rows: Iterable[Row], now: float, most: int) -> Picture:
        """The picture of a rollout in at most so many rows."""
        rows = thinned((row for row in rows if row.end > account.began), most)
        last = max([account.end(now), *(float(row.end) for row in rows[-1:])]) - account.began
        old = sum((row.old for row in rows), EMPTY)
        new = sum((row.new for row in rows), EMPTY)
        return cls(account, rows, max(last, 1.0), old, new)

    @property
    def old_name(self) -> str:
        """What the old version is called."""
        return self.account.rollout.old

    @property
    def new_name(self) -> str:
        """What the new version is called."""
        return self.account.rollout.new

    @property
    def needed(self) -> float:
        """The odds that roll back."""
        return 1 / self.account.rollout.policy.alpha

    @property
    def highest(self) -> float | None:
        """The highest odds that there were."""
        return max((row.odds.high for row in self.rows if row.odds), default=None)

    @property
    def halts(self) -> Iterator[tuple[float, float, Phase]]:
        """When the clock of a step stood still, from when to when and in which phase."""
        began = self.account.began
        for halt in self.account.halts:
            yield halt.begin - began, self.end if halt.end is None else halt.end - began, halt.phase

    def rolls_back(self, check: str) -> bool:
        """Whether a failure of a check rolls back."""
        return reaction_to_failure(self.account.rollout.policy, check) == "rollback"

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that said something, in the order of the policy where they have one."""
        said = {name for row in self.rows for name in row.checks}
        known = [check.name for check in self.account.rollout.policy.checks if check.name in said]
        return (*known, *sorted(said.difference(known)))

    def middle(self, row: Row) -> float:
        """Where a row stands."""
        return max((row.at + row.end) / 2 - self.account.began, 0.0)

    def points(self, reading: Reading) -> list[tuple[float, Value]]:
        """A line through all rows."""
        found: list[tuple[float, Value]] = []
        for place, row in enumerate(self.rows):
            if place and row.at > self.rows[place - 1].end:
                found.append((self.middle(row), None))
            found.append((self.middle(row), reading(row)))
        return found

    def wanted(self) -> list[tuple[float, Value]]:
        """What the new version should have had of the requests, as steps."""
        began = self.account.began
        points: list[tuple[float, Value]] = [(max(at - began, 0.0), share) for at, share in self.account.shares]
        return [*points, (self.end, points[-1][1])]

    def wanted_at(self, row: Row) -> Value:
        """What it should have had at the end of a row."""
        return self.account.share_at(row.end)


def share_of(row: Row) -> Value:
    """What the new version had of the requests."""
    total = row.old.requests + row.new.requests
    return row.new.requests / total if total else None


def rate(bucket: Bucket, row: Row) -> Value:
    """Requests a second."""
    return bucket.requests / row.seconds


def errors(bucket: Bucket) -> Value:
    """The share of the requests that failed, or had no answer when nobody waited for one any more."""
    return min((bucket.errors + bucket.unanswered) / bucket.requests, 1.0) if bucket.requests else None


def latency(bucket: Bucket, share: float) -> Value:
    """The latency below which a share of the requests is."""
    return quantile(bucket.latencies, share)
