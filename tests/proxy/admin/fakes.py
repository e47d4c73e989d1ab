"""A supervisor and observations without workers, files or counters, for tests of the admin API."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from config.model import Config
from config.problems import ConfigError, Problem
from proxy.core.live import Change, Live, Refused
from proxy.core.overlay import reconfigure
from proxy.core.serving import EndpointHealth, literal_sockets
from proxy.core.stats import Rates
from proxy.events import Events
from proxy.leases import Leases
from proxy.succession import Succession
from tests.support.lives import a_live, salts

Place = tuple[str, str, str]


class FakeSupervisor:
    """Takes steps on a real live state; what a step would do to workers is said by the test."""

    def __init__(self, config: Config | None = None) -> None:
        self.live = a_live(config)
        self.draining = False
        self.succession = Succession()
        self.events = Events(lambda: 1_700_000_000.0)
        self.workers_ready = 1
        self.file: Config | ConfigError = self.live.config
        self.notices = ("workers has changed: restart the proxy",)
        self.failure: Exception | None = None
        self.health: dict[Place, EndpointHealth] = {}
        self.busy: dict[Place, int] = {}
        self.ejected: dict[Place, int] = {}
        self.leases = Leases(self)
        self._lock = asyncio.Lock()

    def has_ready_worker(self) -> bool:
        return self.workers_ready > 0

    async def change(self, step: Callable[[Live], Live], *, if_match: int | None = None) -> Live:
        async with self._lock:
            if if_match is not None and if_match != self.live.generation:
                raise Refused(412, f"The live state has generation {self.live.generation}, not {if_match}")
            changed = step(self.live)
            await asyncio.sleep(0)  # where workers would be waited for
            if self.failure is not None:
                raise self.failure
            self.live = changed
            self.events.publish("change", generation=changed.generation)
            return changed

    async def reload(self, *, actor: str = "", reason: str = "") -> tuple[str, ...]:
        if isinstance(self.file, ConfigError):
            raise self.file
        self.live = reconfigure(self.live, self.file, Change("reload", reason, 0.0, actor=actor), salts(self.file))
        return self.notices

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        known = EndpointHealth(healthy=True, sockets=literal_sockets(address))
        return self.health.get((service, version, address), known)

    def fell_ill(self, service: str, version: str, address: str, detail: str = "connection refused") -> None:
        known = self.health_of(service, version, address)
        self.health[service, version, address] = replace(known, healthy=False, detail=detail, since=1.0)

    def in_flight(self, service: str, version: str, address: str) -> int:
        self.live.endpoint(service, version, address)  # nothing else is counted
        return self.busy.get((service, version, address), 0)

    def ejected_workers(self, service: str, version: str, address: str) -> int:
        self.live.endpoint(service, version, address)
        return self.ejected.get((service, version, address), 0)


class FakeObservations:
    """Nothing but silence, until the test says otherwise."""

    def __init__(self) -> None:
        self.known_rates: dict[tuple[str, str], Rates] = {}
        self.shares: dict[str, dict[str, float]] = {}
        self.asked: list[tuple[int, Collection[str] | None]] = []

    def stats(self, seconds: int, services: Collection[str] | None = None) -> dict[str, Any]:
        self.asked.append((seconds, services))
        second = {
            "t": 7,
            "requests": 3,
            "done": 2,
            "errors": 1,
            "aborted": 0,
            "client_errors": 0,
            "in_flight": 1,
            "bins": {"189": 2},
        }
        version = {"seconds": [second], "in_flight": 1, "in_flight_older": 0}
        return {
            "now": 8,
            "clock": "monotonic",
            "bin_lower_bounds_seconds": [0.0, 0.001],
            "services": {name: {"stable": version} for name in services or ("shop", "cart")},
        }

    def rates(self, service: str, version: str, seconds: int = 10) -> Rates:
        return self.known_rates.get((service, version), Rates(0.0, None, None, None))

    def actual_shares(self, service: str) -> dict[str, float]:
        return self.shares.get(service, {})


def a_bad_file() -> ConfigError:
    """What a reload raises for a file with a slip."""
    problem = Problem("services.shop.split.cnary", "there is no version 'cnary'", 12, 14, "canary", at_key=True)
    return ConfigError(str(Path("serinus.yaml")), [problem])
