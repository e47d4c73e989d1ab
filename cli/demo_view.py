"""What `serinus demo` shows: a picture in place on a terminal, a line per second elsewhere, JSON lines when asked.

Owns the pictures and words. Must not start, ask or count anything.
"""

import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
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
from cli.tables import draw_service, make_console
from cli.words import duration, percent, rate
from loadtests.demo.stage import SERVICE, Stage
from loadtests.demo.traffic import Tally

_BAR: Final = 40


class Recent:
    """The shares of the versions in the answers since `LOOKS` looks ago: what a change of the split moves at once."""

    LOOKS: Final = 2

    def __init__(self) -> None:
        self._past: deque[Counter[str]] = deque([Counter()], maxlen=self.LOOKS)

    def look(self, answered: Counter[str]) -> dict[str, float]:
        """The shares, of which there are none while nothing was answered."""
        new = answered - self._past[0]
        self._past.append(answered.copy())
        return {version: number / new.total() for version, number in new.items()}


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

    def show(self, service: ServiceStatus, tally: Tally) -> None:
        """Print the line."""
        now = self._recent.look(tally.answered)
        versions = [_version_line(name, version, now.get(name)) for name, version in service["versions"].items()]
        counts = f"{tally.requests} requests, {tally.failed} failed"
        click.echo("   ".join([f"{self.seconds:4.0f} s", counts, *versions]))

    def end(self, tally: Tally) -> None:
        """Print the summary."""
        click.echo(_summary(self.seconds, tally))


class LiveView(View):
    """A picture that changes in place."""

    interval = 0.5

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._live = Live(console=make_console(), auto_refresh=False)
        self._live.start()

    def show(self, service: ServiceStatus, tally: Tally) -> None:
        """Draw the picture anew."""
        above = Text("\n".join(_places(self._stage)) + "\n")
        below = Text("\n" + "\n".join([*_things_to_try(self._stage), "", "Ctrl-C ends it."]))
        failed = Text(f"{tally.failed} failed", style="red" if tally.failed else "green")
        traffic = Text.assemble(f"clients made {tally.requests} requests, ", failed, f"  {tally.last_failure}")
        bars = _bars(list(service["versions"]), self._recent.look(tally.answered))
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
    yield f"  {command} status{option}"


def _own_command() -> str:
    """How to call this program from the same folder: by name when it is on the PATH, else by its place."""
    if shutil.which("serinus"):
        return "serinus"
    place = Path(sys.executable).with_name("serinus")
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


def _version_line(name: str, version: VersionStatus, now: float | None) -> str:
    return (
        f"{name} {percent(now)} now, {percent(version['actual'])} of {percent(version['target'])}, "
        f"{rate(version['requests_per_second'])}/s, {percent(version['error_share'])} errors, "
        f"p50 {duration(version['p50'])}, p99 {duration(version['p99'])}"
    )


def _bars(versions: Sequence[str], shares: Mapping[str, float]) -> Table:
    """What clients get right now, while `actual` is of the last minute."""
    table = Table.grid(padding=(0, 2))
    for version in versions:
        filled = round(shares.get(version, 0.0) * _BAR)
        table.add_row(f"  {version}", "█" * filled + "░" * (_BAR - filled), f"{percent(shares.get(version))} now")
    return table


def _counts(tally: Tally) -> dict[str, Any]:
    return {"requests": tally.requests, "failed": tally.failed, "answered": dict(tally.answered)}


def _summary(seconds: float, tally: Tally) -> str:
    answered = ", ".join(f"{version} {number}" for version, number in sorted(tally.answered.items()))
    failed = f"{tally.failed} failed" + (f" (the last one: {tally.last_failure})" if tally.failed else "")
    return f"{seconds:.0f} s, {tally.requests} requests: {answered or 'none answered'}; {failed}"
