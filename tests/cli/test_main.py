"""The command as a whole: what there is, how fast it starts, and the commands around a configuration file."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import Result

from cli.faults import BadUsage
from cli.main import serinus
from cli.output import Output, Progress
from config.load import loads

Run = Callable[..., Result]

GOOD = """\
listen: [{address: 127.0.0.1:8080}]
services: {shop: {versions: {stable: {endpoints: ["127.0.0.1:9001"]}}, split: {stable: 1}}}
"""
BAD = GOOD.replace("split: {stable", "splt: {stable").replace("listen:", "lisen:")


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return str(path)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    return str(path)


def all_commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from all_commands(command, *names, name)
        else:
            yield (*names, name), command


EVERY = dict(all_commands(serinus))


def test_these_are_the_commands():
    assert {" ".join(names) for names in EVERY} == {
        *(
            "proxy",
            "controller",
            "up",
            "demo",
            "status",
            "watch",
            "split",
            "activate",
            "reload",
            "simulate",
            "healthcheck",
            "version",
        ),
        *(f"endpoint {verb}" for verb in ("add", "drain", "remove", "up", "down")),
        *(f"rollout {verb}" for verb in ("start", "status", "watch", "promote", "pause", "resume", "abort", "retry")),
        *("rollout why", "rollout plan", "rollout report", "rollout signal"),
        *(f"line {verb}" for verb in ("status", "stop", "go")),
        *(f"config {verb}" for verb in ("check", "show", "schema", "diff")),
    }


@pytest.mark.parametrize("names", EVERY, ids=" ".join)
def test_every_command_has_json_and_a_help_whose_first_line_fits(names: tuple[str, ...]):
    command = EVERY[names]
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    assert command.help
    assert command.help.splitlines()[0].endswith(".")


@pytest.mark.parametrize("names", EVERY, ids=" ".join)
def test_every_option_says_what_it_does(names: tuple[str, ...]):
    options = [parameter for parameter in EVERY[names].params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_help_imports_nothing_that_only_a_command_needs():
    script = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from cli.main import serinus\n"
        "assert CliRunner().invoke(serinus, ['--help']).exit_code == 0\n"
        "print(sorted({'aiohttp', 'pydantic', 'proxy', 'rich', 'uvloop', 'yaml'} & set(sys.modules)))\n"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"


def test_an_unknown_command_is_a_usage_error(run: Run):
    result = run("teleport")
    assert (result.exit_code, "No such command" in result.stderr) == (2, True)


def test_the_version_is_that_of_the_package(run: Run):
    assert run("--version").stdout == f"serinus, version {version('serinus')}\n"
    assert run("version").stdout.startswith(f"serinus {version('serinus')} (Python ")
    assert json.loads(run("version", "--json").stdout)["serinus"] == version("serinus")


def test_check_says_that_a_file_is_good(run: Run, good: str):
    result = run("config", "check", "-c", good)
    assert (result.exit_code, result.stdout) == (0, f"{good} is good: shop\n")


def test_check_prints_all_problems_of_a_bad_file_and_ends_with_2(run: Run, bad: str):
    result = run("config", "check", "-c", bad)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{bad}:1:1: " in result.stderr
    assert "'listen'" in result.stderr
    assert "'split'" in result.stderr


def test_check_with_json_prints_the_problems_as_values(run: Run, bad: str):
    problems = json.loads(run("config", "check", "-c", bad, "--json").stderr)["problems"]
    assert {(problem["line"], problem["suggestion"]) for problem in problems} >= {(1, "listen"), (2, "split")}


def test_a_file_that_is_not_there_is_a_usage_error(run: Run):
    result = run("config", "check", "-c", "nowhere.yaml")
    assert (result.exit_code, "nowhere.yaml" in result.stderr) == (2, True)


def test_show_prints_a_file_that_means_the_same(run: Run, good: str):
    shown = run("config", "show", "-c", good).stdout
    assert loads(shown, folder=Path(good).parent) == loads(GOOD, folder=Path(good).parent)


def test_show_with_json_prints_values(run: Run, good: str):
    assert json.loads(run("config", "show", "-c", good, "--json").stdout)["workers"] == "auto"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_schema_prints_the_schema(options: list[str], run: Run):
    assert json.loads(run("config", "schema", *options).stdout)["title"] == "Serinus configuration"


class Terminal(io.StringIO):
    """A stream that is, or is not, a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(("is_terminal", "written"), [(True, "\r\x1b[Kwaiting\r\x1b[K"), (False, "")])
def test_progress_is_for_terminals_only(is_terminal: bool, written: str):
    stream = Terminal(is_terminal=is_terminal)
    progress = Progress(stream)
    progress.say("waiting")
    progress.end()
    assert stream.getvalue() == written


def test_a_fault_ends_the_program_with_its_code(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended, Output().reporting():
        raise BadUsage("not like this")
    assert (ended.value.code, capsys.readouterr().err) == (2, "serinus: not like this\n")
