"""A plan in sentences: what a step cannot see, and what would help.

Owns the words. Must not compute what `planning` could.
"""

from __future__ import annotations

from collections.abc import Iterator

from config.units import render_duration
from controller.core.planning import USEFUL, Forecast, Offers, Plan
from controller.core.verdict import percent


def sentences(plan: Plan) -> Iterator[str]:
    """Everything that should be said of a plan."""
    measured = plan.measured
    if not measured.rate:
        yield "There is no traffic: nothing can be seen. Plan for another rate with --rate, or send some with Locust."
        return
    if plan.terms.errors is None:
        yield "No check of this rollout compares error rates: no error is ever seen."
    blind = [number for number, forecast in enumerate(plan.forecasts, 1) if forecast.is_blind]
    if plan.terms.errors is not None:
        for number in blind:
            yield warning(number, plan.forecasts[number - 1], measured.rate)
        if blind:
            yield _comfort(plan, blind)
    if plan.offers:
        yield from _offered(plan.offers, blind[0], measured.rate)
    if plan.terms.latency is None:
        yield "No check of this rollout compares latencies: no slowness is ever seen."


def warning(number: int, forecast: Forecast, rate: float) -> str:
    """What a step cannot see."""
    step = forecast.step
    sent = f"at {amount(rate * step.share)} requests per second on the new version"
    seen = f"; the smallest that it sees is {percent(forecast.errors)}" if forecast.errors is not None else ""
    return (
        f"Step {number} ({percent(step.share)}): {sent}, {in_short(step.bake)} cannot see an error rate of "
        f"{percent(USEFUL)}{seen}."
    )


def _comfort(plan: Plan, blind: list[int]) -> str:
    seeing = next((number for number, forecast in enumerate(plan.forecasts, 1) if not forecast.is_blind), None)
    if seeing is None:
        return "No step sees it: this rollout finds gross failures at most."
    if seeing < blind[0]:
        return f"Step {seeing} sees it."
    return f"The first step that sees it is step {seeing}."


def _offered(offers: Offers, number: int, rate: float) -> Iterator[str]:
    ways = [
        *([f"bake it {in_short(offers.bake)}"] if offers.bake is not None else []),
        *([f"give it {percent(offers.share)}"] if offers.share is not None else []),
        *(
            [f"send {amount(offers.rate - rate)} requests per second more with Locust while it bakes"]
            if offers.rate is not None and offers.rate > rate
            else []
        ),
    ]
    if ways:
        yield f"For step {number} to see it: {', or '.join(ways)}."


def amount(number: float) -> str:
    """A rate or a count with two significant digits, and no fewer than it has before the point."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def in_short(seconds: float) -> str:
    """A duration of two parts or so."""
    for unit, least in ((3600, 86400), (60, 600), (1, 10)):
        if seconds >= least:
            return render_duration(float(unit * round(seconds / unit)))
    return render_duration(round(seconds, 1))
