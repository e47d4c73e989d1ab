"""The views of leases: who leads a service, and what follows when nothing more is heard of them.

Owns the way from a request to the steps of `proxy.core.leasing`. Must not know time: `proxy.leases` does.
"""

from __future__ import annotations

import time

from aiohttp import web

from config.guard import Brought
from proxy.admin.call import Asked
from proxy.admin.changing import ACTOR, with_more_problems
from proxy.admin.conditions import read_if_match
from proxy.admin.models import ChangeQuery, LeaseBody, LeaseEndQuery
from proxy.admin.services import Views, lease_view
from proxy.core.leasing import end_lease, make_lease
from proxy.core.live import Lease, Live, Refused
from webapi.asking import read_who
from webapi.call import answer
from webapi.shapes import Nothing


async def get_lease(asked: Asked[Nothing, Nothing]) -> web.Response:
    """The lease of a service."""
    supervisor = asked.proxy.supervisor
    live = supervisor.live
    lease = live.service(asked.service).lease
    if lease is None:
        raise Refused(404, f"{asked.service} has no lease")
    return answer(lease_view(lease, supervisor.leases.remaining(asked.service), time.time()), live.generation)


async def put_lease(asked: Asked[LeaseBody, ChangeQuery]) -> web.Response:
    """Make a lease, or renew it."""
    supervisor, service, body = asked.proxy.supervisor, asked.service, asked.body
    brings = Brought(body.brings.version, body.brings.reference, body.brings.breaker) if body.brings else None
    lease = Lease(_holder(asked.request), body.seconds, body.do, body.weights, body.active, brings)
    if_match = read_if_match(asked.request, supervisor.live.generation)
    if asked.problems:
        raise with_more_problems(asked.problems, lambda: make_lease(supervisor.live, service, lease))
    if asked.query.dry_run:
        return _shown(asked, make_lease(supervisor.live, service, lease), None)
    live = await supervisor.leases.renew(service, lease, if_match=if_match)
    return _shown(asked, live, live.generation)


async def delete_lease(asked: Asked[Nothing, LeaseEndQuery]) -> web.Response:
    """End a lease: nothing follows from it any more."""
    supervisor, holder = asked.proxy.supervisor, _holder(asked.request)
    if_match = read_if_match(asked.request, supervisor.live.generation)

    def step(live: Live) -> Live:
        return end_lease(live, asked.service, holder, force=asked.query.force)

    if asked.query.dry_run:
        return _shown(asked, step(supervisor.live), None)
    live = await supervisor.change(step, if_match=if_match)
    return _shown(asked, live, live.generation)


def _holder(request: web.Request) -> str:
    """Who holds a lease: of the many things that one token leads, that which says so of itself."""
    who = read_who(request, ACTOR)
    return who.actor or who.by


def _shown(
    asked: Asked[LeaseBody, ChangeQuery] | Asked[Nothing, LeaseEndQuery], live: Live, tag: int | None
) -> web.Response:
    return answer(Views(live, asked.proxy.supervisor, asked.proxy.observations).one(asked.service), tag)
