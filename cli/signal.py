"""The command `rollout signal`: tell the controller what somebody outside has noticed.

Owns the words about it. Must not decide what follows: the policy of the rollout does.
"""

import click

from cli.controller import ENDED, ControllerClient, Rollouts, SignalState
from cli.options import talks_to_controller
from cli.output import Output
from cli.quantities import duration
from cli.rollout_words import line_of


@click.command()
@click.argument("service")
@click.argument("state", type=click.Choice(["bad", "good"]))
@click.option("--check", metavar="NAME", help="The signal check that hears it. Default: the first one of the service.")
@click.option("--message", "--reason", default="", metavar="TEXT", help="What was noticed; shown with the failure.")
@click.option("--expires", **duration, help="After how long it is over by itself. Default: never.")
@talks_to_controller
def signal(
    controller: ControllerClient,
    output: Output,
    service: str,
    state: SignalState,
    check: str | None,
    message: str,
    expires: float | None,
) -> None:
    """Say that something is wrong with a service (bad), or is not any more (good).

    For what no check of Serinus sees: complaints of customers, an alert of another system, a hunch.

    serinus rollout signal shop bad --message "tickets about the cart" --expires 30m

    A bad signal fails the signal check of the rollout, which holds unless the file says otherwise. It stays, also for
    the next rollout of the service, until it expires, until it is said to be good, or until a person resumes or
    promotes.
    """
    heard = controller.signal(service, state, check=check, message=message, seconds=expires)
    output.show(heard, _in_words(heard, service, state))


def _in_words(heard: Rollouts, service: str, state: SignalState) -> str:
    said = f"the controller was told that {service} is {state}"
    going = [each for each in heard["rollouts"] if each["service"] == service and each["phase"] not in ENDED]
    if not going:
        return f"{said}; no rollout of it is under way" + (", the next one will hear it" if state == "bad" else "")
    return "\n".join([said, *(line_of(each) for each in going)])
