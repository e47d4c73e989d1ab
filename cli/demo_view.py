"""What `serinus demo` shows where there is no terminal: a line per event, or JSON lines when asked.

Owns what a view is, and these two. The picture on a terminal is `cli.demo_live`. Must not start, ask or count anything.
"""

import sys
from abc import ABC, abstractmethod
from typing import Any

import click

from cli.demo_ending import Ending
from cli.demo_story import Happening, Scene
from cli.demo_words import moved, places, things_to_try
from cli.output import Output
from cli.rollout_words import place_in_words, weights_in_words
from loadtests.demo.stage import Stage

_QUIET_SECONDS = 10.0


class View(ABC):
    """Shows one demonstration: `tell` what happens, `show` every `interval` seconds, then `end`, however it ends."""

    interval = 1.0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @abstractmethod
    def tell(self, happening: Happening) -> None:
        """This has just happened."""

    @abstractmethod
    def show(self, scene: Scene) -> None:
        """This is how it looks now."""

    @abstractmethod
    def end(self, ending: Ending) -> None:
        """This is what it came to; leave the terminal as it was."""


class JsonView(View):
    """One JSON object per line: what runs where, every event, every second, the summary."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        commands = [command for command, _ in things_to_try(stage)]
        urls = {name: stage.url(name) for name in stage.ports}
        self._print("ready", urls=urls, config=str(stage.configuration), try_=commands)

    def tell(self, happening: Happening) -> None:
        """Print the event."""
        self._print(happening.kind, at=happening.at, text=happening.text, **happening.numbers)

    def show(self, scene: Scene) -> None:
        """Print the second."""
        recent = {
            version: {"answered": each.answered, "failed": each.failed, "p50": each.p50, "p99": each.p99}
            for version, each in scene.recent.items()
        }
        tally = scene.tally
        traffic = {"requests": tally.requests, "failed": tally.failed, "answered": dict(tally.answered)}
        self._print(
            "second", at=round(scene.seconds, 1), traffic=traffic, last_seconds=recent,
            service=scene.service, rollout=scene.rollout, now=scene.now,
        )  # fmt: skip

    def end(self, ending: Ending) -> None:
        """Print the summary."""
        self._print("summary", **ending.as_json())

    def _print(self, event: str, **fields: Any) -> None:
        Output(as_json=True).show({"event": event, **{name.rstrip("_"): value for name, value in fields.items()}}, "")
        sys.stdout.flush()


class LineView(View):
    """Plain lines, for files and pipes: one per event, and a sign of life where nothing happens for long."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._told = 0.0
        width = max(len(address) for _, address, _ in places(stage))
        for name, address, purpose in places(stage):
            click.echo(f"{name:<10}  {address:<{width}}  {purpose}".rstrip())
        for sentence in moved(stage):
            click.echo(sentence)
        click.echo("\nIn a second terminal:")
        for command, purpose in things_to_try(stage):
            click.echo(f"  {command}    # {purpose}")
        click.echo()

    def tell(self, happening: Happening) -> None:
        """Print the event."""
        self._line(happening.at, happening.text)

    def show(self, scene: Scene) -> None:
        """Say where it is, when nothing has been said for long."""
        rollout = scene.rollout
        if rollout is not None and scene.seconds - self._told >= _QUIET_SECONDS:
            where = f"{place_in_words(rollout)} ({weights_in_words(rollout)})"
            waits = f": {rollout['waits']}" if rollout["waits"] else ""
            self._line(scene.seconds, f"{where}, {scene.tally.failed:,} failed{waits}")

    def end(self, ending: Ending) -> None:
        """Print the summary."""
        click.echo()
        for sentence in ending.sentences():
            click.echo(sentence)

    def _line(self, at: float, text: str) -> None:
        self._told = at
        click.echo(f"{at:6.1f} s  {text}")
        sys.stdout.flush()


def choose_view(output: Output) -> type[View]:
    """The view for where standard output goes."""
    if output.as_json:
        return JsonView
    if not sys.stdout.isatty():
        return LineView
    from cli.demo_live import LiveView

    return LiveView
