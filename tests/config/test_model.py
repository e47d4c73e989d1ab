"""The shape of services, routes and the proxy's own settings; their defaults are in `test_show`."""

import copy
import ipaddress
import pickle

import pytest
from pydantic import BaseModel, ValidationError

from config.keys import KeySource
from config.model import (
    LOG_FIELDS,
    AccessLog,
    Config,
    Health,
    Service,
    StatusRange,
    Sticky,
    StickyCookie,
    Table,
    TextMatch,
    Value,
)
from tests.config.loading import HEAD, ONE, SHOP, config_of, problems_of


def service_of(settings: str) -> Service:
    """The service with one version and these settings."""
    return config_of(f"{HEAD}services: {{shop: {{versions: {{v1: {{}}}}, {settings}}}}}").services["shop"]


def complaints_of(text: str) -> list[str]:
    """The problems without their places."""
    return [problem.split(": ", 1)[1] for problem in problems_of(text)]


def service_complaints(settings: str) -> list[str]:
    """The problems of a service with one version and these settings, without their places."""
    return complaints_of(f"{HEAD}services: {{shop: {{versions: {{v1: {{}}}}, {settings}}}}}")


@pytest.mark.parametrize(
    ("versions", "settings", "stable"),
    [
        ("{canary: {}, stable: {}}", "split: {canary: 99, stable: 1}", "stable"),
        ("{a: {}, b: {}, c: {}}", "split: {a: 1, b: 5, c: 5}", "b"),
        ("{blue: {}, green: {}}", "active: green", "green"),
        ("{v1: {}}", "balance: hash", "v1"),
        ("{v1: {}, v2: {}}", "{active: v1, stable: v2}", "v2"),
    ],
)
def test_the_reference_version_is_the_one_that_people_would_name(versions: str, settings: str, stable: str):
    settings = settings.removeprefix("{").removesuffix("}") if settings.startswith("{") else settings
    service = config_of(f"{HEAD}services: {{shop: {{versions: {versions}, {settings}}}}}").services["shop"]
    assert (service.stable, service.fallback) == (stable, stable)


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ("split: {a: 0.5, c: 2}", {"a": 0.5, "b": 0.0, "c": 2.0}),
        ("active: b", {"a": 0.0, "b": 1.0, "c": 0.0}),
    ],
)
def test_every_version_has_a_weight(settings: str, weights: dict[str, float]):
    config = config_of(f"{HEAD}services: {{shop: {{versions: {{a: {{}}, b: {{}}, c: {{}}}}, {settings}}}}}")
    assert config.services["shop"].weights == weights


def test_a_single_version_has_everything():
    assert service_of("balance: hash").weights == {"v1": 1.0}


@pytest.mark.parametrize("word", ["off", "none", "false", "null"])
def test_parts_that_are_on_by_default_can_be_turned_off(word: str):
    assert service_of(f"ejection: {word}").ejection is None
    assert config_of(f"{HEAD}{ONE}access_log: {word}").access_log is None


def test_a_duration_that_may_be_off_is_zero_when_it_is():
    service = service_of("slow_start: off, timeouts: {total: off, response: false, queue: 0}")
    assert (service.slow_start, service.timeouts.total, service.timeouts.response, service.timeouts.queue) == (0,) * 4


def test_the_sources_of_a_key_are_read_in_their_order():
    sticky = service_of("sticky: {key: ['header:X-User-Id', 'cookie:uid', own-cookie, ip]}").sticky
    assert sticky == Sticky(
        key=(
            KeySource("header", "X-User-Id"),
            KeySource("cookie", "uid"),
            KeySource("own-cookie"),
            KeySource("ip"),
        ),
        cookie=StickyCookie(name="serinus_uid", max_age=30 * 86400.0, secure="auto", same_site="Lax"),
    )


def test_the_key_of_a_hash_is_its_own_or_the_sticky_one_or_the_address():
    assert service_of("balance: hash").balance_key == (KeySource("ip"),)
    assert service_of("sticky: {key: 'cookie:uid'}").balance_key == (KeySource("cookie", "uid"),)
    both = service_of("sticky: {key: 'cookie:uid'}, hash_key: 'header:X-Cart'")
    assert both.balance_key == (KeySource("header", "X-Cart"),)


