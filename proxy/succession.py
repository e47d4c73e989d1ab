"""How far the handing over to another version of Serinus is, and how it went: for the admin API and the metrics.

Owns the words of it. Must not do any of it (`proxy.handover` gives, `proxy.predecessor` takes).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

#: `alone`: nothing is under way. `starting`: the next version starts, this one serves and takes changes.
#: `handing_over`: the next one has the state, so this one takes no changes. `handed_over`: the next one serves.
#: `taking_over`: this is the next one.
Phase = Literal["alone", "starting", "handing_over", "handed_over", "taking_over"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the next version did not take over; seconds since 1970."""

    at_wall_seconds: float
    reason: str


@dataclass(slots=True)
class Succession:
    """One proxy among those that follow each other. `predecessor` and `successor` are process ids, 0 without one."""

    phase: Phase = "alone"
    predecessor: int = 0
    successor: int = 0
    failures: int = 0
    last_failure: Failure | None = None
    #: Set while nothing is under way: what waits for it reads the file again, for example.
    alone: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Nothing is under way."""
        self.enter(self.phase)

    def enter(self, phase: Phase) -> None:
        """Get to a phase."""
        self.phase = phase
        if phase == "alone":
            self.alone.set()
        else:
            self.alone.clear()

    def fail(self, at_wall_seconds: float, reason: str) -> None:
        """Note that the next version did not take over."""
        self.failures += 1
        self.last_failure = Failure(at_wall_seconds, reason)
        self.successor = 0
        self.enter("alone")
