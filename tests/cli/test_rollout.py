"""The commands of rollouts: what they ask, what they print, and how they end."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.rollout_words import one_in_words
from tests.cli.fake_controller import FakeController, a_rollout, serving

Run = Callable[..., Result]


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeController]:
    monkeypatch.setattr("cli.rollout._POLL_SECONDS", 0.0)
    with serving() as fake:
        yield fake


@pytest.fixture
def ask(controller: FakeController, run: Run) -> Run:
    """Call `serinus rollout` with the fake as the controller."""
    return lambda *arguments: run("rollout", *arguments, SERINUS_CONTROLLER=controller.address)


def test_start_says_what_was_started(ask: Run, controller: FakeController):
    result = ask("start", "shop", "--to", "v3", "--reason", "v3.1", "--if-running", "queue")
    assert (result.exit_code, result.stdout) == (
        0,
        "shop-3: step 2 of 4 (stable 90 %, canary 10 %): bakes: 2m of 10m\n",
    )
    method, path, body, actor = controller.asked[0]
    assert (method, path) == ("POST", "/v1/rollouts")
    assert body == {"service": "shop", "to": "v3", "reason": "v3.1", "if_running": "queue"}
    assert "serinus" in actor


@pytest.mark.parametrize(("phase", "code"), [("promoted", 0), ("rolled_back", 1)])
def test_waiting_ends_with_the_rollout_and_says_how_it_ended(
    ask: Run, controller: FakeController, phase: str, code: int
):
    controller.phases = [
        {"phase": "step", "step": 2},
        {"phase": "holding", "why": "latency: slow", "waits": "holds"},
        {"phase": phase, "why": "that is why", "waits": ""},
    ]
    result = ask("start", "shop", "--wait")
    assert result.exit_code == code
    assert result.stdout == f"shop-3: {phase.replace('_', ' ')} (stable 90 %, canary 10 %): that is why\n"
    assert result.stderr.splitlines() == [
        "shop-3: step 2 of 4: the checks pass",
        "shop-3: step 3 of 4: the checks pass",
        "shop-3: holding: latency: slow",
        *(["serinus: shop-3 is rolled back: that is why"] if code else []),
    ]


def test_an_abort_that_waits_is_well_when_it_is_rolled_back(ask: Run, controller: FakeController):
    controller.phases = [{"phase": "rolling_back"}, {"phase": "rolled_back"}]
    assert ask("abort", "shop", "--wait").exit_code == 0


def test_waiting_can_be_given_up_and_the_rollout_goes_on(ask: Run):
    result = ask("watch", "shop", "--timeout", "0")
    assert (result.exit_code, "shop-3 is still step 2 of 4 after 0 s and goes on" in result.stderr) == (1, True)


def test_ctrl_c_ends_the_waiting_and_not_the_rollout(ask: Run, monkeypatch: pytest.MonkeyPatch):
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.rollout.time.sleep", interrupted)
    result = ask("watch", "shop")
    assert (result.exit_code, "`serinus rollout watch shop-3` shows it" in result.stderr) == (130, True)


@pytest.mark.parametrize("verb", ["pause", "resume", "abort", "retry", "promote"])
def test_an_order_goes_to_the_rollout_that_is_meant(ask: Run, controller: FakeController, verb: str):
    controller.rollouts = [a_rollout(id="shop-2", phase="promoted"), a_rollout()]
    for name in ("shop", "shop-3"):
        assert ask(verb, name, "--reason", "because").exit_code == 0
        method, path, body, _ = controller.asked[-1]
        assert (method, path, body) == ("POST", f"/v1/rollouts/shop-3/{verb}", {"reason": "because"})


def test_promote_may_take_all_steps(ask: Run, controller: FakeController):
    ask("promote", "shop", "--all")
    assert controller.asked[-1][2] == {"reason": "", "all": True}


@pytest.mark.parametrize(
    ("phases", "meant"),
    [
        (["promoted", "pending", "step"], "shop-2"),
        (["promoted", "pending", "pending"], "shop-1"),
        (["promoted", "rolled_back", "promoted"], "shop-2"),
    ],
)
def test_of_a_service_the_rollout_under_way_is_meant_else_the_next_else_the_newest(
    ask: Run, controller: FakeController, phases: list[str], meant: str
):
    controller.rollouts = [a_rollout(id=f"shop-{number}", phase=phase) for number, phase in enumerate(phases)]
    assert json.loads(ask("status", "shop", "--json").stdout)["id"] == meant


def test_a_rollout_that_is_not_there_is_said(ask: Run):
    result = ask("pause", "api")
    assert (result.exit_code, "there is no rollout 'api'" in result.stderr) == (1, True)


def test_a_refusal_is_told_with_its_words(ask: Run, controller: FakeController):
    controller.refusal = (409, {"detail": "shop has the rollout shop-3, which is in step 2: wait for it"})
    result = ask("start", "shop")
    assert (result.exit_code, result.stderr) == (
        1,
        "serinus: shop has the rollout shop-3, which is in step 2: wait for it\n",
    )


def test_nobody_there_is_3(run: Run, unused_port: int):
    result = run("rollout", "status", SERINUS_CONTROLLER=f"127.0.0.1:{unused_port}")
    assert result.exit_code == 3
    assert "cannot reach the controller at" in result.stderr
    assert "Is `serinus controller` running? Set --controller or SERINUS_CONTROLLER." in result.stderr


def test_status_shows_all_of_them_the_newest_first(ask: Run, controller: FakeController):
    assert [line[:7] for line in ask("status").stdout.splitlines()] == ["shop-3:"]
    controller.rollouts.insert(0, a_rollout(id="shop-1", phase="promoted", waits="", why="canary has everything"))
    assert ask("status").stdout.splitlines()[1] == (
        "shop-1: promoted (stable 90 %, canary 10 %): canary has everything"
    )
    controller.rollouts.clear()
    assert ask("status").stdout == "there are no rollouts\n"


def test_why_shows_decisions_with_their_numbers_and_no_machinery(ask: Run):
    lines = ask("why", "shop").stdout.splitlines()
    assert lines[0] == "shop-3: canary of shop to canary"
    assert lines[1:3] == ["canary is in step 2 of 4: the checks pass", ""]
    assert [line[21:] for line in lines[3:5]] == ["created: started by ci", "failed: error-rate: 43 of 50 failed"]
    assert lines[5:7] == [
        "    error-rate FAIL: 43 of 50 failed",
        "    generation 12 at 127.0.0.1:9900, acknowledged after 0.25 s",
    ]
    assert lines[-3:-1] == ["now: step 2 of 4 (stable 90 %, canary 10 %)", "  rolling back for 2s"]
    assert len(json.loads(ask("why", "shop", "--json").stdout)["decisions"]) == 3


def test_a_controller_that_is_away_for_a_while_is_waited_for(
    ask: Run, controller: FakeController, monkeypatch: pytest.MonkeyPatch
):
    from cli.controller import ControllerClient
    from cli.faults import Unreachable

    looks = iter([Unreachable("away"), Unreachable("away"), a_rollout(phase="promoted", waits="", why="done")])

    def look(self: ControllerClient, identity: str) -> object:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(ControllerClient, "rollout", look)
    assert ask("watch", "shop").exit_code == 0


PAGE = "<!doctype html>\n<p>na\xefve</p>"


def test_the_report_is_a_file_that_is_named_after_the_rollout(
    ask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = ask("report", "shop")
    assert (result.exit_code, result.stdout) == (0, "shop-3.html\n")
    assert (tmp_path / "shop-3.html").read_text(encoding="utf-8") == PAGE


def test_the_report_may_go_elsewhere_or_to_standard_output(ask: Run, tmp_path: Path):
    path = tmp_path / "report.html"
    assert ask("report", "shop-3", "-o", str(path)).stdout == f"{path}\n"
    assert path.read_text(encoding="utf-8") == PAGE
    assert ask("report", "shop-3", "-o", "-").stdout_bytes.decode() == PAGE


def test_the_report_as_json_is_what_it_tells(ask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    told = json.loads(ask("report", "shop", "--json").stdout)
    assert set(told) == {"rollout", "outcome", "now", "decisions", "series", "file"}
    assert (told["series"]["rows"], told["file"], list(tmp_path.iterdir())) == ([], None, [])
    assert json.loads(ask("report", "shop", "--json", "-o", "a.html").stdout)["file"] == "a.html"
    assert (tmp_path / "a.html").exists()
    result = ask("report", "shop", "--json", "-o", "-")
    assert (result.exit_code, json.loads(result.stderr)["exit_code"]) == (2, 2)


def test_a_report_that_cannot_be_written_is_told(ask: Run, tmp_path: Path):
    result = ask("report", "shop", "-o", str(tmp_path / "missing" / "a.html"))
    assert (result.exit_code, "a.html cannot be written: No such file or directory" in result.stderr) == (1, True)


def test_the_report_of_a_rollout_that_is_not_there_is_refused_in_words(ask: Run):
    assert ask("report", "shop-9").exit_code == 1


def test_status_of_one_rollout_tells_what_a_person_has_wanted_last():
    ordered = {"event": "paused", "by": "ci", "actor": "bob", "reason": "lunch", "at": 5.0}
    rollout: Any = a_rollout(ordered=ordered)
    assert one_in_words(rollout).splitlines()[1] == "last order: paused by ci for bob: lunch"


@pytest.fixture
def without_a_proxy(controller: FakeController) -> list[str]:
    """Two rollouts miss the same proxy; what is said of it."""
    lost = {"address": "10.0.0.2:9900", "why": "connection refused", "since": 1_700_000_000.0}
    controller.rollouts = [a_rollout(lost=[lost]), a_rollout(id="api-4", service="api", lost=[lost])]
    since = datetime.fromtimestamp(1_700_000_000).strftime("%Y-%m-%d %H:%M:%S")
    return [
        f"10.0.0.2:9900 does not answer since {since}: connection refused",
        "Bring it back. If it is gone for good, take its address out of controller.proxies in the file and restart "
        "the controller: rollouts go on where they are.",
    ]


@pytest.mark.parametrize("names", [(), ("shop",)], ids=["all", "one"])
def test_status_says_which_proxy_does_not_answer_and_what_to_do(
    ask: Run, without_a_proxy: list[str], names: tuple[str, ...]
):
    assert ask("status", *names).stdout.splitlines()[-2:] == without_a_proxy
