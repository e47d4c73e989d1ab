"""How fast the evidence grows against a version that does this or that: what a rollout can be planned with.

Owns the first three cumulants of what one bucket adds to the logarithm of each bet's money, guard included. Must not
know of steps or of time.

1. The mean is the growth rate of an e-process: against a fixed alternative no rule has a greater one than the relative
   entropy to the nearest good version (Wald, Ann. Math. Stat. 16, 1945, 117; Grünwald, de Heide, Koolen, JRSS B 86,
   2024, 1091). Here it is that of the bets that the judge makes, so what they lose to the limit is in it.
2. Errors: `errors.log_evidence` and the guard, over what a bucket may hold. Small numbers are enumerated, large ones
   stand for normal ones at a few places.
3. Latencies: the slopes of `slowness` only, with the mean of the tilts at its expectation. Requests are independent,
   so those of a bucket add up to a compound Poisson sum. The guard cuts a normal one at its cap.

Units: requests per bucket, rates from 0 to 1, logarithms natural.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from controller.core.buckets import LOWEST
from controller.core.bursts import Bound
from controller.core.errors import log_evidence
from controller.core.latency import placed
from controller.core.slowness import SLOPES

_NORMAL: Final = NormalDist()
#: A standard normal variable as some places with their chances: so many of its moments are right (Gauss, Hermite).
_THREE: Final = ((-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6))
_FIVE: Final = ((-2.857, 0.0113), (-1.3556, 0.2221), (0.0, 0.5333), (1.3556, 0.2221), (2.857, 0.0113))
_FEW: Final = 6.0  # requests; below that their number is enumerated
_NEGLIGIBLE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Cumulants:
    """Mean, variance and third cumulant of a sum; those of independent parts add up."""

    mean: float = 0.0
    variance: float = 0.0
    third: float = 0.0

    def __add__(self, other: Cumulants) -> Cumulants:
        return Cumulants(self.mean + other.mean, self.variance + other.variance, self.third + other.third)

    def times(self, number: float) -> Cumulants:
        """Of so many independent ones."""
        return Cumulants(number * self.mean, number * self.variance, number * self.third)

    @classmethod
    def of(cls, outcomes: Iterable[tuple[float, float]]) -> Cumulants:
        """Of a variable with these values and their probabilities."""
        known = list(outcomes)
        total = math.fsum(chance for _, chance in known)
        mean = math.fsum(chance * value for value, chance in known) / total
        variance = math.fsum(chance * (value - mean) ** 2 for value, chance in known) / total
        return cls(mean, variance, math.fsum(chance * (value - mean) ** 3 for value, chance in known) / total)


Sums = tuple[Cumulants, ...]
"""For each bet."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What a bucket holds on average, of the new and of the old version."""

    new: float
    old: float


def of_errors(
    requests: Requests,
    bad: float,
    usual: float,
    margin: tuple[float, float],
    guard: Bound,
    gaps: Sequence[float],
) -> Sums:
    """What the bets on errors gain in a bucket; `bad` and `usual` are the error rates, margin is (ratio, points)."""
    ratio, points = margin
    line = ratio * usual + points
    if line >= 1:
        return tuple(Cumulants() for _ in gaps)
    outcomes = list(_outcomes(requests, bad, usual))
    return tuple(_of_bet(outcomes, min(line + gap, 1.0), usual, margin, guard) for gap in gaps)


_Outcome = tuple[int, int, int, int, float]
"""Requests and errors of the new version, of the old one, and how probable that is."""


def _of_bet(
    outcomes: Sequence[_Outcome], bet: float, usual: float, margin: tuple[float, float], guard: Bound
) -> Cumulants:
    def gain(n_c: int, k_c: int, n_b: int, k_b: int) -> float:
        if not n_c or not n_b:
            return 0.0
        log_e, most = log_evidence(n_c, k_c, n_b, k_b, bet, usual, *margin)
        return guard(log_e, most, min(n_c * bet, 1.0), n_c)

    return Cumulants.of((gain(*counts), chance) for *counts, chance in outcomes)


def _outcomes(requests: Requests, bad: float, usual: float) -> Iterable[_Outcome]:
    # How many requests the old version has hardly matters, as long as there are some.
    numbers = [(round(requests.old), 1.0)] if requests.old > _FEW else _numbers(requests.old)
    old = [(n_b, k_b, of_n * of_k) for n_b, of_n in numbers for k_b, of_k in _failing(n_b, usual)]
    for n_c, of_n in _numbers(requests.new):
        for k_c, of_k in _failing(n_c, bad):
            for n_b, k_b, of_old in old:
                yield n_c, k_c, n_b, k_b, of_n * of_k * of_old


