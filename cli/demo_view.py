"""What `serinus demo` shows: a picture in place on a terminal, a line per second elsewhere, JSON lines when asked.

Owns the pictures and words. Must not start, ask or count anything.
"""

import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.client import DEFAULT_ADMIN
from cli.output import Output
from cli.shapes import ServiceStatus, VersionStatus
from cli.tables import draw_service
from cli.words import change_in_words, duration, percent, rate
from loadtests.demo.stage import SERVICE, Stage
from loadtests.demo.traffic import Tally

_BAR: Final = 40


@dataclass(frozen=True, slots=True)
class Now:
    """What clients get right now, which a change of the split moves at once."""

    rate: float
    """Requests per second."""
    shares: Mapping[str, float]
    """Of the versions in the answers; empty when there were none."""

    def share(self, version: str) -> float | None:
        """The share of one version, when anything was answered."""
        return self.shares.get(version, 0.0) if self.shares else None


class Recent:
    """What has come to the tally in the last two looks at it."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, int, Counter[str]]] = deque([(0.0, 0, Counter())], maxlen=2)

    def look(self, seconds: float, tally: Tally) -> Now:
        """What is new at this time, in seconds since the beginning."""
        then, requests, answered = self._past[0]
        self._past.append((seconds, tally.requests, tally.answered.copy()))
        new = tally.answered - answered
        return Now(
            rate=(tally.requests - requests) / max(seconds - then, 0.001),
            shares={version: number / new.total() for version, number in new.items()},
        )


class View(ABC):
    """Shows one demonstration: `show` every `interval` seconds, then `end`, however it ends."""

    interval = 1.0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._started = time.monotonic()
        self._recent = Recent()

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return time.monotonic() - self._started

    @abstractmethod
    def show(self, service: ServiceStatus, tally: Tally) -> None:
        """This is how it looks now."""

    @abstractmethod
    def end(self, tally: Tally) -> None:
        """This is what it came to; leave the terminal as it was."""


class JsonView(View):
    """One JSON object per line: what runs where, one per second, the summary."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._print({"urls": {name: stage.url(name) for name in stage.ports}, "config": str(stage.configuration)})

    def show(self, service: ServiceStatus, tally: Tally) -> None:
        """Print the second."""
        self._print({"seconds": round(self.seconds, 1), "traffic": _counts(tally), "service": service})

    def end(self, tally: Tally) -> None:
        """Print the summary."""
        self._print({"summary": {"seconds": round(self.seconds, 1), **_counts(tally)}})

    def _print(self, value: Any) -> None:
        Output(as_json=True).show(value, "")


class LineView(View):
    """Plain lines, for files and pipes."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        click.echo("\n".join([*_places(stage), "", *_things_to_try(stage), ""]))
        self._generation = 1

    def show(self, service: ServiceStatus, tally: Tally) -> None:
        """Print the line."""
        now = self._recent.look(self.seconds, tally)
        versions = [_version_line(name, version, now.share(name)) for name, version in service["versions"].items()]
        counts = f"{rate(now.rate)} requests/s, {tally.failed} failed"
        click.echo("   ".join([f"{self.seconds:4.0f} s", counts, *versions]))
        if service["generation"] != self._generation:
            click.echo(f"        last change: {change_in_words(service['last_change'])}")
            self._generation = service["generation"]

    def end(self, tally: Tally) -> None:
        """Print the summary."""
        click.echo(_summary(self.seconds, tally))


class LiveView(View):
    """A picture that changes in place."""

    interval = 0.5

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._live = Live(auto_refresh=False)
        self._live.start()

    def show(self, service: ServiceStatus, tally: Tally) -> None:
        """Draw the picture anew."""
        above = Text("\n".join(_places(self._stage)) + "\n")
        below = Text("\n" + "\n".join([*_things_to_try(self._stage), "", "Ctrl-C ends it."]))
        now = self._recent.look(self.seconds, tally)
        failed = Text(f"{tally.failed} failed", style="red" if tally.failed else "green")
        traffic = Text.assemble(f"clients: {rate(now.rate)} requests/s, ", failed, f"  {tally.last_failure}")
        bars = _bars(list(service["versions"]), now)
        self._live.update(Group(above, draw_service(service), traffic, bars, below), refresh=True)

    def end(self, tally: Tally) -> None:
        """Leave the last picture, with the summary below."""
        self._live.stop()
        click.echo(_summary(self.seconds, tally))


def choose_view(output: Output) -> type[View]:
    """The view for where standard output goes."""
    if output.as_json:
        return JsonView
    return LiveView if sys.stdout.isatty() else LineView


def _places(stage: Stage) -> Iterator[str]:
    """What runs where, and why it is not where it usually is."""
    yield f"{SERVICE}       {stage.url('proxy')}   what users call"
    yield f"  stable   {stage.url('stable')}   90 % of the requests at first"
    yield f"  canary   {stage.url('canary')}   10 %"
    yield f"admin API  {stage.url('admin')}"
    for name, port in stage.moved_ports().items():
        yield f"Port {port} is taken, so {name} has another one."


def _things_to_try(stage: Stage) -> Iterator[str]:
    admin = stage.url("admin").removeprefix("http://")
    option = "" if admin == DEFAULT_ADMIN else f" --admin {admin}"
    command = _own_command()
    yield "In a second terminal:"
    yield f"  {command} split {SERVICE} stable=50 canary=50{option}"
    yield f"""  curl -X PUT {stage.url("canary")}/knobs -d '{{"error_rate": 0.2, "delay": "100ms"}}'"""
    yield '    (with "error_rate": 1 the breaker takes the canary out)'
    yield f"  {command} status{option}"


def _own_command() -> str:
    """How to call this program from the same folder: by name when it is on the PATH, else by its place."""
    if shutil.which("serinus"):
        return "serinus"
    place = Path(sys.executable).with_name("serinus")
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


def _version_line(name: str, version: VersionStatus, now: float | None) -> str:
    return (
        f"{name} {percent(now)}, target {percent(version['target'])}, {percent(version['error_share'])} errors, "
        f"p50 {duration(version['p50'])}, p99 {duration(version['p99'])}"
    )


def _bars(versions: Sequence[str], now: Now) -> Table:
    """The shares of now, below a table with those of the last minute."""
    table = Table.grid(padding=(0, 2))
    for version in versions:
        share = now.share(version)
        filled = round((share or 0.0) * _BAR)
        table.add_row(f"  {version}", "█" * filled + "░" * (_BAR - filled), f"{percent(share)} now")
    return table


def _counts(tally: Tally) -> dict[str, Any]:
    return {"requests": tally.requests, "failed": tally.failed, "answered": dict(tally.answered)}


def _summary(seconds: float, tally: Tally) -> str:
    answered = ", ".join(f"{version} {number}" for version, number in sorted(tally.answered.items()))
    failed = f"{tally.failed} failed" + (f" (the last one: {tally.last_failure})" if tally.failed else "")
    return f"{seconds:.0f} s, {tally.requests} requests: {answered or 'none answered'}; {failed}"
