"""The series of a rollout: what both versions did over time and what was made of it, in a bounded number of rows.

Owns the row, how rows become coarser, and their plain form. Must not know where they are kept.

1. There are at most `most` rows. When one more would be too many, the grid becomes twice as wide, and rows that fall
   into the same cell of it become one.
2. Counts of rows that become one add up, latencies bin by bin. Of the odds, the lowest and the highest stay; of the
   values of a check, the gravest.
3. Rows come in the order of their seconds, each second once; a second that was there already is left out. Seconds that
   nobody observed have no row.

Units: whole seconds of the rollout clock; odds are those of `controller.core.verdict`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from controller.core.buckets import Bucket
from controller.core.verdict import Value, Verdict

#: Twenty-four minutes in seconds, two days in cells of two minutes.
MOST_ROWS: Final = 1440

#: From the one that says most of a stretch of time to the one that says least.
GRAVITY: Final[tuple[Value, ...]] = ("FAIL", "ERROR", "NO_DATA", "INCONCLUSIVE", "PASS")


@dataclass(frozen=True, slots=True)
class Odds:
    """The evidence against the new version over some time."""

    low: float
    high: float

    def __or__(self, other: Odds) -> Odds:
        return Odds(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True)
class CheckSaid:
    """What one check said over some time; one that asks somebody outside has no odds."""

    value: Value
    odds: Odds | None = None

    def __or__(self, other: CheckSaid) -> CheckSaid:
        return CheckSaid(min(self.value, other.value, key=GRAVITY.index), _either(self.odds, other.odds))


@dataclass(frozen=True, slots=True)
class Row:
    """What both versions did from the second `at` until before the second `end`."""

    at: int
    end: int
    old: Bucket
    new: Bucket
    seconds: int = 1
    """How many of the seconds were observed."""
    odds: Odds | None = None
    """Of all checks together; None as long as nothing is judged."""
    checks: Mapping[str, CheckSaid] = field(default_factory=dict)

    def __or__(self, later: Row) -> Row:
        """Both rows as one."""
        checks = dict(self.checks)
        for name, said in later.checks.items():
            checks[name] = checks[name] | said if name in checks else said
        return Row(
            at=self.at,
            end=later.end,
            old=self.old + later.old,
            new=self.new + later.new,
            seconds=self.seconds + later.seconds,
            odds=_either(self.odds, later.odds),
            checks=checks,
        )


class Series:
    """Rows in their order, at most `most` of them."""

    def __init__(self, rows: Iterable[Row] = (), most: int = MOST_ROWS) -> None:
        self._most = most
        #: The width of a cell, a power of two, in seconds.
        self.span = 1
        self._rows: list[Row] = []
        for row in rows:
            self.add(row)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All of them."""
        return tuple(self._rows)

    @property
    def end(self) -> int | None:
        """The second after the last one; None when there is none."""
        return self._rows[-1].end if self._rows else None

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Row) -> None:
        """Take a row that follows on those that are there; one that does not is left out."""
        if self.end is not None and row.at < self.end:
            return
        if row.end - row.at > self.span:
            self._widen(row.end - row.at)
        self._put(row)
        while len(self._rows) > self._most:
            self._widen(2 * self.span)

    def _widen(self, least: int) -> None:
        while self.span < least:
            self.span *= 2
        rows, self._rows = self._rows, []
        for row in rows:
            self._put(row)

    def _put(self, row: Row) -> None:
        if self._rows and self._rows[-1].at // self.span == row.at // self.span:
            self._rows[-1] |= row
        else:
            self._rows.append(row)


def said_by(verdicts: Iterable[Verdict], parts: Mapping[str, float] | None = None) -> dict[str, CheckSaid]:
    """What checks said at one moment; `parts` is the evidence of those that have some."""
    odds = {name: Odds(part, part) for name, part in (parts or {}).items()}
    return {verdict.check: CheckSaid(verdict.value, odds.get(verdict.check)) for verdict in verdicts}


def thinned(rows: Iterable[Row], most: int) -> tuple[Row, ...]:
    """The rows in at most `most` of them."""
    return Series(rows, most).rows


def row_to_plain(row: Row) -> dict[str, Any]:
    """A row as plain JSON."""
    return {
        "t": [row.at, row.end, row.seconds],
        "old": _bucket_to_plain(row.old),
        "new": _bucket_to_plain(row.new),
        "odds": _odds_to_plain(row.odds),
        "checks": {name: [said.value, _odds_to_plain(said.odds)] for name, said in row.checks.items()},
    }


def row_from_plain(plain: Mapping[str, Any]) -> Row:
    """The row that `row_to_plain` gave.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    at, end, seconds = map(int, plain["t"])
    if not 0 < seconds <= end - at:
        raise ValueError(f"{seconds} of the seconds from {at} to {end}")
    checks = {str(name): CheckSaid(_value(value), _odds(odds)) for name, (value, odds) in plain["checks"].items()}
    return Row(at, end, _bucket(plain["old"]), _bucket(plain["new"]), seconds, _odds(plain["odds"]), checks)


def _either(first: Odds | None, second: Odds | None) -> Odds | None:
    return first | second if first and second else first or second


def _bucket_to_plain(bucket: Bucket) -> list[Any]:
    flat = [number for pair in sorted(bucket.latencies.items()) for number in pair]
    return [bucket.requests, bucket.errors, bucket.unanswered, flat]


def _bucket(plain: Any) -> Bucket:
    requests, errors, unanswered, flat = plain
    latencies = dict(zip(map(int, flat[::2]), map(int, flat[1::2]), strict=True))
    return Bucket(int(requests), int(errors), int(unanswered), latencies)


def _odds_to_plain(odds: Odds | None) -> list[float] | None:
    return [odds.low, odds.high] if odds else None


def _odds(plain: Any) -> Odds | None:
    if plain is None:
        return None
    low, high = map(float, plain)
    return Odds(low, high)


def _value(plain: Any) -> Value:
    if plain not in get_args(Value):
        raise ValueError(f"{plain!r} is not what a check says")
    value: Value = plain
    return value
