"""The stage of the demonstration: the endpoints of two versions, the proxy and the controller, in a temporary folder.

Owns which programs run, and on which ports. Must not make traffic, start a rollout or show anything.

1. `Stage.set_up` is a context: when it is left, however that happens, no child and no file is left.
2. The endpoints inherit their sockets, so their ports cannot be lost to somebody else in between. The ports of the
   proxy and the controller are tried first and bound by themselves: both are started as a user would start them.
3. Stages are set up one after the other: of two that began at once, both would find the same ports free.
4. A child that ends by itself is a fault of the stage, unless it was told to die.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp

from loadtests.demo.children import Child
from loadtests.demo.configuration import ENDPOINTS, OTHER_PORTS, Walk, configuration

#: What a request costs, in seconds: about that of a page that asks a database.
WORK: Final = 0.04

_READY_SECONDS: Final = 60.0
_PROBE_SECONDS: Final = 0.05

_PROGRAMS: Final = ("proxy", "controller")
_BEGINNING: Final = "\0serinus-demo-begins"

# -P: a folder named `config` or `proxy` where the demo is started must not take the place of ours.
_PYTHON: Final = (sys.executable, "-P", "-m")

#: The usual ports, by name.
USUAL_PORTS: Final[Mapping[str, int]] = {
    **OTHER_PORTS,
    **{name: port for endpoints in ENDPOINTS.values() for name, port in endpoints},
}


class StageFault(Exception):
    """The demonstration cannot go on; the message says who is to blame."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs where."""

    configuration: Path
    ports: Mapping[str, int]
    children: Collection[Child]
    walk: Walk = field(default_factory=Walk)
    killed: set[str] = field(default_factory=set)
    """The children that were told to die."""

    @classmethod
    @asynccontextmanager
    async def set_up(cls, workers: str = "auto", walk: Walk | None = None) -> AsyncIterator["Stage"]:
        """Start everything and wait until it is ready; end everything at the end of the block.

        Raises:
            StageFault: a child ended or something did not become ready.
        """
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="serinus-demo-")))
            async with _turn_to_begin():
                stage = await cls._start(stack, folder, workers, walk or Walk())
                await stage._become_ready()
            yield stage

    @classmethod
    async def _start(cls, stack: AsyncExitStack, folder: Path, workers: str, walk: Walk) -> "Stage":
        ports = {name: _free_port(wanted) for name, wanted in OTHER_PORTS.items()}
        children: list[Child] = []
        stack.push_async_callback(_stop, children)
        for version, endpoints in ENDPOINTS.items():
            for name, wanted in endpoints:
                with _listen(wanted) as listener:
                    ports[name] = listener.getsockname()[1]
                    children.append(await Child.start(name, _endpoint(version, listener), folder, [listener.fileno()]))
        file = folder / "serinus.yaml"
        text = configuration(ports, walk, workers=workers, state_dir=str(folder / "state"))
        file.write_text(text, encoding="utf-8")
        for program in _PROGRAMS:
            command = [*_PYTHON, "cli", program, "-c", str(file)]
            children.append(await Child.start(program, command, folder))
        return cls(file, ports, children, walk)

    def url(self, name: str) -> str:
        """The address of the proxy, of admin, of the controller or of an endpoint."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def moved_ports(self) -> Mapping[str, int]:
        """The usual ports that were taken, by name."""
        return {name: port for name, port in USUAL_PORTS.items() if self.ports[name] != port}

    def kill(self, name: str) -> None:
        """Kill a child (SIGKILL), which is no fault."""
        self.killed.add(name)
        next(child for child in self.children if child.name == name).kill()

    async def wait_for_death(self) -> StageFault:
        """Wait until a child ends by itself, which none of them should."""
        ends = {asyncio.ensure_future(child.program.wait()): child for child in self.children}
        try:
            while True:
                done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                dead = [ends.pop(end) for end in done]
                if words := [child.obituary() for child in dead if child.name not in self.killed]:
                    return StageFault("\n".join(words))
        finally:
            for end in ends:
                end.cancel()

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
        endpoints = [name for version in ENDPOINTS.values() for name, _ in version]
        probes = [f"{self.url(name)}/healthz" for name in (*endpoints, "controller")] + [f"{self.url('admin')}/readyz"]
        async with aiohttp.ClientSession() as session:
            for probe in probes:
                while not await _is_well(session, probe):  # noqa: ASYNC110 - another program tells no event
                    await asyncio.sleep(_PROBE_SECONDS)


async def _stop(children: Sequence[Child]) -> None:
    """Stop all of them: the endpoints after the others, so that no request loses its own."""
    endpoints = [child for child in children if child.name not in _PROGRAMS]
    try:
        await asyncio.gather(*(child.stop() for child in children if child.name in _PROGRAMS))
    finally:
        await asyncio.gather(*(child.stop() for child in endpoints))


@asynccontextmanager
async def _turn_to_begin() -> AsyncIterator[None]:
    """Within the block, no other stage on this machine chooses its ports.

    A name in the abstract namespace of Linux leaves no file behind, is free again when its holder was killed, and is
    shared by exactly those who share the ports.

    Raises:
        StageFault: it is never our turn.
    """
    if sys.platform != "linux":
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not _takes(name):  # noqa: ASYNC110 - another program tells no event
                    await asyncio.sleep(_PROBE_SECONDS)
        except TimeoutError as exc:
            raise StageFault("another demonstration on this machine does not get ready") from exc
        yield


def _takes(name: socket.socket) -> bool:
    try:
        name.bind(_BEGINNING)
    except OSError:
        return False
    return True


async def _is_well(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _endpoint(version: str, listener: socket.socket) -> list[str]:
    options = ["--version", version, "--fd", str(listener.fileno()), "--work", f"{WORK:g}s"]
    return [*_PYTHON, "loadtests.demo.service", *options]


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
