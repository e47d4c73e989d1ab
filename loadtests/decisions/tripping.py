"""How often the breaker of a rollout takes out a good version: the proof of the comparison does not cover it.

Owns this one measurement: `python -m loadtests.decisions.tripping [RUNS]`. The good worlds of the benchmark, cut into
the twentieths of a second in which the breaker looks, on fixed steps that last as long as those of a good rollout.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from loadtests.decisions.results import upper_bound
from loadtests.decisions.rollouts import SAME_STEPS
from loadtests.decisions.traffic import Behaviour, Floats, Rate, Seconds, World
from loadtests.decisions.worlds import good_cases
from proxy.core.attempts import Counts
from proxy.core.blame import Blame
from proxy.core.breaking import LastAttempts

_LOOKS: Final = 20  # a second
_STEP: Final = 50  # seconds
_WINDOW: Final = 20
_FAILS: Final = 5


def does_trip(number: int, seed: int) -> bool:
    """Whether one rollout of a good world, by its place in the list, is ended by its breaker."""
    rng = np.random.default_rng([23, number, seed])
    world = _in_looks(good_cases()[number].world)
    breaker = LastAttempts(_WINDOW, _FAILS, Blame())
    served = 0.0
    for step, share in enumerate(SAME_STEPS):
        rows = _STEP * _LOOKS
        old, new = world.sample(rng, step * rows, rows, share, served)
        served += float(new.requests.sum())
        if any(breaker.add(*counts, share) for counts in zip(_counts(new), _counts(old), strict=True)):
            return True
    return False


def _counts(seconds: Seconds) -> list[Counts]:
    return [Counts(*row) for row in zip(seconds.requests.tolist(), seconds.errors.tolist(), strict=True)]


def _in_looks(world: World) -> World:
    """The same world, of which a row is a look instead of a second."""
    rate = _slowed(world.rate)
    return replace(
        world,
        rate=lambda time, served: rate(time, served) / _LOOKS,
        old=_behaviour_in_looks(world.old),
        new=_behaviour_in_looks(world.new),
    )


def _behaviour_in_looks(version: Behaviour) -> Behaviour:
    return replace(version, errors=_slowed(version.errors), odd=_slowed(version.odd))


def _slowed(rate: Rate) -> Rate:
    def slowed(time: Floats, served: Floats) -> Floats:
        return rate(time / _LOOKS, served)

    return slowed


def main(runs: int) -> int:
    """Print how many of so many good rollouts of each world the breaker ends."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for number, case in enumerate(good_cases()):
            seen = sum(pool.map(partial(does_trip, number), range(runs), chunksize=10))
            print(f"{case.name}: {seen}/{runs} (at most {upper_bound(seen, runs):.1%})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
