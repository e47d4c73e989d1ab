"""A supervisor with stub workers in a folder of its own, for tests."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from config.load import load
from proxy.child import Patience
from proxy.core.live import Live, set_split
from proxy.state import StateFolder
from proxy.supervisor import Supervisor
from tests.support.lives import NEVER
from tests.support.waiting import until

STUB = (sys.executable, str(Path(__file__).with_name("stub_worker.py")))
FILE: dict[str, Any] = {
    "listen": [{"address": "127.0.0.1:0"}],
    "access_log": "off",
    "workers": 2,
    "services": {
        "shop": {
            "versions": {"stable": {"endpoints": ["127.0.0.1:9001"]}, "canary": {"endpoints": ["127.0.0.1:9003"]}},
            "split": {"stable": 99, "canary": 1},
        },
        "cart": {"versions": {"v1": {"endpoints": ["cart.example:9005"]}}},
    },
    "routes": [{"match": {"host": "shop.example"}, "service": "shop"}],
}


def split(weight: float) -> Callable[[Live], Live]:
    return lambda live: set_split(live, "shop", {"stable": 100 - weight, "canary": weight}, NEVER)


class Proxy:
    """A folder with a configuration, a state and the moods of the stubs, and the supervisors started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Supervisor] = []
        self.write(FILE)

    @property
    def path(self) -> Path:
        return self.folder / "serinus.yaml"

    def write(self, tree: object) -> None:
        self.path.write_text(yaml.safe_dump(tree, sort_keys=False))

    def mood(self, words: str, worker: int | None = None) -> None:
        (self.folder / ("moods" if worker is None else f"moods-{worker}")).write_text(words)

    def heard(self) -> list[str]:
        path = self.folder / "heard"
        return path.read_text().splitlines() if path.exists() else []

    def make(self, patience: Patience | None = None) -> Supervisor:
        config = load(self.path)
        self.started.append(
            Supervisor(config, self.path, StateFolder(config.state_dir), command=STUB, patience=patience)
        )
        return self.started[-1]

    async def start(self, patience: Patience | None = None) -> Supervisor:
        supervisor = self.make(patience)
        await supervisor.start()
        return supervisor

    async def restart(self) -> Supervisor:
        await self.started[-1].stop()
        self.started.pop()
        return await self.start()


def pids(supervisor: Supervisor) -> list[int]:
    return [worker.pid for worker in supervisor.worker_states]


def kinds(supervisor: Supervisor) -> list[str]:
    return [event.kind for event in supervisor.events._ring]


async def all_ready(supervisor: Supervisor) -> None:
    await until(lambda: all(worker.state == "ready" for worker in supervisor.worker_states))


async def answer(supervisor: Supervisor) -> int:
    """The process id of the worker that a new connection reaches."""
    (listener,) = supervisor.listening.opened[0]
    host, port = listener.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    pid = int(await reader.read())
    writer.close()
    await writer.wait_closed()
    return pid
