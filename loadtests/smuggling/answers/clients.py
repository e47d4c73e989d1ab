"""The clients: curl, Node's http, and those of Python, each as its users use it.

Owns: asking one thing after the other on a connection that the client keeps if it likes. Must not: judge.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final

import aiohttp

from loadtests.bench.builds import Build, Installed, Surroundings
from loadtests.bench.faults import Missing

_PATIENCE: Final = 60.0
_NODE: Final = Path(__file__).with_name("node_client.js")
Ask = tuple[str, str]  # method and path


@dataclass(frozen=True, slots=True)
class Got:
    """What a client took for the answer; `error`: why it took none."""

    status: int
    body: bytes
    error: str = ""


class Client(ABC):
    """One client. `knows_interim`: it takes an answer like 103 for what it is, not for the final one."""

    code: ClassVar[str]  # two letters
    title: ClassVar[str]
    knows_interim: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def find(cls) -> str:
        """Its version. Raises Missing."""

    def __init__(self, port: int) -> None:
        self.port = port

    @abstractmethod
    def talk(self, *asks: Ask, between: Callable[[], None]) -> list[Got]:
        """Ask one after the other, on a connection that no earlier talk has used."""

    def end(self) -> None:  # noqa: B027  # most hold nothing
        """Give back what it holds."""


class HttpClient(Client):
    """Python's http.client. It takes any interim answer but 100 for the final one."""

    code, title, knows_interim = "hc", "http.client", False

    @classmethod
    def find(cls) -> str:
        """Its version."""
        return sys.version.split()[0]

    def talk(self, *asks: Ask, between: Callable[[], None]) -> list[Got]:
        """Ask one after the other."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        found = []
        for method, path in asks:
            try:
                connection.request(method, path)
                answer = connection.getresponse()
                found.append(Got(answer.status, answer.read()))
            except (OSError, http.client.HTTPException) as exc:
                found.append(Got(0, b"", repr(exc)))
                connection.close()
            between()
        connection.close()
        return found


class Requests(Client):
    """requests, over urllib3, over http.client."""

    code, title, knows_interim = "rq", "requests", False

    @classmethod
    def find(cls) -> str:
        """Its version."""
        try:
            return version("requests")
        except PackageNotFoundError as exc:
            raise Missing("requests is not installed: pip install requests") from exc

    def talk(self, *asks: Ask, between: Callable[[], None]) -> list[Got]:
        """Ask one after the other."""
        import requests

        found = []
        with requests.Session() as session:
            session.trust_env = False
            for method, path in asks:
                try:
                    answer = session.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=_PATIENCE)
                    found.append(Got(answer.status_code, answer.content))
                except requests.RequestException as exc:
                    found.append(Got(0, b"", repr(exc)))
                between()
        return found


class Aiohttp(Client):
    """aiohttp's client."""

    code, title = "ai", "aiohttp"

    @classmethod
    def find(cls) -> str:
        """Its version."""
        return version("aiohttp")

    def talk(self, *asks: Ask, between: Callable[[], None]) -> list[Got]:
        """Ask one after the other."""
        return asyncio.run(self._talk(asks, between))

    async def _talk(self, asks: tuple[Ask, ...], between: Callable[[], None]) -> list[Got]:
        """Ask one after the other."""
        found = []
        timeout = aiohttp.ClientTimeout(total=_PATIENCE)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", timeout=timeout) as session:
            for method, path in asks:
                try:
                    async with session.request(method, path) as answer:
                        found.append(Got(answer.status, await answer.read()))
                except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
                    found.append(Got(0, b"", repr(exc)))
                await asyncio.to_thread(between)
        return found


_NOTHING_TO_FETCH: Final = Surroundings(Path(), may_fetch=False, announce=lambda text: None)


class Curl(Client):
    """curl: all of a talk by one command."""

    code, title = "cu", "curl"

    @classmethod
    def find(cls) -> str:
        """Its version."""
        return Installed("curl", "curl", ["--version"]).find(_NOTHING_TO_FETCH).version

    def talk(self, *asks: Ask, between: Callable[[], None]) -> list[Got]:
        """Ask one after the other."""
        with TemporaryDirectory(prefix="serinus-curl-") as folder:
            words = ["curl"]
            paths = [Path(folder) / str(number) for number in range(len(asks))]
            for (method, path), body in zip(asks, paths, strict=True):
                words += ["--next"] if len(words) > 1 else []
                words += ["-q", "-s", "--noproxy", "*", "-m", f"{_PATIENCE:.0f}", "-w", "%{http_code} %{exitcode}\n"]
                words += ["-I"] if method == "HEAD" else []
                words += ["-o", "/dev/null" if method == "HEAD" else str(body), f"http://127.0.0.1:{self.port}{path}"]
            said = subprocess.run(words, stdout=subprocess.PIPE, check=False, text=True).stdout.splitlines()
            between()
            return [self._got(line, body) for line, body in zip(said, paths, strict=True)]

    @staticmethod
    def _got(line: str, path: Path) -> Got:
        status, code = line.split()
        if code != "0":
            return Got(0, b"", f"curl's exit code {code}")
        return Got(int(status), path.read_bytes() if path.exists() else b"")


class Node(Client):
    """Node's http with an agent that keeps connections."""

    code, title = "no", "Node"

    @classmethod
    def _build(cls) -> Build:
        return Installed("node", "nodejs", ["--version"]).find(_NOTHING_TO_FETCH)

    @classmethod
    def find(cls) -> str:
        """Its version."""
        return cls._build().version

    def __init__(self, port: int) -> None:
        super().__init__(port)
        command = [str(self._build().path), str(_NODE), str(port)]
        self._program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def talk(self, *asks: Ask, between: Callable[[], None]) -> list[Got]:
        """Ask one after the other."""
        found = []
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        for number, (method, path) in enumerate(asks):
            wish = {"method": method, "path": path, "fresh": number == 0}
            print(json.dumps(wish), file=self._program.stdin, flush=True)
            got: dict[str, Any] = json.loads(self._program.stdout.readline())
            found.append(Got(got["status"], got["body"].encode("latin-1"), got["error"]))
            between()
        return found

    def end(self) -> None:
        """End its program."""
        self._program.kill()
        with suppress(BrokenPipeError):
            self._program.communicate()


CLIENTS: Final[tuple[type[Client], ...]] = (Curl, Node, HttpClient, Requests, Aiohttp)


@contextmanager
def running_client(kind: type[Client], port: int) -> Iterator[Client]:
    """A client for the length of the block."""
    client = kind(port)
    try:
        yield client
    finally:
        client.end()
