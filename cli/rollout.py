"""The commands of rollouts: start, status, watch, promote, pause, resume, abort, retry, why, report.

`rollout plan` is in `cli.plan`, `rollout signal` in `cli.signal`.

Owns how a rollout is named and waited for, and what its end means for the exit code. Must not decide anything.

1. With --wait: 0 when it ended as it was asked to (promoted; rolled back, for an abort), 1 when it ended in the other
   way. A controller that is away for a while is waited for: rollouts go on when it comes back.
2. Ctrl-C ends the waiting and never the rollout.
"""

import itertools
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from cli.controller import ENDED, ControllerClient, RolloutStatus, Verb
from cli.faults import BadUsage, Fault, Unreachable
from cli.options import reason_option, talks_to_controller
from cli.output import Output, Progress
from cli.plan import plan
from cli.rollout_words import all_in_words, line_of, one_in_words, place_in_words, reasons_in_words
from cli.signal import signal

_POLL_SECONDS: Final = 1.0
_INTERRUPTED: Final = 130
_STANDARD_OUTPUT: Final = Path("-")

_wait_option = click.option(
    "--wait", "waits", is_flag=True, help="Return when it has ended; 1 when it ended otherwise."
)
_timeout_option = click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="With --wait: give up waiting after this time."
)


class OtherEnd(Fault):
    """A rollout has ended, and not as it was asked to."""


class CannotWrite(Fault):
    """A file cannot be written."""


class StillGoing(Fault):
    """A rollout has not ended in time; it goes on."""


@click.group()
def rollout() -> None:
    """Start rollouts, watch them, and take a hand in them.

    A rollout is named by its id, such as shop-3, or by its service: then the one that is under way is meant, else the
    newest.

    One line for a pipeline, 0 when promoted and 1 when rolled back:

    serinus rollout start shop --wait
    """


rollout.add_command(plan)
rollout.add_command(signal)


@rollout.command()
@click.argument("service")
@click.option("--from", "from_", metavar="VERSION", help="The old version. Default: as in the file.")
@click.option("--to", metavar="VERSION", help="The new version. Default: as in the file.")
@click.option(
    "--if-running",
    type=click.Choice(["reject", "queue", "supersede"]),
    default="reject",
    show_default=True,
    help="What becomes of it when the service has a rollout already.",
)
@reason_option
@_wait_option
@_timeout_option
@talks_to_controller
def start(
    controller: ControllerClient,
    output: Output,
    service: str,
    from_: str | None,
    to: str | None,
    if_running: str,
    reason: str,
    waits: bool,
    timeout: float | None,
) -> None:
    """Start the rollout of a service, as the file says."""
    started = controller.start(service, from_=from_, to=to, if_running=if_running, reason=reason)
    _show_end(controller, output, started, "promoted", waits=waits, timeout=timeout)


@rollout.command()
@click.argument("name", required=False)
@talks_to_controller
def status(controller: ControllerClient, output: Output, name: str | None) -> None:
    """Show one rollout, or all of them."""
    if name is None:
        every = controller.rollouts()
        output.show(every, all_in_words(every))
    else:
        found = controller.find(name)
        output.show(found, one_in_words(found))


@rollout.command()
@click.argument("name")
@_timeout_option
@talks_to_controller
def watch(controller: ControllerClient, output: Output, name: str, timeout: float | None) -> None:
    """Watch a rollout until it has ended; 1 when it was rolled back."""
    _show_end(controller, output, controller.find(name), "promoted", waits=True, timeout=timeout)


@rollout.command()
@click.argument("name")
@talks_to_controller
def why(controller: ControllerClient, output: Output, name: str) -> None:
    """Show every decision about a rollout, with the numbers that it was made on."""
    reasons = controller.why(controller.find(name)["id"])
    output.show(reasons, reasons_in_words(reasons))


