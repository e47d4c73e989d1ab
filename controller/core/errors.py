"""Evidence that the new version fails more often than the old one, beyond the margin.

Owns the e-value of one bucket and the process made of them. Must not know of latencies or steps.

H0: p_c <= ratio p_b + points, where p_b may be anything, and different in every bucket. The bet is (t_c, t_b), and
(x, y) is its projection onto the line x = ratio y + points:

    A y^2 + B y + C = 0, y > 0,
    A = n_c ratio^2 + n_b ratio,  B = n_c ratio (points - t_c) + n_b (points - ratio t_b),  C = -n_b t_b points
    log e = k_c log(t_c/x) - n_c (t_c - x) + k_b log(t_b/y) - n_b (t_b - y)

1. E[e] <= 1 on all of H0: for requests of any kind E[r^k] = prod(1 + p_i (r - 1)) <= exp(sum p_i (r - 1)), so
   log E[e] <= g(p_c, p_b) = n_c (p_c - x)(t_c/x - 1) + n_b (p_b - y)(t_b/y - 1), which is 0 at (x, y), constant along
   the line, and rises with p_c only. (The blocks are those of Turner, Ly, Grünwald, arXiv 2106.02693.)
2. The same holds for any fixed set of failing requests, when the only chance is which version each request is dealt to:
   drawing without replacement is below drawing with replacement in convex order (Hoeffding, JASA 58, 1963, 13). So an
   outage of both, a burst of both, or a drift cannot be mistaken for a fault of the new version.
3. With t_c below the line it is evidence for the opposite, against H0: p_c >= ratio p_b + points.
4. A bet uses the past only: t_b is what the old version usually does, learnt from earlier buckets.
5. Where the old version has no requests any more, and its rate was at most `highest`, the line ends at the point
   (ratio highest + points, highest), and log e = k_c log(t_c/x) - n_c (t_c - x) with x there: E[e] <= 1 by rule 1.

Units: rates from 0 to 1, logarithms natural.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from controller.core.bursts import Bound
from controller.core.mixture import Mixture
from controller.core.plain import Stateful

#: How far beyond the margin the bets are, and the prior of each: most regressions are small.
GAPS: Final = (0.01, 0.03, 0.1, 0.3, 0.95)
PRIOR: Final = (0.30, 0.25, 0.20, 0.15, 0.10)


def project(n_c: int, n_b: int, t_c: float, t_b: float, ratio: float, points: float) -> tuple[float, float]:
    """The point (x, y) of the line x = ratio y + points that is nearest to the bet, in relative entropy."""
    a = n_c * ratio * ratio + n_b * ratio
    b = n_c * ratio * (points - t_c) + n_b * (points - ratio * t_b)
    c = -n_b * t_b * points
    root = math.sqrt(b * b - 4 * a * c)
    y = (root - b) / (2 * a) if b <= 0 else -2 * c / (root + b)
    return ratio * y + points, y


def log_evidence(
    n_c: int, k_c: int, n_b: int, k_b: int, t_c: float, t_b: float, ratio: float, points: float
) -> tuple[float, float]:
    """The logarithm of the e-value of one bucket with requests on both sides; `t_c` and `t_b` are above 0.

    Second, what it is when the bet is right and the bucket turns out well, for a bet above the line: two standard
    deviations more errors of the new version than it expects, and none of the old one.
    """
    x, y = project(n_c, n_b, t_c, t_b, ratio, points)
    # n_c (t_c - x) + n_b (t_b - y), shortened by the condition that makes (x, y) the nearest point:
    # n_c ratio (1 - t_c/x) + n_b (1 - t_b/y) = 0.
    stake = n_c * (t_c - x) * points / x
    gain = math.log(t_c / x)
    log_e = k_c * gain - stake
    if k_b:
        log_e += k_b * math.log(t_b / y)
    return log_e, _most_errors(n_c, t_c) * gain - stake


def _most_errors(n: int, rate: float) -> float:
    """Two standard deviations more errors than are expected."""
    expected = n * rate
    return min(max(expected + 2 * math.sqrt(expected), 1.0), n)


class ErrorEvidence(Stateful):
    """The process of evidence for one margin."""

    STATE = ("_mixture",)

    def __init__(
        self,
        ratio: float,
        points: float,
        guard: Bound,
        gaps: Sequence[float] = GAPS,
        prior: Sequence[float] = PRIOR,
    ) -> None:
        self._ratio = ratio
        self._points = points
        self._guard = guard
        self._gaps = gaps
        self._mixture = Mixture(prior)

    @property
    def value(self) -> float:
        """The evidence so far."""
        return self._mixture.value

    def update(self, second: int, n_c: int, k_c: int, n_b: int, k_b: int, usual: float) -> None:
        """Take a bucket: requests and errors of the new version and of the old one, whose usual error rate is given."""
        self._mixture.open_starts(second)
        if n_c == 0 or n_b == 0:
            return  # nothing to compare with at the same time: no evidence
        line = self._ratio * usual + self._points
        if line >= 1:
            return  # nothing is beyond such a margin
        self._mixture.multiply([self._guarded(n_c, k_c, n_b, k_b, min(line + gap, 1.0), usual) for gap in self._gaps])

    def update_alone(self, second: int, n_c: int, k_c: int, highest: float) -> None:
        """Take a bucket of the new version alone; see rule 5."""
        self._mixture.open_starts(second)
        line = self._ratio * highest + self._points
        if n_c and line < 1:
            self._mixture.multiply([self._guarded_alone(n_c, k_c, min(line + gap, 1.0), line) for gap in self._gaps])

    def _guarded_alone(self, n_c: int, k_c: int, t_c: float, x: float) -> float:
        gain, stake = math.log(t_c / x), n_c * (t_c - x)
        return self._guard(k_c * gain - stake, _most_errors(n_c, t_c) * gain - stake, min(n_c * t_c, 1.0), n_c)

    def _guarded(self, n_c: int, k_c: int, n_b: int, k_b: int, t_c: float, t_b: float) -> float:
        log_e, most = log_evidence(n_c, k_c, n_b, k_b, t_c, t_b, self._ratio, self._points)
        return self._guard(log_e, most, min(n_c * t_c, 1.0), n_c)
