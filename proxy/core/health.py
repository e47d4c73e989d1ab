"""Whether an endpoint counts as healthy: a table of what probes make of it.

Owns the states and their transitions. Must not probe, and must not know why a probe was good or bad.

Rules:
1. A probe without a result (our own process stood still) is no event: it changes nothing.
2. An endpoint that was never seen well is not healthy, and its first good probe makes it so; after that it takes `rise`
   or `fall` probes in a row to turn (HAProxy's `init-state down`).
3. What counts as well before its first probe, `proxy.core.endpoints` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal


class Status(Enum):
    """STARTING was never seen well."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"


Probe = Literal["good", "bad"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many probes in a row turn an endpoint: `rise` good ones up, `fall` bad ones down."""

    rise: int
    fall: int
    first: int = 1  # good ones of an endpoint that was never seen well


#: What speaks against a status, how many of it in a row are needed, and what the status becomes then.
TRANSITIONS: Final[Mapping[Status, tuple[Probe, Literal["first", "rise", "fall"], Status]]] = {
    Status.STARTING: ("good", "first", Status.UP),
    Status.UP: ("bad", "fall", Status.DOWN),
    Status.DOWN: ("good", "rise", Status.UP),
}


@dataclass(frozen=True, slots=True)
class Health:
    """The status of one endpoint, and how many probes in a row have spoken against it."""

    status: Status
    against: int = 0

    @property
    def is_up(self) -> bool:
        """Whether it may be sent requests."""
        return self.status is Status.UP


def unprobed(*, counts_as_well: bool) -> Health:
    """The health of an endpoint before its first probe."""
    return Health(Status.UP if counts_as_well else Status.STARTING)


def probed(health: Health, probe: Probe, thresholds: Thresholds) -> Health:
    """The health after one more probe."""
    speaks_against, threshold, turned = TRANSITIONS[health.status]
    if probe != speaks_against:
        return Health(health.status)
    if health.against + 1 >= getattr(thresholds, threshold):
        return Health(turned)
    return Health(health.status, health.against + 1)