@rollout.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write, or - for standard output. Default: the id of the rollout and .html, in this folder.",
)
@talks_to_controller
def report(controller: ControllerClient, output: Output, name: str, path: Path | None) -> None:
    """Write one HTML page about a rollout: what became of it, plots, and every decision.

    The page needs nothing but itself: open it, mail it, print it. With --json, what it tells is printed, and a page is
    written only where -o says.
    """
    if output.as_json and path == _STANDARD_OUTPUT:
        raise BadUsage("--json prints JSON on standard output, so the page needs a file: -o FILE.html")
    identity = controller.find(name)["id"]
    if path == _STANDARD_OUTPUT:
        click.echo(controller.report(identity), nl=False)
        return
    if path is None and not output.as_json:
        path = Path(f"{identity}.html")
    if path is not None:
        _write(path, controller.report(identity))
    if output.as_json:
        told = {**controller.why(identity), "series": controller.series(identity), "file": path and str(path)}
        output.show(told, "")
    else:
        output.show(None, str(path))


def _write(path: Path, content: bytes) -> None:
    """Write a file. Raises CannotWrite."""
    try:
        path.write_bytes(content)
    except OSError as exc:
        raise CannotWrite(f"{path} cannot be written: {exc.strerror or exc}") from exc


def _order(verb: Verb, summary: str, end: str) -> Callable[..., Any]:
    """A command that orders something; `end` is the phase that is asked for."""

    @click.argument("name")
    @reason_option
    @_wait_option
    @_timeout_option
    @talks_to_controller
    def command(
        controller: ControllerClient,
        output: Output,
        name: str,
        reason: str,
        waits: bool,
        timeout: float | None,
        all_steps: bool = False,
    ) -> None:
        found = controller.order(controller.find(name)["id"], verb, reason=reason, all_steps=all_steps)
        _show_end(controller, output, found, end, waits=waits, timeout=timeout)

    command.__doc__ = summary
    return command


pause = rollout.command("pause")(_order("pause", "Stay at this weight; a failure still rolls back.", "promoted"))
resume = rollout.command("resume")(_order("resume", "Go on after a pause or a hold.", "promoted"))
abort = rollout.command("abort")(_order("abort", "Roll back; also after the end, within keep_old.", "rolled_back"))
retry = rollout.command("retry")(_order("retry", "Begin anew after a rollback.", "promoted"))
promote = rollout.command("promote")(
    click.option("--all", "all_steps", is_flag=True, help="Past all steps at once.")(
        _order("promote", "Take the next step without waiting for time or evidence.", "promoted")
    )
)


def _show_end(
    controller: ControllerClient,
    output: Output,
    found: RolloutStatus,
    end: str,
    *,
    waits: bool,
    timeout: float | None,
) -> None:
    """Show a rollout, now or when it has ended.

    Raises:
        OtherEnd, StillGoing: see there.
    """
    if waits:
        found = _wait_for_end(controller, found, timeout, is_quiet=output.as_json)
    output.show(found, line_of(found))
    if waits and found["phase"] != end:
        raise OtherEnd(f"{found['id']} is {place_in_words(found)}: {found['why']}")


def _wait_for_end(
    controller: ControllerClient, found: RolloutStatus, timeout: float | None, *, is_quiet: bool
) -> RolloutStatus:
    """Watch a rollout until it has ended: a live line where there is a terminal, and a line for each change before."""
    progress, began, told = Progress(), time.monotonic(), ""
    try:
        for _ in itertools.count():
            line = f"{found['id']}: {place_in_words(found)}"
            if found["phase"] in ENDED:
                return found
            if line != told and not is_quiet:
                progress.end()
                click.echo(f"{line}: {found['why']}", err=True)
                told = line
            if timeout is not None and time.monotonic() - began >= timeout:
                raise StillGoing(f"{found['id']} is still {place_in_words(found)} after {timeout:g} s and goes on")
            progress.say(line_of(found))
            time.sleep(_POLL_SECONDS)
            try:
                found = controller.rollout(found["id"])
            except Unreachable as exc:
                progress.say(f"{found['id']}: {exc}")
    except KeyboardInterrupt:
        progress.end()
        with suppress(BrokenPipeError):
            click.echo(f"{found['id']} goes on; `serinus rollout watch {found['id']}` shows it", err=True)
        sys.exit(_INTERRUPTED)
    finally:
        progress.end()
    raise AssertionError("counting has no end")
