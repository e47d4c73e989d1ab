import pytest

from config.check import Comparison, parse_comparison
from config.guard import Guard, guard_of
from config.model import BlueGreenRollout, CanaryRollout, RollingRollout, Rollout, TextMatch
from config.service import Breaker
from config.show import render
from tests.config.loading import HEAD, SHOP, config_of, problems_of


def rollout_of(settings: str) -> Rollout:
    """The rollout from stable to canary with these settings."""
    text = f"{HEAD}{SHOP}rollouts: {{shop: {{from: stable, to: canary, {settings}}}}}"
    return config_of(text).rollouts["shop"]


def complaints_of(settings: str) -> list[str]:
    """The problems of such a rollout, without their places."""
    text = f"{HEAD}{SHOP}rollouts: {{shop: {{from: stable, to: canary, {settings}}}}}"
    return [problem.split(": ", 1)[1] for problem in problems_of(text)]


def test_a_canary_needs_nothing_but_its_versions():
    rollout = rollout_of("strategy: canary")
    assert isinstance(rollout, CanaryRollout)
    assert (rollout.from_, rollout.to) == ("stable", "canary")
    assert [(step.weight, step.bake, step.longest) for step in rollout.steps] == [
        (weight, 600.0, 1800.0) for weight in (1.0, 10.0, 50.0, 100.0)
    ]
    assert [check.name for check in rollout.checks] == ["error-rate", "latency"]
    assert rollout.on.model_dump() == {
        "fail": "rollback",
        "inconclusive": "extend",
        "no_data": "extend",
        "error": "hold",
        "stable_failing": "freeze",
    }
    assert rollout.hold.model_dump() == {"to": 1, "investigate": "1h", "then": "rollback"}
    assert (rollout.alpha, rollout.promote, rollout.hold_back) == (0.01, "evidence", 0.0)
    assert rollout.breaker is not None
    assert (rollout.breaker.window, rollout.breaker.fails) == (20, 5)


@pytest.mark.parametrize(
    ("of_service", "of_rollout", "expected"),
    [
        ("", "", (20, 5)),
        ("breaker: {window: 9, fails: 3}", "", (9, 3)),
        ("breaker: {window: 9, fails: 3}", "breaker: {window: 8, fails: 2}", (8, 2)),
        ("breaker: off", "", None),
        ("breaker: off", "breaker: {}", (20, 5)),
        ("breaker: {}", "breaker: off", None),
    ],
)
def test_the_new_version_has_the_breaker_of_its_rollout_and_by_default_that_of_its_service(
    of_service: str, of_rollout: str, expected: tuple[int, int] | None
):
    service = SHOP.replace("    split:", f"    {of_service}\n    split:") if of_service else SHOP
    text = f"{HEAD}{service}rollouts: {{shop: {{from: stable, to: canary, strategy: canary, {of_rollout}}}}}"
    config = config_of(text)
    for each in (config, config_of(render(config))):  # what is shown means the same
        guard = guard_of(each, "shop", "canary")
        assert (guard and (guard.rule.window, guard.rule.fails)) == expected
        assert guard is None or (guard.reference, guard.only_beside_reference) == ("stable", True)


def test_a_breaker_of_a_service_guards_what_no_rollout_brings():
    config = config_of(f"{HEAD}{SHOP}".replace("    split:", "    breaker: {window: 9, fails: 3}\n    split:"))
    guard = guard_of(config, "shop", "canary")
    assert guard == Guard(Breaker(window=9, fails=3), "stable", only_beside_reference=False)
    assert guard_of(config, "shop", "stable") is None


def test_without_news_of_the_controller_the_proxies_hold_or_roll_back():
    rollout = rollout_of("strategy: canary")
    assert (rollout.on_controller_loss.after, rollout.on_controller_loss.do) == (60.0, "hold")
    assert rollout_of("strategy: canary, on_controller_loss: {do: rollback}").on_controller_loss.do == "rollback"
    assert complaints_of("strategy: rolling, on_controller_loss: {do: rollback}") == [
        "rollouts.shop: on_controller_loss: a proxy cannot deploy the old version; it can only hold"
    ]


@pytest.mark.parametrize(("interval", "after", "fits"), [("1s", "2s", False), ("1s", "3s", True), ("1m", "60s", False)])
def test_a_lease_lasts_for_several_looks_of_the_controller(interval: str, after: str, fits: bool):
    text = (
        f"{HEAD}controller: {{interval: {interval}}}\n{SHOP}rollouts: "
        f"{{shop: {{from: stable, to: canary, strategy: canary, on_controller_loss: {{after: {after}}}}}}}"
    )
    complaint = "rollouts.shop.on_controller_loss.after: must be at least 3 times controller.interval"
    assert [each.split(": ", 1)[1] for each in problems_of(text)] == [complaint] if not fits else config_of(text)


def test_a_blue_green_rollout_has_a_preview_and_checks_before_the_switch():
    before = "[{kind: exec, command: 'smoke {version}'}]"
    rollout = rollout_of(f"strategy: blue-green, preview: {{headers: {{X-Preview: green}}}}, before: {before}")
    assert isinstance(rollout, BlueGreenRollout)
    assert rollout.preview is not None
    assert dict(rollout.preview.headers) == {"X-Preview": TextMatch(exact="green")}
    assert [(check.kind, check.name) for check in rollout.before] == [("exec", "exec")]
    assert (rollout.bake, rollout.keep_old) == (600.0, 86400.0)


