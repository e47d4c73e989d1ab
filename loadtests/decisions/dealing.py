"""False rollbacks when the failing requests are fixed, and only the deal says which version has them.

Owns this one measurement: `python -m loadtests.decisions.dealing [RUNS]`. The proofs suppose that each request is dealt
by lot; the proxy deals more evenly. All versions are alike here, so every rollback is a false one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.core.buckets import Bucket
from controller.core.judge import Judge
from controller.core.terms import Terms
from loadtests.decisions.results import upper_bound
from proxy.core.splitting import Splitter

Flags: TypeAlias = NDArray[np.bool_]
Versions: TypeAlias = NDArray[np.int64]  # 0 the old one, 1 the new one, 2 one that nobody judges

_RATE: Final = 50  # requests a second
_SECONDS: Final = 200
_BEFORE: Final = 120
_BIN: Final = -36
_SHARES: Final = (0.1, 0.5)
_ONES: Final = 2**32


def _independent(rng: np.random.Generator, n: int) -> Flags:
    return rng.random(n) < 0.02


def _bursts(rng: np.random.Generator, n: int) -> Flags:
    failing = np.zeros(n, dtype=np.bool_)
    for begin in np.flatnonzero(rng.random(n) < 0.002):
        failing[begin : begin + rng.geometric(1 / 15)] = True
    return failing


def _every(period: int, rng: np.random.Generator, n: int) -> Flags:
    return np.asarray(np.arange(n) % period == rng.integers(period))


FAILING: Final[dict[str, Callable[[np.random.Generator, int], Flags]]] = {
    "2 %, independent": _independent,
    "bursts of 15": _bursts,
    "every 10th": partial(_every, 10),
    "every 2nd": partial(_every, 2),
}


def _by_proxy(workers: int, third: float, share: float, rng: np.random.Generator, n: int) -> Versions:
    """Which version each request gets, when each comes to a random worker; a third one has `third` of them."""
    worker = rng.integers(0, workers, n)
    versions = np.zeros(n, dtype=np.int64)
    for number in range(workers):
        places = np.flatnonzero(worker == number)
        splitter = Splitter([1 - share - third, share, third], int(rng.integers(_ONES)))
        versions[places] = np.fromiter(islice(splitter, len(places)), dtype=np.int64, count=len(places))
    return versions


def _by_lot(share: float, rng: np.random.Generator, n: int) -> Versions:
    return (rng.random(n) < share).astype(np.int64)


DEALS: Final[dict[str, Callable[[float, np.random.Generator, int], Versions]]] = {
    "by lot": _by_lot,
    "one worker": partial(_by_proxy, 1, 0.0),
    "two workers": partial(_by_proxy, 2, 0.0),
    "one worker, a third version at 25 %": partial(_by_proxy, 1, 0.25),
}


def is_rolled_back(pattern: str, deal: str, share: float, seed: int) -> bool:
    """One rollout on one share, without warm-up, judged by errors alone."""
    rng = np.random.default_rng([7, seed])
    failing = FAILING[pattern](rng, _RATE * (_BEFORE + _SECONDS)).reshape(-1, _RATE)
    versions = DEALS[deal](share, rng, _RATE * _SECONDS).reshape(-1, _RATE)
    before = [(row - _BEFORE, _bucket(failing[row])) for row in range(_BEFORE)]
    judge = Judge(Terms(latency=None, warm_up=0), before)
    judge.begin_step(share, None)
    for second, (fails, version) in enumerate(zip(failing[_BEFORE:], versions, strict=True)):
        if judge.take(second, _bucket(fails[version == 0]), _bucket(fails[version == 1])).failed:
            return True
    return False


def _bucket(fails: Flags) -> Bucket:
    errors = int(fails.sum())
    return Bucket(len(fails), errors, 0, {_BIN: len(fails) - errors})


def main(runs: int) -> int:
    """Print how many of so many good versions each deal rolls back."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for pattern in FAILING:
            for share in _SHARES:
                found = []
                for deal in DEALS:
                    seen = sum(pool.map(partial(is_rolled_back, pattern, deal, share), range(runs)))
                    found.append(f"{deal} {seen}/{runs} (at most {upper_bound(seen, runs):.1%})")
                print(f"{pattern} fail, share {share:.0%}: {', '.join(found)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
