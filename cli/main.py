"""The command `serinus`: which commands there are and where each one lives.

Owns the list of commands. Must not import what a command needs: `serinus --help` and shell completion import click and
the command modules only, so these import rich, pydantic, aiohttp and the proxy inside of their functions.

Exit codes, for all commands: 0 done, 1 failed or rolled back, 2 usage or invalid configuration, 3 cannot reach.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Final

import click

from cli.output import Output, json_option

#: Where each command is: module and attribute, in the order of `serinus --help`.
_COMMANDS: Final[Mapping[str, str]] = {
    "proxy": "cli.serve:proxy",
    "controller": "cli.serve:controller",
    "up": "cli.serve:up",
    "demo": "cli.demo:demo",
    "status": "cli.observe:status",
    "watch": "cli.observe:watch",
    "split": "cli.change:split",
    "activate": "cli.change:activate",
    "endpoint": "cli.endpoint:endpoint",
    "reload": "cli.change:reload",
    "rollout": "cli.rollout:rollout",
    "line": "cli.line:line",
    "simulate": "cli.simulate:simulate",
    "config": "cli.configuration:configuration",
    "healthcheck": "cli.health:healthcheck",
    "version": "cli.main:version",
}


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="serinus", prog_name="serinus")
def serinus() -> None:
    """Serinus splits the traffic of a service between its versions.

    Commands that ask or change a running proxy talk to its admin API: --admin or SERINUS_ADMIN says where it is.
    Those of rollouts talk to the controller: --controller or SERINUS_CONTROLLER.

    Exit codes: 0 done, 1 failed or rolled back, 2 usage or invalid configuration, 3 cannot reach.
    """


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    found = {"serinus": version_of("serinus"), "python": sys.version.split()[0]}
    Output(as_json).show(found, f"serinus {found['serinus']} (Python {found['python']})")


def main() -> None:
    """The entry point of the `serinus` script."""
    serinus(prog_name="serinus")
