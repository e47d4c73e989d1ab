"""A controller with real admin APIs to lead, and time that the test moves: everything but workers, sockets of clients,
and the passing of time.

Owns the stage: proxies (the real admin application over a supervisor without workers), their traffic, and a conductor
whose loops take a turn when the test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import BaseTestServer, TestServer
from prometheus_client import CollectorRegistry

from config.model import Config
from controller.clock import Clock
from controller.conductor import Conductor
from controller.core.model import Phase, Rollout
from controller.hooks import Hooks
from controller.journal import Journal
from controller.loop import Loop, Tools
from controller.proxies import Proxy
from proxy.admin.app import create_app
from proxy.core.live import Change, add_endpoint, set_split
from tests.config.loading import config_of
from tests.proxy.admin.fakes import FakeObservations, FakeSupervisor

FILE = """
listen: [{address: 127.0.0.1:8080}]
services:
  shop:
    versions:
      stable: {endpoints: ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]}
      canary: {endpoints: ["127.0.0.1:9005"]}
    split: {stable: 1}
  legacy:
    versions:
      v1: {endpoints: ["127.0.0.1:9011", "127.0.0.1:9012", "127.0.0.1:9013"]}
      v2: {}
    split: {v1: 1}
routes: [{service: shop}, {match: {host: legacy}, service: legacy}]
rollouts:
  shop:
    strategy: canary
    from: stable
    to: canary
    steps: [{weight: 10, bake: 5}, {weight: 50, bake: 5}, {weight: 100, bake: 5}]
    promote: time
  legacy: {strategy: rolling, from: v1, to: v2, settle: 2, deploy: {exec: "true"}}
