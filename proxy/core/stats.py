"""What became of the attempts of one version, second by second, for the last quarter of an hour.

Owns the record of a second, the sum of several workers' records, the history of a version and the figures taken from
it. Must not read the counters or a clock.

Rules:
1. An attempt counts in the second of CLOCK_MONOTONIC in which it began, whenever it ends.
2. Workers' records of the same second just add up.
3. A record is immutable and small (a few hundred bytes), because there may be 900 of them for each of 1000 versions.
4. A second is put again when its numbers have risen; it replaces what was there.

Units: seconds; shares from 0 to 1.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from proxy.core.histogram import added, quantile

KEPT: Final = 900  # seconds
SHARE_WINDOW: Final = 60  # seconds over which the actual split is taken

#: What the counters give of one second: started, done, failed, aborted, client errors, latency bins of what is done and
#: did not fail.
Reading = tuple[int, int, int, int, int, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Second:
    """The attempts that began in one second. Those that are not done were in flight when it was last read."""

    started: int
    done: int
    failed: int
    aborted: int
    client_errors: int  # answers of 4xx, which are no failures
    packed: bytes  # index, count, index, count, ... as native 32-bit numbers

    @classmethod
    def of(cls, readings: Iterable[Reading]) -> Second:
        """The sum of what several workers counted."""
        rows = list(readings)
        bins = added(row[5] for row in rows)
        return cls(
            started=sum(row[0] for row in rows),
            done=sum(row[1] for row in rows),
            failed=sum(row[2] for row in rows),
            aborted=sum(row[3] for row in rows),
            client_errors=sum(row[4] for row in rows),
            packed=array("I", chain.from_iterable(sorted(bins.items()))).tobytes(),
        )

    @property
    def bins(self) -> dict[int, int]:
        """The latency histogram of what is done and did not fail."""
        numbers = array("I", self.packed)
        return dict(zip(numbers[::2], numbers[1::2], strict=True))

    @property
    def in_flight(self) -> int:
        """What had begun and not ended."""
        return max(0, self.started - self.done)


@dataclass(frozen=True, slots=True)
class Rates:
    """The figures of some seconds together. Shares and quantiles are None while nothing has ended."""

    per_second: float
    error_share: float | None
    p50: float | None
    p99: float | None


def rates(seconds: Sequence[Second], duration: float) -> Rates:
    """The figures of the attempts that began in `seconds`, which together lasted `duration`.

    A client that went away tells nothing about the version: its attempt counts as traffic, not for the error share.
    """
    judged = sum(second.done - second.aborted for second in seconds)
    failed = sum(second.failed for second in seconds)
    bins = added(second.bins for second in seconds)
    return Rates(
        per_second=sum(second.started for second in seconds) / duration,
        error_share=failed / judged if judged > 0 else None,
        p50=quantile(bins, 0.5),
        p99=quantile(bins, 0.99),
    )


def shares(chosen: Mapping[str, int]) -> dict[str, float]:
    """The part that each version had of all decisions; empty when there were none."""
    total = sum(chosen.values())
    return {version: count / total for version, count in chosen.items()} if total else {}


class History:
    """The last seconds of one version, and how often the split chose it in the last minute."""

    def __init__(self) -> None:
        self._seconds: dict[int, Second] = {}  # nearly in order: a late writer may open an older one of the last few
        self._chosen: deque[int] = deque(maxlen=SHARE_WINDOW + 1)
        self.in_flight = 0
        self.in_flight_older = 0  # began before the seconds that can still change

    def __repr__(self) -> str:
        return f"<History {len(self._seconds)} seconds, in flight {self.in_flight}, older {self.in_flight_older}>"

    def put(self, second: int, record: Second) -> None:
        """Keep the newest numbers of a second."""
        self._seconds[second] = record

    def get(self, second: int) -> Second | None:
        """What is known of one second, None when nothing began in it."""
        return self._seconds.get(second)

    def forget_before(self, second: int) -> None:
        """Drop what is older."""
        while self._seconds and (oldest := next(iter(self._seconds))) < second:
            del self._seconds[oldest]

    def between(self, first: int, last: int) -> list[tuple[int, Second]]:
        """The seconds from `first` to `last`, both included, in which something began. Any thread may ask."""
        found = ((second, self._seconds.get(second)) for second in range(first, last + 1))
        return [(second, record) for second, record in found if record is not None]

    def note_chosen(self, total: int) -> None:
        """Keep the number of decisions for this version since it exists, once a second."""
        self._chosen.append(total)

    @property
    def chosen(self) -> int:
        """Decisions of the last minute."""
        return self._chosen[-1] - self._chosen[0] if self._chosen else 0
