"""A new version that is bad in any way is taken out, and the old one and whoever asks it notice nothing.

All kinds at once: a service with a rollout for each, behind one proxy with two workers and led by one controller.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.toxic_upstream import toxic_upstreams
from tests.support.whole_controller import whole_controller
from tests.support.whole_proxy import WholeProxy, wait_until, whole_proxy

pytestmark = pytest.mark.timeout(240)

#: What the new version of each service does to every request, and what a client gets of that: 0 is a broken connection.
BAD: Final[dict[str, tuple[str, int]]] = {
    "slow": ("slow", 200),
    "hanging": ("hang before the head", 504),
    "broken-off": ("reset in the body", 0),
    "garbage": ("garbage", 502),
}
#: Requests to each service before the rollouts begin, so that there is something to compare with.
SOME_PAST: Final = 30
#: Who waits for slow answers asks less: there are more of them.
CLIENTS: Final = {"slow": 6, "hanging": 3, "broken-off": 1, "garbage": 1}

Seen = Counter[tuple[int, str]]


def tree(places: dict[str, str], folder: Path) -> dict[str, Any]:
    """A service for each kind. Every failure of a version reaches the client, and no endpoint is ejected for it."""
    patient = {"retries": {"attempts": 0}, "ejection": "off", "timeouts": {"response": "1s"}}
    services = {
        name: {
            "versions": {"stable": {"endpoints": [places["stable"]]}, "canary": {"endpoints": [places[name]]}},
            "split": {"stable": 1},
            **patient,
        }
        for name in BAD
    }
    steps = [{"weight": weight, "bake": "10m"} for weight in (50, 100)]
    rollout = {"strategy": "canary", "from": "stable", "to": "canary", "steps": steps, "warm_up": "1s"}
    return {
        "services": services,
        "routes": [{"match": {"host": f"{name}.example"}, "service": name} for name in BAD],
        "rollouts": dict.fromkeys(BAD, rollout),
        "state_dir": str(folder / "state"),
    }


@contextmanager
def asking(proxy: WholeProxy) -> Iterator[dict[str, Seen]]:
    """Clients of every service for the length of the block: what they get, by status and upstream."""
    seen: dict[str, Seen] = {name: Counter() for name in BAD}
    over = threading.Event()

    def ask(name: str) -> None:
        while not over.wait(0.02):
            try:
                status, body = proxy.ask(Host=f"{name}.example")
                seen[name][status, body.partition(" ")[0] if status == 200 else ""] += 1
            except (OSError, HTTPException):
                seen[name][0, ""] += 1

    with ThreadPoolExecutor(sum(CLIENTS.values())) as clients:
        running = [clients.submit(ask, name) for name in BAD for _ in range(CLIENTS[name])]
        try:
            yield seen
        finally:
            over.set()
            for client in running:
                client.result()


def errors(proxy: WholeProxy, version: str) -> int:
    """What the proxy holds against one version of all services."""
    return int(
        sum(
            value
            for name, value in proxy.metrics().items()
            if name.startswith("serinus_errors_total{") and f"version={version}}}" in name
        )
    )


def test_a_canary_that_is_slow_hangs_breaks_off_or_talks_garbage_is_taken_out_and_the_old_version_has_no_error(
    tmp_path: Path,
):
    with toxic_upstreams("stable", *BAD) as upstreams:
        file = tree(upstreams.places, tmp_path)
        with whole_proxy(tmp_path, file) as proxy, whole_controller(proxy, file) as controller:
            with asking(proxy) as seen:
                wait_until(lambda: all(seen[name].total() >= SOME_PAST for name in BAD))
                for name, (toxic, _) in BAD.items():
                    upstreams.order("toxic", name, toxic)
                started = {name: controller.client.start(name)["id"] for name in BAD}
                ended = {name: controller.until(found, "rolled_back", "promoted") for name, found in started.items()}
                before = {name: seen[name].copy() for name in BAD}
                wait_until(lambda: all(seen[name].total() >= before[name].total() + SOME_PAST for name in BAD))
            assert {name: found["phase"] for name, found in ended.items()} == dict.fromkeys(BAD, "rolled_back")
            for name, (_, status) in BAD.items():
                assert proxy.admin.service(name)["split"] == {"stable": 100, "canary": 0}
                of_canary = (status, name if status == 200 else "")
                assert seen[name].keys() == {(200, "stable"), of_canary}, "each got what its version did, once"
                assert before[name][200, "stable"] > 0
            assert errors(proxy, "stable") == 0
            assert errors(proxy, "canary") == sum(
                number for found in seen.values() for (status, _), number in found.items() if status != 200
            )
