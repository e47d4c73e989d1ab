"""The overlay: what differs from the file outlives a restart and a reload, and is shown."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from proxy.core.live import (
    Change,
    LiveEndpoint,
    activate,
    add_endpoint,
    remove_endpoint,
    set_endpoint_state,
    set_split,
)
from proxy.core.overlay import (
    Difference,
    ServiceOverlay,
    VersionOverlay,
    describe,
    difference,
    forgotten,
    from_config,
    overlay,
    reconfigure,
)
from tests.support.lives import FILE, NEVER, SERVICES, a_config, a_live, salts

LATER = Change("reload", "SIGHUP", 1_700_000_100.0)


def changed_live():
    live = set_split(a_live(), "shop", {"stable": 90, "canary": 10}, NEVER)
    live = add_endpoint(live, "shop", "canary", "127.0.0.1:9004", NEVER)
    live = remove_endpoint(live, "shop", "stable", "127.0.0.1:9002", NEVER)
    return set_endpoint_state(live, "shop", "canary", "127.0.0.1:9003", "drain", NEVER)


def services_with(**changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**SERVICES, **{name: {**SERVICES[name], **change} for name, change in changes.items()}}


def test_what_is_as_the_file_says_needs_no_overlay():
    assert overlay(a_live()) == {}
    assert list(difference(a_live())) == []


def test_an_overlay_holds_only_what_differs():
    assert overlay(changed_live()) == {
        "shop": ServiceOverlay(
            change=replace(NEVER, generation=5),
            weights={"stable": 90.0, "canary": 10.0},
            split_change=replace(NEVER, generation=2),
            versions={
                "stable": VersionOverlay(removed=("127.0.0.1:9002",)),
                "canary": VersionOverlay(added=("127.0.0.1:9004",), states={"127.0.0.1:9003": "drain"}),
            },
        )
    }


def test_a_restart_lays_the_overlay_over_the_file():
    live = changed_live()
    start = Change("start", "", 0.0, 9)
    again = from_config(a_config(), overlay(live), salts(a_config()), start)
    cart = replace(live.services["cart"], last_change=start, split_change=start)
    assert again == replace(live, generation=9, services={**live.services, "cart": cart})


def test_an_overlay_that_does_not_say_who_made_the_split_takes_the_last_change_for_it():
    over = {name: replace(each, split_change=None) for name, each in overlay(changed_live()).items()}
    shop = from_config(a_config(), over, salts(a_config()), FILE).services["shop"]
    assert shop.split_change == shop.last_change == replace(NEVER, generation=5)


def test_a_split_that_was_set_back_to_the_file_follows_the_file_again():
    live = set_split(changed_live(), "shop", {"stable": 99, "canary": 1}, NEVER)
    config = a_config(services_with(shop={"split": {"stable": 50, "canary": 50}}))
    assert reconfigure(live, config, LATER, {}).services["shop"].weights == {"stable": 50.0, "canary": 50.0}


def test_a_reload_keeps_what_was_changed_live_and_takes_the_rest_from_the_file():
    config = a_config(services_with(shop={"split": {"stable": 50, "canary": 50}}, cart={"active": "green"}))
    live = changed_live()
    new = reconfigure(live, config, LATER, {})
    assert new.generation == live.generation + 1
    assert new.services["shop"] == live.services["shop"]
    assert new.services["cart"].active == "green"
    assert new.services["cart"].last_change == replace(LATER, generation=6)


def test_a_version_that_comes_with_a_reload_waits_at_weight_0_when_the_split_was_changed_live():
    versions = {**SERVICES["shop"]["versions"], "next": {"endpoints": ("127.0.0.1:9009",)}}
    config = a_config(services_with(shop={"versions": versions}))
    new = reconfigure(changed_live(), config, LATER, {})
    assert new.services["shop"].weights == {"stable": 90.0, "canary": 10.0, "next": 0.0}


def test_what_the_file_does_not_have_any_more_is_dropped_and_said():
    versions = {"stable": SERVICES["shop"]["versions"]["stable"]}
    config = a_config({"shop": {"versions": versions}})
    live = activate(changed_live(), "cart", "green", NEVER)
    assert list(forgotten(config, overlay(live))) == [
        "shop: what was changed live for canary is dropped: the file has no such version any more",
        "cart: what was changed live is dropped: the file has no such service any more",
    ]
    new = reconfigure(live, config, LATER, {})
    assert list(new.services) == ["shop"]
    assert new.services["shop"].weights == {"stable": 90.0}
    assert new.endpoints("shop", "stable") == (LiveEndpoint("127.0.0.1:9001"),)


def test_a_split_of_which_nothing_is_left_gives_way_to_the_file():
    live = set_split(a_live(), "shop", {"canary": 1}, NEVER)
    config = a_config({"shop": {"versions": {"stable": {}, "next": {}}, "split": {"stable": 7, "next": 3}}})
    assert reconfigure(live, config, LATER, {}).services["shop"].weights == {"stable": 7.0, "next": 3.0}


def test_a_new_service_gets_the_salt_that_comes_with_it_and_the_others_keep_theirs():
    config = a_config({**SERVICES, "new": {"versions": {"v1": {}}}})
    live = a_live()
    new = reconfigure(live, config, LATER, {"new": b"n" * 16, "shop": b"s" * 16})
    assert {name: service.salt for name, service in new.services.items()} == {**salts(a_config()), "new": b"n" * 16}
    assert new.services["new"].last_change == replace(LATER, generation=2)


def test_every_difference_is_told_with_its_path_and_who_made_it():
    change = replace(NEVER, generation=5)
    endpoints = "services.shop.versions.{}.endpoints"
    assert list(difference(changed_live())) == [
        Difference("shop", "services.shop.split", {"stable": 99, "canary": 1}, {"stable": 90, "canary": 10}, change),
        Difference(
            "shop", endpoints.format("stable"), ["127.0.0.1:9001", "127.0.0.1:9002"], ["127.0.0.1:9001"], change
        ),
        Difference(
            "shop", endpoints.format("canary"), ["127.0.0.1:9003"], ["127.0.0.1:9003", "127.0.0.1:9004"], change
        ),
        Difference("shop", f"{endpoints.format('canary')}.127.0.0.1:9003.state", "up", "drain", change),
    ]


def test_a_difference_reads_as_one_line():
    lines = [describe(different) for different in difference(changed_live())]
    by = "(changed live 2023-11-14 22:13:20 UTC by tester: because)"
    assert lines[0] == f"shop: split stable=90 canary=10 {by} instead of stable=99 canary=1 in the file"
    assert lines[3] == (f"shop: versions.canary.endpoints.127.0.0.1:9003.state drain {by} instead of up in the file")
    empty = remove_endpoint(a_live(), "cart", "blue", "unix:/run/blue.sock", FILE)
    assert [describe(different) for different in difference(empty)] == [
        "cart: versions.blue.endpoints none (changed live 1970-01-01 00:00:00 UTC by file) "
        "instead of unix:/run/blue.sock in the file"
    ]
