"""The state of one rollout as an immutable value, plain JSON in and out.

Owns `Rollout` and its parts. Must not change it (`controller.core.transitions` does) or say what follows from it
(`controller.core.decide` does).

1. Everything that the controller needs after a restart is here or in the configuration; nothing else is remembered.
2. `intent` is the number of the last thing that was wanted of the proxies. `applied_at` is None until all of them have
   acknowledged it, and nothing is timed before.
3. A step's clock is `ran` plus the time since `runs_since`. It stands still while that is None.
4. `failed` names the checks that have failed. Only a person's word takes a name away again.

Units: instants and durations in seconds of the rollout clock, which is steady, goes on through restarts of the
controller and has nothing to do with the time of day. Weights are relative to their sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field, TypeAdapter

from config.guard import Brought
from config.model import BlueGreenRollout, CanaryRollout, RollingRollout


def _as_written(value: object) -> object:
    """Lists as the tuples that the models of the configuration take."""
    match value:
        case list() | tuple():
            return tuple(_as_written(item) for item in value)
        case dict():
            return {key: _as_written(item) for key, item in value.items()}
        case _:
            return value


Policy: TypeAlias = Annotated[
    CanaryRollout | BlueGreenRollout | RollingRollout, Field(discriminator="strategy"), BeforeValidator(_as_written)
]

Phase = Literal[
    "pending",
    "preparing",
    "step",
    "paused",
    "holding",
    "frozen",
    "finishing",
    "promoted",
    "rolling_back",
    "rolled_back",
]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
ENDED: Final[frozenset[Phase]] = frozenset({"promoted", "rolled_back"})

Stage = Literal[
    "old",
    "draining",
    "deploying",
    "changing",
    "joining",
    "new",
    "leaving",
    "reverting",
    "changing_back",
    "returning",
]
"""Where an endpoint of a rolling rollout is: on the way from old to new, or on the way back. `changing` and
`changing_back` follow on `deploying` and `reverting` where there is no hook and the endpoint was seen going down."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One endpoint of a rolling rollout; `run` is the number of its hook's last run."""

    address: str
    stage: Stage = "old"
    since: float = 0.0
    run: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """A split of a service as the controller wants it; `active` is set in pool mode."""

    weights: Mapping[str, float]
    active: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))

    def share(self, version: str) -> float:
        """The share of a version, from 0 to 1."""
        return self.weights.get(version, 0.0) / math.fsum(self.weights.values())

    def equals(self, other: Split) -> bool:
        """Whether both deal requests alike."""
        versions = self.weights.keys() | other.weights.keys()
        return self.active == other.active and all(
            math.isclose(self.share(version), other.share(version), abs_tol=1e-9) for version in versions
        )


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """What a proxy does when it has heard nothing for so many seconds; a rollback is to `weights` or to `active`.
    `brings` is the version that it guards meanwhile.
    """

    seconds: float
    do: Literal["hold", "rollback"]
    weights: Mapping[str, float] | None = None
    active: str | None = None
    brings: Brought | None = None


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a person has wanted: the event that it became, who it was, why, and when."""

    event: str
    by: str
    actor: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """One run of a strategy over a service. `at` is the instant of its last event, `why` the sentence of it."""

    id: str
    service: str
    policy: Policy
    at: float
    phase: Phase = "pending"
    entered_at: float = 0.0
    why: str = ""
    by: str = ""
    attempt: int = 1
    step: int = 0
    intent: int = 0
    applied_at: float | None = None
    generations: Mapping[str, int] = field(default_factory=dict)
    """What each proxy served when it acknowledged the last intent."""
    ran: float = 0.0
    runs_since: float | None = None
    deadline: float | None = None
    judged_since: float = 0.0
    """Evidence from before this instant counts for nothing."""
    failed: tuple[str, ...] = ()
    retreated: bool = False
    """Frozen with no traffic on the new version, which may be the cause of the outage."""
    retreats: int = 0
    units: tuple[Unit, ...] = ()
    runs: int = 0
    """How many runs of the deploy hook have begun."""
    salt: str = ""
    """What the users of this attempt are dealt by; hexadecimal, set when it begins."""
    sealed: bool = False
    """It has ended and can not be taken back any more."""
    ordered: Ordered | None = None
    """What a person has wanted last, whatever the controller has done since."""

    @property
    def old(self) -> str:
        """The version that is replaced."""
        return self.policy.from_

    @property
    def new(self) -> str:
        """The version that replaces it."""
        return self.policy.to

    @property
    def has_ended(self) -> bool:
        """Whether nothing is wanted any more."""
        return self.phase in ENDED

    @property
    def is_applied(self) -> bool:
        """Whether all proxies have acknowledged what is wanted."""
        return self.applied_at is not None

    @property
    def place(self) -> str:
        """Where it is, in words that follow on "is"."""
        return f"in step {self.step + 1}" if self.phase == "step" else self.phase.replace("_", " ")

    def elapsed(self, now: float) -> float:
        """How long the clock of the current step has run."""
        return self.ran + (now - self.runs_since if self.runs_since is not None else 0.0)

    def __repr__(self) -> str:
        place = f"{self.phase} {self.step}" if self.phase == "step" else self.phase
        applied = "applied" if self.is_applied else "not applied"
        failed = f", failed {'+'.join(self.failed)}" if self.failed else ""
        return f"<Rollout {self.id} {place}, intent {self.intent} {applied}{failed}>"


_ROLLOUT: Final[TypeAdapter[Rollout]] = TypeAdapter(Rollout)


def to_json(rollout: Rollout) -> dict[str, Any]:
    """The rollout as plain JSON."""
    content: dict[str, Any] = _ROLLOUT.dump_python(rollout, mode="json", by_alias=True)
    return content


def from_json(text: str | bytes) -> Rollout:
    """The rollout that `to_json` gave, as text. Raises ValueError when it is none."""
    return _ROLLOUT.validate_json(text)
