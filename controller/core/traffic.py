"""What both versions were sent: in the last minute, and since the step began.

Owns the counts that verdicts show and silence is recognised by. Must not judge.

Units: seconds.
"""

from __future__ import annotations

from typing import Any, Final

from controller.core.buckets import Bucket, quantile
from controller.core.plain import Stateful

WINDOW: Final = 60


class RecentTraffic(Stateful):
    """Requests of the last minute."""

    STATE = ("_seconds", "_first", "old", "new")

    def __init__(self) -> None:
        self._seconds: list[list[int]] = []  # second, old, new
        self._first: int | None = None
        self.old = 0
        self.new = 0

    def update(self, second: int, old: int, new: int) -> None:
        """Take the numbers of a second."""
        if self._first is None:
            self._first = second
        self._seconds.append([second, old, new])
        self.old += old
        self.new += new
        while self._seconds[0][0] <= second - WINDOW:
            _, gone_old, gone_new = self._seconds.pop(0)
            self.old -= gone_old
            self.new -= gone_new

    @property
    def rate(self) -> float:
        """Requests a second of both versions together."""
        if self._first is None:
            return 0.0
        return (self.old + self.new) / min(WINDOW, self._seconds[-1][0] - self._first + 1)


class Tally(Stateful):
    """What became of the requests of one version over some seconds."""

    STATE = ("requests", "errors", "unanswered", "client_errors", "_latencies")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.unanswered = 0
        self.client_errors = 0
        self._latencies: dict[int, int] = {}

    def update(self, bucket: Bucket) -> None:
        """Take a bucket."""
        self.requests += bucket.requests
        self.errors += bucket.errors
        self.unanswered += bucket.unanswered
        self.client_errors += bucket.client_errors
        latencies = self._latencies
        for index, count in bucket.latencies.items():
            latencies[index] = latencies.get(index, 0) + count

    def bucket(self) -> Bucket:
        """All of it as one bucket."""
        return Bucket(self.requests, self.errors, self.unanswered, self._latencies, self.client_errors)

    def numbers(self) -> dict[str, Any]:
        """All of it for a verdict, latencies in seconds."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "unanswered": self.unanswered,
            "client_errors": self.client_errors,
            "p50": quantile(self._latencies, 0.5),
            "p99": quantile(self._latencies, 0.99),
        }
