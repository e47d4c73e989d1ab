"""The commands of the line, and signals from outside: what they ask, what they print, and how they end."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result

from tests.cli.fake_controller import FakeController, a_rollout, serving

Run = Callable[..., Result]


@pytest.fixture
def controller() -> Iterator[FakeController]:
    with serving() as fake:
        yield fake


@pytest.fixture
def ask(controller: FakeController, run: Run) -> Run:
    """Call `serinus` with the fake as the controller."""
    return lambda *arguments: run(*arguments, SERINUS_CONTROLLER=controller.address)


def test_the_line_is_stopped_and_goes_again(ask: Run, controller: FakeController):
    assert ask("line", "status").stdout == "the line goes: rollouts move forward\n"
    stopped = ask("line", "stop", "--reason", "an incident")
    assert (stopped.exit_code, stopped.stdout) == (0, "the line is stopped by ci for alice: an incident\n")
    assert ask("line", "status").stdout == stopped.stdout
    assert ask("line", "go").stdout == "the line goes: rollouts move forward\n"
    assert [(method, path, body) for method, path, body, _ in controller.asked] == [
        ("GET", "/v1/line", None),
        ("PUT", "/v1/line", {"stopped": True, "reason": "an incident"}),
        ("GET", "/v1/line", None),
        ("PUT", "/v1/line", {"stopped": False, "reason": ""}),
    ]
    assert "serinus" in controller.asked[1][3]


def test_the_line_speaks_json(ask: Run):
    assert json.loads(ask("line", "stop", "--reason", "x", "--json").stdout) == {
        "stopped": True, "by": "ci", "actor": "alice", "reason": "x",
    }  # fmt: skip
    assert json.loads(ask("line", "status", "--json").stdout)["stopped"]


def test_who_may_not_stop_the_line_is_told_so(ask: Run, controller: FakeController):
    controller.refusal = (403, {"detail": "ci has the role operate; this needs admin"})
    result = ask("line", "stop")
    assert (result.exit_code, result.stderr.splitlines()) == (
        1,
        [
            "serinus: ci has the role operate; this needs admin",
            "Another token may do it: --token or SERINUS_TOKEN.",
        ],
    )


@pytest.mark.parametrize("words", [("line", "status"), ("rollout", "signal", "shop", "bad")])
def test_a_controller_that_is_not_there_is_3(run: Run, unused_port: int, words: tuple[str, ...]):
    result = run(*words, SERINUS_CONTROLLER=f"127.0.0.1:{unused_port}")
    assert (result.exit_code, "Is `serinus controller` running?" in result.stderr) == (3, True)


def test_a_signal_is_told_to_the_controller(ask: Run, controller: FakeController):
    result = ask(
        "rollout", "signal", "shop", "bad", "--check", "tickets", "--message", "12 tickets", "--expires", "30m"
    )
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            "the controller was told that shop is bad",
            "shop-3: step 2 of 4 (stable 90 %, canary 10 %): bakes: 2m of 10m",
        ],
    )
    body = {"service": "shop", "state": "bad", "message": "12 tickets", "check": "tickets", "expires": 1800.0}
    assert controller.asked[0][:3] == ("POST", "/v1/signals", body)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("bad", "the controller was told that shop is bad; no rollout of it is under way, the next one will hear it"),
        ("good", "the controller was told that shop is good; no rollout of it is under way"),
    ],
)
def test_a_signal_without_a_rollout_says_who_will_hear_it(
    ask: Run, controller: FakeController, state: str, sentence: str
):
    controller.rollouts = [a_rollout(phase="promoted"), a_rollout(id="api-4", service="api")]
    assert ask("rollout", "signal", "shop", state).stdout == f"{sentence}\n"


def test_a_signal_speaks_json(ask: Run):
    told = json.loads(ask("rollout", "signal", "shop", "good", "--json").stdout)
    assert [each["id"] for each in told["rollouts"]] == ["shop-3"]


def test_a_signal_that_nobody_would_hear_is_refused(ask: Run, controller: FakeController):
    controller.refusal = (422, {"detail": "Nobody would hear the signal"})
    result = ask("rollout", "signal", "shop", "bad", "--check", "x")
    assert (result.exit_code, result.stderr) == (2, "serinus: Nobody would hear the signal\n")


@pytest.mark.parametrize("words", [("shop", "angry"), ("shop", "bad", "--expires", "soon"), ("shop",)])
def test_a_signal_that_makes_no_sense_is_a_fault_of_usage(ask: Run, controller: FakeController, words: tuple[str, ...]):
    assert (ask("rollout", "signal", *words).exit_code, controller.asked) == (2, [])


@pytest.mark.parametrize(
    ("words", "example"), [(("line",), "line stop --reason"), (("rollout", "signal"), "signal shop")]
)
def test_the_help_has_an_example(run: Run, words: tuple[str, ...], example: str):
    result = run(*words, "--help")
    assert (result.exit_code, f"serinus {' '.join(words[:-1])}".strip() in result.stdout) == (0, True)
    assert example in result.stdout
