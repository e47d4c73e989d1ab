"""Whole configurations, and whole files of nonsense."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.load import loads
from config.problems import ConfigError
from config.schema import json_schema
from config.show import render, to_yaml

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,5}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name not in {"none", "off", "auto"}
)
TOKENS = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(str.strip)
SECONDS = st.floats(min_value=0, max_value=1e7)
POSITIVE_SECONDS = st.floats(min_value=1e-9, max_value=1e7)
SHARES = st.floats(min_value=0, max_value=1)
SIZES = st.integers(min_value=0, max_value=2**50)
COUNTS = st.integers(min_value=1, max_value=1000)
KEYS = st.one_of(TOKENS.map("header:{}".format), TOKENS.map("cookie:{}".format), st.sampled_from(["own-cookie", "ip"]))
ENDPOINTS = st.one_of(
    st.builds("{}:{}".format, st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5}){0,2}", fullmatch=True), st.integers(1, 65535)),
    st.builds("[{}]:{}".format, st.ip_addresses(v=6), st.integers(1, 65535)),
    st.from_regex(r"unix:/[a-z/]{1,9}", fullmatch=True),
)


def optional(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with any of these parts."""
    return st.fixed_dictionaries({}, optional=parts)


CONDITIONS = st.one_of(
    TEXTS,
    st.fixed_dictionaries({"present": st.booleans()}),
    st.fixed_dictionaries({"regex": st.sampled_from(["a+", "(x|y)?", r"\d{2}", "${a}"])}),
)
MATCHES = optional(
    host=st.lists(st.sampled_from(["a.example", "*.b.example", "::1"]), max_size=2),
    method=st.lists(TOKENS.map(str.upper), max_size=2),
    headers=st.dictionaries(TOKENS.map(str.lower), CONDITIONS, max_size=2),
    cookies=st.dictionaries(TOKENS, CONDITIONS, max_size=2),
    query=st.dictionaries(TEXTS.filter(bool), CONDITIONS, max_size=2),
)
BREAKERS = st.one_of(
    st.just("off"), st.builds(lambda fails, more: {"fails": fails, "window": fails + more}, COUNTS, COUNTS)
)


@st.composite
def services(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    addresses = iter(draw(st.lists(ENDPOINTS.map(str.lower), max_size=4, unique=True)))
    versions = {
        name: {"endpoints": [address for address, _ in zip(addresses, range(2), strict=False)]} for name in names
    }
    weights = {name: draw(st.floats(min_value=0.001, max_value=1e6)) for name in names}
    settings: dict[str, Any] = draw(
        optional(
            fallback=st.sampled_from([*names, "none"]),
            stable=st.sampled_from(names),
            sticky=st.fixed_dictionaries({"key": st.lists(KEYS, min_size=1, max_size=3, unique=True)}),
            balance=st.sampled_from(["least-request", "round-robin", "hash"]),
            expose_version=st.booleans(),
            health=st.fixed_dictionaries(
                {"tcp": st.just(True)}, optional={"interval": POSITIVE_SECONDS, "jitter": SHARES}
            ),
            ejection=st.one_of(st.just("off"), optional(error_share=SHARES, base_time=POSITIVE_SECONDS)),
            slow_start=SECONDS,
            retries=optional(attempts=st.integers(0, 10), budget=SHARES),
            breaker=BREAKERS,
            limits=optional(body=SIZES),
            timeouts=optional(connect=POSITIVE_SECONDS, response=SECONDS, total=SECONDS),
            upgrade=st.lists(st.just("websocket"), max_size=1),
        )
    )
    split: dict[str, Any] = draw(st.sampled_from([{"split": weights}, {"active": names[-1]}]))
    return {"versions": versions, **split, **settings}


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    tree: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {
                "listen": st.just([{"address": "127.0.0.1:0"}]),
                "services": st.dictionaries(NAMES, services(), min_size=1, max_size=2),
            },
            optional={
                "workers": st.one_of(st.just("auto"), st.integers(1, 256)),
                "limits": optional(body=SIZES, connections=COUNTS),
                "timeouts": optional(idle=SECONDS, keepalive=SECONDS, tunnel=SECONDS),
                "access_log": st.one_of(st.just("off"), optional(output=TEXTS.filter(bool))),
                "trusted_proxies": st.lists(st.ip_addresses().map(str), max_size=2),
            },
        )
    )
    tree["routes"] = [
        {"match": {**match, "path_prefix": f"/{index}"}, "service": draw(st.sampled_from(list(tree["services"])))}
        for index, match in enumerate(draw(st.lists(MATCHES, max_size=3)))
    ]
    tree["rollouts"] = {
        name: {"strategy": draw(st.sampled_from(["canary", "blue-green", "rolling"])), "from": old, "to": new}
        for name, service in tree["services"].items()
        if len(service["versions"]) > 1
        for old, new in [list(service["versions"])[:2]]
    }
    return tree


def escaped(value: Any) -> Any:
    """The tree with text that stays text when variables are replaced."""
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


# A whole configuration takes milliseconds to draw, and more on a busy machine.
patient = settings(suppress_health_check=[HealthCheck.too_slow])


@patient
@given(configurations())
def test_what_is_shown_of_a_configuration_loads_to_the_equal_one(tree: dict[str, Any]):
    config = loads(to_yaml(escaped(tree)), environ={})
    shown = render(config)
    assert loads(shown, environ={}) == config
    assert render(loads(shown, environ={})) == shown


def assert_loads_or_explains(text: str | bytes):
    """The text is a configuration, or ConfigError says why not; no other exception gets out."""
    try:
        loads(text, environ={"A": "1"})
    except ConfigError as exc:
        problems, message = exc.problems, str(exc)
    else:
        return
    assert problems
    assert len(message.splitlines()) >= len(problems)


@given(st.one_of(st.text(), st.binary(), st.text(alphabet="ab:{}[],&*<!|>-'\"# \n${A}1.")))
def test_any_text_loads_or_raises_config_error(text: str | bytes):
    assert_loads_or_explains(text)


def _keys() -> list[str]:
    schema = json_schema()
    parts = [schema, *schema["$defs"].values()]
    return sorted({key for part in parts for key in part.get("properties", {})} | {"shop", "stable", "<<", "a b"})


WORDS = st.sampled_from(
    ["shop", "stable", "canary", "on", "off", "30s", "5MiB", "20%", "127.0.0.1:80", "/", "${A}", "${"]
)
NONSENSE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=5)),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(st.sampled_from(_keys()), below, max_size=6)),
    max_leaves=25,
)


@given(NONSENSE)
def test_any_tree_loads_or_raises_config_error(tree: Any):
    assert_loads_or_explains(to_yaml(tree))


@patient
@given(configurations(), st.data())
def test_nonsense_anywhere_in_a_good_file_loads_or_raises_config_error(tree: dict[str, Any], data: st.DataObject):
    part: Any = tree
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(part[key], dict | list) and part[key] and data.draw(st.booleans())):
            break
        part = part[key]
    part[key] = data.draw(NONSENSE)
    assert_loads_or_explains(to_yaml(tree))
