"""What the admin API needs of the rest of the proxy, as protocols; tests stand small fakes behind them.

Owns no code. Must not grow a member that no view uses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

from proxy.core.live import Live
from proxy.core.serving import EndpointHealth
from proxy.core.stats import Rates
from proxy.events import Events
from proxy.leases import Leases
from proxy.succession import Succession


class Supervisor(Protocol):
    """The live state, what is known of the endpoints, and the one way to change anything."""

    @property
    def live(self) -> Live:
        """What is served, or about to be."""

    @property
    def draining(self) -> bool:
        """Whether the proxy is stopping."""

    @property
    def succession(self) -> Succession:
        """Whom it follows, and who follows it."""

    @property
    def events(self) -> Events:
        """What happens."""

    def has_ready_worker(self) -> bool:
        """Whether at least one worker listens and serves."""

    @property
    def leases(self) -> Leases:
        """Who leads which service."""

    async def change(self, step: Callable[[Live], Live], *, if_match: int | None = None) -> Live:
        """Take a step; returns when every worker serves what came of it.

        Raises:
            Refused: the step cannot be taken (404, 409, 412, 422), not now (503), or not be kept (507).
        """

    async def reload(self, *, actor: str = "", reason: str = "") -> Collection[str]:
        """Read the file again; returns sentences about what of it needs a restart, or should be different.

        Raises:
            ConfigError: it cannot be used; nothing has changed.
            Refused: as for a change.
        """

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        """What is known of an endpoint; of one that is not there, what a new one begins with."""

    def in_flight(self, service: str, version: str, address: str) -> int:
        """Requests on an endpoint of `live`, over all workers."""

    def ejected_workers(self, service: str, version: str, address: str) -> int:
        """Workers that give an endpoint of `live` nothing because real requests failed on it."""


class Observations(Protocol):
    """What every version did lately."""

    def stats(self, seconds: int, services: Collection[str] | None = None) -> dict[str, Any]:
        """The answer of /v1/stats. Any thread may ask."""

    def rates(self, service: str, version: str, seconds: int = 10) -> Rates:
        """The figures of the last seconds of a version."""

    def actual_shares(self, service: str) -> dict[str, float]:
        """How the split dealt the requests of the last minute; empty when there were none."""
