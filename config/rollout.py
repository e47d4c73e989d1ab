"""Rollouts: how a new version of a service replaces the old one.

Owns the shape and the defaults of the three strategies. Must not decide anything: that is the controller.

Units: durations in seconds; weights of steps and of `hold` in per cent of the service's traffic.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.check import DEFAULT_CHECKS, BeforeCheck, Check, FailAction
from config.quantities import Duration, DurationOrOff, Percent, PositiveCount, ShareOrOff
from config.route import Match
from config.service import Breaker
from config.texts import Command, HttpUrl, VersionName
from config.values import NotEmpty, OrOff, Value


class Step(Value):
    """One step of a canary."""

    weight: Percent
    """The new version's per cent of the traffic."""
    bake: DurationOrOff = 600.0
    """The shortest time at this weight."""
    max: Duration | None = None
    """The longest time at this weight; then the rollout holds. Default: 3 × bake."""

    @property
    def longest(self) -> float:
        """The longest time at this weight, in seconds."""
        return self.max if self.max is not None else 3 * self.bake

    @model_validator(mode="after")
    def _max_after_bake(self) -> Self:
        if self.max is not None and self.max < self.bake:
            raise ValueError("max is shorter than bake")
        return self


class Reactions(Value):
    """What follows each verdict. Unknown is neither good nor bad: only `fail` rolls back by default."""

    fail: FailAction = "rollback"
    """A check is certain that the new version is worse."""
    inconclusive: Literal["extend", "hold", "rollback", "advance"] = "extend"
    """The numbers do not decide."""
    no_data: Literal["extend", "hold", "rollback", "advance"] = "extend"
    """There is no traffic to judge."""
    error: Literal["extend", "hold", "rollback", "advance"] = "hold"
    """A check could not be made."""
    stable_failing: Literal["freeze", "hold", "rollback"] = "freeze"
    """The old version fails as well: freeze stops clocks and promotion, and keeps watching."""


class Hold(Value):
    """What holding means: a small weight with the same users, while people investigate."""

    to: Percent = 1.0
    """The weight to step down to, in per cent."""
    investigate: Duration = 3600.0
    """How long people have."""
    then: Literal["rollback", "hold"] = "rollback"
    """What follows when nobody has decided; hold: goes on holding."""


class ControllerLoss(Value):
    """What the proxies do by themselves when they hear nothing more of the controller in the middle of a rollout."""

    after: Duration = 60.0
    """For how long nothing has to be heard; at least three looks of the controller (`controller.interval`)."""
    do: Literal["hold", "rollback"] = "hold"
    """hold: the split stays as it is, and the proxy says so; rollback: the old version gets everything."""


class _Rollout(Value):
    """What every strategy has."""

    from_: VersionName = Field(alias="from")
    """The old version."""
    to: VersionName
    """The new version."""
    checks: tuple[Check, ...] = DEFAULT_CHECKS
    """What is watched. Default: error rate and latency against the old version."""
    on: Reactions = Reactions()
    """What follows each verdict."""
    hold: Hold = Hold()
    """What holding means."""
    breaker: OrOff[Breaker] = Breaker()
    """The proxy's own emergency brake for the new version, while the old one has requests too; it needs no controller.
    Default: the breaker of the service where that has one, else 5 failures among 20."""
    on_controller_loss: ControllerLoss = ControllerLoss()
    """What follows in the proxies when the controller has gone."""
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """The chance that the comparison ever rolls back a good version; the breaker comes on top."""
    warm_up: DurationOrOff = 30.0
    """How long new instances are cold, from their first request: no step is taken, and only gross failures count."""
    keep_old: DurationOrOff = 86400.0
    """How long after its end a rollout can be taken back in one step; the old version has to run for so long."""

    @model_validator(mode="after")
    def _two_versions(self) -> Self:
        if self.from_ == self.to:
            raise ValueError(f"from and to are both {self.to!r}")
        return self


DEFAULT_STEPS = (Step(weight=1.0), Step(weight=10.0), Step(weight=50.0), Step(weight=100.0))


class CanaryRollout(_Rollout):
    """More and more traffic for the new version, as long as it is as good as the old one."""

    strategy: Literal["canary"]
    steps: NotEmpty[tuple[Step, ...]] = DEFAULT_STEPS
    """The weights, ascending. Default: 1, 10, 50 and 100 per cent, ten minutes each."""
    promote: Literal["evidence", "time", "manual"] = "evidence"
    """What a step needs besides its bake: evidence, nothing but time, or a person's word."""
    hold_back: ShareOrOff = 0.0
    """The old version keeps this share during the last bake, so that there is still something to compare with."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        weights = [step.weight for step in self.steps]
        if weights != sorted(set(weights)) or weights[0] == 0:
            raise ValueError("the weights of the steps must ascend, beginning above 0")
        return self


class BlueGreenRollout(_Rollout):
    """All traffic at once, after checks on a preview; the old version stays warm for an instant way back."""

    strategy: Literal["blue-green"]
    preview: Match | None = None
    """Requests to the service that reach the new version whatever its weight, so also before the switch; with a host or
    a path it is a route of its own. Before all routes of the file."""
    before: tuple[BeforeCheck, ...] = ()
    """Checks that must pass before the switch."""
    bake: DurationOrOff = 600.0
    """How long the new version is watched after the switch."""

    @model_validator(mode="after")
    def _not_everybody(self) -> Self:
        if self.preview == Match():
            raise ValueError("preview needs a condition: without any, it would be every request")
        return self


class Deploy(Value):
    """How an endpoint gets the new version."""

    exec: Command | None = None
    """A command; {service}, {endpoint}, {version} and {previous} are replaced. Not run by a shell."""
    webhook: HttpUrl | None = None
    """A URL that is posted the same words as JSON, and answers 2xx when the endpoint runs the version."""
    timeout: Duration = 600.0
    """For one endpoint."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.exec is None) == (self.webhook is None):
            raise ValueError("needs either exec or webhook")
        return self


class RollingRollout(_Rollout):
    """Endpoint by endpoint: drain, deploy, wait for good probes, judge, next."""

    strategy: Literal["rolling"]
    max_unavailable: PositiveCount = 1
    """Endpoints that may be out at the same time."""
    deploy: Deploy | None = None
    """How an endpoint gets the new version; without it the rollout waits until the endpoint has changed."""
    settle: DurationOrOff = 30.0
    """How long the new version is judged after each endpoint."""

    @model_validator(mode="after")
    def _no_way_back_without_hands(self) -> Self:
        if self.on_controller_loss.do == "rollback":
            raise ValueError("on_controller_loss: a proxy cannot deploy the old version; it can only hold")
        return self


Rollout = Annotated[CanaryRollout | BlueGreenRollout | RollingRollout, Field(discriminator="strategy")]