"""
BOUNDS = [0.0, 0.001, 0.01, 0.1, 1.0]


class Traffic(FakeObservations):
    """What the versions of a proxy are sent, each second, by their weights."""

    def __init__(self, supervisor: FakeSupervisor) -> None:
        super().__init__()
        self._supervisor = supervisor
        self.now = 0
        self.rate = 100
        self.error_shares: dict[str, float] = {}
        self._history: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}

    def pass_second(self) -> None:
        """Let a second pass."""
        for name, service in self._supervisor.live.services.items():
            for version, share in service.shares.items():
                requests = round(self.rate * share)
                errors = round(requests * self.error_shares.get(version, 0.0))
                bins = {"1": requests - errors}
                numbers = {"requests": requests, "done": requests, "errors": errors, "aborted": 0}
                numbers |= {"client_errors": 0, "in_flight": 0}
                seconds = self._history.setdefault(name, {}).setdefault(version, {})
                if requests:
                    seconds[self.now] = {"t": self.now, **numbers, "bins": bins}
        self.now += 1

    def stats(self, seconds: int, services: Collection[str] | None = None) -> dict[str, Any]:
        first = self.now - seconds + 1
        return {
            "now": self.now,
            "clock": "monotonic",
            "bin_lower_bounds_seconds": BOUNDS,
            "services": {
                name: {
                    version: {
                        "seconds": [each for t, each in seconds_of.items() if t >= first],
                        "in_flight": 0,
                        "in_flight_older": 0,
                    }
                    for version, seconds_of in versions.items()
                }
                for name, versions in self._history.items()
                if services is None or name in services
            },
        }


class StagedProxy:
    """One proxy: its admin API on a port of this machine."""

    def __init__(self, config: Config, server: BaseTestServer, supervisor: FakeSupervisor, traffic: Traffic) -> None:
        self.config = config
        self.server = server
        self.supervisor = supervisor
        self.traffic = traffic

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def weights(self, service: str = "shop") -> dict[str, float]:
        return dict(self.supervisor.live.services[service].weights)


class Stage:
    """The proxies, the clock and the controller."""

    def __init__(
        self, folder: Path, proxies: list[StagedProxy], config: Config, session: aiohttp.ClientSession
    ) -> None:
        self.folder = folder
        self.proxies = proxies
        self.config = config
        self.wall = 1.7e9
        self.seconds = 0
        self._session = session
        self._led: dict[str, Proxy] = {}
        self.conductor = self._conductor()

    @property
    def proxy(self) -> StagedProxy:
        return self.proxies[0]

    @property
    def journal(self) -> Journal:
        return self.conductor.journal

    def kinds(self, identity: str) -> list[str]:
        """The events of a rollout in the journal."""
        return [
            record.entry.event.kind
            for record in self.journal.records
            if record.entry.entry == "happened" and record.entry.rollout == identity
        ]

    def loop(self, identity: str) -> Loop:
        loop = self.conductor.loop_of(identity)
        assert loop is not None, f"{identity} has no loop"
        return loop

    def rollout(self, identity: str) -> Rollout:
        return self.conductor.rollout(identity)

    async def start(self, service: str = "shop", **changes: Any) -> Rollout:
        return await self.conductor.start(service, changes, by="alice", reason="", if_running="reject")

    async def tick(self, times: int = 1) -> None:
        """Let seconds pass, and every loop take its turns."""
        for _ in range(times):
            self.seconds += 1
            self.wall += 1
            for proxy in self.proxies:
                proxy.traffic.pass_second()
            for identity in list(self.conductor.book.rollouts):
                await self.turns(identity)
            self.conductor.tools.clock.keep()

    async def turns(self, identity: str) -> None:
        """The turns of one loop, until it has nothing more to do now."""
        loop = self.conductor.loop_of(identity)
        for _ in range(50):
            if loop is None or loop.is_over or not await loop.turn():
                return
        raise AssertionError(f"{identity} never rests: {loop.decision if loop else None}")

    async def until(self, identity: str, phase: Phase, most: int = 200) -> None:
        for _ in range(most):
            if self.rollout(identity).phase == phase:
                return
            await self.tick()
        raise AssertionError(f"{self.rollout(identity)!r} did not become {phase}: {self.loop(identity).decision}")

    async def restart(self, away: int = 0) -> None:
        """Kill the controller and start another one after a while."""
        await self.close()
        for _ in range(away):
            self.seconds += 1
            self.wall += 1
            for proxy in self.proxies:
                proxy.traffic.pass_second()
        self.conductor = self._conductor()
        self.conductor.begin()

    async def close(self) -> None:
        await self.conductor.close()
        await self.conductor.tools.hooks.close()
        for proxy in self._led.values():
            await proxy.close()
        self.journal.close()

    def _conductor(self) -> Conductor:
        journal = Journal(self.folder)
        last = journal.records[-1] if journal.records else None
        at = max((_at(record.entry) for record in journal.records), default=0.0)
        clock = Clock(
            self.folder,
            at,
            last.wall if last else 0.0,
            monotonic=lambda: float(self.seconds),
            wall=lambda: self.wall,
            boot="one",
        )
        self._led = {proxy.address: Proxy(_led(proxy)) for proxy in self.proxies}
        hooks = Hooks(self.folder / "runs", self._session)
        return Conductor(self.config, journal, Tools(self._led, clock, hooks, self._session, self.folder, 1.0))


def _at(entry: Any) -> float:
    return entry.event.at if entry.entry == "happened" else entry.at  # type: ignore[no-any-return]


def _led(proxy: StagedProxy) -> Any:
    from config.controller import LedProxy

    return LedProxy.model_validate({"address": proxy.address})


@asynccontextmanager
async def staged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = FILE, proxies: int = 1
) -> AsyncIterator[Stage]:
    """A stage. Its loops only take turns when `tick` lets them."""
    config = config_of(text)

    async def rest(self: Loop) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Loop, "run", rest)
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(proxies):
            supervisor = FakeSupervisor(config)
            traffic = Traffic(supervisor)
            app = create_app(supervisor, traffic, CollectorRegistry())
            server = await stack.enter_async_context(TestServer(app))
            found.append(StagedProxy(config, server, supervisor, traffic))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stage = Stage(folder, found, config, session)
        stage.conductor.begin()
        try:
            yield stage
        finally:
            await stage.close()


def with_endpoint(supervisor: FakeSupervisor, service: str, version: str, address: str) -> None:
    """Add an endpoint by hand."""
    supervisor.live = add_endpoint(supervisor.live, service, version, address, Change("test"))


def with_weights(supervisor: FakeSupervisor, service: str, weights: Mapping[str, float], by: str) -> None:
    """Change weights by hand."""
    supervisor.live = set_split(supervisor.live, service, weights, Change(by, "by hand"))
