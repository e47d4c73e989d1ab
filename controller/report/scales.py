"""Scales: where a value lies on an axis, and which values are written beside it.

Owns nice numbers and their labels. Must not draw.

Units: places from 0, at the foot of an axis, to 1, at its head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

Label = Callable[[float], str]

_TIME_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
)
_DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, of which the low one is positive where it is logarithmic."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    is_log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies; what is outside lies on the edge."""
        value = min(max(value, self.low), self.high)
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear(most: float, label: Label, ticks: int = 4) -> Scale:
    """From 0 to a nice number that is not below `most`."""
    step = _nice(max(most, 1e-9) / ticks)
    count = max(1, math.ceil(most / step - 1e-9))
    values = [step * index for index in range(count + 1)]
    return Scale(0.0, max(values[-1], most), tuple((value, label(value)) for value in values))


def logarithmic(values: Iterable[float], label: Label, mantissas: tuple[int, ...] = (1,)) -> Scale:
    """From one nice number to another; `mantissas` are what is nice, times a power of ten."""
    values = list(values)
    nice = [m * 10.0**exponent for exponent in range(-9, 10) for m in mantissas]
    low = max((each for each in nice if each <= min(values) * (1 + 1e-9)), default=nice[0])
    high = min((each for each in nice if each >= max(values) * (1 - 1e-9) and each > low), default=nice[-1])
    shown = [each for each in nice if low <= each <= high]
    every = max(1, math.ceil(len(shown) / 6))
    return Scale(low, high, tuple((each, label(each)) for each in shown[::every]), is_log=True)


def time_ticks(end: float, most: int) -> tuple[list[tuple[float, str]], str]:
    """Instants from 0 to `end` with their labels, at most `most` beside 0, and what the labels are written in."""
    steps = (*_TIME_STEPS, *(_DAY * 2**power for power in range(20)))
    step = next(step for step in steps if end / step <= most)
    instants = [float(step * index) for index in range(int(end / step) + 1)]
    if step >= _DAY:
        return [(at, f"{at / _DAY:.0f}") for at in instants], "days"
    if end >= 2 * 3600:
        return [(at, f"{at // 3600:.0f}:{at % 3600 // 60:02.0f}") for at in instants], "h:min"
    return [(at, f"{at // 60:.0f}:{at % 60:02.0f}") for at in instants], "min:s"


def _nice(step: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is not below a step."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))
