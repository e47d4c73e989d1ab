"""What has happened to a rollout: the events that its state is made of.

Owns their names and fields. Must not say what they do (`controller.core.transitions`).

1. Names are in the past tense: an event is not a wish, and nothing can refuse it but the table of transitions.
2. Events are what the journal keeps; a rollout is what comes of applying them one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from controller.core.model import Policy, Stage

Kind = Literal[
    "created",  # somebody asked for it
    "began",  # its turn has come
    "prepared",  # everything is ready for the first step
    "applied",  # all proxies have acknowledged what is wanted
    "slipped",  # a proxy serves something else again, by nobody's wish
    "advanced",  # to the next step
    "concluded",  # past the last step
    "completed",  # the new version has everything
    "paused",
    "resumed",
    "held",
    "overstayed",  # the deadline of a hold has passed, and it goes on
    "froze",  # the old version fails as well
    "retreated",  # frozen, and without traffic on the new version
    "thawed",
    "failed",  # a check is certain; it stays failed
    "turned_back",  # the controller rolls back
    "aborted",  # a person rolls back
    "restored",  # the old version has everything again
    "retried",
    "sealed",  # too late to be taken back
    "missed",  # nobody watched for a while
    "moved",  # an endpoint of a rolling rollout has got further
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

#: What takes nothing but traffic and time from the new version: it may happen even when it cannot be written down.
BACKWARD: Final[frozenset[Kind]] = frozenset(
    (
        *("failed", "turned_back", "aborted", "restored", "held", "overstayed", "paused", "froze", "retreated"),
        *("applied", "missed"),
    )
)

VerdictJson = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; which of the later fields are set depends on the kind."""

    kind: Kind
    at: float
    why: str = ""
    by: str = ""
    """The name of a token or of a person, or empty for the controller itself."""
    evidence: tuple[VerdictJson, ...] = ()
    """The verdicts that it was decided on."""
    policy: Policy | None = None
    addresses: tuple[str, ...] = ()
    """prepared: the endpoints of a rolling rollout. moved: those that have got further."""
    stage: Stage | None = None
    """moved: where they are now."""
    check: str = ""
    """failed: which one."""
    seconds: float = 0.0
    """missed: for how long."""
    generations: Mapping[str, int] = field(default_factory=dict)
    """applied: what each proxy serves."""
    service: str = ""
    """created: the service."""
    actor: str = ""
    """What whoever has the token `by` says of themselves."""
    reason: str = ""
    """Why a person wanted it, in their words; `why` has them too."""
