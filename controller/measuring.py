"""What a service does now, from what the proxies have counted in the last minutes: what a plan begins with.

Owns the sums. Must not plan (`controller.core.planning`).

Seconds that are not over for their requests are left out. Proxies add up. Where the first request came later than the
window begins, what was before says nothing of the rate: the proxy may not have run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from controller.core.buckets import EMPTY, Binning, Bucket
from controller.core.planning import Measured
from controller.harvest import Counted

#: How far back is looked, seconds.
WINDOW: Final = 300
_FEW: Final = 20  # requests; so few say nothing of when the traffic began


def measured(answers: Mapping[str, Counted], service: str, old: str, patience: float) -> Measured:
    """The traffic of a service whose old version is named, from the answers of all proxies to /v1/stats.

    Raises:
        KeyError, IndexError, TypeError, ValueError: an answer is of another shape.
    """
    rate, longest, known = 0.0, 0.0, EMPTY
    for answer in answers.values():
        requests, seconds = _traffic(answer, service, patience)
        rate += requests / seconds
        longest = max(longest, seconds)
        known = sum(_buckets(answer, service, old, patience), known)
    errors = known.errors / known.requests if known.requests else 0.0
    return Measured(rate, errors, dict(known.latencies), longest)


def _traffic(answer: Counted, service: str, patience: float) -> tuple[int, float]:
    """Requests of all versions, and over how many seconds they came."""
    last = _last(answer, patience)
    told = [
        (each["t"], each["requests"])
        for version in answer["services"].get(service, {}).values()
        for each in version["seconds"]
        if last - WINDOW < each["t"] <= last
    ]
    requests = sum(count for _, count in told)
    if requests < _FEW:
        return requests, float(WINDOW)
    return requests, float(last - min(second for second, _ in told) + 1)


def _buckets(answer: Counted, service: str, version: str, patience: float) -> Iterator[Bucket]:
    binning = Binning(answer["bin_lower_bounds_seconds"], patience)
    seconds: list[Mapping[str, Any]] = answer["services"].get(service, {}).get(version, {}).get("seconds", [])
    last = _last(answer, patience)
    return (binning.bucket(each) for each in seconds if last - WINDOW < each["t"] <= last)


def _last(answer: Counted, patience: float) -> int:
    """The last second that is over for all its requests."""
    return int(answer["now"]) - 1 - math.ceil(patience)
