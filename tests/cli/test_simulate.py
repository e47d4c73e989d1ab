"""`serinus simulate`: what it prints, and the errors of impossible options."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.loadtests.test_simulate import FILE, STEPS

Run = Callable[..., Result]
FAST = ("--runs", "1", "--processes", "1", "--new-errors", "100%")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "serinus.yaml"
    path.write_text(FILE.format(settings=STEPS))
    return path


@pytest.fixture
def ask(run: Run, path: Path) -> Run:
    return lambda *arguments: run("simulate", "-c", str(path), "shop", *arguments)


def test_it_prints_a_table_and_sentences(ask: Run, tmp_path: Path):
    picture = tmp_path / "a.svg"
    result = ask(*FAST, "--plot", str(picture))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "this policy" in result.stdout
    assert "Flagger, threshold 5" in result.stdout
    assert "- 100 % errors: rolled back after" in result.stdout
    assert picture.read_text().startswith("<svg")


def test_it_prints_json(ask: Run):
    found = json.loads(ask(*FAST, "--json").stdout)
    (scenario,) = found["scenarios"]
    ours = scenario["rules"]["this policy"]
    assert (found["runs"], scenario["new_version"]["errors"]) == (1, 1.0)
    assert (ours["rolled_back"], ours["wrong"], ours["wrong_at_most"]) == (1, 0, 0.95)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bad-from", "20s"), "say how with --new-errors or --slower"),
        (("--bad-from", "60s", "--new-errors", "5%"), "this rollout can be over after 1m"),
        (("--latency", "1s", "--slower", "3"), "medians from 2 ms to 2 s can be simulated; this one would be 3 s"),
        (("--new-errors", "120%"), "a share lies between 0% and 100%"),
        (("--latency", "fast"), "not a duration"),
        (("--rate", "0"), "0 is not in the range"),
        (("--plot", "a.png"), "the name must end in .svg or .html"),
        (("--plot", "nowhere/at/all.svg"), "there is no folder"),
    ],
)
def test_impossible_options_are_said(ask: Run, arguments: tuple[str, ...], words: str):
    result = ask(*arguments)
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_a_service_without_a_rollout_is_said(run: Run, path: Path):
    result = run("simulate", "-c", str(path), "shp")
    assert (result.exit_code, "has no rollout for 'shp'; did you mean shop?" in result.stderr) == (2, True)


def test_a_rolling_rollout_cannot_be_simulated(ask: Run, path: Path):
    path.write_text(FILE.format(settings="strategy: rolling"))
    result = ask()
    assert (result.exit_code, "canary and blue-green can" in result.stderr) == (2, True)


def test_numpy_is_asked_for_where_it_is_missing(ask: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cli.simulate.importlib.util.find_spec", lambda name: None)
    result = ask()
    assert (result.exit_code, "pip install 'serinus[simulate]'" in result.stderr) == (1, True)
