"""The commands that talk to a running proxy: what they ask, print, and end with."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.fake_admin import FakeAdmin

Run = Callable[..., Result]
PLACE = ("shop", "canary", "127.0.0.1:9003")
ENDPOINTS = "/v1/services/shop/versions/canary/endpoints"


def test_split_sends_the_weights_and_says_the_shares_that_are_served(admin: FakeAdmin, ask: Run):
    result = ask("split", "shop", "stable=90", "canary=10", "--reason", "step 2", "--if-match", "7")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "shop: stable 90 %, canary 10 % (generation 8)\n",
        "",
    )
    assert admin.last.body == {"weights": {"stable": 90.0, "canary": 10.0}, "reason": "step 2"}
    assert admin.last.headers["If-Match"] == '"7"'


def test_split_with_json_prints_the_service(ask: Run):
    assert json.loads(ask("split", "shop", "stable=1", "canary=0.5", "--json").stdout)["name"] == "shop"


@pytest.mark.parametrize(
    "weights", [["stable"], ["stable=x"], ["=5"], ["a=nan"], ["a=inf"], ["a=-1"], ["a=10%"], ["a=1", "a=2"], []]
)
def test_weights_that_cannot_be_are_usage_errors(weights: list[str], admin: FakeAdmin, ask: Run):
    result = ask("split", "shop", *weights)
    assert (result.exit_code, admin.asked) == (2, [])
    assert "VERSION=WEIGHT" in result.stderr


def test_one_weight_alone_is_refused_because_it_would_give_everything_to_that_version(admin: FakeAdmin, ask: Run):
    result = ask("split", "shop", "canary=5")
    assert (result.exit_code, admin.asked) == (2, [])
    assert result.stderr == (
        "serinus: one weight alone would give everything to canary. Name the other versions as well, "
        "or say so: serinus activate shop canary\n"
    )


def test_activate_switches_the_pool(admin: FakeAdmin, ask: Run):
    result = ask("activate", "shop", "canary")
    assert (result.exit_code, admin.last.method, admin.last.path) == (0, "PUT", "/v1/services/shop/active")
    assert admin.last.body == {"version": "canary", "reason": ""}


def test_reload_says_the_new_generation(ask: Run):
    assert ask("reload").stdout == "the file is live (generation 8)\n"


@pytest.mark.parametrize(
    ("arguments", "asked", "said"),
    [
        (["add", *PLACE], ("POST", ENDPOINTS), "was added"),
        (["up", *PLACE], ("PUT", f"{ENDPOINTS}/127.0.0.1:9003/state"), "is up"),
        (["down", *PLACE], ("PUT", f"{ENDPOINTS}/127.0.0.1:9003/state"), "is down"),
        (["drain", *PLACE], ("PUT", f"{ENDPOINTS}/127.0.0.1:9003/state"), "is draining"),
        (["remove", *PLACE], ("DELETE", f"{ENDPOINTS}/127.0.0.1:9003?force=false&reason="), "was removed"),
        (["remove", *PLACE, "--force"], ("DELETE", f"{ENDPOINTS}/127.0.0.1:9003?force=true&reason="), "was removed"),
    ],
)
def test_endpoint_commands(arguments: list[str], asked: tuple[str, str], said: str, admin: FakeAdmin, ask: Run):
    result = ask("endpoint", *arguments)
    assert (result.exit_code, result.stdout) == (0, f"127.0.0.1:9003 of shop/canary {said} (generation 8)\n")
    assert (admin.last.method, admin.last.path) == asked


def test_drain_wait_returns_when_nothing_is_in_flight(admin: FakeAdmin, ask: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cli.endpoint._POLL_SECONDS", 0)
    admin.in_flight = [3, 1, 0]
    result = ask("endpoint", "drain", "--wait", *PLACE)
    assert (result.exit_code, result.stdout) == (0, "127.0.0.1:9003 of shop/canary is idle (generation 7)\n")
    assert [asked.method for asked in admin.asked] == ["PUT", "GET", "GET", "GET", "GET"]


def test_drain_wait_knows_an_endpoint_by_any_spelling_of_its_address(admin: FakeAdmin, ask: Run):
    admin.shop["versions"]["canary"]["endpoints"][0]["address"] = "[::1]:9003"
    admin.in_flight = [1]
    result = ask("endpoint", "drain", "--wait", "--timeout", "0", "shop", "canary", "[0::1]:9003")
    assert result.exit_code == 1


def test_drain_wait_with_a_timeout_fails_when_that_is_over(admin: FakeAdmin, ask: Run):
    admin.in_flight = [2]
    result = ask("endpoint", "drain", "--wait", "--timeout", "0", *PLACE)
    assert result.exit_code == 1
    assert result.stderr == (
        "serinus: 127.0.0.1:9003 of shop/canary still has 2 requests in flight after 0 s and goes on draining\n"
    )


def test_status_shows_every_version_with_its_endpoints_in_plain_text_when_it_is_piped(ask: Run):
    assert [line.split() for line in ask("status").stdout.splitlines() if line.strip()] == [
        ["shop", "split"],
        ["version", "weight", "target", "last", "min", "req/s", "errors", "p50", "p99", "endpoints"],
        ["stable", *"90 90 % 90.1 % 180 0 % 1.2 ms 34 ms".split(), "127.0.0.1:9001", "up"],
        ["127.0.0.1:9002", "unhealthy:", "connection", "refused"],
        ["canary", *"10 10 % - 0.0 - - -".split(), *"127.0.0.1:9003 drain, 2 in flight".split()],
        "last change: generation 7 by alice: looks good".split(),
    ]


def test_status_leaves_no_spaces_at_the_ends_of_piped_lines(ask: Run):
    assert [line for line in ask("status").stdout.splitlines() if line != line.rstrip()] == []


def test_status_of_a_service_in_pool_mode_names_the_active_version(admin: FakeAdmin, ask: Run):
    admin.shop["active"] = "stable"
    assert "shop  active: stable" in ask("status").stdout


def test_status_shows_texts_as_they_are_and_never_as_markup(admin: FakeAdmin, ask: Run):
    admin.shop["last_change"]["reason"] = "[red]really[/red]"
    assert "[red]really[/red]" in ask("status").stdout


def test_status_with_json_prints_the_state(admin: FakeAdmin, ask: Run):
    assert json.loads(ask("status", "--json").stdout)["services"]["shop"] == admin.shop


def test_watch_in_a_pipe_prints_one_state_per_line_as_json(ask: Run):
    result = ask("watch", "--json", "--interval", "0.1", "--updates", "2")
    assert [json.loads(line)["generation"] for line in result.stdout.splitlines()] == [7, 7]


def test_watch_in_a_pipe_prints_one_status_after_the_other(ask: Run):
    assert ask("watch", "--interval", "0.1", "--updates", "2").stdout.count("last change") == 2


def test_diff_shows_what_is_live_and_what_the_file_says(ask: Run):
    assert ask("config", "diff").stdout == (
        "services.shop.split: stable=90 canary=10 is live, stable=99 canary=1 in the file\n"
        "  generation 7 by alice: looks good\n"
    )


def test_diff_without_a_difference_says_so(admin: FakeAdmin, ask: Run):
    admin.refusals["GET", "/v1/config/diff"] = (200, {"generation": 7, "differences": []})
    assert ask("config", "diff").stdout == "what is live is what the file says\n"


@pytest.mark.parametrize(
    ("arguments", "path", "is_ready", "expected"),
    [
        ([], "/healthz", False, (0, "alive\n")),
        (["--ready"], "/readyz", True, (0, "ready\n")),
        (["--ready"], "/readyz", False, (1, "the proxy at http://{} is not ready\n")),
    ],
)
def test_healthcheck_ends_with_0_or_1(
    arguments: list[str], path: str, is_ready: bool, expected: tuple[int, str], admin: FakeAdmin, ask: Run
):
    admin.is_ready = is_ready
    result = ask("healthcheck", *arguments)
    assert (result.exit_code, result.stdout) == (expected[0], expected[1].format(admin.address))
    assert admin.last.path == path


def test_healthcheck_of_nobody_ends_with_1_because_container_engines_know_no_other_code(run: Run, unused_port: int):
    assert run("healthcheck", "--admin", f"127.0.0.1:{unused_port}").exit_code == 1


COMMANDS = [
    ["status"],
    ["watch", "--updates", "1"],
    ["split", "shop", "stable=1", "canary=1"],
    ["activate", "shop", "canary"],
    ["reload"],
    *(["endpoint", verb, *PLACE] for verb in ("add", "drain", "remove", "up", "down")),
    ["config", "diff"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_ends_with_3_when_it_cannot_reach_the_proxy(command: list[str], run: Run, unused_port: int):
    result = run(*command, "--admin", f"127.0.0.1:{unused_port}")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Is `serinus proxy` running? Set --admin or SERINUS_ADMIN." in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_tells_errors_as_json_when_asked(command: list[str], run: Run, unused_port: int):
    result = run(*command, "--json", "--admin", f"127.0.0.1:{unused_port}")
    assert (result.exit_code, result.stdout) == (3, "")
    assert json.loads(result.stderr)["exit_code"] == 3


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_takes_the_token_from_the_environment(command: list[str], admin: FakeAdmin, ask: Run):
    ask(*command, SERINUS_TOKEN="secret")
    assert {asked.headers["Authorization"] for asked in admin.asked} == {"Bearer secret"}


@pytest.mark.parametrize(("status", "code"), [(401, 1), (404, 1), (409, 1), (412, 1), (422, 2), (503, 1)])
def test_a_refusal_ends_with_1_or_with_2_when_the_input_was_wrong(status: int, code: int, admin: FakeAdmin, ask: Run):
    admin.refusals["PUT", "/v1/services/shop/split"] = (status, {"title": "No", "detail": "not like this"})
    result = ask("split", "shop", "stable=1", "canary=1")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("serinus: not like this\n")


def test_all_problems_of_a_refusal_are_printed_with_the_nearest_names(admin: FakeAdmin, ask: Run):
    problem = {"path": "weights.cnary", "message": "there is no version 'cnary'", "suggestion": "canary"}
    refusal = {"detail": "The split of shop cannot be set", "problems": [problem]}
    admin.refusals["PUT", "/v1/services/shop/split"] = (422, refusal)
    assert ask("split", "shop", "stable=1", "cnary=1").stderr == (
        "serinus: The split of shop cannot be set\n"
        "  weights.cnary: there is no version 'cnary' (did you mean canary?)\n"
    )
    as_json = json.loads(ask("split", "shop", "stable=1", "cnary=1", "--json").stderr)
    assert as_json == {
        "error": "The split of shop cannot be set",
        "exit_code": 2,
        "status": 422,
        "problems": [problem],
    }


def test_a_name_that_is_not_there_is_told_once_with_the_nearest_one(admin: FakeAdmin, ask: Run):
    problem = {"path": "service", "message": "There is no service 'shp'", "suggestion": "shop"}
    admin.refusals["PUT", "/v1/services/shp/active"] = (404, {"detail": problem["message"], "problems": [problem]})
    assert ask("activate", "shp", "stable").stderr == (
        "serinus: There is no service 'shp' (did you mean shop?)\n`serinus status` lists what there is.\n"
    )


def test_a_refusal_says_the_next_step(admin: FakeAdmin, ask: Run):
    admin.refusals["GET", "/v1/state"] = (401, {"title": "Unauthorized", "detail": "a token is needed"})
    assert "Set --token or SERINUS_TOKEN" in ask("status").stderr


def test_an_address_that_is_none_is_a_usage_error(run: Run):
    result = run("status", "--admin", "nonsense")
    assert result.exit_code == 2
    assert "Write 127.0.0.1:9900" in result.stderr


def test_who_may_not_do_it_is_told_which_role_it_takes(admin: FakeAdmin, ask: Run):
    sentence = "put_split needs the role operate; the token grafana has the role read"
    admin.refusals["PUT", "/v1/services/shop/split"] = (403, {"title": "Forbidden", "detail": sentence})
    result = ask("split", "shop", "stable=1", "canary=1")
    assert result.exit_code == 1
    assert result.stderr == f"serinus: {sentence}\nAnother token may do it: --token or SERINUS_TOKEN.\n"


def test_status_names_the_token_and_who_used_it(admin: FakeAdmin, ask: Run):
    admin.shop["last_change"] |= {"by": "ci", "actor": "bob"}
    assert "last change: generation 7 by ci for bob: looks good" in ask("status").stdout


def test_config_check_tells_of_a_token_that_everybody_can_read(tmp_path: Path, ask: Run):
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "token").chmod(0o644)
    services = "services: {shop: {versions: {v1: {endpoints: ['127.0.0.1:1']}}}}"
    file = tmp_path / "serinus.yaml"
    file.write_text(f"listen: [{{address: '127.0.0.1:0'}}]\n{services}\nadmin: {{token_file: token}}\n")
    result = ask("config", "check", "-c", str(file))
    told = f"admin.token_file: everybody on this machine can read {tmp_path}/token"
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].startswith(told)


def test_reload_says_why(admin: FakeAdmin, ask: Run):
    assert ask("reload", "--reason", "new limits").exit_code == 0
    assert (admin.last.method, admin.last.path, admin.last.body) == ("POST", "/v1/reload", {"reason": "new limits"})
