"""What the controller sees: the proxies as they are, the verdicts of the checks, the ends of hooks.

Owns the shape of an observation. Must not gather it (`controller.observe`) or draw conclusions from it.

1. A proxy that did not answer is in `lost`, with the reason; it is never just missing.
2. An observation is of one service and one rollout.

Units: instants in seconds of the rollout clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from controller.core.model import LeaseTerms, Split
from controller.core.outage import Outage
from controller.core.verdict import Verdict

#: The check that fails when the proxy's own breaker has taken the new version out.
BREAKER: Final = "breaker"
#: The check that fails when a proxy has rolled back because it had heard nothing of the controller for too long.
LOSS: Final = "controller-loss"
#: The check that fails by a signal where the rollout has no signal check of its own; it holds.
SIGNAL: Final = "signal"
#: The check that fails when an endpoint does not come up with the version that was deployed on it.
DEPLOY: Final = "deploy"


def actor(rollout_id: str) -> str:
    """Who the proxies say has made a change of a rollout."""
    return f"rollout {rollout_id}"


@dataclass(frozen=True, slots=True)
class SeenEndpoint:
    """One endpoint as a proxy has it."""

    state: Literal["up", "drain", "down"] = "up"
    healthy: bool = True
    in_flight: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SeenLease:
    """The lease of a service as a proxy has it; `remaining` is None and `ran_out` says why once it has run out."""

    holder: str
    terms: LeaseTerms
    remaining: float | None
    ran_out: str = ""
    held: bool = False
    """Whether the proxy has left the split as it was when it ran out."""
    seconds_ago: float = 0.0
    """When that was."""


@dataclass(frozen=True, slots=True)
class SeenService:
    """One service as a proxy has it; endpoints by version and address. `changed_by` is who made the split as it is."""

    generation: int
    split: Split
    endpoints: Mapping[str, Mapping[str, SeenEndpoint]] = field(default_factory=dict)
    changed_by: str = ""
    change_reason: str = ""
    lease: SeenLease | None = None
    changed_for: str = ""
    """What whoever has the token `changed_by` says of themselves."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run of a hook has ended."""

    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at everything that a decision needs."""

    proxies: Mapping[str, SeenService] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    lost_since: Mapping[str, float] = field(default_factory=dict)
    """Since when each of `lost` has not answered."""
    verdicts: tuple[Verdict, ...] = ()
    before: tuple[Verdict, ...] = ()
    """Of the checks that must pass before anything moves."""
    errors_since: float | None = None
    """Since when, without a break, some check could not be made or some proxy did not answer."""
    outage: Outage | None = None
    """The old version fails as well."""
    blocked: str = ""
    """Why nothing may move forward now: a freeze window, a stopped line, a rollout before this one."""
    acknowledged: int = 0
    """The intent that all proxies have acknowledged."""
    run_ends: Mapping[int, RunEnd] = field(default_factory=dict)
    previous_at: float | None = None
    """When the controller looked last; None when it has not."""

    @property
    def is_complete(self) -> bool:
        """Whether every proxy has answered, and there is one."""
        return bool(self.proxies) and not self.lost

    def every_endpoint(self, version: str, address: str) -> list[SeenEndpoint | None]:
        """One endpoint as each proxy has it, None where it is not there."""
        return [proxy.endpoints.get(version, {}).get(address) for proxy in self.proxies.values()]
