"""The shapes of what is asked of the controller and of what it answers; the OpenAPI document is made from them.

Owns names and types. Must not check what depends on a rollout (`controller.conductor` does).

1. Bodies are closed: an unknown key is a problem.
2. Units: durations in seconds, weights in per cent or parts, `at` in seconds of the rollout clock, `wall` in seconds
   since 1970; null is "not known" or "none".
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from config.quantities import Duration
from config.texts import Name, VersionName
from controller.core.model import Phase
from webapi.shapes import Closed as Closed  # exported, like all shapes of this API
from webapi.shapes import Nothing as Nothing
from webapi.shapes import Reason


class StartBody(Closed):
    """A new rollout, as the file says, with other versions where they are named."""

    service: Name
    from_: VersionName | None = Field(default=None, alias="from")
    """The old version. Default: as in the file."""
    to: VersionName | None = None
    """The new version. Default: as in the file."""
    if_running: Literal["reject", "queue", "supersede"] = "reject"
    """What becomes of it when the service has a rollout already."""
    reason: Reason = ""


class OrderBody(Closed):
    """An order to a rollout."""

    reason: Reason = ""
    """Why; kept and shown."""


class PromoteBody(OrderBody):
    """Go on without waiting."""

    all: bool = False
    """Past all steps at once."""


class SignalBody(Closed):
    """What somebody outside has noticed."""

    service: Name
    check: Name | None = None
    """The signal check that it is for. Default: the first one; without any, the rollout holds."""
    state: Literal["bad", "good"] = "bad"
    """bad: something is wrong; good: not any more."""
    message: Reason = ""
    """What people are told."""
    expires: Duration | None = None
    """After how long it is over by itself. Default: never."""


class LineBody(Closed):
    """Whether anything may move forward."""

    stopped: bool
    reason: Reason = ""


class OrderedView(Closed):
    """What a person has wanted of a rollout."""

    event: str
    """What became of it: created, paused, aborted."""
    by: str
    """The name of a token, or what somebody without one says."""
    actor: str
    """What the owner of the token says of themselves."""
    reason: str
    at: float


class LostProxyView(Closed):
    """A proxy that does not answer: nothing moves forward without it, and no way back is over."""

    address: str
    why: str
    since: float
    """In seconds since 1970."""


class RolloutView(Closed):
    """One rollout as it is now."""

    id: str
    service: str
    strategy: Literal["canary", "blue-green", "rolling"]
    from_: str = Field(alias="from")
    to: str
    phase: Phase
    step: int
    """Counts from 0."""
    steps: int
    attempt: int
    weights: dict[str, float]
    """What is wanted of the proxies."""
    active: str | None
    """The version that has everything, in pool mode."""
    applied: bool
    """Whether every proxy has acknowledged that."""
    elapsed: float
    """How long the clock of the step has run."""
    bake: float | None
    """How long it has to."""
    deadline: float | None
    """When a hold ends."""
    failed: list[str]
    """The checks that have failed."""
    why: str
    """Why it is where it is."""
    by: str
    """Who wanted that; empty for the controller itself."""
    ordered: OrderedView | None
    """What a person has wanted last; null when nobody has yet."""
    waits: str
    """What it waits for."""
    lost: list[LostProxyView]
    """The proxies that do not answer, while it is under way."""
    sealed: bool
    """It has ended and can not be taken back any more."""
    at: float
    """Of the last event."""


class RolloutsView(Closed):
    """All rollouts, the oldest first, and what holds all of them."""

    rollouts: list[RolloutView]
    stopped: str | None
    """Why the line is stopped."""
    frozen: str
    """Why nothing moves forward now, by the calendar."""
    trouble: str
    """Why nothing can be written down."""


class DecisionView(BaseModel):
    """One thing that was decided, with the numbers that it was decided on."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    n: int | None
    """Its number in the journal; null for what is only waited for."""
    wall: float
    at: float
    event: str | None
    minor: bool = False
    """It says nothing to people who ask why: an acknowledgement, a move of an endpoint."""
    sentence: str
    by: str
    """The name of a token, or what somebody without one says; empty for the controller itself."""
    actor: str
    """What the owner of the token says of themselves."""
    reason: str
    """Why, in the words of whoever wanted it."""
    verdicts: list[dict[str, Any]]
    generations: dict[str, int] = {}
    """What each proxy served when it had acknowledged that."""
    acknowledged: float | None = None
    """How long that took; null when nothing had to be, or is yet."""


class WhyView(Closed):
    """Why a rollout is where it is: what is decided now, and everything that was decided before."""

    rollout: RolloutView
    outcome: str
    """What became of it, in one sentence; the report says the same."""
    now: DecisionView
    decisions: list[DecisionView]


class OddsView(Closed):
    """The evidence against the new version over some time: the lowest and the highest odds."""

    low: float
    high: float


class CheckRow(Closed):
    """What one check said over some time."""

    value: Literal["PASS", "FAIL", "INCONCLUSIVE", "NO_DATA", "ERROR"]
    """The gravest of what it said."""
    odds: OddsView | None
    """Its own; null for a check that asks somebody outside."""


class VersionRow(Closed):
    """What one version did over some time."""

    requests: int
    """Those that arrived then, whenever they ended; without those that their clients gave up."""
    errors: int
    unanswered: int
    """Of the requests, those that were under way for longer than the judge waits."""
    p50: float | None
    p99: float | None
    target: float
    """What it should have of the requests at the end of that time, from 0 to 1."""
    actual: float | None
    """What it had; null without requests."""


class SeriesRow(Closed):
    """What both versions did over some time, and what was made of it."""

    at: float
    """When it begins."""
    wall: float
    span: int
    """How long it is; a power of two, or what there was of it."""
    seconds: int
    """How many of these seconds were observed."""
    versions: dict[str, VersionRow]
    odds: OddsView | None
    """Of all checks together; null while nothing is judged."""
    checks: dict[str, CheckRow]


class SeriesView(Closed):
    """What both versions of a rollout did from its first second to its last one, in at most 1,440 rows."""

    rollout: str
    service: str
    from_: str = Field(alias="from")
    to: str
    began: float
    """When its turn had come."""
    began_wall: float
    ended: float | None
    """Null while it is under way."""
    needed: float
    """The odds that roll back."""
    damaged: int
    """How many rows could not be read from disk and are left out."""
    rows: list[SeriesRow]


class LineView(Closed):
    """Whether anything may move forward."""

    stopped: bool
    by: str
    actor: str
    reason: str


class HealthView(Closed):
    """The controller acts."""

    status: Literal["alive"]
