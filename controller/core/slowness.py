"""Bets that one group of requests is slower than another one of the same second, and their exact e-values.

Owns the e-value of a bucket of latencies. Must not know which version is which, or remember anything.

A tilt t >= 0 is a weight for every latency that never falls with it. H0: group a is not slower than group b, request by
request or in distribution. With N = n_a + n_b requests, of which the chance of the split takes n_a, and w = n_a/N,

    log e = sum over a of log t  -  min( n_a log(mean of t),  sum of log(1 + w (t - 1)) )     for n_a <= n_b,

means and sums without a name being over all N. The second bound only counts where t >= 1. For n_a > n_b, exchange the
groups and put 1/t for t, which is the same bet seen from the other side.

1. Given all N latencies, and as long as a request has the same with both versions, a is a draw without replacement.
   The mean of prod t is then at most that of a draw with replacement (Hoeffding, JASA 58, 1963, 13), which is the
   first bound, and at most that of N independent draws (negative association: Joag-Dev, Proschan, Ann. Stat. 11, 1983,
   286), which is the second. So E[e] <= 1 for any fixed set of latencies: a slow shared database, a burst or a drift
   of both does no harm.
2. If each request would be no slower with a than with b, then e only falls when the requests in b become as slow as b
   makes them instead of as slow as a would: E[e] <= 1 for every kind of "a is not slower", with no model of latencies.
   For n_a > n_b the same is said of the requests in a.
3. A step is a tilt of 1 below a latency and of `odds` from there on, for slow modes. A slope rises with the share of
   the reference that is faster, for shifts of everything: with h small, it is Wilcoxon's rank test.
4. A slope looks at the first bound only. It is the better one there.

Latencies come as (place, count), places being bins counted from the lowest one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Placed = Sequence[tuple[int, int]]
#: log e of a bucket; what it is when the bet is right and it turns out well; how probable it is then to give anything.
Found = tuple[float, float, float]

#: The slopes, in standard deviations of the rank, and the steps: the share of the reference above, and the odds.
SLOPES: Final = (0.15, 0.4, 1.0)
STEPS: Final = ((0.01, 7.0), (0.001, 20.0), (0.0003, 60.0))
_FEW: Final = 3  # a step has so many of the reference above it at most, however small the reference is


def step_log_evidence(n_a: int, x_a: int, n_b: int, x_b: int, odds: float) -> float:
    """log e for a step, with the slow ones of each group."""
    if n_a > n_b:
        return step_log_evidence(n_b, x_b, n_a, x_a, 1 / odds)
    n, k = n_a + n_b, x_a + x_b
    more = odds - 1
    return x_a * math.log(odds) - min(k * math.log1p(n_a / n * more), n_a * math.log1p(k / n * more))


@dataclass(frozen=True, slots=True)
class _Step:
    first: int
    odds: float
    rate: float
    """Of group a, the share that is slow if the bet is right."""

    def found(self, n_a: int, a: Placed, n_b: int, b: Placed) -> Found:
        first, odds = self.first, self.odds
        x_a = sum(count for place, count in a if place >= first)
        x_b = sum(count for place, count in b if place >= first)
        expected = n_a * self.rate
        many = min(max(expected + 2 * math.sqrt(expected), 1.0), n_a)
        most = many * (math.log(odds) - math.log1p(n_a / (n_a + n_b) * (odds - 1)))
        return step_log_evidence(n_a, x_a, n_b, x_b, odds), most, min(expected, 1.0)


@dataclass(frozen=True, slots=True)
class _Slope:
    steepness: float
    logs: Sequence[float]
    tilts: Sequence[float]
    inverses: Sequence[float]

    @classmethod
    def of(cls, ranks: Sequence[float], steepness: float) -> _Slope:
        logs = [steepness * math.sqrt(12.0) * (rank - 0.5) for rank in ranks]
        return cls(steepness, logs, [math.exp(log) for log in logs], [math.exp(-log) for log in logs])

    def found(self, n_a: int, a: Placed, n_b: int, b: Placed) -> Found:
        n = n_a + n_b
        if n_a <= n_b:
            own, total = _sums(a, b, self.logs, self.tilts)
            few, log_e = n_a, own - n_a * math.log(total / n)
        else:
            own, total = _sums(b, a, self.logs, self.inverses)
            few, log_e = n_b, -own - n_b * math.log(total / n)
        # A rank has a standard deviation of 1 in these units: the bet expects h^2/2 of each request, give or take h.
        h = self.steepness
        return log_e, few * h * h / 2 + 2 * h * math.sqrt(few), 1.0


def _sums(few: Placed, many: Placed, logs: Sequence[float], tilts: Sequence[float]) -> tuple[float, float]:
    """The logarithms of the smaller group, and the tilts of both."""
    own = total = 0.0
    for place, count in few:
        own += count * logs[place]
        total += count * tilts[place]
    for place, count in many:
        total += count * tilts[place]
    return own, total


class Bets:
    """Slopes and steps against a reference: what group b usually is."""

    def __init__(
        self,
        reference: Placed,
        places: int,
        slopes: Sequence[float] = SLOPES,
        steps: Sequence[tuple[float, float]] = STEPS,
    ) -> None:
        counts = [0] * places
        for place, count in reference:
            counts[place] += count
        total = sum(counts)
        ranks, below = [], 0
        for count in counts:
            ranks.append((below + count / 2) / total)
            below += count
        self._bets: list[_Slope | _Step] = [_Slope.of(ranks, slope) for slope in slopes]
        for share, odds in steps:
            first = _first_place(counts, max(share * total, _FEW))
            above = max(sum(counts[first:]), 1) / total
            self._bets.append(_Step(first, odds, above * odds / (1 + above * (odds - 1))))

    def found(self, a: Placed, b: Placed) -> list[Found]:
        """What each bet that a is slower finds in a bucket, which has requests in both groups."""
        n_a, n_b = sum(count for _, count in a), sum(count for _, count in b)
        return [bet.found(n_a, a, n_b, b) for bet in self._bets]


def _first_place(counts: Sequence[int], above: float) -> int:
    """The first place such that at most `above` of the counts are there or higher."""
    place, seen = len(counts), 0
    while place and seen + counts[place - 1] <= above:
        place -= 1
        seen += counts[place]
    return place
