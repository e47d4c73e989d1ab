"""What a new version may do to a service: the scenarios that a policy is tried on.

Owns how options become worlds, and which of them are good. Must not run anything.

1. A scenario is good when the new version is within the margins of the policy, however the circumstances are.
2. The latencies are mixtures of log-normal parts, from a millisecond to four seconds.

Units: requests per second, shares from 0 to 1, seconds since the rollout began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.terms import ErrorTerms, LatencyTerms, Terms
from loadtests.decisions.traffic import Behaviour, Floats, Rate, World, always, between, lognormal
from loadtests.decisions.worlds import Case

#: Parts of each shape: weight, median in multiples of the service's, sigma.
SHAPES: Final[dict[str, tuple[tuple[float, float, float], ...]]] = {
    "long-tail": ((0.95, 1.0, 0.5), (0.05, 5.0, 0.7)),
    "narrow": ((1.0, 1.0, 0.25),),
    "two-speeds": ((0.8, 1.0, 0.4), (0.2, 10.0, 0.5)),
}
OUTAGE: Final = (60.0, 240.0)
COLD_SECONDS: Final = 20.0
BURSTS: Final = 2e-4  # begin with so many of a version's requests, 15 failures each


@dataclass(frozen=True)
class Traffic:
    """What the service is like before the rollout."""

    rate: float = 50.0
    errors: float = 0.001
    latency: float = 0.04
    """The median of most requests."""
    shape: str = "long-tail"


@dataclass(frozen=True)
class Change:
    """What is different while the new version comes."""

    name: str
    errors: float | None = None
    """The error rate of the new version. None: that of the old one."""
    slower: float = 1.0
    bursts: float = 0.0
    outage: float = 0.0
    """The error rate of both versions, for three minutes from the first minute on."""
    cold_start: float = 0.0
    """The error rate of the new version in its first 20 seconds."""
    bad_from: float = 0.0
    """When the errors and the slowness begin."""


def usual_changes(traffic: Traffic) -> list[Change]:
    """What every policy should be tried on."""
    old = traffic.errors
    return [
        Change("as good as the old one"),
        *(Change(f"{share:.0%} more errors", errors=min(old + share, 1.0)) for share in (0.01, 0.05, 0.2)),
        Change("everything fails", errors=1.0),
        Change("1.5 times as slow", slower=1.5),
        Change("both fail: 30% for 3 minutes", outage=0.3),
        Change("good, with bursts of errors", bursts=BURSTS),
        Change("good, after a cold start", cold_start=0.05),
    ]


def case_of(traffic: Traffic, change: Change, terms: Terms) -> Case:
    """The world of a change."""
    old_errors: Rate = always(traffic.errors)
    new_errors = between(change.bad_from, np.inf, _errors_of(traffic, change), traffic.errors)
    if change.outage:
        old_errors = _worst(old_errors, between(*OUTAGE, change.outage, 0.0))
        new_errors = _worst(new_errors, between(*OUTAGE, change.outage, 0.0))
    if change.cold_start:
        new_errors = _worst(new_errors, between(0.0, COLD_SECONDS, change.cold_start, 0.0))
    usual = _latencies(traffic, 1.0)
    new = Behaviour(
        new_errors,
        usual,
        odd=between(change.bad_from, np.inf, 1.0 if change.slower != 1.0 else 0.0, 0.0),
        odd_latency=_latencies(traffic, change.slower),
        bursts=change.bursts,
    )
    world = World(change.name, always(traffic.rate), Behaviour(old_errors, usual), new)
    is_slow = change.slower > _slowest_good(terms.latency)
    is_failing = _errors_of(traffic, change) > _most_errors(traffic, terms.errors)
    return Case(world, not (is_slow or is_failing), change.bad_from, "latency" if is_slow else "errors")


def _errors_of(traffic: Traffic, change: Change) -> float:
    return traffic.errors if change.errors is None else change.errors


def _most_errors(traffic: Traffic, terms: ErrorTerms | None) -> float:
    """The highest error rate that is good; by the usual margin where the policy does not look at errors."""
    margin = terms or ErrorTerms()
    return min(max(margin.ratio * traffic.errors + margin.points, traffic.errors), margin.limit)


def _slowest_good(terms: LatencyTerms | None) -> float:
    return float(2 ** ((terms or LatencyTerms()).shift / 8)) * (1 + 1e-9)


def _latencies(traffic: Traffic, factor: float) -> Floats:
    return lognormal(*((w, median * traffic.latency * factor, sigma) for w, median, sigma in SHAPES[traffic.shape]))


def _worst(first: Rate, second: Rate) -> Rate:
    return lambda time, served: np.maximum(first(time, served), second(time, served))
