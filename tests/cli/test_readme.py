"""The README: its configurations load, its commands run or at least parse, its targets and links are there."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from cli.main import serinus
from config.load import loads
from loadtests.demo.service import Knobs

Run = Callable[..., Result]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATIONS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
SHELL = [
    shlex.split(line.removeprefix("$ "), comments=True)
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
COMMANDS = [words[1:] for words in SHELL if words[0].endswith("serinus")]
INLINE = [shlex.split(text)[1:] for text in re.findall(r"`(serinus [^`]+)`", README)]
# These do not end by themselves, or need a controller.
ENDLESS = {"proxy", "watch", "up", "rollout", "simulate"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds what the README tells to write."""
    (tmp_path / "serinus.yaml").write_text(CONFIGURATIONS[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_short():
    assert len(README.splitlines()) < 120


def test_its_first_commands_are_those_that_run_the_demo_and_the_tests():
    assert SHELL[:2] == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_its_configurations_load(text: str, tmp_path: Path):
    assert list(loads(text, folder=tmp_path).services) == ["shop"]


def test_the_first_configuration_has_five_lines():
    assert len(CONFIGURATIONS[0].splitlines()) == 5


@pytest.mark.parametrize("words", [words for words in COMMANDS + INLINE if words[0] not in ENDLESS], ids=" ".join)
def test_its_commands_run(words: list[str], folder: Path, ask: Run):
    result = ask(*words)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("words", [words for words in COMMANDS + INLINE if words[0] in ENDLESS], ids=" ".join)
def test_its_endless_commands_parse(words: list[str], folder: Path):
    command: click.Command | None = serinus
    while isinstance(command, click.Group):
        name, *words = words
        command = command.get_command(click.Context(command), name)
    assert command is not None
    assert command.make_context(name, words).params


def test_the_knob_that_it_turns_is_there():
    (body,) = [words[words.index("-d") + 1] for words in SHELL if words[0] == "curl"]
    knobs = Knobs()
    knobs.turn(json.loads(body))
    assert knobs == Knobs(error_rate=0.2, delay=0.1)


def test_its_targets_are_in_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {words[1] for words in SHELL if words[0] == "make"} | set(re.findall(r"`make ([a-z]+)`", README))
    assert named <= targets


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_its_links_lead_somewhere(target: str):
    assert (ROOT / target).exists()
