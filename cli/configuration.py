"""The commands `config check`, `show`, `schema` and `diff`, and how a bad file is reported.

Owns the way from a `ConfigError` to standard error and exit code 2. Reading a file is `config.load`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cli.client import AdminClient
from cli.faults import BadUsage, Fault
from cli.options import file_option, talks_to_admin
from cli.output import Output, json_option
from cli.words import change_in_words

if TYPE_CHECKING:
    from config.model import Config
    from config.problems import ConfigError
    from config.rollout import Rollout


class BadConfig(Fault):
    """A configuration file cannot be used; says everything that is wrong with it."""

    exit_code = 2

    def __init__(self, error: "ConfigError") -> None:
        super().__init__(str(error))
        self._error = error

    def as_text(self) -> str:
        """One line for each problem: file, line, column, what, and the nearest valid name."""
        return str(self._error)

    def as_json(self) -> dict[str, Any]:
        """The same, as values."""
        problems = [
            {
                "path": problem.path,
                "line": problem.line,
                "column": problem.column,
                "message": problem.message,
                "suggestion": problem.suggestion,
            }
            for problem in self._error.problems
        ]
        return {"error": f"{self._error.file} cannot be used", "problems": problems, "exit_code": self.exit_code}


@contextmanager
def config_faults() -> Iterator[None]:
    """Within the block, a `ConfigError` becomes a fault of the command.

    Raises:
        BadConfig: the file cannot be used.
    """
    from config.problems import ConfigError

    try:
        yield
    except ConfigError as exc:
        raise BadConfig(exc) from exc


def rollout_of_file(path: str, service: str) -> tuple["Config", "Rollout"]:
    """A file, and the rollout of a service in it.

    Raises:
        BadConfig: the file cannot be used.
        BadUsage: it has no such rollout.
    """
    from config.problems import nearest

    config = _load(path)
    rollout = config.rollouts.get(service)
    if rollout is None:
        guess = nearest(service, config.rollouts)
        hint = f"did you mean {guess}?" if guess else f"it has {', '.join(config.rollouts) or 'none at all'}"
        raise BadUsage(f"{path} has no rollout for {service!r}; {hint}")
    return config, rollout


@click.group("config")
def configuration() -> None:
    """Check and show configuration files."""


@configuration.command()
@file_option
@json_option
def check(path: str, as_json: bool) -> None:
    """Say whether a file can be used, or everything that is wrong with it."""
    from config.notices import notices

    output = Output(as_json)
    with output.reporting():
        config = _load(path)
        names, told = list(config.services), list(notices(config))
        shown = {"ok": True, "file": path, "services": names, "notices": told}
        output.show(shown, "\n".join([f"{path} is good: {', '.join(names)}", *told]))


@configuration.command()
@file_option
@json_option
def show(path: str, as_json: bool) -> None:
    """Print a file with every default written out; secrets are left out."""
    from config.show import plain, render

    output = Output(as_json)
    with output.reporting():
        config = _load(path)
        output.show(plain(config), render(config).rstrip("\n"))


@configuration.command()
@json_option
def schema(as_json: bool) -> None:
    """Print the JSON Schema of the file, for editors (it is JSON with and without --json)."""
    from config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=None if as_json else 2, ensure_ascii=False))


@configuration.command()
@talks_to_admin
def diff(admin: AdminClient, output: Output) -> None:
    """Show what is live and not as the file of the running proxy says: changed weights, added or drained endpoints.

    What is live wins, also after a restart, until the file says the same.
    """
    found = admin.differences()
    lines = [
        f"{each['path']}: {_value(each['live'])} is live, {_value(each['file'])} in the file\n"
        f"  {change_in_words(each['last_change'])}"
        for each in found["differences"]
    ]
    output.show(found, "\n".join(lines) or "what is live is what the file says")


def _load(path: str) -> "Config":
    from config.load import load

    with config_faults():
        return load(path)


def _value(value: Any) -> str:
    if isinstance(value, dict):  # weights, as `serinus split` takes them
        return " ".join(f"{version}={weight:g}" for version, weight in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