def _numbers(mean: float) -> list[tuple[int, float]]:
    """A Poisson number with its probabilities."""
    if mean > _FEW:
        return [(round(mean + z * math.sqrt(mean)), chance) for z, chance in _THREE]
    chance, found, number = math.exp(-mean), [], 0
    while number <= mean or chance > _NEGLIGIBLE:
        found.append((number, chance))
        number += 1
        chance *= mean / number
    return found


def _failing(n: int, rate: float) -> list[tuple[int, float]]:
    """How many of n fail, with the probabilities."""
    if n * rate * (1 - rate) > _FEW:
        deviation = math.sqrt(n * rate * (1 - rate))
        return [(round(min(max(n * rate + z * deviation, 0.0), n)), chance) for z, chance in _FIVE]
    if rate >= 1 or not rate:
        return [(n if rate else 0, 1.0)]
    if rate > 0.5:
        return [(n - k, chance) for k, chance in _failing(n, 1 - rate)]
    chance, found, k = (1 - rate) ** n, [], 0
    while k <= n and (k <= n * rate or chance > _NEGLIGIBLE):
        found.append((k, chance))
        chance *= (n - k) / (k + 1) * rate / (1 - rate)
        k += 1
    return found


def of_latencies(
    requests: Requests, usual: Mapping[int, int], slower_by: int, shift: int, top: int, guard: Bound
) -> Sums:
    """What the slopes gain in a bucket when the new version is some bins slower than the old one usually is.

    `usual` is the histogram of the old version, `shift` the margin in bins, `top` the bin of the judge's patience.
    """
    if not (requests.new and requests.old):
        return tuple(Cumulants() for _ in SLOPES)
    old, new = _shares(usual, shift, top), _shares(usual, slower_by, top)
    ranks, below = {}, 0.0
    for place in range(top - LOWEST + 1):
        ranks[place] = below + old.get(place, 0.0) / 2
        below += old.get(place, 0.0)
    return tuple(_of_slope(steepness, requests, old, new, ranks, guard) for steepness in SLOPES)


def _of_slope(
    steepness: float,
    requests: Requests,
    old: Mapping[int, float],
    new: Mapping[int, float],
    ranks: Mapping[int, float],
    guard: Bound,
) -> Cumulants:
    # Whoever has fewer requests is looked at one by one, against the mean of all: see `slowness`.
    sign, few, own = (1.0, requests.new, new) if requests.new <= requests.old else (-1.0, requests.old, old)
    logs = {place: sign * steepness * math.sqrt(12.0) * (rank - 0.5) for place, rank in ranks.items()}
    share = requests.new / (requests.new + requests.old)
    mean = math.fsum(
        (share * new.get(place, 0.0) + (1 - share) * old.get(place, 0.0)) * math.exp(log) for place, log in logs.items()
    )
    gains = [(logs[place] - math.log(mean), chance) for place, chance in own.items()]
    moments = [few * math.fsum(chance * gain**power for gain, chance in gains) for power in (1, 2, 3)]
    most = max(few, 1.0) * steepness**2 / 2 + 2 * steepness * math.sqrt(max(few, 1.0))
    return _guarded(Cumulants(*moments), most, requests.new, guard)


def _guarded(sum_: Cumulants, most: float, requests: float, guard: Bound) -> Cumulants:
    """The sum, cut at the cap as a normal one would be, and less the price of the guard."""
    number = max(round(requests), 1)
    price = -guard(0.0, most, 1.0, number)
    cap = guard(math.inf, most, 1.0, number) + price
    price *= min(requests, 1.0)  # nothing is paid for a bucket without requests
    deviation = math.sqrt(sum_.variance)
    if deviation <= 0:
        return Cumulants(min(sum_.mean, cap) - price)
    z = (sum_.mean - cap) / deviation
    lost = deviation * (z * _NORMAL.cdf(z) + _NORMAL.pdf(z))
    kept = 1 - _NORMAL.cdf(z)
    return Cumulants(sum_.mean - lost - price, sum_.variance * kept, sum_.third * kept)


def _shares(usual: Mapping[int, int], shift: int, top: int) -> dict[int, float]:
    total = sum(usual.values())
    found: dict[int, float] = {}
    for place, count in placed(usual, shift, top):
        place = max(place, 0)
        found[place] = found.get(place, 0.0) + count / total
    return found
