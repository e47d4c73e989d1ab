"""The ways into the states of a rolling rollout over two endpoints, and into the stages of its first one.

Owns what keeps an endpoint where it is: notes that the servers and the hook look for (`tests.support.deployed`),
servers that are stopped, and requests that are not answered. Each rollout goes to the version that does not run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.support.restarts import Ways
from tests.support.rolling_scene import Scene, endpoints_of, is_healthy
from tests.support.whole_proxy import wait_until


class RollingWays(Ways):
    """Into the states, where there is a hook."""

    scene: Scene

    def start(self) -> str:
        """Start a rollout to the version that does not run; its id."""
        return self.start_to(*self.old_and_new())

    def start_to(self, old: str, new: str) -> str:
        """Start a rollout between these versions; its id."""
        return str(self.scene.controller.client.start("shop", from_=old, to=new)["id"])

    def old_and_new(self) -> tuple[str, str]:
        """The version that runs, and the other one."""
        (old,) = set(self.scene.endpoints.running())
        return old, "v2" if old == "v1" else "v1"

    @contextmanager
    def unprepared(self) -> Iterator[None]:
        """The check that must pass first does not yet."""
        with self.scene.endpoints.note("closed"):
            yield

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Let both versions fail."""
        with self.scene.endpoints.note("fails-v1"), self.scene.endpoints.note("fails-v2"):
            yield


class EndpointWays(RollingWays):
    """Into the stages of the first endpoint, where there is a hook."""

    def into(self, way: str) -> AbstractContextManager[str]:
        """The way of this name; before it, who is who: one that went back stands behind the others."""
        self.old_version, self.new_version = self.old_and_new()
        self.first, self.second = (each["address"] for each in endpoints_of(self.scene.proxy, self.old_version))
        return super().into(way)

    def start(self) -> str:
        """Start a rollout to the version that did not run before; its id."""
        return self.start_to(self.old_version, self.new_version)

    def waits(self, identity: str, *sentences: str) -> None:
        """Wait until a rollout says that it waits for one of these."""
        self.scene.controller.until_it(
            identity, lambda found: found["waits"].startswith(sentences), f"to wait: {sentences}"
        )

    @contextmanager
    def hanging_requests(self, version: str) -> Iterator[None]:
        """Requests that are not answered, one at the first endpoint at least, for the length of the block."""
        answers: list[int] = []
        asking: list[threading.Thread] = []

        def is_busy() -> bool:
            found = {each["address"]: each["in_flight"] for each in endpoints_of(self.scene.proxy, version)}
            return bool(found[self.first])

        with self.scene.endpoints.note("hangs"):
            while not is_busy():
                asking.append(threading.Thread(target=lambda: answers.append(self.scene.proxy.ask("/hang")[0])))
                asking[-1].start()
                wait_until(lambda: self._in_flight() >= len(asking), "for a request to arrive")
            yield
        for thread in asking:
            thread.join()
        assert answers == [200] * len(asking)

    def _in_flight(self) -> int:
        return sum(each["in_flight"] for version in ("v1", "v2") for each in endpoints_of(self.scene.proxy, version))

    @contextmanager
    def old(self) -> Iterator[str]:
        """The other endpoint is unwell, so the first one has to stay."""
        self.scene.endpoints.stop(self.second)
        wait_until(lambda: not is_healthy(self.scene.proxy, self.second), "for a failed probe")
        identity = self.start()
        self.waits(identity, "waits: 1 other endpoints of 1 are not well")
        yield identity
        self.scene.endpoints.deploy(self.second, self.old_version)

    @contextmanager
    def draining(self) -> Iterator[str]:
        """A request is in flight on it."""
        with self.hanging_requests(self.old_version):
            identity = self.start()
            self.waits(identity, f"waits for {self.first}: ")
            yield identity

    @contextmanager
    def deploying(self) -> Iterator[str]:
        """The hook runs."""
        with self.scene.endpoints.note("wait"):
            identity = self.start()
            self.waits(identity, f"deploying {self.new_version} on {self.first}")
            yield identity

    @contextmanager
    def joining(self) -> Iterator[str]:
        """The new version is not well yet."""
        with self.scene.endpoints.note(f"unwell-{self.new_version}"):
            identity = self.start()
            self.waits(identity, f"waits until {self.first} is well with {self.new_version}")
            yield identity

    def new(self) -> AbstractContextManager[str]:
        """The new version is judged."""
        return self.step()

    @contextmanager
    def leaving(self) -> Iterator[str]:
        """A request is in flight on the new version."""
        with self.step() as identity, self.hanging_requests(self.new_version):
            self.order(identity, "abort")
            self.waits(identity, f"waits for {self.first}: ")
            yield identity

    @contextmanager
    def reverting(self) -> Iterator[str]:
        """The hook runs."""
        with self.step() as identity, self.scene.endpoints.note("wait"):
            self.order(identity, "abort")
            self.waits(identity, f"deploying {self.old_version} on {self.first}")
            yield identity

    @contextmanager
    def returning(self) -> Iterator[str]:
        """The old version is not well again yet."""
        with self.step() as identity, self.scene.endpoints.note(f"unwell-{self.old_version}"):
            self.order(identity, "abort")
            self.waits(identity, f"waits until {self.first} is well with {self.old_version}")
            yield identity


class ManualWays(EndpointWays):
    """Into the stages that there are without a hook: somebody else changes the endpoints."""

    def take_down(self, identity: str, address: str, version: str) -> None:
        """Begin to change an endpoint when the rollout waits for it; it is seen going down."""
        self.waits(identity, f"waits until somebody puts {version} on {address}")
        self.scene.endpoints.stop(address)
        self.waits(identity, f"waits until {address} is well with {version}")

    def go_on(self, identity: str, end: str) -> None:
        """Change the second endpoint too, where the rollout goes forward."""
        if end == "promoted":
            self.baking(identity)
            self.order(identity, "promote")
            self.take_down(identity, self.second, self.new_version)
            self.scene.endpoints.deploy(self.second, self.new_version)
        super().go_on(identity, end)

    @contextmanager
    def changing(self) -> Iterator[str]:
        """It is down, and the new version is not there yet."""
        identity = self.start()
        self.take_down(identity, self.first, self.new_version)
        yield identity
        self.scene.endpoints.deploy(self.first, self.new_version)

    @contextmanager
    def changing_back(self) -> Iterator[str]:
        """It is down, and the old version is not there yet."""
        identity = self.start()
        self.take_down(identity, self.first, self.new_version)
        self.scene.endpoints.deploy(self.first, self.new_version)
        self.baking(identity)
        self.order(identity, "abort")
        self.take_down(identity, self.first, self.old_version)
        yield identity
        self.scene.endpoints.deploy(self.first, self.old_version)
