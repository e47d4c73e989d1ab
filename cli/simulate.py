"""The command `simulate`: the rollout policy of a file on simulated traffic, beside the rules of Flagger and Argo.

Owns the options and the errors of impossible ones. Must not simulate (`loadtests.simulate` does).
"""

import importlib.util
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from cli.configuration import rollout_of_file
from cli.faults import BadUsage, Fault
from cli.options import file_option
from cli.output import Output, in_lines, json_option
from cli.quantities import duration, share

if TYPE_CHECKING:
    from config.model import Config
    from loadtests.simulate.running import Table, Task
    from loadtests.simulate.scenarios import Change

_WIDTH: Final = 140  # where no terminal says how wide it is
_INTERRUPTED: Final = 130
_SLOWEST: Final = 4.0  # seconds, of simulated latencies
_LONGEST: Final = 7 * 86400
_PICTURES: Final = (".svg", ".html")


class CannotSimulate(Fault):
    """Something that a simulation needs is not there."""


@click.command()
@click.argument("service")
@file_option
@click.option(
    "--rate", type=click.FloatRange(0.01, 10_000), default=50.0, show_default=True, help="Requests per second."
)
@click.option("--old-errors", **share, default="0.1%", show_default=True, help="Error rate of the old version.")
@click.option("--latency", **duration, default="40ms", show_default=True, help="Median latency of the service.")
@click.option(
    "--shape",
    type=click.Choice(["long-tail", "narrow", "two-speeds"]),
    default="long-tail",
    show_default=True,
    help="How latencies are spread: 5 % five times as slow; all alike; 20 % ten times as slow.",
)
@click.option("--new-errors", **share, help="Error rate of the new version.")
@click.option("--slower", type=click.FloatRange(0.1, 50), help="The new version takes so many times as long.")
@click.option("--bursts", **share, help="Share of the new version's requests that begin a burst of 15 failures.")
@click.option("--outage", **share, help="Error rate of both versions, for three minutes from the first minute on.")
@click.option("--cold-start", **share, help="Error rate of the new version in its first 20 seconds.")
@click.option("--bad-from", **duration, default="0s", help="When --new-errors and --slower begin.")
@click.option(
    "--runs", type=click.IntRange(1, 10_000), help="Rollouts of each scenario. Default: half a minute of them."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed, the same numbers.")
@click.option("--processes", type=click.IntRange(1, 256), help="Default: one per core.")
@click.option("--same-steps", is_flag=True, help="Flagger and Argo take the steps of this policy instead of their own.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw .svg or .html.")
@json_option
def simulate(
    service: str,
    path: str,
    rate: float,
    old_errors: float,
    latency: float,
    shape: str,
    runs: int | None,
    seed: int,
    processes: int | None,
    same_steps: bool,
    plot: Path | None,
    as_json: bool,
    **change: float | None,
) -> None:
    """Try the rollout policy of a file on simulated traffic.

    Whole rollouts are run by the controller's own judge, for a set of new versions: good ones, bad ones, and good ones
    in bad times. Beside them stand the rules of Flagger and Argo Rollouts on the same traffic. Options that say what
    the new version does (--new-errors, --slower, --bursts, --outage, --cold-start) replace the set by that one.
    """
    output = Output(as_json)
    with output.reporting():
        _check_ready(plot)
        config = _loaded(path, service)
        from loadtests.simulate.running import Task, affordable_runs
        from loadtests.simulate.running import simulate as run
        from loadtests.simulate.scenarios import Traffic, usual_changes

        traffic = Traffic(rate, old_errors, latency, shape)
        own = _own_change(change, latency, old_errors)
        changes = (own,) if own else tuple(usual_changes(traffic))
        task = Task(path, service, traffic, changes, 1, seed, same_steps)
        _check_length(config, task, change["bad_from"] or 0.0)
        task = Task(path, service, traffic, changes, runs or affordable_runs(task.policy()), seed, same_steps)
        try:
            with _Bar(sys.stderr, task.runs) as bar:
                table = run(task, processes or os.cpu_count() or 1, bar.move)
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)
        _show(output, task, table)
        if plot is not None:
            _draw(plot, task, table)


def _check_ready(plot: Path | None) -> None:
    if importlib.util.find_spec("numpy") is None:
        raise CannotSimulate("simulating needs numpy: pip install 'serinus[simulate]'")
    if plot is not None and plot.suffix not in _PICTURES:
        raise BadUsage(f"--plot {plot}: the name must end in {' or '.join(_PICTURES)}")
    if plot is not None and not plot.absolute().parent.is_dir():
        raise BadUsage(f"--plot {plot}: there is no folder {plot.absolute().parent}")


