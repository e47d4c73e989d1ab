import copy
from typing import Any

import jsonschema
import pytest

from config.schema import DIALECT, json_schema, keys_at
from tests.config.loading import HEAD, SHOP, problems_of

VALID: dict[str, Any] = {
    "listen": [{"address": "127.0.0.1:8080"}],
    "services": {"shop": {"versions": {"v1": {"endpoints": ["127.0.0.1:9001"]}}}},
}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema())


def changed(**parts: Any) -> dict[str, Any]:
    return {**copy.deepcopy(VALID), **parts}


def test_the_schema_is_a_schema_and_says_which():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == DIALECT


def test_every_option_is_described():
    schema = json_schema()
    options = [
        (title, name, option)
        for title, part in {"": schema, **schema["$defs"]}.items()
        for name, option in part.get("properties", {}).items()
    ]
    assert len(options) > 100
    assert [
        (title, name)
        for title, name, option in options
        if "description" not in option and name not in {"kind", "strategy"}
    ] == []


def test_defaults_are_shown_in_the_words_of_a_file():
    properties = json_schema()["$defs"]["Timeouts"]["properties"]
    assert properties["connect"]["default"] == "2s"
    assert json_schema()["$defs"]["Limits"]["properties"]["head"]["default"] == "32KiB"


@pytest.mark.parametrize(
    "parts",
    [{"timeouts": {"connect": value}} for value in ("2s", 2, 0.5, "1h30m", "500ms", "${CONNECT:-2s}")]
    + [{"timeouts": {"total": value}} for value in ("off", False, 0)]
    + [{"limits": {"body": value}} for value in ("5MiB", 4096, "${BODY}", "off")]
    + [{"workers": value} for value in ("auto", 4, "${WORKERS}")]
    + [{"access_log": value} for value in ("off", False, None, {"format": "combined"})]
    + [{"trusted_proxies": value} for value in ("::1", ["::1", "10.0.0.0/8"])]
    + [{"routes": [{"service": "shop", "match": {"headers": {"X-A": value}}}]} for value in ("a", {"present": True})],
)
def test_everything_that_loads_is_valid(validator: jsonschema.Draft202012Validator, parts: dict[str, Any]):
    validator.validate(changed(**parts))


@pytest.mark.parametrize(
    "parts",
    [
        {"worker": 3},
        {"workers": "many"},
        {"listen": []},
        {"services": {}},
        {"timeouts": {"connect": "2x"}},
        {"limits": {"body": "5Mb"}},
        {"access_log": {"format": "xml"}},
        {"rollouts": {"shop": {"strategy": "canry", "from": "a", "to": "b"}}},
        {"rollouts": {"shop": {"strategy": "canary", "from": "a"}}},
    ],
)
def test_what_does_not_load_is_not_valid(validator: jsonschema.Draft202012Validator, parts: dict[str, Any]):
    assert not validator.is_valid(changed(**parts))


def test_the_keys_of_a_place_are_found_through_maps_lists_and_unions():
    assert keys_at(("services", "shop", "health")) >= {"path", "tcp", "interval"}
    assert keys_at(("services", "shop", "versions", "v1")) == {"endpoints", "max_connections", "queue", "tls"}
    assert keys_at(("routes", 0, "match", "headers", "X")) == {"exact", "regex", "present"}
    assert keys_at(("rollouts", "shop")) >= {"steps", "keep_old", "max_unavailable", "from"}
    assert keys_at(("nowhere", 1)) == frozenset()


def test_an_unknown_key_is_answered_with_the_nearest_one_of_its_place():
    check = "{kind: http, urll: a}"
    text = f"{HEAD}{SHOP}rollouts: {{shop: {{strategy: canary, from: stable, to: canary, checks: [{check}]}}}}"
    assert [problem.split(": ", 2)[2] for problem in problems_of(text)] == [
        "is required",
        "unknown key 'urll' (did you mean 'url'?)",
    ]
