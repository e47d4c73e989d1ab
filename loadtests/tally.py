"""What the users of a load counted: requests and failures by name, and which version answered when.

Owns the counts and the form in which a worker of Locust sends them to its master. Must not judge, and must not import
what needs more than Python, because workers on other hosts may have nothing but Locust.

1. A request counts in the moment in which it began, whenever it ends: that is when the proxy chose its version.
2. A request without an answer of a version (the proxy's own answer, a broken connection) is in no moment.
3. `drain` takes out what `merge` puts in: reports may come in any number and any order, and add up.

Units: seconds since 1970; moments, which are quarters of them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

#: How the proxy chose the version: one by one within exact shares, by the user's key, or as a route says.
Kind = Literal["dealt", "keyed", "forced"]

PER_SECOND: Final = 4  # moments

#: One moment of one kind and version.
Bin = tuple[int, Kind, str]


@dataclass(slots=True)
class Tally:
    """Counts that only grow, until they are drained."""

    requests: Counter[str] = field(default_factory=Counter)
    """By name of the request, whatever came of it."""
    failures: Counter[str] = field(default_factory=Counter)
    answered: Counter[Bin] = field(default_factory=Counter)

    def count(self, name: str, began: float, kind: Kind, version: str | None, *, failed: bool) -> None:
        """Count a request that has ended."""
        self.requests[name] += 1
        if failed:
            self.failures[name] += 1
        if version is not None and kind != "forced":
            self.answered[int(began * PER_SECOND), kind, version] += 1

    def drain(self) -> dict[str, Any]:
        """Everything so far, as plain lists, and begin anew."""
        found = {
            "requests": [*self.requests.items()],
            "failures": [*self.failures.items()],
            "answered": [[*key, number] for key, number in self.answered.items()],
        }
        self.requests, self.failures, self.answered = Counter(), Counter(), Counter()
        return found

    def merge(self, drained: Mapping[str, Any]) -> None:
        """Add what another one drained."""
        for name, number in drained["requests"]:
            self.requests[name] += number
        for name, number in drained["failures"]:
            self.failures[name] += number
        for moment, kind, version, number in drained["answered"]:
            self.answered[moment, kind, version] += number
