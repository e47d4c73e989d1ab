"""Which route a request takes: each rule of the ordering, and all of them against an obvious implementation."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.routing import Router, Values, normalise
from proxy.core.snapshot import PathKind, Route, ValueMatch


def route(kind: PathKind = "any", path: str = "", **fields: Any) -> Route:
    return Route("shop", path_kind=kind, path=path, **fields)


def taken(
    routes: Sequence[Route],
    host: bytes = b"shop.example.com",
    path: bytes = b"/",
    method: bytes = b"GET",
    view: Values | None = None,
) -> int | None:
    """The place of the route that this request takes; None: it is answered 404."""
    rule = Router(routes, {"shop": 0}).explain(host, path, method, view)
    return None if rule is None else rule.index


class TestNormalisation:
    @pytest.mark.parametrize(
        ("sent", "matched"),
        [
            (b"/", b"/"),
            (b"/a/b", b"/a/b"),
            (b"/a/", b"/a/"),
            (b"//", b"/"),
            (b"//a///b//", b"/a/b/"),
            (b"/.", b"/"),
            (b"/..", b"/"),
            (b"/../../a", b"/a"),
            (b"/a/./b", b"/a/b"),
            (b"/a/../b", b"/b"),
            (b"/a/b/..", b"/a/"),
            (b"/a/b/.", b"/a/b/"),
            (b"/a/..", b"/"),
            (b"/a/..//", b"/"),
            (b"/.hidden/..x/...", b"/.hidden/..x/..."),
            (b"/%61%2D%7e", b"/a-~"),
            (b"/%2e%2E/a", b"/a"),
            (b"/a/%2e/b", b"/a/b"),
            (b"/a%2fb", b"/a%2Fb"),
            (b"/a%2F..%2Fb", b"/a%2F..%2Fb"),
            (b"/%252e%252e/a", b"/%252e%252e/a"),
            (b"/%2", b"/%2"),
            (b"/%zz%", b"/%zz%"),
            (b"/%c3%a9", b"/%C3%A9"),
            (b"*", b"*"),
        ],
    )
    def test_what_means_the_same_becomes_the_same(self, sent: bytes, matched: bytes):
        assert normalise(sent) == matched

    @given(st.text("/.%2eEfF a", max_size=20))
    def test_a_normalised_path_stays_inside_the_root_and_is_normal(self, text: str):
        path = normalise(b"/" + text.encode())
        assert path.startswith(b"/")
        assert b"//" not in path
        assert not {b".", b".."} & set(path.split(b"/"))

    @given(st.lists(st.sampled_from([b"a", b"b%2Fc", b".x", b"", b".", b"..", b"%2e", b"%2E%2e", b"%41"]), max_size=8))
    def test_normalising_twice_changes_nothing(self, segments: list[bytes]):
        once = normalise(b"/" + b"/".join(segments))
        assert normalise(once) == once


class TestPaths:
    @pytest.mark.parametrize("prefix", ["/api", "/api/", "//api", "/x/../api", "/%61pi"])
    @pytest.mark.parametrize(
        ("path", "matches"),
        [
            (b"/api", True),
            (b"/api/", True),
            (b"/api/x/y", True),
            (b"/apix", False),
            (b"/ap", False),
            (b"/", False),
            (b"/x/api", False),
            (b"//api//x", True),
            (b"/x/../api/y", True),
            (b"/api/../secret", False),
            (b"/%61pi/x", True),
            (b"/api%2Fx", False),
            (b"/API", False),
        ],
    )
    def test_a_prefix_ends_with_a_segment(self, prefix: str, path: bytes, matches: bool):
        assert (taken([route("prefix", prefix)], path=path) == 0) is matches

    @pytest.mark.parametrize("prefix", ["/", "", "//"])
    @pytest.mark.parametrize("path", [b"/", b"/a", b"/a/b/c", b"*"])
    def test_the_root_is_a_prefix_of_everything(self, prefix: str, path: bytes):
        assert taken([route("prefix", prefix)], path=path) == 0

    @pytest.mark.parametrize(
        ("path", "matches"), [(b"/a", True), (b"/a/", False), (b"/a/b", False), (b"/b/../a", True)]
    )
    def test_an_exact_path_is_the_whole_path(self, path: bytes, matches: bool):
        assert (taken([route("exact", "/a")], path=path) == 0) is matches

    @pytest.mark.parametrize(
        ("path", "matches"), [(b"/v1", True), (b"/v12", True), (b"/v1/x", False), (b"/x/v1", False)]
    )
    def test_a_regular_expression_has_to_match_the_whole_path(self, path: bytes, matches: bool):
        assert (taken([route("regex", r"/v\d+")], path=path) == 0) is matches


class TestHosts:
    @pytest.mark.parametrize(
        ("pattern", "host", "matches"),
        [
            ("", b"anything", True),
            ("", b"", True),
            ("a.com", b"a.com", True),
            ("a.com", b"b.a.com", False),
            ("*.a.com", b"b.a.com", True),
            ("*.a.com", b"c.b.a.com", True),
            ("*.a.com", b"a.com", False),
            ("*.a.com", b"ba.com", False),
            ("*.a.com", b"b.a.com.evil", False),
            ("[::1]", b"[::1]", True),
            ("[::1]", b"[::2]", False),
        ],
    )
    def test_hosts_are_whole_or_everything_below_a_name(self, pattern: str, host: bytes, matches: bool):
        assert (taken([route(host=pattern)], host=host) == 0) is matches


class TestConditions:
    @pytest.mark.parametrize("place", ["headers", "cookies", "query"])
    @pytest.mark.parametrize(
        ("kind", "value", "sent", "matches"),
        [
            ("exact", "canary", b"canary", True),
            ("exact", "canary", b"Canary", False),
            ("exact", "canary", b"canary2", False),
            ("exact", "canary", None, False),
            ("exact", "", b"", True),
            ("regex", "can.*", b"canary", True),
            ("regex", "can", b"canary", False),
            ("regex", ".*", None, False),
            ("present", "", b"", True),
            ("present", "", b"x", True),
            ("present", "", None, False),
            ("absent", "", None, True),
            ("absent", "", b"", False),
            ("absent", "", b"x", False),
        ],
    )
    def test_each_kind_of_condition_in_each_place(
        self, place: str, kind: Any, value: str, sent: bytes | None, matches: bool
    ):
        conditions: dict[str, Any] = {place: (ValueMatch("x-preview", kind, value),)}
        view = Values(**{place: {} if sent is None else {b"x-preview": sent}})
        assert (taken([route(**conditions)], view=view) == 0) is matches

    def test_names_of_headers_have_no_case(self):
        conditions = (ValueMatch("x-preview", "present"),)
        assert taken([route(headers=conditions)], view=Values(headers={b"X-Preview": b""})) == 0

    @pytest.mark.parametrize("missing", ["headers", "cookies", "query", "method"])
    def test_every_condition_has_to_hold(self, missing: str):
        present = (ValueMatch("k", "present"),)
        routes = [route(headers=present, cookies=present, query=present, methods=frozenset({"PUT"}))]
        sent = {place: {b"k": b"v"} for place in ("headers", "cookies", "query") if place != missing}
        assert taken(routes, method=b"GET" if missing == "method" else b"PUT", view=Values(**sent)) is None

    def test_a_route_names_any_of_its_methods(self):
        routes = [route(methods=frozenset({"GET", "HEAD"}))]
        assert [taken(routes, method=method) for method in (b"GET", b"HEAD", b"POST", b"get")] == [0, 0, None, None]


HEADER = (ValueMatch("a", "present"),)
COOKIE = (ValueMatch("b", "present"),)
QUERY = (ValueMatch("c", "present"),)
GET = frozenset({"GET"})


class TestOrder:
    """The winner stands first in each pair; both match the request, in either order in the file."""

    @pytest.mark.parametrize(
        ("winner", "loser"),
        [
            (route(headers=HEADER), route("exact", "/api/users", host="shop.example.com", methods=GET)),
            (route(headers=HEADER, cookies=COOKIE), route(headers=HEADER, host="shop.example.com")),
            (route(headers=HEADER, cookies=COOKIE, query=QUERY), route(headers=HEADER, query=QUERY)),
            (route(host="shop.example.com"), route("exact", "/api/users", host="*.example.com", methods=GET)),
            (route(host="*.example.com"), route(host="*.com")),
            (route(host="*.com"), route("exact", "/api/users", methods=GET)),
            (route("exact", "/api/users"), route("regex", "/api/.*", methods=GET)),
            (route("regex", "/.*"), route("prefix", "/api/users", methods=GET)),
            (route("prefix", "/api/users"), route("prefix", "/api", methods=GET)),
            (route("prefix", "/api"), route("prefix", "/", methods=GET)),
            (route("prefix", "/"), route(methods=GET)),
            (route(methods=GET), route()),
            (route("exact", "/api/users", methods=GET), route("exact", "/api/users")),
            (route("prefix", "/api", methods=GET), route("prefix", "/api/")),
        ],
    )
    def test_the_more_specific_route_wins(self, winner: Route, loser: Route):
        view = Values(headers={b"a": b""}, cookies={b"b": b""}, query={b"c": b""})
        assert taken([winner, loser], path=b"/api/users", view=view) == 0
        assert taken([loser, winner], path=b"/api/users", view=view) == 1

    @pytest.mark.parametrize(
        "same",
        [
            route(),
            route(host="shop.example.com"),
            route(host="*.example.com"),
            route("exact", "/"),
            route("prefix", "/"),
            route("regex", "/.*"),
            route(methods=GET),
            route(headers=HEADER),
        ],
    )
    def test_of_equals_the_first_in_the_file_wins(self, same: Route):
        view = Values(headers={b"a": b""})
        assert taken([replace(same, version="one"), replace(same, version="two")], view=view) == 0

    def test_the_first_regular_expression_in_the_file_wins_whatever_its_length_and_methods(self):
        routes = [route("regex", "/.*"), route("regex", "/api/users", methods=GET)]
        assert taken(routes, path=b"/api/users") == 0

    def test_a_better_route_whose_conditions_do_not_hold_leaves_the_request_to_the_next(self):
        routes = [
            route(headers=(ValueMatch("a", "exact", "x"),)),
            route("exact", "/api", host="shop.example.com", methods=frozenset({"POST"})),
            route("regex", "/ap.", methods=frozenset({"POST"})),
            route("prefix", "/api", methods=frozenset({"POST"})),
            route("prefix", "/"),
        ]
        assert taken(routes, path=b"/api") == 4

    def test_without_a_match_there_is_no_route(self):
        assert taken([]) is None
        assert taken([route("exact", "/a"), route(host="b.com")]) is None


# The ordering once more, slow and obvious ----------------------------------------------------------------------------


def specificity(one: Route, index: int, host: str, path: str, method: str, sent: dict[str, dict[str, str]]) -> Any:
    """How well a route matches, as a tuple that compares; None: it does not."""
    host_rank, path_rank = rank_of_host(one.host, host), rank_of_path(one, index, path)
    if host_rank is None or path_rank is None or (one.methods and method not in one.methods):
        return None
    conditions = [(place, match) for place in sent for match in getattr(one, place)]
    if not all(holds(match, sent[place].get(match.name)) for place, match in conditions):
        return None
    return len(conditions), host_rank, path_rank, bool(one.methods), -index


def rank_of_host(pattern: str, host: str) -> Any:
    if not pattern:
        return 0, 0
    if pattern.startswith("*."):
        return (1, len(pattern)) if host.endswith(pattern[1:]) else None
    return (2, 0) if host == pattern else None


def rank_of_path(one: Route, index: int, path: str) -> Any:
    if one.path_kind == "any":
        return 0, 0
    if one.path_kind == "prefix":
        prefix = one.path.rstrip("/")
        return (1, len(prefix)) if path == prefix or path.startswith(prefix + "/") else None
    if one.path_kind == "regex":
        return (2, -index) if re.fullmatch(one.path, path) else None
    return (3, 0) if path == one.path else None


def holds(match: ValueMatch, value: str | None) -> bool:
    if match.kind == "absent" or value is None:
        return (match.kind == "absent") is (value is None)
    return {"present": True, "exact": value == match.value, "regex": bool(re.fullmatch(match.value, value))}[match.kind]


names = st.sampled_from(["k", "l"])
values = st.sampled_from(["x", "y", ""])
conditions = st.lists(
    st.builds(ValueMatch, names, st.sampled_from(["exact", "regex", "present", "absent"]), values), max_size=2
).map(tuple)
few_conditions = st.just(()) | conditions
hosts = st.sampled_from(["a.com", "x.a.com", "y.x.a.com", "b.com", "com"])
patterns = st.just("") | hosts | hosts.map("*.{}".format)
plain_paths = st.builds(
    lambda segments, end: "/" + "/".join(segments) + (end if segments else ""),
    st.lists(st.sampled_from(["a", "ab", "b"]), max_size=3),
    st.sampled_from(["", "/"]),
)
paths = st.one_of(
    st.just(("any", "")),
    st.tuples(st.just("exact"), plain_paths),
    st.tuples(st.just("prefix"), plain_paths),
    st.tuples(st.just("regex"), st.sampled_from(["/.*", "/a/?", "/a.*", "/(a|b)/b", "/"])),
)
methods = st.sampled_from([frozenset[str](), frozenset({"GET"}), frozenset({"GET", "PUT"})])
routes = st.builds(
    lambda path, **fields: route(*path, **fields),
    path=paths,
    host=patterns,
    methods=methods,
    headers=few_conditions,
    cookies=few_conditions,
    query=few_conditions,
)
sent_values = st.fixed_dictionaries(
    {place: st.dictionaries(names, values) for place in ("headers", "cookies", "query")}
)


def as_bytes(values: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in values.items()}


@given(st.lists(routes, max_size=12), hosts, plain_paths, st.sampled_from(["GET", "PUT"]), sent_values)
@example(
    [route("prefix", "/"), route("prefix", "/a/b")], "a.com", "/a", "GET", {"headers": {}, "cookies": {}, "query": {}}
)
def test_the_router_finds_what_a_look_at_every_route_finds(
    routes: list[Route], host: str, path: str, method: str, sent: dict[str, dict[str, str]]
):
    ranks = [(specificity(one, i, host, path, method, sent), i) for i, one in enumerate(routes)]
    best = max((pair for pair in ranks if pair[0] is not None), default=(None, None))[1]
    view = Values(**{place: as_bytes(values) for place, values in sent.items()})
    assert taken(routes, host.encode(), path.encode(), method.encode(), view) == best


class TestCompilation:
    def test_ten_thousand_routes_are_compiled_and_each_is_found(self):
        routes = [
            route(("exact", "prefix")[i % 2], f"/service-{i}/x", host=("", "a.com", "*.b.com")[i % 3])
            for i in range(10_000)
        ]
        router = Router(routes, {"shop": 0})
        for i, host in enumerate((b"any", b"a.com", b"x.b.com") * 3334):
            rule = router.explain(host, b"/service-%d/x" % i)
            assert (rule.index if rule else None) == (i if i < len(routes) else None)

    def test_a_route_to_an_unknown_service_is_refused(self):
        with pytest.raises(KeyError, match="shop"):
            Router([route()], {"cart": 0})

    def test_a_rule_says_where_it_leads(self):
        routes = [route(version="canary", headers=HEADER), Route("cart")]
        router = Router(routes, {"cart": 0, "shop": 1})
        rules = [router.explain(b"a.com", b"/", b"GET", Values(headers=some)) for some in ({b"a": b""}, {})]
        assert [(rule.service, rule.version, rule.by_condition) for rule in rules if rule] == [
            (1, "canary", True),
            (0, "", False),
        ]

    @pytest.mark.parametrize("only", [route(), route("prefix", "/"), route("prefix", "")])
    def test_a_router_knows_when_there_is_nothing_to_choose(self, only: Route):
        assert Router([only], {"shop": 0}).only is not None

    @pytest.mark.parametrize(
        "routes",
        [
            [],
            [route(), route()],
            [route("exact", "/")],
            [route("prefix", "/a")],
            [route(host="a.com")],
            [route(methods=GET)],
            [route(headers=HEADER)],
            [route(cookies=COOKIE)],
            [route(query=QUERY)],
        ],
    )
    def test_a_router_with_a_choice_makes_it(self, routes: list[Route]):
        assert Router(routes, {"shop": 0}).only is None
