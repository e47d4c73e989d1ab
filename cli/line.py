"""The commands of the line: stop every rollout from moving forward, let them go on, and say which it is.

Owns the words about it. Must not decide what a stopped line means: the controller does.
"""

import click

from cli.controller import ControllerClient, LineStatus
from cli.options import reason_option, talks_to_controller
from cli.output import Output
from config.who import Who


@click.group()
def line() -> None:
    """Stop the line: no rollout of any service moves forward until somebody lets it go on.

    Rollouts that are under way stay where they are and are watched. What is worse is rolled back all the same.

    serinus line stop --reason "we have an incident"
    """


@line.command()
@talks_to_controller
def status(controller: ControllerClient, output: Output) -> None:
    """Show whether the line is stopped, and by whom."""
    _show(output, controller.line())


@line.command()
@reason_option
@talks_to_controller
def stop(controller: ControllerClient, output: Output, reason: str) -> None:
    """Keep every rollout from moving forward; going back is always possible."""
    _show(output, controller.set_line(stopped=True, reason=reason))


@line.command()
@reason_option
@talks_to_controller
def go(controller: ControllerClient, output: Output, reason: str) -> None:
    """Let the rollouts go on."""
    _show(output, controller.set_line(stopped=False, reason=reason))


def _show(output: Output, found: LineStatus) -> None:
    output.show(found, line_in_words(found))


def line_in_words(found: LineStatus) -> str:
    """One line: whether it is stopped, by whom, and why."""
    if not found["stopped"]:
        return "the line goes: rollouts move forward"
    why = f": {found['reason']}" if found["reason"] else ""
    return f"the line is stopped by {Who(found['by'], found['actor'])}{why}"
