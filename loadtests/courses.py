"""How many users a load has at which time: the arithmetic of the shapes.

Owns the curves. Must not know Locust, a clock or a rollout's address.

Units: seconds since the load began; users are whole, and at least one until the load is over.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_CALM: Final = 0.25  # of the users, before and after a spike
_ENDED: Final = frozenset({"promoted", "rolled_back"})


def ramp(part: float) -> float:
    """From nobody to everybody, evenly."""
    return part


def spike(part: float) -> float:
    """Everybody at once for a third of the time, a quarter of them before and after."""
    return 1.0 if 1 / 3 <= part < 2 / 3 else _CALM


def soak(part: float) -> float:
    """Everybody, all the time."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """The share of the users by the part of the time that is over, and how long it is if nobody says."""

    share: Callable[[float], float]
    seconds: float

    def users(self, most: int, elapsed: float, seconds: float) -> int | None:
        """How many; None when it is over."""
        if elapsed >= seconds:
            return None
        return max(1, math.ceil(most * self.share(elapsed / seconds)))


COURSES: Final[Mapping[str, Course]] = {
    "ramp": Course(ramp, 60.0),
    "spike": Course(spike, 60.0),
    "soak": Course(soak, 1800.0),
}

#: The one that follows a rollout: how long at most.
CANARY_WALK: Final = "canary-walk"
CANARY_WALK_SECONDS: Final = 600.0
_BEGIN_SECONDS: Final = 30.0  # for a rollout to be seen


def canary_walk(most: int, elapsed: float, seconds: float, rollout: Mapping[str, Any] | None) -> int | None:
    """More users with each step of the rollout, all of them in its last; over when it has ended."""
    if elapsed >= seconds or (rollout is None and elapsed >= _BEGIN_SECONDS):
        return None
    if rollout is None:
        return max(1, math.ceil(most * _CALM))
    if rollout["phase"] in _ENDED:
        return None
    steps = max(1, int(rollout["steps"]))
    return max(1, math.ceil(most * min(int(rollout["step"]) + 1, steps) / steps))
