"""The scene of a canary: a shop with two versions or more behind a proxy with two workers, and a controller beside it.

Owns how the three belong together. Traffic is the test's (`tests.support.load`, `tests.support.paced`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from controller.core.book import Book, Happened
from controller.journal import Journal, Record
from tests.support.failing_upstreams import FailingUpstreams, failing_upstreams
from tests.support.whole_controller import WholeController, whole_controller
from tests.support.whole_proxy import WholeProxy, whole_proxy


class Scene(NamedTuple):
    """What plays in a test."""

    proxy: WholeProxy
    controller: WholeController
    upstreams: FailingUpstreams
    folder: Path

    @property
    def weights(self) -> dict[str, float]:
        """The weights that the proxy serves."""
        return weights_of(self.proxy)

    @property
    def journal_path(self) -> Path:
        """Where the controller writes down what has happened."""
        return self.folder / "controller" / "journal.jsonl"

    def kinds(self, identity: str) -> list[str]:
        """What the journal says has happened to a rollout, without what happens all the time."""
        decisions = self.controller.client.why(identity)["decisions"]
        return [str(each["event"]) for each in decisions if each["event"] not in ("applied", "missed")]


def weights_of(proxy: WholeProxy) -> dict[str, float]:
    """The weights of the shop."""
    return proxy.admin.service("shop")["split"]


def shop(upstreams: FailingUpstreams, **more: Any) -> dict[str, Any]:
    """The service: every failure of a version reaches the client, and no endpoint is ejected for it. The stable version
    has everything; `active` says so in pool mode.
    """
    versions = {name: {"endpoints": [place]} for name, place in upstreams.places.items()}
    dealt = {} if "active" in more else {"split": {"stable": 1}}
    return {"versions": versions, **dealt, "retries": {"attempts": 0}, "ejection": "off", **more}


def policy(*steps: tuple[float, str], **more: Any) -> dict[str, Any]:
    """A canary from stable to canary with these weights and bakes."""
    found = [{"weight": weight, "bake": bake} for weight, bake in steps]
    return {"strategy": "canary", "from": "stable", "to": "canary", "steps": found, **more}


@contextmanager
def canary_scene(
    folder: Path,
    rollout: Mapping[str, Any],
    *,
    versions: Sequence[str] = ("stable", "canary"),
    service: Mapping[str, Any] | None = None,
    routes: Sequence[Mapping[str, Any]] = ({"service": "shop"},),
    controller_state: Path | None = None,
    **controller: Any,
) -> Iterator[Scene]:
    """All of it for the length of the block. More words are settings of the controller."""
    state = controller_state or folder / "state"
    with ExitStack() as stack:
        upstreams = stack.enter_context(failing_upstreams(*versions))
        tree = {
            "services": {"shop": shop(upstreams, **(service or {}))},
            "routes": [dict(route) for route in routes],
            "state_dir": str(folder / "state"),
            "rollouts": {"shop": dict(rollout)},
        }
        proxy = stack.enter_context(whole_proxy(folder, tree))
        ruled = {**tree, "state_dir": str(state), "controller": controller}
        running = stack.enter_context(whole_controller(proxy, ruled))
        yield Scene(proxy, running, upstreams, state)


def records_of(folder: Path) -> list[Record]:
    """What the journal of a controller holds, which does not run now."""
    journal = Journal(folder / "controller")
    journal.close()
    return journal.records


def book_of(records: list[Record]) -> Book:
    """The book that comes of a journal."""
    book = Book()
    for record in records:
        book = book.with_entry(record.entry)
    return book


def kinds_of(records: list[Record], identity: str) -> list[str]:
    """What has happened to a rollout, without what happens all the time."""
    return [
        record.entry.event.kind
        for record in records
        if isinstance(record.entry, Happened)
        and record.entry.rollout == identity
        and record.entry.event.kind not in ("applied", "missed")
    ]
