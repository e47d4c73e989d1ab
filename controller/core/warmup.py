"""New instances are cold at first.

Owns the clock of the warm-up, and what counts meanwhile. Must not judge.

1. For some time from the first request of a new instance, what it does counts for nothing, except for failing more than
   `ALLOWANCE` more often than the old version.
2. The clock stands still while both versions fail.

Units: seconds, rates from 0 to 1.
"""

from __future__ import annotations

from typing import Final

from controller.core.plain import Stateful

WARM_UP: Final = 30
ALLOWANCE: Final = 0.05
#: Bets of the evidence that counts meanwhile: how far beyond what is allowed, and the prior of each.
GROSS_GAPS: Final = (0.1, 0.3, 0.95)
GROSS_PRIOR: Final = (0.44, 0.28, 0.28)


class WarmUp(Stateful):
    """The clock of one version."""

    STATE = ("_is_new", "_until")

    def __init__(self, duration: int = WARM_UP) -> None:
        self._duration = duration
        self._is_new = True
        self._until = 0

    def begin_again(self) -> None:
        """There is another new instance."""
        self._is_new = True

    def tick(self, second: int, *, has_requests: bool, stands_still: bool) -> None:
        """A second has passed."""
        if stands_still:
            self._until += 1
        elif self._is_new and has_requests:
            self._is_new = False
            self._until = second + self._duration

    def left(self, second: int) -> int:
        """How much of it is left in this second; 0 when it is over, or has not begun."""
        return max(self._until - second, 0)