def test_a_rolling_rollout_deploys_by_command_or_webhook_or_waits():
    waiting = rollout_of("strategy: rolling")
    assert isinstance(waiting, RollingRollout)
    assert (waiting.deploy, waiting.max_unavailable, waiting.settle) == (None, 1, 30.0)
    deploying = rollout_of("strategy: rolling, deploy: {exec: 'deploy-one {endpoint} {version}'}")
    assert isinstance(deploying, RollingRollout)
    assert deploying.deploy is not None
    assert deploying.deploy.exec == "deploy-one {endpoint} {version}"


def test_a_check_is_named_after_its_kind_unless_it_says_otherwise():
    rollout = rollout_of("strategy: canary, checks: [{kind: error_rate}, {kind: signal, name: tickets, on_fail: hold}]")
    assert [(check.name, check.on_fail) for check in rollout.checks] == [("error-rate", None), ("tickets", "hold")]


@pytest.mark.parametrize(
    ("text", "comparison"),
    [("< 0.95", Comparison("<", 0.95)), (">=1e3", Comparison(">=", 1000.0)), ("!= -2", Comparison("!=", -2.0))],
)
def test_a_condition_on_a_number_is_read_and_shown(text: str, comparison: Comparison):
    assert parse_comparison(text) == comparison
    assert parse_comparison(str(comparison)) == comparison


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("bake: 1m", "rollouts.shop.strategy: is required"),
        ("strategy: blue_green", "rollouts.shop.strategy: must be one of 'canary', 'blue-green', 'rolling', not"),
        ("strategy: canary, preview: {}", "rollouts.shop: unknown key 'preview'"),
        ("strategy: blue-green, preview: {}", "rollouts.shop: preview needs a condition: without any, it would be"),
        ("strategy: canary, steps: []", "rollouts.shop.steps: must not be empty"),
        ("strategy: canary, steps: [{weight: 0}]", "rollouts.shop: the weights of the steps must ascend, beginning"),
        ("strategy: canary, steps: [{weight: 9}, {weight: 9}]", "rollouts.shop: the weights of the steps must ascend"),
        ("strategy: canary, steps: [{weight: 101}]", "rollouts.shop.steps[0].weight: must be a number of per cent"),
        (
            "strategy: canary, steps: [{weight: 1, bake: 2m, max: 1m}]",
            "rollouts.shop.steps[0]: max is shorter than bake",
        ),
        ("strategy: canary, alpha: 0", "rollouts.shop.alpha: must be more than 0"),
        ("strategy: canary, alpha: .nan", "rollouts.shop.alpha: must be "),
        ("strategy: canary, on: {fail: advance}", "rollouts.shop.on.fail: must be 'rollback', 'hold' or 'extend', not"),
        ("strategy: canary, checks: [{}]", "rollouts.shop.checks[0].kind: is required"),
        ("strategy: canary, checks: [{kind: error-rate}]", "rollouts.shop.checks[0].kind: must be one of"),
        ("strategy: canary, checks: [{kind: http}]", "rollouts.shop.checks[0].url: is required"),
        (
            "strategy: canary, checks: [{kind: http, url: 'ftp://a'}]",
            "rollouts.shop.checks[0].url: not a URL: 'ftp://a'",
        ),
        ("strategy: canary, checks: [{kind: http, url: 'http://a:b'}]", "rollouts.shop.checks[0].url: not a URL: "),
        ("strategy: canary, checks: [{kind: exec, command: ''}]", "rollouts.shop.checks[0].command: '' is empty"),
        (
            "strategy: canary, checks: [{kind: exec, command: '\"a'}]",
            "rollouts.shop.checks[0].command: not a command: No",
        ),
        (
            "strategy: canary, checks: [{kind: exec, command: 'a {host}'}]",
            "rollouts.shop.checks[0].command: unknown word {host}; known are endpoint, previous, service, version",
        ),
        (
            "strategy: canary, checks: [{kind: prometheus, url: 'http://a', query: up, fail_if: low}]",
            "rollouts.shop.checks[0].fail_if: not a comparison: 'low'; write \"< 0.95\"",
        ),
        (
            "strategy: canary, checks: [{kind: prometheus, url: 'http://a', query: up, fail_if: '< 1e999'}]",
            "rollouts.shop.checks[0].fail_if: the number in '< 1e999' is too large",
        ),
        ("strategy: canary, hold: {to: x}", "rollouts.shop.hold.to: must be a number of per cent from 0 to 100, not"),
        (
            "strategy: blue-green, before: [{kind: latency}]",
            "rollouts.shop.before[0].kind: must be one of 'http', 'exec'",
        ),
        ("strategy: rolling, deploy: {}", "rollouts.shop.deploy: needs either exec or webhook"),
        ("strategy: rolling, max_unavailable: 0", "rollouts.shop.max_unavailable: must be at least 1"),
        ("strategy: canary, from_: stable", "rollouts.shop: unknown key 'from_' (did you mean 'from'?)"),
    ],
)
def test_a_rollout_that_cannot_be_is_refused(settings: str, complaint: str):
    (found,) = complaints_of(settings)
    assert found.startswith(complaint)


def test_a_key_that_is_also_the_word_for_a_strategy_does_not_lead_the_path_astray():
    assert complaints_of("strategy: canary, canary: 1, steps: [{weight: x}]") == [
        "rollouts.shop: unknown key 'canary'",
        "rollouts.shop.steps[0].weight: must be a number of per cent from 0 to 100, not 'x'",
    ]
