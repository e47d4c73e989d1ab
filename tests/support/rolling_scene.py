"""The scene of a rolling rollout: endpoints at which real processes run, a proxy, and the controller that moves them.

Owns how these belong together. Traffic is the test's (`tests.support.load`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.deployment import Deployment, deployment
from tests.support.whole_controller import WholeController, whole_controller
from tests.support.whole_proxy import WholeProxy, wait_until, whole_proxy

ENDPOINTS = 4
#: A probe never fails because the machine is slow: only because of what the endpoint answers, or because nobody does.
HEALTH = {"path": "/healthz", "interval": "100ms", "timeout": "20s", "rise": 2, "fall": 2}


class Scene:
    """A proxy, its controller, and what runs at the endpoints."""

    def __init__(self, proxy: WholeProxy, controller: WholeController, endpoints: Deployment) -> None:
        self.proxy = proxy
        self.controller = controller
        self.endpoints = endpoints

    @property
    def folder(self) -> Path:
        """What the controller keeps."""
        return self.proxy.folder / "state"

    def places(self) -> dict[str, list[str]]:
        """The endpoints of each version at the proxy."""
        versions = self.proxy.admin.service("shop")["versions"]
        return {name: sorted(each["address"] for each in found["endpoints"]) for name, found in versions.items()}

    def is_as_before(self) -> bool:
        addresses = sorted(self.endpoints.addresses)
        state = self.proxy.admin.service("shop")
        return (
            all(places == (addresses if name == "v1" else []) for name, places in self.places().items())
            and self.endpoints.running() == ["v1"] * ENDPOINTS
            and {each["state"] for each in state["versions"]["v1"]["endpoints"]} == {"up"}
        )

    def runs(self) -> list[dict[str, Any]]:
        """How the runs of the hook have ended, in their order."""
        folder = self.folder / "controller" / "runs"
        paths = sorted(folder.glob("*.json"), key=lambda path: int(path.stem.rpartition(".")[2]))
        return [json.loads(path.read_text()) for path in paths]


@contextmanager
def a_scene(
    folder: Path,
    to: str,
    deploy: dict[str, Any] | None = None,
    *,
    endpoints: int = ENDPOINTS,
    service: Mapping[str, Any] | None = None,
    **policy: Any,
) -> Iterator[Scene]:
    """v1 at its endpoints, and a rollout to another version; the hook of `Deployment` unless there is another one.

    In texts of the policy, ENDPOINT stands for the address of the first one.
    """
    with deployment(folder / "endpoints", "v1", endpoints) as running:
        rollout = {"strategy": "rolling", "from": "v1", "to": to, "settle": "1s", **policy}
        if deploy is not None:
            rollout["deploy"] = {"exec": running.command, **deploy} if "webhook" not in deploy else deploy
        rollout = json.loads(json.dumps(rollout).replace("ENDPOINT", running.addresses[0]))
        versions = {"v1": {"endpoints": list(running.addresses)}, to: {"endpoints": []}}
        shop = {"versions": versions, "split": {"v1": 1}, "health": HEALTH, "ejection": "off", **(service or {})}
        tree = {"services": {"shop": shop}, "state_dir": str(folder / "state"), "rollouts": {"shop": rollout}}
        with whole_proxy(folder, tree) as proxy:
            wait_until(lambda: all(each["healthy"] for each in endpoints_of(proxy, "v1")), "for good probes")
            with whole_controller(proxy, {**tree, "controller": {"interval": "100ms"}}) as controller:
                yield Scene(proxy, controller, running)


def endpoints_of(proxy: WholeProxy, version: str) -> list[dict[str, Any]]:
    """The endpoints of a version as the proxy has them."""
    return [dict(each) for each in proxy.admin.service("shop")["versions"][version]["endpoints"]]


def is_healthy(proxy: WholeProxy, address: str) -> bool:
    """Whether the probes of an endpoint succeed, whichever version has it."""
    every = [each for version in ("v1", "v2") for each in endpoints_of(proxy, version)]
    (found,) = [each for each in every if each["address"] == address]
    return bool(found["healthy"])
