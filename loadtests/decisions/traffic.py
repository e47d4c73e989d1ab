"""Simulated traffic: what two versions of a service do, second by second.

Owns the models of errors and of latency, and the sampling. Must not know of any rule that judges it.

1. A number of requests arrives each second, of which the split gives some to the new version. Each fails or takes its
   time independently, with probabilities that may depend on the time and on what the version has served before.
2. A burst is a number of failing requests more, on one version, within a moment: it may lie across two seconds.
3. All chance comes from the generator that is passed in: the same seed gives the same traffic.

Units: seconds since the rollout began, negative before; rates from 0 to 1; bins as in `controller.core.buckets`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.core.buckets import Bucket, lower_bound

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
#: A probability by time and by how many requests the version had served before.
Rate: TypeAlias = Callable[[Floats, Floats], Floats]

FASTEST: Final = -80  # the bin of a millisecond
BINS: Final = 96  # up to four seconds
_EDGES: Final = [lower_bound(FASTEST + i) for i in range(BINS + 1)]


def always(rate: float) -> Rate:
    """A rate that never changes."""
    return lambda time, served: np.full_like(time, rate)


def between(begin: float, end: float, inside: float, outside: float) -> Rate:
    """A rate that is another one for a time."""
    return lambda time, served: np.where((time >= begin) & (time < end), inside, outside)


def rising(begin: float, end: float, low: float, high: float) -> Rate:
    """A rate that rises steadily from one to another."""
    return lambda time, served: np.interp(time, [begin, end], [low, high])


def until_served(requests: float, first: float, then: float) -> Rate:
    """A rate that decays as the version serves requests, as misses of a cache do."""
    return lambda time, served: then + (first - then) * np.exp(-served / requests)


def lognormal(*parts: tuple[float, float, float]) -> Floats:
    """Latency bins of a mixture of log-normal parts: weight, median in seconds, sigma."""
    normal = NormalDist()

    def below(seconds: float) -> float:
        return sum(weight * normal.cdf(math.log(seconds / median) / sigma) for weight, median, sigma in parts)

    return _normed(np.diff([0.0, *(below(edge) for edge in _EDGES[1:-1]), 1.0]))


def slower(bins: Floats, factor: float) -> Floats:
    """The same latencies times a factor, which is a power of 2^(1/8) to be exact."""
    shift = round(8 * math.log2(factor))
    moved = np.concatenate([np.zeros(shift), bins[: BINS - shift]])
    moved[-1] += bins[BINS - shift :].sum()
    return moved


def mixed(share: float, some: Floats, others: Floats) -> Floats:
    """Latencies of which a share is of another kind."""
    return share * some + (1 - share) * others


def exactly(seconds: float) -> Floats:
    """One latency."""
    bins = np.zeros(BINS)
    bins[min(math.floor(8 * math.log2(seconds)) - FASTEST, BINS - 1)] = 1.0
    return bins


def _normed(bins: Floats) -> Floats:
    return np.asarray(bins / bins.sum())


#: A service with a long tail: most answers from memory, some from a database.
USUAL: Final = lognormal((0.95, 0.04, 0.5), (0.05, 0.2, 0.7))


@dataclass(frozen=True)
class Behaviour:
    """What one version does to its requests."""

    errors: Rate = field(default_factory=lambda: always(0.001))
    latency: Floats = field(default_factory=lambda: USUAL)
    odd: Rate = field(default_factory=lambda: always(0.0))
    """The share of the requests that have the odd latency instead."""
    odd_latency: Floats = field(default_factory=lambda: USUAL)
    bursts: float = 0.0
    """Per request, how many bursts begin; a burst has 15 failing requests on average."""


@dataclass(frozen=True)
class Seconds:
    """What one version did in some successive seconds, a row each."""

    requests: Ints
    errors: Ints
    expected: Floats
    """The probability of an error in each second, without bursts."""
    latencies: Ints

    def bucket(self, row: int, patience_bin: int) -> Bucket:
        """One second in the form that the judge takes, closed when its patience ends."""
        places = np.flatnonzero(self.latencies[row])
        bins: dict[int, int] = {}
        unanswered = 0
        for place, count in zip(places.tolist(), self.latencies[row][places].tolist(), strict=True):
            index = place + FASTEST
            if index > patience_bin:
                unanswered += count
                index = patience_bin
            bins[index] = bins.get(index, 0) + count
        return Bucket(int(self.requests[row]), int(self.errors[row]), unanswered, bins)


@dataclass(frozen=True)
class World:
    """A service with its traffic, an old and a new version."""

    name: str
    rate: Rate
    old: Behaviour = field(default_factory=Behaviour)
    new: Behaviour = field(default_factory=Behaviour)

    def sample(
        self, rng: np.random.Generator, begin: int, seconds: int, share: float, served: float
    ) -> tuple[Seconds, Seconds]:
        """What the old and the new version did from `begin` on; the new one has `served` so many requests before."""
        time = np.arange(begin, begin + seconds, dtype=np.float64)
        arrivals = rng.poisson(self.rate(time, np.zeros(seconds)))
        to_new = rng.binomial(arrivals, share)
        before = served + np.concatenate([[0], np.cumsum(to_new)[:-1]])
        return (
            _behave(rng, self.old, time, arrivals - to_new, np.full(seconds, np.inf)),
            _behave(rng, self.new, time, to_new, before),
        )


_BURST_MEAN: Final = 15.0


def _behave(rng: np.random.Generator, version: Behaviour, time: Floats, requests: Ints, served: Floats) -> Seconds:
    probability = version.errors(time, served)
    errors = rng.binomial(requests, probability)
    good = requests - errors
    odd = rng.binomial(good, version.odd(time, served))
    latencies = rng.multinomial(good - odd, version.latency)
    if odd.any():
        latencies += rng.multinomial(odd, version.odd_latency)
    if version.bursts:
        failing = _bursts(rng, requests, version.bursts)
        requests, errors = requests + failing, errors + failing
    return Seconds(requests, errors, probability, latencies)


def _bursts(rng: np.random.Generator, requests: Ints, rate: float) -> Ints:
    failing = np.zeros(len(requests) + 1, dtype=np.int64)
    for row in np.flatnonzero(rng.binomial(requests, rate)):
        size = rng.geometric(1 / _BURST_MEAN)
        in_next = rng.binomial(size, max(0.0, rng.uniform(-1.0, 1.0)))  # half of the bursts lie across two seconds
        failing[row] += size - in_next
        failing[row + 1] += in_next
    return failing[:-1]
