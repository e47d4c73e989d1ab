"""The live state as a table: what `status`, `watch` and `demo` show.

Owns columns and colours. Must not ask for anything: it draws what it is given. Colour only repeats what the text says.
"""

from collections.abc import Iterable
from typing import Final

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.output import in_lines
from cli.shapes import EndpointStatus, ServiceStatus, State, VersionStatus
from cli.words import change_in_words, duration, endpoint_in_words, percent, rate

_PLAIN_WIDTH: Final = 200  # where no terminal says how wide it is, so that lines in files and pipes stay whole


def print_state(state: State) -> None:
    """Print all services on standard output; plain lines when that is no terminal."""
    click.echo(in_lines(draw_state(state), _PLAIN_WIDTH))


def draw_state(state: State) -> RenderableType:
    """All services."""
    return Group(*(draw_service(service) for service in state["services"].values()))


def draw_service(service: ServiceStatus) -> RenderableType:
    """One service: a row for each version with its endpoints below, and the last change."""
    mode = f"active: {service['active']}" if service["active"] else "split"
    title = Text.assemble((service["name"], "bold"), f"  {mode}")
    table = Table(box=None, pad_edge=False, title_justify="left", title=title, title_style="")
    table.add_column("version")
    for name in ("weight", "target", "last min", "req/s", "errors", "p50", "p99"):
        table.add_column(name, justify="right")
    table.add_column("endpoints")
    for name, version in service["versions"].items():
        table.add_row(name, *_numbers(version), _endpoints(version["endpoints"]))
    lines = [Text(f"last change: {change_in_words(service['last_change'])}", style="dim")]
    if service["lease"] is not None and service["lease"]["ran_out"] is not None:
        ran_out = service["lease"]["ran_out"]
        lines.append(Text(f"the controller is lost, {ran_out['done']}: {ran_out['reason']}", style="red"))
    return Group(table, *lines, Text())


def _numbers(version: VersionStatus) -> Iterable[RenderableType]:
    errors = version["error_share"]
    return (
        f"{version['weight']:g}",
        percent(version["target"]),
        percent(version["actual"]),
        rate(version["requests_per_second"]),
        Text(percent(errors), style="red" if errors else ""),
        duration(version["p50"]),
        duration(version["p99"]),
    )


def _endpoints(endpoints: list[EndpointStatus]) -> RenderableType:
    if not endpoints:
        return Text("none", style="yellow")
    lines = Text()
    for number, endpoint in enumerate(endpoints):
        is_well = endpoint_in_words(endpoint) == "up"
        lines.append("\n" if number else "")
        lines.append(f"{endpoint['address']} {endpoint_in_words(endpoint)}", style="green" if is_well else "yellow")
    return lines
