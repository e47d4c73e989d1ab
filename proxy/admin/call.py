"""What a view of the admin API gets of a request.

Owns the names of the parts. Must not know any call in particular.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiohttp import web

from config.problems import Problem
from proxy.admin.ports import Observations, Supervisor
from webapi.app import Render
from webapi.shapes import Closed

B = TypeVar("B", bound=Closed)
Q = TypeVar("Q", bound=Closed)


@dataclass(frozen=True, slots=True)
class Proxy:
    """The parts of the proxy that the views ask."""

    supervisor: Supervisor
    observations: Observations
    metrics: Render
    #: Set when the server goes away, so that endless answers end.
    closing: asyncio.Event
    ping_seconds: float
    openapi: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked(Generic[B, Q]):
    """One request, read."""

    proxy: Proxy
    request: web.Request
    query: Q
    body: B
    #: What is wrong with the body although it can be used; whoever takes a step adds to it and refuses.
    problems: tuple[Problem, ...] = ()

    @property
    def service(self) -> str:
        """The `{service}` of the path."""
        return self.request.match_info["service"]

    @property
    def version(self) -> str:
        """The `{version}` of the path."""
        return self.request.match_info["version"]

    @property
    def address(self) -> str:
        """The `{address}` of the path, decoded."""
        return self.request.match_info["address"]
