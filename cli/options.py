"""Options that commands share, and the kinds of values they take.

Owns `--admin`, `--controller`, `--token`, `--json`, `--if-match`, `--reason` and how `stable=90` is read.
"""

import functools
import getpass
import math
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import click

from cli.client import DEFAULT_ADMIN, AdminClient
from cli.controller import DEFAULT_CONTROLLER, ControllerClient
from cli.output import Output, json_option

P = ParamSpec("P")

_admin_option = click.option(
    "--admin",
    envvar="SERINUS_ADMIN",
    default=DEFAULT_ADMIN,
    show_default=True,
    metavar="ADDRESS",
    help="Where the admin API is: host:port or unix:/path. Environment: SERINUS_ADMIN.",
)
controller_option = click.option(
    "--controller",
    "address",
    envvar="SERINUS_CONTROLLER",
    default=DEFAULT_CONTROLLER,
    show_default=True,
    metavar="ADDRESS",
    help="Where the controller is: host:port or unix:/path. Environment: SERINUS_CONTROLLER.",
)
token_option = click.option(
    "--token",
    envvar="SERINUS_TOKEN",
    default="",
    metavar="TOKEN",
    help="The token of the API; other users can see it in the list of processes, so better in SERINUS_TOKEN.",
)
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; shown as the last change.")
if_match_option = click.option(
    "--if-match",
    type=click.IntRange(min=0),
    metavar="GENERATION",
    help="Change only when the live state still has this generation; else fail and change nothing.",
)
file_option = click.option(
    "-c",
    "--config",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=str),
    metavar="FILE",
    help="The configuration file.",
)


def talks_to_admin(
    command: Callable[Concatenate[AdminClient, Output, P], None],
) -> Callable[..., None]:
    """Give a command `--admin`, `--token` and `--json`, and call it with the client and the output that these make."""

    @_admin_option
    @token_option
    @json_option
    @functools.wraps(command)
    def run(admin: str, token: str, as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:
        output = Output(as_json)
        with output.reporting():
            command(AdminClient(admin, token, actor=actor()), output, *args, **kwargs)

    return run


def talks_to_controller(
    command: Callable[Concatenate[ControllerClient, Output, P], None],
) -> Callable[..., None]:
    """Give a command `--controller`, `--token` and `--json`, and call it with client and output that these make."""

    @controller_option
    @token_option
    @json_option
    @functools.wraps(command)
    def run(address: str, token: str, as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:
        output = Output(as_json)
        with output.reporting():
            command(ControllerClient(address, token, actor=actor()), output, *args, **kwargs)

    return run


def actor() -> str:
    """Who makes a change: the name of the user, where the system knows one that a header can carry."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name; KeyError up to Python 3.12
        name = ""
    return f"{name} (serinus)" if name.isascii() and name.isprintable() and 0 < len(name) < 80 else "serinus"


def read_weights(ctx: click.Context, param: click.Parameter, pairs: tuple[str, ...]) -> dict[str, float]:
    """Read `stable=90 canary=10` as a mapping; a weight is a number from 0 upward, relative to the sum.

    Raises:
        click.BadParameter: a pair is not of this form, or a version is named twice.
    """
    weights: dict[str, float] = {}
    for pair in pairs:
        version, weight = _read_weight(pair)
        if version in weights:
            raise click.BadParameter(f"{version} is named twice", ctx, param)
        weights[version] = weight
    return weights


def _read_weight(pair: str) -> tuple[str, float]:
    version, separator, text = pair.partition("=")
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (version and separator and math.isfinite(weight) and weight >= 0):
        raise click.BadParameter(f"{pair!r} is not VERSION=WEIGHT, such as stable=90; a weight is a number, 0 or more")
    return version, weight