def test_the_good_statuses_of_a_probe_are_ranges():
    health = service_of("health: {path: /, expect: [200, 300-399]}").health
    assert health is not None
    assert health.expect == (StatusRange(200, 200), StatusRange(300, 399))
    assert [status in health.expect[1] for status in (299, 300, 399, 400)] == [False, True, True, False]
    assert Health(tcp=True).expect == (StatusRange(200, 399),)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("health: {}", "services.shop.health: needs either path: /healthz or tcp: true"),
        ("health: {path: /, tcp: true}", "services.shop.health: needs either path: /healthz or tcp: true"),
        ("health: {path: /, rise: 0}", "services.shop.health.rise: must be at least 1"),
        ("health: {path: /, interval: 0}", "services.shop.health.interval: must be more than 0"),
        (
            "health: {path: /, expect: 2xx}",
            "services.shop.health.expect: not a status or a range of statuses: '2xx'; write 200 or 200-399",
        ),
        ("health: {path: /a b}", "services.shop.health.path: '/a b' is not a path: it holds ?, #, a space or a byte"),
        ("health: {path: /a/../b}", "services.shop.health.path: '/a/../b' matches nothing: paths are compared"),
        (
            'health: {path: /, host: "a\\r\\nX: b"}',
            "services.shop.health.host: 'a\\r\\nX: b' holds a control character",
        ),
        (
            "breaker: {window: 5, fails: 6}",
            "services.shop.breaker: can never open: 6 failures do not fit into a window of 5",
        ),
        ("sticky: {}", "services.shop.sticky.key: is required"),
        ("sticky: {key: []}", "services.shop.sticky: key needs at least one source, and none twice"),
        ("sticky: {key: [ip, ip]}", "services.shop.sticky: key needs at least one source, and none twice"),
        ("sticky: {key: 'header:'}", "services.shop.sticky.key: not a key: 'header:'; write header:NAME, cookie:NAME"),
        ("sticky: {key: 'cookie:a b'}", "services.shop.sticky.key: not a key: 'cookie:a b'; write header:NAME"),
        (
            "sticky: {key: ip, cookie: {same_site: None, secure: false}}",
            "services.shop.sticky.cookie: browsers drop a cookie with same_site: None unless it is secure",
        ),
        ("retries: {attempts: 11}", "services.shop.retries.attempts: must be at most 10"),
        ("retries: {on: [4xx]}", "services.shop.retries.on[0]: must be 'connect_error', 'reset', 'timeout' or '5xx'"),
        ("retries: {attempts: true}", "services.shop.retries.attempts: must be a whole number, not true"),
        ("timeouts: {connect: off}", "services.shop.timeouts.connect: not a duration: 'off'; write it as 30s, 500ms"),
        ("ejection: {max_share: 150%}", "services.shop.ejection.max_share: a share lies between 0% and 100%"),
        ("upgrade: [h2c]", "services.shop.upgrade[0]: must be 'websocket', not 'h2c'"),
        ("timeouts: [1s]", "services.shop.timeouts: must be a mapping, not a list"),
        ("limits: {body: -1}", "services.shop.limits.body: a size cannot be negative: -1"),
    ],
)
def test_an_impossible_setting_of_a_service_is_refused(settings: str, complaint: str):
    (found,) = service_complaints(settings)
    assert found.startswith(complaint)


@pytest.mark.parametrize("name", ["a b", "", "-a", "a/b", "none", "off", "auto", "ä", "x" * 64])
def test_a_name_has_to_fit_into_labels_and_paths(name: str):
    (found,) = complaints_of(f"{HEAD}services: {{shop: {{versions: {{'{name}': {{}}}}}}}}")
    assert found.startswith("services.shop.versions: '")


@pytest.mark.parametrize(
    ("match", "complaint"),
    [
        ("{path: /a, path_prefix: /b}", "routes[0].match: takes one of path, path_prefix and path_regex, not several"),
        ("{path: a}", "routes[0].match.path: a path begins with /: 'a'"),
        ("{path_regex: '('}", "routes[0].match.path_regex: not a regular expression: missing ), unterminated"),
        ("{host: '*'}", "routes[0].match.host: leave host out to match every host"),
        ("{host: [a, 'b c']}", "routes[0].match.host[1]: not a host name or an IP address: 'b c'"),
        ("{method: get}", "routes[0].match.method: methods are written in capitals: GET"),
        (
            "{method: [GET, CONNECT]}",
            "routes[0].match.method[1]: CONNECT is answered with 405, whatever the routes say",
        ),
        ("{method: [GET, 'A B']}", "routes[0].match.method[1]: 'A B' is not a method"),
        ("{headers: {'X:': a}}", "routes[0].match.headers: 'X:' is not a token"),
        ('{headers: {X: "a\\nb"}}', "routes[0].match.headers.X.exact: 'a\\nb' holds a control character"),
        ("{headers: {X: ' a'}}", "routes[0].match.headers.X.exact: ' a' begins or ends with a space"),
        ("{headers: {X: {regex: a, exact: b}}}", "routes[0].match.headers.X: needs exactly one of exact, regex"),
        ("{headers: {X: {}}}", "routes[0].match.headers.X: needs exactly one of exact, regex and present"),
        ("{headers: {X-A: a, x-a: b}}", "routes[0].match: names a header twice: case does not matter"),
        ("{cookies: {'a=b': c}}", "routes[0].match.cookies: 'a=b' is not a token"),
        ("{query: {'': c}}", "routes[0].match.query: '' is empty or holds a control character"),
    ],
)
def test_a_condition_that_nothing_can_meet_is_refused(match: str, complaint: str):
    (found,) = complaints_of(f"{HEAD}{ONE}routes: [{{service: shop, match: {match}}}]")
    assert found.replace("X.exact", "X").startswith(complaint.replace("X.exact", "X"))


