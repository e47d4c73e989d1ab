"""Commands that run in the foreground: `proxy`, `controller`, and `up` for both."""

import sys

import click

from cli.configuration import config_faults
from cli.options import file_option
from cli.output import Output, json_option


@click.command()
@file_option
@json_option
def proxy(path: str, as_json: bool) -> None:
    """Run the proxy in the foreground.

    SIGHUP reads the file again, SIGTERM drains and stops, SIGINT stops, SIGUSR1 opens the access log again.
    SIGUSR2 starts the version that is installed now on the same sockets; this one ends once that one serves.
    """
    from proxy.app import run  # asyncio, uvloop, aiohttp and pydantic: only for those who serve

    with Output(as_json).reporting(), config_faults():
        sys.exit(run(path))


@click.command()
@file_option
@json_option
def controller(path: str, as_json: bool) -> None:
    """Run the controller of rollouts in the foreground.

    One acts on a state folder; a second one waits until the first has gone. SIGHUP reads the file again, SIGTERM and
    SIGINT end it: the proxies go on as they are, and so do rollouts when it comes back.
    """
    from controller.app import run

    with Output(as_json).reporting(), config_faults():
        sys.exit(run(path))


@click.command()
@file_option
@json_option
def up(path: str, as_json: bool) -> None:
    """Run all of a file in one terminal: the proxy and the controller.

    Signals reach both, and it ends with the proxy. A controller that ends by itself is started again.
    """
    from cli.up import run

    with Output(as_json).reporting(), config_faults():
        sys.exit(run(path))
