"""Both versions fail: a shared database, a network, an attack.

Owns when that begins and ends, and whether the new version is clearly the better one meanwhile. Must not roll back: the
evidence compares the versions and needs no special case for that.

1. The old version fails when, over the last seconds, its error rate is above `SHARE` and above `TIMES` times what is
   usual, with some errors at least. It is well again below half of that.
2. While it fails, its past learns nothing, warm-up and promotion stand still.
3. The new version may be the cause, through something that both use. No comparison can see that. So when it began
   shortly after the new version got more traffic, or when it does not end, the new version's traffic should be taken
   away, as inconclusive.
4. A new version whose error rate is surely below half of the old one's must not be held back by it: it may be the mend.

Units: seconds, rates from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from controller.core.errors import log_evidence
from controller.core.plain import Stateful
from controller.core.promotion import BETA

SHARE: Final = 0.05
TIMES: Final = 5.0
SHORTLY_AFTER: Final = 60
TOO_LONG: Final = 120

_KEPT: Final = 0.8  # of the sums, each second: they are over about five seconds
_SOME_ERRORS: Final = 3.0
_SILENCE: Final = 0.01  # requests in the sums; who is not asked does not fail
_BETTER: Final = 0.5


@dataclass(frozen=True, slots=True)
class Outage:
    """Both versions fail, or the old one alone."""

    since: int
    error_rate: float
    after_increase: bool
    lasted: int
    new_is_better: bool

    @property
    def asks_for_retreat(self) -> bool:
        """Whether the new version's traffic should be taken away, because it may be the cause."""
        return not self.new_is_better and (self.after_increase or self.lasted > TOO_LONG)


class OutageWatch(Stateful):
    """Follows the old version's error rate over the last seconds."""

    STATE = ("_requests", "_errors", "_since", "_after_increase", "_log_better", "_increased_at")

    def __init__(self) -> None:
        self._requests = 0.0
        self._errors = 0.0
        self._since: int | None = None
        self._after_increase = False
        self._log_better = 0.0
        self._increased_at: int | None = None

    def note_increase(self, second: int) -> None:
        """The new version gets more traffic from now on."""
        self._increased_at = second

    def update(self, second: int, n_c: int, k_c: int, n_b: int, k_b: int, usual: float) -> None:
        """Take a bucket: requests and errors of the new version and of the old one."""
        if self._since is not None and n_c and n_b:
            rate = self.expected(usual)
            self._log_better += log_evidence(n_c, k_c, n_b, k_b, _BETTER * rate / 4, rate, _BETTER, 0.0)[0]
        self._requests = _KEPT * self._requests + n_b
        self._errors = _KEPT * self._errors + k_b
        threshold = max(SHARE, TIMES * usual) * self._requests
        if self._since is None and self._errors > threshold and self._errors >= _SOME_ERRORS:
            self._since = second
            increased = self._increased_at
            self._after_increase = increased is not None and second - increased <= SHORTLY_AFTER
            self._log_better = 0.0
        elif self._errors < threshold / 2 or self._requests < _SILENCE:
            self._since = None

    def expected(self, usual: float) -> float:
        """The error rate to expect of the old version in the next second."""
        return max(usual, self._errors / self._requests) if self._since is not None else usual

    def outage(self, second: int) -> Outage | None:
        """The outage of now, if there is one."""
        if self._since is None:
            return None
        return Outage(
            since=self._since,
            error_rate=self._errors / self._requests,
            after_increase=self._after_increase,
            lasted=second - self._since,
            new_is_better=self._log_better >= -math.log(BETA),
        )
