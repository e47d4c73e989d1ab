"""How many requests of the new version a decision takes, next to a test that knows everything.

Owns the measurement. The oracle is Wald's sequential test of the true distributions of both versions against the
nearest ones that would still be good: it needs what nobody has. Its bound log(1/alpha)/D, with D the information per
request of the new version, leaves out that a test can only stop at the end of a second.

All on one weight that does not change, without warm-up, for alpha = 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from controller.core.baseline import Baseline
from controller.core.buckets import bin_of
from controller.core.bursts import BAD_SECONDS, Bound, Guard, unguarded
from controller.core.errors import ErrorEvidence
from controller.core.latency import LatencyEvidence
from loadtests.decisions.nearest import nearest_good, nearest_ordered, positive, relative_entropy
from loadtests.decisions.traffic import (
    USUAL,
    Behaviour,
    Floats,
    Seconds,
    World,
    always,
    exactly,
    lognormal,
    mixed,
    slower,
)

ALPHA: Final = 0.01
_NEEDED: Final = math.log(1 / ALPHA)
_POINTS: Final = 0.005
_SHIFT: Final = 1  # bin
_PATIENCE_BIN: Final = bin_of(2.0)
_CHUNK: Final = 50
_AT_MOST: Final = 5000  # seconds


class Test(Protocol):
    """Something that stops."""

    def take(self, second: int, old: Seconds, new: Seconds, row: int) -> bool:
        """Take a second; true when it decides that the new version is bad."""


@dataclass(frozen=True)
class Race:
    """A bad version, for tests to find."""

    name: str
    world: World
    share: float
    bound: float
    """log(1/alpha)/D."""
    oracle: Callable[[], Test]
    ours: Callable[[Bound], Test]


@dataclass(frozen=True)
class Efficiency:
    """What a race took: requests of the new version on average, and seconds."""

    name: str
    bound: float
    oracle: float
    ours: float
    guarded: float
    """Ours with the guard against bad seconds, as it ships."""
    median: float
    p95: float


def measure(race: Race, runs: int, seed: int) -> Efficiency:
    """Let the tests race, on the same traffic."""
    oracle = _stops(race, race.oracle, runs, seed)
    ours = _stops(race, lambda: race.ours(unguarded), runs, seed)
    guarded = _stops(race, lambda: race.ours(Guard(ALPHA, BAD_SECONDS)), runs, seed)
    seconds = [stop[0] for stop in ours]
    return Efficiency(
        race.name,
        bound=race.bound,
        oracle=_mean_requests(oracle),
        ours=_mean_requests(ours),
        guarded=_mean_requests(guarded),
        median=float(np.median(seconds)),
        p95=float(np.percentile(seconds, 95)),
    )


def _mean_requests(stops: list[tuple[int, int]]) -> float:
    return float(np.mean([stop[1] for stop in stops]))


def _stops(race: Race, make: Callable[[], Test], runs: int, seed: int) -> list[tuple[int, int]]:
    """Seconds and requests of the new version until the test stops, of each run."""
    return [_stop(race, make(), np.random.default_rng([seed, run])) for run in range(runs)]


def _stop(race: Race, test: Test, rng: np.random.Generator) -> tuple[int, int]:
    requests = 0
    for begin in range(0, _AT_MOST, _CHUNK):
        old, new = race.world.sample(rng, begin, _CHUNK, race.share, 0.0)
        for row in range(_CHUNK):
            requests += int(new.requests[row])
            if test.take(begin + row, old, new, row):
                return begin + row + 1, requests
    return _AT_MOST, requests


# --- errors -----------------------------------------------------------------------------------------------------------


def error_races() -> list[Race]:
    """Small and large regressions, at several rates and weights."""
    return [
        *(_error_race(100, 0.05, 0.001, bad) for bad in (0.02, 0.05, 0.2, 1.0)),
        _error_race(100, 0.01, 0.001, 0.05),
        _error_race(1000, 0.01, 0.001, 0.02),
        _error_race(1000, 0.10, 0.001, 0.02),
        _error_race(100, 0.05, 0.02, 0.05),
        _error_race(100, 0.05, 0.02, 0.10),
    ]


def _error_race(rate: float, share: float, old: float, new: float) -> Race:
    x, y = nearest_good(share, old, new, 1.0, _POINTS)
    information = relative_entropy(new, x) + (1 - share) / share * relative_entropy(old, y)
    return Race(
        f"{rate:g}/s, {share:.0%}, errors {100 * old:g} to {100 * new:g} %",
        World("", always(rate), Behaviour(always(old)), Behaviour(always(new))),
        share,
        _NEEDED / information,
        lambda: _ErrorOracle((old, new), (y, x)),
        lambda bound: _OursOnErrors(bound, old),
    )


class _ErrorOracle:
    def __init__(self, bad: tuple[float, float], good: tuple[float, float]) -> None:
        self._worth = [
            (math.log(b / g), math.log((1 - b) / (1 - g)) if b < 1 else 0.0) for b, g in zip(bad, good, strict=True)
        ]
        self._log = 0.0

    def take(self, second: int, old: Seconds, new: Seconds, row: int) -> bool:
        for version, (failed, good) in zip((old, new), self._worth, strict=True):
            errors = int(version.errors[row])
            self._log += errors * failed + (int(version.requests[row]) - errors) * good
        return self._log >= _NEEDED


class _OursOnErrors:
    """Knows what the old version usually does, as from traffic before the rollout."""

    def __init__(self, bound: Bound, usual: float) -> None:
        self._evidence = ErrorEvidence(1.0, _POINTS, bound)
        self._usual = usual

    def take(self, second: int, old: Seconds, new: Seconds, row: int) -> bool:
        n_c, k_c, n_b, k_b = (int(counts[row]) for counts in (new.requests, new.errors, old.requests, old.errors))
        self._evidence.update(second, n_c, k_c, n_b, k_b, self._usual)
        return self._evidence.value >= 1 / ALPHA


# --- latency ----------------------------------------------------------------------------------------------------------


def latency_races() -> list[Race]:
    """Shifts of everything, and slow modes."""
    return [
        *(_latency_race(f"everything x {factor:g}", _times(factor)) for factor in (1.3, 1.5, 2.0)),
        _latency_race("5 % take 0.5 s more", mixed(0.05, lognormal((1.0, 0.55, 0.1)), USUAL)),
        _latency_race("2 % take 3 s", mixed(0.02, exactly(3.0), USUAL)),
        _latency_race("10 % take 3 s", mixed(0.10, exactly(3.0), USUAL)),
    ]


def _times(factor: float) -> Floats:
    return lognormal((0.95, 0.04 * factor, 0.5), (0.05, 0.2 * factor, 0.7))


def _latency_race(name: str, bad: Floats) -> Race:
    share = 0.05
    allowed = positive(slower(USUAL, 2 ** (_SHIFT / 8)))
    bad = positive(bad)
    good_old, good_new = nearest_ordered(share, allowed, bad)
    new, old = np.log(bad / good_new), np.log(allowed / good_old)
    information = float((bad * new).sum() + (1 - share) / share * (allowed * old).sum())
    return Race(
        name,
        World("", always(100.0), Behaviour(always(0.0)), Behaviour(always(0.0), latency=bad)),
        share,
        _NEEDED / information,
        lambda: _LatencyOracle(old, new),
        _OursOnLatency,
    )


class _LatencyOracle:
    def __init__(self, old: Floats, new: Floats) -> None:
        # The old version's latencies are those that are allowed, made one bin faster.
        self._old = np.append(old[_SHIFT:], np.zeros(_SHIFT))
        self._new = new
        self._log = 0.0

    def take(self, second: int, old: Seconds, new: Seconds, row: int) -> bool:
        self._log += float(old.latencies[row] @ self._old + new.latencies[row] @ self._new)
        return self._log >= _NEEDED


class _OursOnLatency:
    """Knows the latencies of ten minutes before the rollout."""

    def __init__(self, bound: Bound) -> None:
        self._evidence = LatencyEvidence(_SHIFT, _PATIENCE_BIN, bound)
        self._baseline = _KNOWN

    def take(self, second: int, old: Seconds, new: Seconds, row: int) -> bool:
        self._evidence.update(second, new.bucket(row, _PATIENCE_BIN), old.bucket(row, _PATIENCE_BIN), self._baseline)
        return self._evidence.value >= 1 / ALPHA


def _known() -> Baseline:
    old, _ = World("", always(100.0)).sample(np.random.default_rng(0), 0, 600, 0.0, 0.0)
    baseline = Baseline()
    for row in range(600):
        baseline.learn(old.bucket(row, _PATIENCE_BIN))
    return baseline


_KNOWN: Final = _known()
