"""The command `rollout plan`: what a rollout can see with the traffic that there is, or that is assumed.

Owns the table and where the plan comes from: the controller, or a file alone. Must not plan: `controller.core.planning`
does.
"""

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import click

from cli.configuration import rollout_of_file
from cli.controller import ControllerClient, Plan, PlannedRollback, StepPlan
from cli.faults import BadUsage
from cli.options import actor, controller_option, token_option
from cli.output import Output, in_lines, json_option
from cli.quantities import duration, share
from cli.words import UNKNOWN

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 140  # where no terminal says how wide it is
_COLUMNS = ("step", "share", "bake", "requests", "sees errors from", "sees slowness from")


@click.command()
@click.argument("service")
@click.option("--rate", type=click.FloatRange(0, 1e6, min_open=True), help="Requests per second. Default: as measured.")
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=str),
    metavar="FILE",
    help="Plan what this file says, with an assumed --rate and without asking the controller.",
)
@click.option("--errors", **share, default="0.1%", show_default=True, help="With -c: error rate of the old version.")
@click.option("--latency", **duration, default="40ms", show_default=True, help="With -c: median latency.")
@controller_option
@token_option
@json_option
def plan(
    service: str,
    rate: float | None,
    path: str | None,
    errors: float,
    latency: float,
    address: str,
    token: str,
    as_json: bool,
) -> None:
    """Show what each step of a rollout can see with the traffic that there is.

    For each step: the requests that the new version will get, the smallest regression that is rolled back by the end
    of the bake with a chance of 90 %, and how soon an error rate of 5, 20 or 100 % is rolled back that begins with the
    step (median; in brackets: 90 %). Where a step cannot see anything useful, it says what would help.
    """
    output = Output(as_json)
    with output.reporting():
        if path is None:
            found = ControllerClient(address, token, actor=actor()).plan(service, rate)
        else:
            found = _of_file(path, service, rate, errors, latency)
        _show(output, found)


def _of_file(path: str, service: str, rate: float | None, errors: float, latency: float) -> Plan:
    from controller.api.plan_view import plan_view
    from controller.core.planning import Measured, assumed_latencies, make_plan

    if rate is None:
        raise BadUsage("-c FILE plans without traffic: say how many requests per second with --rate")
    if not 1e-4 <= latency <= 60:
        raise BadUsage("--latency: medians from 0.1 ms to 60 s can be planned with")
    config, policy = rollout_of_file(path, service)
    endpoints = len(config.services[service].versions[policy.from_].endpoints)
    planned = make_plan(policy, endpoints, Measured(rate, errors, assumed_latencies(latency)))
    return cast(Plan, plan_view(service, policy, planned).model_dump(mode="json", by_alias=True))


def _show(output: Output, found: Plan) -> None:
    if output.as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo("\n".join([_heading(found), in_lines(_draw(found), _WIDTH), *found["sentences"]]))


def _heading(found: Plan) -> str:
    from controller.core.plan_words import amount, in_short
    from controller.core.verdict import percent, seconds

    since = f"in the last {in_short(found['seconds'])}" if found["seconds"] else "assumed"
    latency = f", p50 {seconds(found['p50'])}, p99 {seconds(found['p99'] or 0.0)}" if found["p50"] else ""
    whose = f"{found['rollout']}, " if found["rollout"] else ""
    traffic = f"{amount(found['rate'])} requests per second, {percent(found['errors'])} errors{latency} ({since})"
    return f"{found['service']}: {whose}{found['strategy']} to {found['to']}; {traffic}"


def _draw(found: Plan) -> "Table":
    from rich.table import Table

    table = Table(show_lines=True)
    rates = [each["error_rate"] for each in found["steps"][0]["rollbacks"]]
    for name in (*_COLUMNS, *(f"{rate:.0%} errors" for rate in rates)):
        table.add_column(name)
    for step in found["steps"]:
        table.add_row(*_cells(step), style="bold" if step["is_now"] else "")
    return table


def _cells(step: StepPlan) -> Iterator[str]:
    from controller.core.plan_words import amount, in_short
    from controller.core.verdict import percent, points

    more, slower = step["sees_errors_more"], step["sees_slower"]
    yield f"{step['step'] + 1}" + (" (now)" if step["is_now"] else "")
    yield percent(step["weight"] / 100)
    yield in_short(step["bake"])
    yield amount(step["requests"])
    yield UNKNOWN if more is None else f"{percent(step['sees_errors'] or 0.0)} (+{points(more)})"
    yield UNKNOWN if slower is None else f"x {slower:.2g}"
    yield from (_rollback(each) for each in step["rollbacks"])


def _rollback(each: PlannedRollback) -> str:
    from controller.core.plan_words import amount, in_short

    if each["seconds"] is None:
        return UNKNOWN
    times = [float(math.ceil(time)) for time in (each["seconds"], each["seconds_surely"]) if time is not None]
    surely = f" ({in_short(times[1])})" if len(times) > 1 else ""
    by = ", by breaker" if each["by"] == "breaker" else ""
    bad: Any = each["bad_requests"]
    return f"{in_short(times[0])}{surely}\n{amount(bad)} bad{by}"
