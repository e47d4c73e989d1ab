"""What the attempts at a version or at an endpoint have come to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Attempts that ended, and how many of them were failures."""

    attempts: int = 0
    failures: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.attempts + other.attempts, self.failures + other.failures)

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.attempts - other.attempts, self.failures - other.failures)
