"""The answer to "what will this rollout see": from what the proxies count now.

Owns the way from a look at the proxies to the plan. Must not plan (`controller.core.planning`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiohttp import web

from config.model import RollingRollout
from controller.api.models import Nothing
from controller.api.plan_view import PlanQuery, plan_view
from controller.api.views import Asked
from controller.conductor import Unready
from controller.core.model import Policy, Rollout
from controller.core.planning import Measured, make_plan
from controller.core.terms import Terms
from controller.measuring import WINDOW, measured
from controller.observe import Look, observe
from webapi.call import answer


async def get_plan(asked: Asked[Nothing]) -> web.Response:
    """The plan of a service."""
    query: PlanQuery = asked.query
    conductor = asked.conductor
    policy, rollout = conductor.planned(query.service)
    look = await observe(conductor.tools.proxies, query.service, WINDOW)
    if look.lost:
        raise Unready("; ".join(f"{name} does not answer: {why}" for name, why in look.lost.items()))
    now = _measured(look, query.service, policy)
    now = now if query.rate is None else replace(now, rate=query.rate)
    plan = await asyncio.to_thread(make_plan, policy, _endpoints(look, policy, rollout), now)
    is_begun = rollout is not None and rollout.phase not in ("pending", "preparing")
    step = rollout.step if rollout is not None and is_begun else None
    return answer(plan_view(query.service, policy, plan, rollout.id if rollout else None, step))


def _measured(look: Look, service: str, policy: Policy) -> Measured:
    patience = Terms.of(policy.checks, policy.alpha, policy.warm_up).patience
    try:
        return measured(look.counts, service, policy.from_, patience)
    except (KeyError, IndexError, TypeError, ValueError) as exc:
        raise Unready(f"what a proxy has counted cannot be read ({exc!r})") from exc


def _endpoints(look: Look, policy: Policy, rollout: Rollout | None) -> int:
    """How many endpoints a rolling rollout moves."""
    if not isinstance(policy, RollingRollout):
        return 0
    if rollout is not None and rollout.units:
        return len(rollout.units)
    first = next(iter(look.services.values()), None)
    endpoints = first.endpoints.get(policy.from_, {}) if first else {}
    return sum(endpoint.state == "up" for endpoint in endpoints.values())
