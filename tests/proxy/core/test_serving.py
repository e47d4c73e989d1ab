"""What workers get is what the file and the live state say."""

from dataclasses import replace
from typing import Any

import pytest

from config import model
from proxy.core.live import set_endpoint_state, set_split
from proxy.core.logformat import FIELDS
from proxy.core.outcome import Outcome
from proxy.core.serving import EndpointHealth, Surroundings, literal_sockets, settings, snapshot
from proxy.core.slots import OutOfSlots, Slots
from proxy.core.snapshot import (
    AccessLog,
    Ejection,
    Endpoint,
    KeySource,
    Retries,
    Route,
    Service,
    Settings,
    Sticky,
    Timeouts,
    ValueMatch,
    Version,
)
from tests.support.lives import NEVER, a_config, a_live


def well(service: str, version: str, address: str) -> EndpointHealth:
    return EndpointHealth(True, sockets=literal_sockets(address))


def served(service: dict[str, Any]):
    """One service of a file, as workers get it."""
    live = a_live(a_config({"shop": {"versions": {"v1": {}}, **service}}))
    return snapshot(live, Surroundings(Slots(), well, 1)).services[0]


def test_a_snapshot_has_every_service_with_its_weights_slots_and_endpoints():
    slots = Slots()
    live = set_split(a_live(), "shop", {"stable": 90, "canary": 10}, NEVER)
    live = set_endpoint_state(live, "shop", "canary", "127.0.0.1:9003", "drain", NEVER)
    snap = snapshot(
        live, Surroundings(slots, lambda *name: replace(well(*name), healthy=name[1] != "green", warm_from=3.0), 1)
    )
    shop, cart = snap.services
    assert (snap.generation, shop.name, cart.name) == (3, "shop", "cart")
    assert (shop.weights, shop.stable, shop.fallback, shop.salt) == ((90.0, 10.0), 0, 0, b"shop............")
    assert shop.versions == (
        Version(
            "stable",
            1,
            (
                Endpoint("127.0.0.1:9001", 1, (("inet", "127.0.0.1", 9001),), warm_from=3.0),
                Endpoint("127.0.0.1:9002", 2, (("inet", "127.0.0.1", 9002),), warm_from=3.0),
            ),
        ),
        Version("canary", 2, (Endpoint("127.0.0.1:9003", 3, (("inet", "127.0.0.1", 9003),), "drain", warm_from=3.0),)),
    )
    assert cart.versions == (
        Version("blue", 3, (Endpoint("unix:/run/blue.sock", 4, (("unix", "/run/blue.sock", 0),), warm_from=3.0),)),
        Version("green", 4, (Endpoint("cart.example:9005", 5, (), healthy=False, warm_from=3.0),)),
    )
    assert snapshot(live, Surroundings(slots, well, 1)).services[0].versions[1].slot == 2


def test_what_the_file_leaves_out_has_the_defaults_of_the_data_path():
    salt = b"shop............"
    assert served({}) == Service("shop", (Version("v1", 1),), (1.0,), stable=0, fallback=0, salt=salt)


def test_more_versions_than_slots_are_refused():
    with pytest.raises(OutOfSlots):
        snapshot(a_live(), Surroundings(Slots(versions=3), well, 1))


def test_an_ip_address_and_a_path_need_no_resolver():
    assert literal_sockets("[::1]:80") == (("inet6", "::1", 80),)
    assert literal_sockets("10.0.0.1:80") == (("inet", "10.0.0.1", 80),)
    assert literal_sockets("unix:/a") == (("unix", "/a", 0),)
    assert literal_sockets("localhost:80") == ()


def test_timeouts_and_limits_are_those_of_the_service():
    service = served({"timeouts": {"response": "5s", "upstream_keepalive": "3s"}, "limits": {"body": "1MiB"}})
    assert (service.timeouts, service.body_limit) == (Timeouts(response=5.0, keepalive=3.0), 2**20)


def test_sticky_keys_and_the_own_cookie():
    sticky = {"key": ("header:X-User-Id", "cookie:Uid", "own-cookie", "ip")}
    keys = (KeySource("header", "x-user-id"), KeySource("cookie", "Uid"), KeySource("own-cookie"), KeySource("ip"))
    assert served({"sticky": sticky}).sticky == Sticky(keys, secure_over_tls=True)
    cookie = {"name": "k", "max_age": "off", "secure": True, "same_site": "Strict"}
    assert served({"sticky": {**sticky, "cookie": cookie}}).sticky == Sticky(
        keys, "k", 0, "; Path=/; HttpOnly; SameSite=Strict; Secure"
    )


def test_only_a_hash_needs_a_key_of_its_own():
    assert served({"hash_key": "ip"}).balance_key == ()
    assert served({"balance": "hash"}).balance_key == (KeySource("ip"),)
    assert served({"balance": "hash", "sticky": {"key": "header:X-User"}}).balance_key == (
        KeySource("header", "x-user"),
    )


