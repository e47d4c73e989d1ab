"""On what terms a new version is judged: margins, certainty, patience.

Owns the numbers that people set, in the judge's units, and how they follow from a rollout's checks.

Units: rates from 0 to 1, seconds, bins (see `buckets`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from config.check import Check, ClientErrorsCheck, ErrorRateCheck, LatencyCheck
from controller.core.latency import shift_for
from controller.core.warmup import WARM_UP

#: How long a bucket waits for requests that are under way. When latency is judged, what takes longer is slow, and that
#: is enough to know. When it is not, nobody else would notice a version that never answers: then it is an error.
PATIENCE: Final = 2.0
PATIENCE_FOR_ERRORS: Final = 15.0


@dataclass(frozen=True, slots=True)
class ErrorTerms:
    """Good is an error rate of at most `ratio` times the old version's plus `points`, and at most `limit`."""

    check: str = "error-rate"
    ratio: float = 1.25
    points: float = 0.005
    limit: float = 1.0


@dataclass(frozen=True, slots=True)
class LatencyTerms:
    """Good is at most `shift` bins slower than the old version."""

    check: str = "latency"
    shift: int = 2


@dataclass(frozen=True, slots=True)
class ClientErrorTerms:
    """Good is a share of 4xx of at most `ratio` times the old version's plus `points`."""

    check: str = "client-errors"
    ratio: float = 1.25
    points: float = 0.01


@dataclass(frozen=True, slots=True)
class Terms:
    """What one rollout is judged by."""

    errors: ErrorTerms | None = ErrorTerms()
    latency: LatencyTerms | None = LatencyTerms()
    alpha: float = 0.01
    """The chance of ever rolling back a good version."""
    bad_seconds: int | None = None
    """How many separate bad seconds it takes to condemn a version. None: by how the old version's errors come. 0: no
    bound on what one second says, for simulations without bad seconds."""
    warm_up: int = WARM_UP
    """For how long new instances are forgiven what is no gross failure."""

    client_errors: ClientErrorTerms | None = None

    @classmethod
    def of(cls, checks: Iterable[Check], alpha: float, warm_up: float = WARM_UP) -> Terms:
        """The terms of a rollout; of several checks of one kind, the first one counts. Whole seconds warm up."""
        errors = next((check for check in checks if isinstance(check, ErrorRateCheck)), None)
        latency = next((check for check in checks if isinstance(check, LatencyCheck)), None)
        client = next((check for check in checks if isinstance(check, ClientErrorsCheck)), None)
        return cls(
            errors=ErrorTerms(errors.name, errors.worse_by.ratio, errors.worse_by.points / 100, errors.slo_max)
            if errors
            else None,
            latency=LatencyTerms(latency.name, shift_for(latency.slower_by)) if latency else None,
            client_errors=ClientErrorTerms(client.name, client.worse_by.ratio, client.worse_by.points / 100)
            if client
            else None,
            alpha=alpha,
            warm_up=math.ceil(warm_up),
        )

    @property
    def patience(self) -> float:
        """How long a bucket waits for requests that are under way."""
        return PATIENCE if self.latency else PATIENCE_FOR_ERRORS

    def to_plain(self) -> dict[str, Any]:
        """The terms as plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Terms:
        """The terms that `to_plain` gave."""
        errors, latency, client_errors = plain["errors"], plain["latency"], plain["client_errors"]
        return cls(
            errors=ErrorTerms(**errors) if errors else None,
            latency=LatencyTerms(**latency) if latency else None,
            client_errors=ClientErrorTerms(**client_errors) if client_errors else None,
            alpha=plain["alpha"],
            bad_seconds=plain["bad_seconds"],
            warm_up=plain["warm_up"],
        )
