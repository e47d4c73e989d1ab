"""The views that only look: the live state, its services, the configuration, the statistics.

Must not change anything.
"""

from __future__ import annotations

import asyncio
import json
import os

from aiohttp import web

from config.show import plain
from proxy.admin.call import Asked
from proxy.admin.conditions import matches_none
from proxy.admin.models import (
    ConfigDiffView,
    ConfigView,
    DifferenceView,
    HandoverFailureView,
    HandoverView,
    ServicesView,
    StateView,
    StatsQuery,
)
from proxy.admin.services import Views, change_view
from proxy.core.live import Live
from proxy.core.overlay import difference
from webapi.call import JSON, answer
from webapi.shapes import Nothing


async def get_state(asked: Asked[Nothing, Nothing]) -> web.Response:
    """The whole live state."""
    live = asked.proxy.supervisor.live
    if not matches_none(asked.request, live.generation):
        return web.Response(status=304, headers={"ETag": f'"{live.generation}"'})
    services = views(asked, live).every()
    return answer(
        StateView(generation=live.generation, services=services, routes=plain(live.config).get("routes", [])),
        live.generation,
    )


async def get_services(asked: Asked[Nothing, Nothing]) -> web.Response:
    """All services."""
    live = asked.proxy.supervisor.live
    return answer(ServicesView(generation=live.generation, services=views(asked, live).every()), live.generation)


async def get_service(asked: Asked[Nothing, Nothing]) -> web.Response:
    """One service."""
    live = asked.proxy.supervisor.live
    return answer(views(asked, live).one(asked.service), live.generation)


async def get_config(asked: Asked[Nothing, Nothing]) -> web.Response:
    """The configuration in force."""
    live = asked.proxy.supervisor.live
    return answer(ConfigView(generation=live.generation, config=plain(live.config)), live.generation)


async def get_config_diff(asked: Asked[Nothing, Nothing]) -> web.Response:
    """What is live beside what the file says."""
    live = asked.proxy.supervisor.live
    return answer(ConfigDiffView(generation=live.generation, differences=differences(live)), live.generation)


def differences(live: Live) -> list[DifferenceView]:
    """What is live beside what the file says."""
    return [
        DifferenceView(
            service=each.service, path=each.path, file=each.file, live=each.live, last_change=change_view(each.change)
        )
        for each in difference(live)
    ]


async def get_handover(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Whom this proxy follows, and who follows it."""
    succession = asked.proxy.supervisor.succession
    failure = succession.last_failure
    return answer(
        HandoverView(
            pid=os.getpid(),
            phase=succession.phase,
            predecessor=succession.predecessor,
            successor=succession.successor,
            failures=succession.failures,
            last_failure=HandoverFailureView(at=failure.at_wall_seconds, reason=failure.reason) if failure else None,
        )
    )


async def get_stats(asked: Asked[Nothing, StatsQuery]) -> web.Response:
    """Statistics by version and second; gathered in a thread, since a quarter of an hour of many versions is long."""
    supervisor, services = asked.proxy.supervisor, asked.query.service
    for service in services:
        supervisor.live.service(service)

    def gather() -> str:
        return json.dumps(asked.proxy.observations.stats(asked.query.seconds, services or None))

    return web.Response(text=await asyncio.to_thread(gather), content_type=JSON)


def views(asked: Asked[Nothing, Nothing], live: Live) -> Views:
    """The views of the services in a live state."""
    return Views(live, asked.proxy.supervisor, asked.proxy.observations)