def test_who_may_not_wait_does_not_queue_and_what_may_not_stay_open_is_not_kept():
    off = served({"timeouts": {"queue": "off", "upstream_keepalive": "off"}})
    assert (off.versions[0].queue, off.pool_idle) == (0, 0)
    on = served({"pool": {"idle": 5, "fresh_after": "10s"}, "upgrade": ()})
    assert (served({}).fresh_after, on.fresh_after) == (2.0, 10.0)
    assert (on.versions[0].queue, on.pool_idle, on.upgrades) == (64, 5, frozenset())


def test_connections_are_limited_by_version():
    shop = served({"versions": {"v1": {"max_connections": 5, "queue": 0}, "v2": {}}})
    assert shop.versions == (Version("v1", 1, max_connections=5, queue=0), Version("v2", 2))


def test_each_worker_has_an_equal_part_of_a_limit_rounded_up():
    live = a_live(a_config({"shop": {"versions": {"v1": {"max_connections": 5, "queue": 3}, "v2": {"queue": 0}}}}))
    (shop,) = snapshot(live, Surroundings(Slots(), well, 4)).services
    assert shop.versions == (Version("v1", 1, max_connections=2, queue=1), Version("v2", 2, max_connections=0, queue=0))


def test_passive_checks_may_be_off():
    assert served({}).ejection == Ejection()
    assert served({"ejection": "off"}).ejection is None
    assert served({"ejection": {"consecutive": 2, "max_time": "1m", "max_share": "10%"}}).ejection == Ejection(
        2, max_time=60.0, max_share=0.1
    )


def test_retries_are_those_of_the_service():
    assert served({}).retries == Retries()
    retries = {"attempts": 2, "budget": "5%", "budget_min": 7, "on": ("timeout", "5xx")}
    assert served({"retries": retries}).retries == Retries(2, 0.05, 7, frozenset({"timeout", "5xx"}))


def test_the_words_of_the_file_are_those_of_the_data_path():
    assert model.LOG_FIELDS == FIELDS
    outcomes = {outcome.label for outcome in Outcome}
    every = ("connect_error", "reset", "timeout", "5xx")
    assert served({"retries": {"on": every}}).retries.on <= outcomes


def test_a_route_has_one_entry_for_each_of_its_hosts():
    match = {
        "host": ("a.example", "*.b.example"),
        "path_prefix": "/api",
        "method": "GET",
        "headers": {"X-Preview": "canary", "X-No": {"present": False}},
        "cookies": {"Uid": {"regex": "[0-9]+"}},
        "query": {"debug": {"present": True}},
    }
    config = a_config(routes=({"match": match, "service": "shop", "version": "canary"}, {"service": "cart"}))
    route = Route(
        "shop",
        "canary",
        "a.example",
        "prefix",
        "/api",
        frozenset({"GET"}),
        (ValueMatch("x-preview", "exact", "canary"), ValueMatch("x-no", "absent")),
        (ValueMatch("Uid", "regex", "[0-9]+"),),
        (ValueMatch("debug", "present"),),
    )
    assert snapshot(a_live(config), Surroundings(Slots(), well, 1)).routes == (
        route,
        replace(route, host="*.b.example"),
        Route("cart"),
    )


@pytest.mark.parametrize(
    ("match", "kind", "path"),
    [({"path": "/x"}, "exact", "/x"), ({"path_regex": "/x.*"}, "regex", "/x.*"), ({}, "any", "")],
)
def test_the_kinds_of_paths(match: dict[str, str], kind: str, path: str):
    (route,) = snapshot(
        a_live(a_config(routes=({"match": match, "service": "shop"},))), Surroundings(Slots(), well, 1)
    ).routes
    assert (route.path_kind, route.path) == (kind, path)


def test_settings_are_those_of_the_file():
    assert settings(a_config(), b"s" * 16) == Settings(cookie_secret=b"s" * 16)
    config = a_config(
        limits={"head": "64KiB", "connections": 7},
        timeouts={"head": "1s", "keepalive": "off", "idle": "5s"},
        trusted_proxies="10.0.0.0/8",
        drain_timeout="3s",
        access_log={"fields": ("ts", "status"), "drop": "ts", "output": "/log"},
    )
    assert settings(config, b"") == Settings(
        head=64 * 1024,
        connections=7,
        head_timeout=1.0,
        keepalive_timeout=0.0,
        body_timeout=5.0,
        write_timeout=5.0,
        drain_timeout=3.0,
        trusted_proxies=("10.0.0.0/8",),
        cookie_secret=b"",
        access_log=AccessLog("json", "/log", ("status",)),
    )
    combined = settings(a_config(access_log={"format": "combined"}), b"").access_log
    assert combined == AccessLog("combined")