def test_one_condition_and_a_list_of_one_are_the_same_and_hosts_are_canonical():
    text = f"{HEAD}{ONE}routes: [{{service: shop, match: {{host: %s, method: %s}}}}]"
    match = config_of(text % ("'*.Example.com'", "PURGE")).routes[0].match
    assert (match.host, match.method) == (("*.example.com",), ("PURGE",))
    assert config_of(text % ("['*.example.com']", "[PURGE]")).routes[0].match == match


def test_a_value_is_matched_exactly_or_by_regex_or_by_presence():
    headers = "{A: a, B: {regex: 'b+'}, C: {present: false}}"
    match = config_of(f"{HEAD}{ONE}routes: [{{service: shop, match: {{headers: {headers}}}}}]").routes[0].match
    assert dict(match.headers) == {"A": TextMatch(exact="a"), "B": TextMatch(regex="b+"), "C": TextMatch(present=False)}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("workers: 0", "workers: must be auto or a number from 1 to 256, not 0"),
        ("workers: many", "workers: must be auto or a number from 1 to 256, not 'many'"),
        ("workers: true", "workers: must be auto or a number from 1 to 256, not true"),
        ("limits: {request_line: 64KiB}", "limits: request_line is a part of head and cannot be larger"),
        ("limits: {head: 1GiB}", "limits.head: must lie between 64B and 128KiB"),
        ("limits: {headers: 1.5}", "limits.headers: must be a whole number, not 1.5"),
        ("limits: {headers: 257}", "limits.headers: must be at most 256"),
        ("trusted_proxies: [10.0.0.1/8]", "trusted_proxies[0]: '10.0.0.1/8' is an address inside a range; write '10.0"),
        ("trusted_proxies: [shop]", "trusted_proxies[0]: not an address range: 'shop'; write 10.0.0.0/8 or ::1"),
        ("metrics: {buckets: [2s, 1s]}", "metrics: buckets must be durations in ascending order, at least one"),
        ("metrics: {buckets: []}", "metrics: buckets must be durations in ascending order, at least one"),
        ("access_log: {fields: [statsu]}", "access_log.fields[0]: must be 'ts', "),
        ("access_log: {fields: [ts, ts]}", "access_log: fields has one of them twice"),
        ("access_log: {fields: ts, drop: ts}", "access_log: at least one field must be left; access_log: off writes"),
        ("state_dir: ''", "state_dir: not a path: it is empty or holds NUL"),
        ("x: {versions: {}}", "unknown key 'x'"),
    ],
)
def test_an_impossible_setting_of_the_proxy_is_refused(settings: str, complaint: str):
    (found,) = complaints_of(f"{HEAD}{ONE}{settings}")
    assert found.startswith(complaint)


def test_trusted_proxies_are_addresses_or_ranges():
    config = config_of(f"{HEAD}{ONE}trusted_proxies: ['10.0.0.0/8', '::1']")
    assert config.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))


def test_log_fields_are_kept_in_their_order_without_the_dropped_ones():
    log = AccessLog(fields=("status", "ts", "path"), drop=("path",))
    assert log.kept_fields == ("status", "ts")
    assert AccessLog().kept_fields == LOG_FIELDS


def test_a_configuration_is_immutable_hashable_and_can_be_copied_and_sent():
    config = config_of(HEAD + SHOP)
    with pytest.raises(ValidationError, match="frozen"):
        config.workers = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.services["shop"] = config.services["shop"]  # type: ignore[index]
    assert {config, config_of(HEAD + SHOP)} == {config}
    assert pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config) == config


def test_a_table_is_a_mapping():
    table = Table({"a": 1, "b": 2})
    assert (dict(table), list(table), table == {"b": 2, "a": 1}) == ({"a": 1, "b": 2}, ["a", "b"], True)
    assert repr(table) == "Table({'a': 1, 'b': 2})"


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    return {model}.union(*(_models(below) for below in model.__subclasses__()))


def test_every_option_says_what_it_is_for():
    silent = [
        f"{model.__name__}.{name}"
        for model in _models(Value)
        for name, field in model.model_fields.items()
        if not field.description and name not in {"kind", "strategy"}
    ]
    assert silent == []
    assert Config in _models(Value)
