"""The stage of the demonstration: two services and the proxy, running, in a temporary folder.

Owns which programs run, on which ports and with which configuration. Must not make traffic and must not show anything.

1. `Stage.set_up` is a context: when it is left, however that happens, no child is left.
2. The services inherit their sockets, so their ports cannot be lost to somebody else in between. The ports of the proxy
   are tried first and bound by itself: it is started as a user would start it.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp

from loadtests.demo.children import Child

SERVICE: Final = "shop"
PROXY_PORT: Final = 8080
ADMIN_PORT: Final = 9900
#: The versions with the ports that they get when these are free.
VERSION_PORTS: Final[Mapping[str, int]] = {"stable": 9001, "canary": 9002}

_READY_SECONDS: Final = 30.0
_PROBE_SECONDS: Final = 0.05

# -P: a folder named `config` or `proxy` where the demo is started must not take the place of ours.
_PYTHON: Final = (sys.executable, "-P", "-m")

_CONFIGURATION: Final = """\
listen:
  - address: 127.0.0.1:{proxy}
admin:
  address: 127.0.0.1:{admin}
workers: {workers}
access_log: off
drain_timeout: 2s
services:
  shop:
    versions:
      stable: {{endpoints: ["127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["127.0.0.1:{canary}"]}}
    split: {{stable: 90, canary: 10}}
    sticky: {{key: header:X-User-Id}}    # requests without it are split one by one
    expose_version: true
    health: {{path: /healthz, interval: 1s}}
    breaker: {{window: 20, fails: 15}}   # takes a canary out that fails nearly always, within a second
routes:
  - match: {{headers: {{X-Preview: canary}}}}
    service: shop
    version: canary
  - service: shop
"""


class StageFault(Exception):
    """The demonstration cannot go on; the message says who is to blame."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs where."""

    configuration: Path
    ports: Mapping[str, int]
    children: Collection[Child]

    @classmethod
    @asynccontextmanager
    async def set_up(cls, workers: str = "auto") -> AsyncIterator["Stage"]:
        """Start everything and wait until the proxy is ready; end everything at the end of the block.

        Raises:
            StageFault: a child ended or the proxy did not become ready.
        """
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="serinus-demo-")))
            ports = {"proxy": _free_port(PROXY_PORT), "admin": _free_port(ADMIN_PORT)}
            children = []
            for version, wanted in VERSION_PORTS.items():
                with _listen(wanted) as listener:
                    ports[version] = listener.getsockname()[1]
                    child = await Child.start(version, _service(version, listener), folder, [listener.fileno()])
                stack.push_async_callback(child.stop)
                children.append(child)
            configuration = folder / "serinus.yaml"
            configuration.write_text(_CONFIGURATION.format(workers=workers, **ports), encoding="utf-8")
            child = await Child.start("proxy", [*_PYTHON, "cli", "proxy", "-c", str(configuration)], folder)
            stack.push_async_callback(child.stop)  # first of all, so that no request loses its service
            stage = cls(configuration, ports, [*children, child])
            await stage._become_ready()
            yield stage

    def url(self, name: str) -> str:
        """The address of the proxy, of admin or of a version."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def moved_ports(self) -> Mapping[str, int]:
        """The usual ports that were taken, by name."""
        usual = {"proxy": PROXY_PORT, "admin": ADMIN_PORT, **VERSION_PORTS}
        return {name: port for name, port in usual.items() if self.ports[name] != port}

    async def wait_for_death(self) -> StageFault:
        """Wait until a child ends by itself, which none of them should."""
        ends = {asyncio.ensure_future(child.program.wait()): child for child in self.children}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        return StageFault("\n".join(ends[end].obituary() for end in done))

    async def _become_ready(self) -> None:
        death = asyncio.ensure_future(self.wait_for_death())
        readiness = asyncio.ensure_future(self._wait_until_ready())
        try:
            await asyncio.wait({death, readiness}, timeout=_READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            death.cancel()
            readiness.cancel()
        if death.done():
            raise death.result()
        if not readiness.done():
            words = "\n".join(f"{child.name}: {child.last_words()}" for child in self.children)
            raise StageFault(f"not ready after {_READY_SECONDS:.0f} s; what the programs printed:\n{words}")
        readiness.result()

    async def _wait_until_ready(self) -> None:
        probes = [f"{self.url(version)}/healthz" for version in VERSION_PORTS] + [f"{self.url('admin')}/readyz"]
        async with aiohttp.ClientSession() as session:
            for probe in probes:
                while not await _is_well(session, probe):  # noqa: ASYNC110 - another program tells no event
                    await asyncio.sleep(_PROBE_SECONDS)


async def _is_well(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _service(version: str, listener: socket.socket) -> list[str]:
    fd = str(listener.fileno())
    return [*_PYTHON, "loadtests.demo.service", "--version", version, "--fd", fd]


def _listen(wanted: int) -> socket.socket:
    """A listening socket on the wanted port, or on a free one when that is taken."""
    try:
        return socket.create_server(("127.0.0.1", wanted), backlog=1024)
    except OSError:
        return socket.create_server(("127.0.0.1", 0), backlog=1024)


def _free_port(wanted: int) -> int:
    with _listen(wanted) as listener:
        port: int = listener.getsockname()[1]
        return port
