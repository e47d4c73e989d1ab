"""Commands that show what is live: `status` once, `watch` again and again."""

import itertools
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import click

from cli.client import AdminClient
from cli.faults import Unreachable
from cli.options import talks_to_admin
from cli.output import Output


@click.command()
@talks_to_admin
def status(admin: AdminClient, output: Output) -> None:
    """Show services, versions, shares, rates and health."""
    _print(admin, output)


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="From one look to the next.",
)
@click.option("--updates", type=click.IntRange(min=1), metavar="N", help="End after so many. Default: at Ctrl-C.")
@talks_to_admin
def watch(admin: AdminClient, output: Output, interval: float, updates: int | None) -> None:
    """Show what `status` shows, live.

    Into a pipe it prints one status after the other, with --json one per line.
    """
    turns = itertools.count() if updates is None else range(updates)
    with suppress(KeyboardInterrupt):
        if sys.stdout.isatty() and not output.as_json:
            _draw_live(admin, interval, turns)
            return
        for turn in turns:
            if turn:
                time.sleep(interval)
            _print(admin, output)


def _print(admin: AdminClient, output: Output) -> None:
    state = admin.state()
    if output.as_json:
        output.show(state, "")
        return
    from cli.tables import print_state  # rich: only for those who look

    print_state(state)


def _draw_live(admin: AdminClient, interval: float, turns: Iterable[int]) -> None:
    """Draw over and over in the same place; a proxy that goes away in between is waited for."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from cli.tables import draw_state

    state, trouble = admin.state(), ""
    with Live(auto_refresh=False) as live:
        for _ in turns:
            live.update(Group(draw_state(state), Text(trouble, style="red")), refresh=True)
            time.sleep(interval)
            try:
                state, trouble = admin.state(), ""
            except Unreachable as exc:
                trouble = str(exc)
