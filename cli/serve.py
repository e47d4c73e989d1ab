"""Commands that run the proxy in the foreground: `proxy` and `up`."""

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
    """
    _run_proxy(path, Output(as_json))


@click.command()
@file_option
@json_option
def up(path: str, as_json: bool) -> None:
    """Run all of a file in one terminal: so far, the proxy."""
    _run_proxy(path, Output(as_json))


def _run_proxy(path: str, output: Output) -> None:
    from proxy.app import run  # asyncio, uvloop, aiohttp and pydantic: only for those who serve

    with output.reporting(), config_faults():
        sys.exit(run(path))
