"""The worlds of the benchmark: good new versions under bad circumstances, and bad ones of each kind.

Owns the list. A world is good when rolling back would be a mistake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from loadtests.decisions.traffic import (
    USUAL,
    Behaviour,
    Floats,
    Rate,
    World,
    always,
    between,
    exactly,
    lognormal,
    rising,
    slower,
    until_served,
)

Metric = Literal["errors", "latency"]

RATES: Final = (2.0, 50.0, 1000.0)
#: Two bins of 2^(1/8), which is what "20 % slower is still good" is tested as.
_ON_MARGIN: Final = math.pow(2.0, 2 / 8)
_LATE: Final = 200.0
_OUTAGE: Final = (60.0, 240.0)


@dataclass(frozen=True)
class Case:
    """A world, and what is right about its new version."""

    world: World
    is_good: bool
    bad_from: float = 0.0
    """When it becomes bad."""
    metric: Metric = "errors"
    """What is wrong, or looks so. Rules that watch one metric watch this one."""
    is_gross: bool = False
    """So bad, at 50 requests a second or more, that the targets speak of it."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.world.name


def good_cases() -> list[Case]:
    """Worlds in which nothing may be rolled back."""
    outage, worse_outage = between(*_OUTAGE, 0.3, 0.001), between(*_OUTAGE, 0.36, 0.001)
    drift = rising(0, 300, 0.001, 0.01)
    return [
        *(_good(f"equal, {rate:g}/s", rate=rate) for rate in RATES),
        _good("both at 2 %", old=_failing(0.02), new=_failing(0.02)),
        _good("errors on the margin", new=_failing(1.25 * 0.001 + 0.005)),
        _good("latency on the margin", new=Behaviour(latency=slower(USUAL, _ON_MARGIN)), metric="latency"),
        _good("outage of both, 30 %, 3 min", old=Behaviour(outage), new=Behaviour(outage)),
        _good("outage, 30 % and 36 %", old=Behaviour(outage), new=Behaviour(worse_outage)),
        _good("both drift, 0.1 to 1 %", old=Behaviour(drift), new=Behaviour(drift)),
        *(
            _good(f"bursts of the new one alone, {rate:g}/s", new=Behaviour(bursts=2e-4), rate=rate)
            for rate in (2.0, 50.0)
        ),
        _good("bursts of both", old=Behaviour(bursts=2e-4), new=Behaviour(bursts=2e-4)),
        *(
            _good(f"cold start, 5 % for 20 s, {rate:g}/s", new=Behaviour(between(0, 20, 0.05, 0.001)), rate=rate)
            for rate in (50.0, 1000.0)
        ),
        _good("cold caches", new=_odd(until_served(30, 0.5, 0.0), lognormal((1.0, 0.3, 0.3))), metric="latency"),
        _good("both slow for 2 min", old=_slow_spell(), new=_slow_spell(), metric="latency"),
        _good("no traffic for 10 min", rate=between(60, 660, 0.0, 50.0)),
    ]


def bad_cases() -> list[Case]:
    """Worlds in which the new version must go."""
    outage, much_worse = between(*_OUTAGE, 0.3, 0.001), between(_OUTAGE[0], np.inf, 0.7, 0.001)
    return [
        *(
            _bad(f"{share:.0%} errors, {rate:g}/s", new=_failing(share), rate=rate, is_gross=rate > 2)
            for rate in RATES
            for share in (1.0, 0.2, 0.05)
        ),
        _bad("1.5% errors, 50/s", new=_failing(0.015)),
        _bad("1.5% errors, 1000/s", new=_failing(0.015), rate=1000.0),
        _bad("10% errors, 2 % before", old=_failing(0.02), new=_failing(0.1)),
        _bad("5% errors from 200 s on", new=Behaviour(between(_LATE, np.inf, 0.05, 0.001)), bad_from=_LATE),
        _bad("leak, 0 to 20 % in 10 min", new=Behaviour(rising(0, 600, 0.001, 0.2))),
        _bad("70 % from an outage on", old=Behaviour(outage), new=Behaviour(much_worse), bad_from=_OUTAGE[0]),
        _bad("20% fail at once", new=Behaviour(always(0.2), latency=exactly(0.01)), is_gross=True),
        _bad("20% never answer", new=_odd(always(0.2), exactly(3.9)), metric="latency"),
        _bad("30% slower", new=Behaviour(latency=_usual_times(1.3)), metric="latency"),
        _bad("50% slower", new=Behaviour(latency=_usual_times(1.5)), metric="latency"),
        _bad("twice as slow", new=Behaviour(latency=_usual_times(2.0)), metric="latency"),
        _bad("5 % take 0.5 s more", new=_odd(always(0.05), lognormal((1.0, 0.55, 0.1))), metric="latency"),
        _bad("2 % take 3 s", new=_odd(always(0.02), exactly(3.0)), metric="latency"),
    ]


def _good(name: str, *, rate: Rate | float = 50.0, metric: Metric = "errors", **versions: Behaviour) -> Case:
    return Case(World(name, _rate(rate), **versions), True, metric=metric)


def _bad(
    name: str,
    *,
    rate: float = 50.0,
    metric: Metric = "errors",
    bad_from: float = 0.0,
    is_gross: bool = False,
    **versions: Behaviour,
) -> Case:
    return Case(World(name, _rate(rate), **versions), False, bad_from, metric, is_gross)


def _rate(rate: Rate | float) -> Rate:
    return rate if callable(rate) else always(rate)


def _failing(share: float) -> Behaviour:
    return Behaviour(always(share))


def _odd(share: Rate, latency: Floats) -> Behaviour:
    return Behaviour(odd=share, odd_latency=latency)


def _slow_spell() -> Behaviour:
    return _odd(between(60, 180, 1.0, 0.0), slower(USUAL, 2.0))


def _usual_times(factor: float) -> Floats:
    return lognormal((0.95, 0.04 * factor, 0.5), (0.05, 0.2 * factor, 0.7))
