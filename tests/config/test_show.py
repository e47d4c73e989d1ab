from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import loads
from config.show import TOKEN_VARIABLE, plain, render, to_yaml
from config.yaml12 import read
from tests.config.loading import HEAD, ONE, SHOP, config_of


def test_every_default_is_shown_in_the_words_of_a_file():
    shown = plain(config_of(HEAD + SHOP))
    assert list(shown) == [
        *("listen", "services", "routes", "rollouts", "admin", "controller", "workers", "state_dir", "access_log"),
        *("limits", "timeouts", "trusted_proxies", "internal_headers", "via", "drain_timeout", "metrics"),
    ]
    assert shown["listen"] == [{"address": "127.0.0.1:8080", "proxy_protocol": False}]
    assert shown["routes"] == [{"match": {}, "service": "shop", "refuse_encoded_slashes": False}]
    assert shown["state_dir"] == "/srv/state"
    assert shown["limits"]["head"] == "32KiB"
    assert shown["services"]["shop"] == {
        "versions": {
            "stable": {"endpoints": ["127.0.0.1:9001"], "max_connections": 0, "queue": 64},
            "canary": {"endpoints": ["127.0.0.1:9003"], "max_connections": 0, "queue": 64},
        },
        "split": {"stable": 99, "canary": 1},
        "stable": "stable",
        "fallback": "stable",
        "fallback_on_error": False,
        "sticky": "off",
        "balance": "least-request",
        "hash_key": [],
        "expose_version": False,
        "forward_own_cookies": False,
        "health": "off",
        "ejection": {
            **{"consecutive": 5, "error_share": "0%", "min_requests": 20, "base_time": "30s"},
            **{"max_time": "5m", "max_share": "50%", "panic": "50%"},
        },
        "slow_start": "0s",
        "retries": {"attempts": 1, "budget": "20%", "budget_min": 3, "on": ["connect_error", "reset"]},
        "breaker": "off",
        "drain": {"timeout": "30s", "jitter": "5s"},
        "limits": {"body": "0B"},
        "timeouts": {
            **{"connect": "2s", "response": "30s", "idle": "1m", "total": "0s", "upstream_keepalive": "50s"},
            **{"queue": "1s", "tunnel": "1h"},
        },
        "pool": {"idle": 64, "fresh_after": "2s"},
        "upgrade": ["websocket"],
        "resolve_interval": "30s",
    }


def test_words_that_only_other_yaml_takes_for_values_stand_plain():
    assert "sticky: off\n" in render(config_of(HEAD + ONE))


def test_a_token_is_not_shown_and_can_be_given_back_through_the_environment():
    config = config_of(f"{HEAD}{ONE}admin: {{token: s3cret}}")
    text = render(config)
    assert "s3cret" not in text
    assert "s3cret" not in repr(config)
    assert plain(config)["admin"]["token"] == TOKEN_VARIABLE
    assert loads(text, environ={"SERINUS_TOKEN": "s3cret"}) == config


def test_the_file_of_a_token_is_shown_and_read_again(tmp_path: Path):
    (tmp_path / "token").write_text("s3cret\n")
    config = config_of(f"{HEAD}{ONE}admin: {{token_file: token}}", folder=tmp_path)
    assert plain(config)["admin"] == {
        "address": "127.0.0.1:9900",
        "token_file": str(tmp_path / "token"),
        "tokens": [],
        "require_reason": False,
    }
    assert loads(render(config), environ={}) == config


def test_text_that_looks_like_a_variable_stays_text():
    config = config_of(HEAD + ONE + "routes: [{match: {query: {a: '$${HOME}'}}, service: shop}]")
    assert config.routes[0].match.query["a"].exact == "${HOME}"
    assert loads(render(config), environ={}) == config


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "yes",
        "~",
        "null",
        "true",
        "0o10",
        "010",
        "1e3",
        "1.0",
        ".inf",
        "22:22",
        "",
        " a ",
        "a: b",
        "# a",
        "<<",
        "=",
    ],
)
def test_text_that_looks_like_another_value_stays_text(text: str):
    assert read(to_yaml([text, {text: text}])).plain() == (text, {text: text})


TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=10)),
    lambda below: st.one_of(
        st.lists(below, max_size=4).map(tuple), st.dictionaries(st.text(max_size=5), below, max_size=4)
    ),
    max_leaves=12,
)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


@given(TREES)
def test_any_plain_value_is_read_back(tree: Any):
    document = read(to_yaml(_lists(tree)))
    assert document.faults == ()
    assert document.plain() == tree