def _loaded(path: str, service: str) -> "Config":
    config, rollout = rollout_of_file(path, service)
    if rollout.strategy == "rolling":
        raise BadUsage(
            f"the rollout of {service} is rolling: what its traffic does depends on how endpoints are deployed, which "
            "cannot be simulated; canary and blue-green can"
        )
    return config


def _own_change(change: dict[str, float | None], latency: float, old_errors: float) -> "Change | None":
    """The new version that the options describe; None when they describe none."""
    from loadtests.simulate.scenarios import Change
    from loadtests.simulate.summary import in_short, percent

    given = {name: value for name, value in change.items() if value is not None and name != "bad_from"}
    bad_from = change["bad_from"] or 0.0
    if bad_from and not {"new_errors", "slower"} & given.keys():
        raise BadUsage("--bad-from says when the new version becomes bad: say how with --new-errors or --slower")
    slowest = latency * max(given.get("slower", 1.0), 1.0)
    if not latency >= 0.002 or slowest > _SLOWEST / 2:
        raise BadUsage(f"medians from 2 ms to {_SLOWEST / 2:g} s can be simulated; this one would be {slowest:g} s")
    if not given:
        return None
    errors = given.get("new_errors")
    words = [
        *([f"{percent(errors)} errors"] if errors is not None else []),
        *([f"{given['slower']:g} times as slow"] if "slower" in given else []),
        *([f"from {in_short(bad_from)} on"] if bad_from else []),
        *(["bursts"] if given.get("bursts") else []),
        *([f"both fail: {percent(given['outage'])} for 3 minutes"] if given.get("outage") else []),
        *([f"cold start with {percent(given['cold_start'])} errors"] if given.get("cold_start") else []),
    ]
    return Change(
        ", ".join(words) or "as good as the old one",
        errors=errors,
        slower=given.get("slower", 1.0),
        bursts=given.get("bursts", 0.0),
        outage=given.get("outage", 0.0),
        cold_start=given.get("cold_start", 0.0),
        bad_from=bad_from,
    )


def _check_length(config: "Config", task: "Task", bad_from: float) -> None:
    from loadtests.simulate.summary import in_short

    shortest = task.policy().shortest
    if shortest > _LONGEST:
        raise BadUsage(f"the steps of {task.service} take {in_short(shortest)}; a week at most can be simulated")
    if bad_from >= max(shortest, 1):
        raise BadUsage(
            f"--bad-from {in_short(bad_from)}: this rollout can be over after {in_short(shortest)}, and nobody would "
            "see what begins later"
        )


class _Bar:
    """A progress bar on standard error, if that is a terminal."""

    def __init__(self, stream: TextIO, runs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(file=stream)
        label = TextColumn(f"simulates {runs} rollouts of each")
        self._progress = Progress(
            label, BarColumn(), TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._progress.add_task("")

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def move(self, done: int, total: int) -> None:
        """So much of it is done."""
        self._progress.update(self._task, completed=done, total=total)


def _show(output: Output, task: "Task", table: "Table") -> None:
    from loadtests.simulate.drawing import draw, sentences

    if output.as_json:
        click.echo(json.dumps(_plain(task, table), ensure_ascii=False))
        return
    click.echo(in_lines(draw(task, table), _WIDTH) + "\n")
    click.echo("\n".join(sentences(task, table)))


def _plain(task: "Task", table: "Table") -> dict[str, Any]:
    from loadtests.simulate.drawing import sentences

    return {
        "service": task.service,
        "traffic": asdict(task.traffic),
        "runs": task.runs,
        "seed": task.seed,
        "scenarios": [
            {
                "new_version": asdict(change),
                "rules": {rule: cell.to_plain() for rule, cell in table[change.name].items()},
            }
            for change in task.changes
        ],
        "sentences": list(sentences(task, table)),
    }


def _draw(plot: Path, task: "Task", table: "Table") -> None:
    from loadtests.simulate.drawing import page, picture

    try:
        plot.write_text(page(task, table) if plot.suffix == ".html" else picture(task, table), encoding="utf-8")
    except OSError as exc:
        raise CannotSimulate(f"{plot} cannot be written: {exc.strerror or exc}") from exc
