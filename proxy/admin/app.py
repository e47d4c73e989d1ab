"""The aiohttp application of the admin API.

Owns what the parts are given. Must not listen: `proxy.app` does.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from aiohttp import web
from prometheus_client.registry import CollectorRegistry

from config.admin import Admin
from proxy.admin.call import Asked, Proxy
from proxy.admin.calls import CALLS, PLACES, TITLE
from proxy.admin.ports import Observations, Supervisor
from proxy.core.live import Refused
from webapi import app as webapp
from webapi.gate import Gate, require_token
from webapi.openapi import document
from webapi.problem import Denied

MAX_BODY: Final = 1024 * 1024


def create_app(
    supervisor: Supervisor,
    observations: Observations,
    registry: CollectorRegistry,
    *,
    ping_seconds: float = webapp.PING_SECONDS,
) -> web.Application:
    """The application. It has to be served at the `admin.address` that the supervisor's configuration has now.

    Raises:
        ValueError: that address is not local and there is no token.
    """

    def settings() -> Admin:
        return supervisor.live.config.admin

    require_token(settings(), "admin")
    closing = asyncio.Event()
    proxy = Proxy(supervisor, observations, webapp.renderer(registry), closing, ping_seconds, openapi())
    app = webapp.create_app(
        CALLS,
        partial(Asked, proxy),
        gate=Gate(settings().address),
        settings=settings,
        translate=_denied,
        whose="the proxy",
        max_body=MAX_BODY,
    )
    webapp.on_shutdown(app, closing.set)
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    return document(TITLE, CALLS, PLACES)


def _denied(exc: Exception) -> Denied | None:
    if not isinstance(exc, Refused):
        return None
    headers = {"Retry-After": str(exc.retry_after)} if exc.retry_after else None
    return Denied(exc.status, exc.title, exc.problems, headers=headers)
