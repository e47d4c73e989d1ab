"""The views that machines poll: alive, ready, metrics, and the description of the API itself."""

from __future__ import annotations

import asyncio

from aiohttp import web

from proxy.admin.call import Asked
from proxy.admin.models import HealthView
from proxy.admin.ports import Supervisor
from proxy.core.live import Refused
from webapi.call import answer
from webapi.shapes import Nothing


async def get_healthz(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Whether the process answers."""
    return answer(HealthView(status="alive"))


async def get_readyz(asked: Asked[Nothing, Nothing]) -> web.Response:
    """Whether requests can be served."""
    reason = _why_not_ready(asked.proxy.supervisor)
    if reason:
        raise Refused(503, reason)
    return answer(HealthView(status="ready"))


async def get_metrics(asked: Asked[Nothing, Nothing]) -> web.Response:
    """All counters, rendered in a thread so that the loop is not held."""
    accept = ",".join(asked.request.headers.getall("Accept", []))
    content, content_type = await asyncio.to_thread(asked.proxy.metrics, accept)
    response = web.Response(body=content, headers={"Content-Type": content_type})
    response.enable_compression()
    return response


async def get_openapi(asked: Asked[Nothing, Nothing]) -> web.Response:
    """The OpenAPI document."""
    return answer(asked.proxy.openapi)


def _why_not_ready(supervisor: Supervisor) -> str:
    if supervisor.draining:
        return "The proxy is stopping"
    if not supervisor.has_ready_worker():
        return "No worker is ready yet"
    if not _has_usable_endpoint(supervisor):
        return "No endpoint of any service is usable"
    return ""


def _has_usable_endpoint(supervisor: Supervisor) -> bool:
    return any(
        endpoint.state == "up" and health.healthy and health.sockets
        for name, service in supervisor.live.services.items()
        for version, endpoints in service.versions.items()
        for endpoint in endpoints
        for health in (supervisor.health_of(name, version, endpoint.address),)
    )
