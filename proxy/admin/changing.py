"""The views that change the live state. Each is one pure step of `proxy.core.live`, taken by the supervisor.

Owns who and why of a change, conditions and dry runs. Must not change anything around the supervisor.

1. An answer of 200 means that every worker serves the generation that it shows; a dry run has no ETag.
2. A change is either made as a whole or refused with all its problems.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aiohttp import web

from config.problems import ConfigError
from proxy.admin.call import Asked
from proxy.admin.conditions import read_if_match
from proxy.admin.models import (
    ActiveBody,
    ChangeBody,
    ChangeQuery,
    EndpointBody,
    EndpointStateBody,
    ReloadView,
    RemovalQuery,
    SplitBody,
)
from proxy.admin.reading import differences
from proxy.admin.services import Views
from proxy.core.live import (
    SALT_BYTES,
    Change,
    Live,
    Problem,
    Refused,
    activate,
    add_endpoint,
    remove_endpoint,
    set_endpoint_state,
    set_split,
)
from webapi.asking import read_who
from webapi.call import answer
from webapi.problem import Denied
from webapi.shapes import Nothing

B = TypeVar("B", bound=ChangeBody)
Step = Callable[[Live, Change], Live]

ACTOR: Final = "admin api"
"""Who asks, when nobody says."""


async def put_split(asked: Asked[SplitBody, ChangeQuery]) -> web.Response:
    """Set the weights."""
    said = asked.body.salt
    salt = secrets.token_bytes(SALT_BYTES) if said == "new" else bytes.fromhex(said) if said else None
    return await _change(
        asked, lambda live, change: set_split(live, asked.service, asked.body.weights, change, salt), asked.body.reason
    )


async def put_active(asked: Asked[ActiveBody, ChangeQuery]) -> web.Response:
    """Switch the pool."""
    return await _change(
        asked, lambda live, change: activate(live, asked.service, asked.body.version, change), asked.body.reason
    )


async def post_endpoint(asked: Asked[EndpointBody, ChangeQuery]) -> web.Response:
    """Add an endpoint."""

    def step(live: Live, change: Change) -> Live:
        return add_endpoint(live, asked.service, asked.version, asked.body.address, change)

    return await _change(asked, step, asked.body.reason)


async def put_endpoint_state(asked: Asked[EndpointStateBody, ChangeQuery]) -> web.Response:
    """Set what an endpoint is for."""

    def step(live: Live, change: Change) -> Live:
        state: Any = asked.body.state  # checked by the step, beside everything else
        return set_endpoint_state(live, asked.service, asked.version, asked.address, state, change)

    return await _change(asked, step, asked.body.reason)


async def delete_endpoint(asked: Asked[Nothing, RemovalQuery]) -> web.Response:
    """Take an endpoint away."""

    def step(live: Live, change: Change) -> Live:
        address = live.endpoint(asked.service, asked.version, asked.address).address
        in_flight = asked.proxy.supervisor.in_flight(asked.service, asked.version, address)
        if in_flight and not asked.query.force:
            message = f"{in_flight} in flight; set it to drain and wait, or remove it with ?force=true"
            members = {"in_flight": in_flight}
            raise Denied(409, f"{address} is not idle", (Problem("address", message),), members=members)
        return remove_endpoint(live, asked.service, asked.version, address, change)

    return await _change(asked, step, asked.query.reason)


async def post_reload(asked: Asked[ChangeBody, Nothing]) -> web.Response:
    """Read the file again; the answer is what is still not as it says."""
    supervisor, who = asked.proxy.supervisor, read_who(asked.request, ACTOR)
    if asked.problems:
        raise Refused(422, "The request cannot be used", asked.problems)
    try:
        notices = await supervisor.reload(actor=str(who), reason=asked.body.reason)
    except ConfigError as exc:
        raise Refused(422, f"{exc.file} cannot be used; nothing was changed", exc.problems) from exc
    live = supervisor.live
    content = ReloadView(generation=live.generation, differences=differences(live), notices=list(notices))
    return answer(content, live.generation)


async def _change(asked: Asked[Any, Any], step: Step, reason: str) -> web.Response:
    """Take a step, or say what would come of it."""
    supervisor = asked.proxy.supervisor
    who = read_who(asked.request, ACTOR)
    change = Change(by=who.by, actor=who.actor, reason=reason, at_wall_seconds=time.time())
    if_match = read_if_match(asked.request, supervisor.live.generation)
    if asked.problems:
        raise with_more_problems(asked.problems, lambda: step(supervisor.live, change))
    if asked.query.dry_run:
        live, tag = step(supervisor.live, change), None
    else:
        live = await supervisor.change(lambda live: step(live, change), if_match=if_match)
        tag = live.generation
    return answer(Views(live, supervisor, asked.proxy.observations).one(asked.service), tag)


def with_more_problems(problems: tuple[Problem, ...], attempt: Callable[[], object]) -> Refused:
    """The refusal of a body that has problems, with those that the step itself finds."""
    try:
        attempt()
    except Refused as refused:
        if refused.status != 422:
            return refused
        problems = (*problems, *refused.problems)
    return Refused(422, "The request cannot be used", problems)
