"""A plan as the API and `serinus rollout plan` tell it.

Owns names and types. Must not compute.

Units: durations in seconds, shares from 0 to 1, weights in per cent; null is "not known" or "never".
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from config.texts import Name
from controller.core.buckets import quantile
from controller.core.model import Policy
from controller.core.plan_words import sentences
from controller.core.planning import MAX_RATE, SURELY, Forecast, Plan
from webapi.shapes import Closed


class PlanQuery(Closed):
    """What is planned."""

    model_config = ConfigDict(strict=False)

    service: Name
    """The service whose rollout is planned: the one under way, else as in the file."""
    rate: Annotated[float, Field(gt=0, le=MAX_RATE)] | None = None
    """Requests per second. Default: what the proxies have measured."""


class RollbackView(Closed):
    """When an error rate is rolled back that begins with a step."""

    error_rate: float
    seconds: float | None
    """Median; null: not before the end, or that rate is good."""
    seconds_surely: float | None
    """With the chance of the plan."""
    bad_requests: float | None
    """Failed until the median."""
    by: str
    """The check, or `breaker`."""


class StepPlanView(Closed):
    """What one step can see."""

    step: int
    """Counts from 0."""
    weight: float
    bake: float
    requests: float
    """Of the new version until the bake is over."""
    sees_errors: float | None
    """The smallest error rate that has been rolled back when the bake is over, with the chance of the plan."""
    sees_errors_more: float | None
    """The same as a difference to the old version's."""
    sees_slower: float | None
    """The smallest factor on the latency that has been rolled back by then."""
    rollbacks: list[RollbackView]
    is_now: bool
    """Whether a rollout is in this step."""


class PlanView(Closed):
    """What a rollout can see with the traffic that there is."""

    service: str
    rollout: str | None
    """The one that is under way."""
    strategy: str
    from_: str = Field(alias="from")
    to: str
    rate: float
    """Requests per second of all versions."""
    errors: float
    """The old version's error rate."""
    p50: float | None
    p99: float | None
    seconds: float
    """Over how long this was measured; 0: assumed."""
    chance: float
    """With which something is said to be seen."""
    steps: list[StepPlanView]
    sentences: list[str]
    """What should be known of it, and what would help."""


def plan_view(
    service: str, policy: Policy, plan: Plan, rollout: str | None = None, step: int | None = None
) -> PlanView:
    """The plan of a policy; `step` is the one that a rollout is in."""
    measured = plan.measured
    return PlanView(
        service=service,
        rollout=rollout,
        strategy=policy.strategy,
        from_=policy.from_,
        to=policy.to,
        rate=measured.rate,
        errors=measured.errors,
        p50=quantile(measured.latencies, 0.5),
        p99=quantile(measured.latencies, 0.99),
        seconds=measured.seconds,
        chance=SURELY,
        steps=[_step(place, each, measured.errors, place == step) for place, each in enumerate(plan.forecasts)],
        sentences=list(sentences(plan)),
    )


def _step(place: int, forecast: Forecast, usual: float, is_now: bool) -> StepPlanView:
    return StepPlanView(
        step=place,
        weight=100 * forecast.step.share,
        bake=forecast.step.bake,
        requests=forecast.requests,
        sees_errors=forecast.errors,
        sees_errors_more=None if forecast.errors is None else forecast.errors - usual,
        sees_slower=forecast.slower,
        rollbacks=[
            RollbackView(
                error_rate=each.error_rate,
                seconds=each.median,
                seconds_surely=each.surely,
                bad_requests=each.bad_requests,
                by=each.by,
            )
            for each in forecast.rollbacks
        ],
        is_now=is_now,
    )
