"""The servers behind the proxy: how each is found and started, and what it recorded.

Owns: the table of servers, their processes, reading their records. Must not: judge.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from loadtests.bench.builds import Build, Installed, Surroundings
from loadtests.bench.children import running
from loadtests.bench.faults import Missing
from loadtests.smuggling.ports import choose_ports
from loadtests.smuggling.waiting import wait_until_listening

_SERVERS = Path(__file__).with_name("servers")
_PROGRAMS = "loadtests.smuggling.servers"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that a server saw. `at`: seconds of the epoch; `client`: X-Forwarded-For; `body`: its length, None
    where nobody counted.
    """

    at: float
    method: str
    target: str
    host: str | None
    id: str
    connection: int
    client: str | None
    body: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that a server took for no request. `connection` where the server says it."""

    at: float
    why: str
    connection: int | None


Event = Seen | Refused


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server of a run is."""

    port: int
    behind: int  # of the recorder, where the server is itself a proxy
    folder: Path

    @property
    def record(self) -> Path:
        """What it, or its recorder, writes down."""
        return self.folder / "record"

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server. `code` begins the paths of its requests; it has two letters, so that lengths stay what they are."""

    code: str
    title: str
    find: Callable[[], Build]  # raises Missing
    arguments: Sequence[str]
    template: str | None = None
    recorder: Sequence[str] = ()
    read: Callable[[Place], list[Event]] = lambda place: [_event(line) for line in _lines(place.record)]

    @contextmanager
    def serving(self, place: Place) -> Iterator[None]:
        """Run it for the length of the block; it answers when the block begins.

        Raises:
            Missing: the program is not there.
            Invalid: it did not start.
        """
        program = str(self.find().path)
        place.folder.mkdir()
        place.record.touch()
        values = {"@{port}": str(place.port), "@{behind}": str(place.behind), "@{folder}": str(place.folder)}
        values |= {"@{record}": str(place.record), "@{config}": str(place.folder / "config")}
        if self.template:
            (place.folder / "config").write_text(_filled((_SERVERS / self.template).read_text(), values))
        environment = {"SMUGGLING_RECORD": str(place.record)}
        command = [program, *(_filled(text, values) for text in self.arguments)]
        behind = [_filled(text, values) for text in self.recorder]
        with ExitStack() as stack:
            if behind:
                log = place.folder / "recorder-log"
                child = stack.enter_context(running(behind, log=log, environment=environment))
                wait_until_listening(place.behind, child, self.title, log)
            child = stack.enter_context(running(command, log=place.log, environment=environment))
            wait_until_listening(place.port, child, self.title, place.log)
            yield


def places(upstreams: Sequence[Upstream], folder: Path) -> dict[str, Place]:
    """By their codes: ports that no other of them has, and folders in this one that are not there yet."""
    ports = iter(choose_ports(2 * len(upstreams)))
    return {each.code: Place(next(ports), next(ports), folder / each.code) for each in upstreams}


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text


# --- where they come from ---------------------------------------------------------------------------------------------


_NOTHING_TO_FETCH = Surroundings(Path(), may_fetch=False, announce=lambda text: None)


def _program(name: str, package: str, *asked: str) -> Callable[[], Build]:
    return lambda: Installed(name, package, asked).find(_NOTHING_TO_FETCH)


def _library(name: str) -> Callable[[], Build]:
    def find() -> Build:
        try:
            return Build(Path(sys.executable), version(name), "PyPI")
        except PackageNotFoundError as exc:
            raise Missing(f"{name} is not installed: pip install {name}") from exc

    return find


def _python() -> Build:
    return Build(Path(sys.executable), sys.version.split()[0], "this Python")


# --- what they recorded -----------------------------------------------------------------------------------------------


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(errors="replace").splitlines()]


def _event(line: dict[str, Any]) -> Event:
    if "refused" in line:
        return Refused(line["at"], line["refused"], line["connection"])
    return Seen(**line)


def _of_nginx(place: Place) -> list[Event]:
    """From its access log. 400 without an identifier was no request; without a line it is an end of the connection."""
    events: list[Event] = []
    for line in _lines(place.record):
        status, text = line.pop("status"), line.pop("request")
        if status == 400 and not line["id"]:
            if text:
                events.append(Refused(line["at"], f"400 {text}", line["connection"]))
        else:
            events.append(_event(line | {"host": line["host"] or None}))
    return events


_REFUSED_LINE = re.compile(r"(?P<ms>\d{13}) PR\S* (?P<status>\d+) (?P<port>\d+) (?P<line>.*)")


def _of_haproxy(place: Place) -> list[Event]:
    """What came through to its recorder, and what it refused by itself, from its log."""
    refused = _REFUSED_LINE.finditer(place.log.read_text(errors="replace"))
    return [
        *map(_event, _lines(place.record)),
        *(Refused(int(each["ms"]) / 1000, f"{each['status']} {each['line']}", int(each["port"])) for each in refused),
    ]


# --- the table --------------------------------------------------------------------------------------------------------

_AIOHTTP = ["-P", "-m", f"{_PROGRAMS}.async_web"]

UPSTREAMS: tuple[Upstream, ...] = (
    Upstream(
        code="ng",
        title="nginx",
        find=_program("nginx", "nginx-light", "-v"),
        arguments=["-e", "stderr", "-p", "@{folder}", "-c", "@{config}"],
        template="nginx.conf",
        read=_of_nginx,
    ),
    Upstream(
        code="ha",
        title="HAProxy",
        find=_program("haproxy", "haproxy", "-v"),
        arguments=["-db", "-f", "@{config}"],
        template="haproxy.cfg",
        recorder=[sys.executable, *_AIOHTTP, "@{behind}"],
        read=_of_haproxy,
    ),
    Upstream(
        code="no",
        title="Node",
        find=_program("node", "nodejs", "--version"),
        arguments=[str(_SERVERS / "node.js"), "@{port}"],
    ),
    Upstream(
        code="gu",
        title="gunicorn",
        find=_library("gunicorn"),
        arguments=[
            *("-m", "gunicorn", "--bind", "127.0.0.1:@{port}", "--worker-class", "gthread", "--threads", "8"),
            *("--keep-alive", "75", "--worker-tmp-dir", "@{folder}", f"{_PROGRAMS}.wsgi:application"),
        ],
    ),
    Upstream(
        code="uv",
        title="uvicorn",
        find=_library("uvicorn"),
        arguments=[
            *("-m", "uvicorn", "--host", "127.0.0.1", "--port", "@{port}", "--no-access-log", "--http", "httptools"),
            *("--ws", "none", "--lifespan", "off", "--timeout-keep-alive", "75", f"{_PROGRAMS}.asgi:application"),
        ],
    ),
    Upstream(code="ai", title="aiohttp", find=_library("aiohttp"), arguments=[*_AIOHTTP, "@{port}"]),
    Upstream(code="py", title="http.server", find=_python, arguments=["-P", "-m", f"{_PROGRAMS}.plain", "@{port}"]),
)
