"""What is known of endpoints: who is well at first, what a change keeps, and when an endpoint warms up."""

from typing import Any

import pytest

from proxy.core.endpoints import EndpointTable
from proxy.core.live import Live, add_endpoint, remove_endpoint, set_endpoint_state
from proxy.core.overlay import reconfigure
from proxy.core.serving import EndpointHealth
from proxy.core.snapshot import SocketAddress
from tests.support.lives import NEVER, a_config, a_live

FIRST = ("shop", "v1", "127.0.0.1:9001")
ADDED = ("shop", "v1", "127.0.0.1:9002")
PLACE: tuple[SocketAddress, ...] = (("inet", "127.0.0.1", 9001),)
CHECKS = {"health": {"tcp": True}}
PESSIMISTIC = {"health": {"tcp": True, "optimistic": False}}
SLOW = {"slow_start": "30s"}


def a_shop(**parts: Any) -> Live:
    return a_live(a_config({"shop": {"versions": {"v1": {"endpoints": ("127.0.0.1:9001",)}}, **parts}}))


def table_of(live: Live, now: float = 5.0) -> EndpointTable:
    table = EndpointTable()
    table.follow(live, now, at_start=True)
    return table


def added(live: Live) -> Live:
    return add_endpoint(live, *ADDED, NEVER)


@pytest.mark.parametrize(
    ("parts", "health"),
    [
        ({}, EndpointHealth(True, "", 5.0, PLACE)),
        (CHECKS, EndpointHealth(True, "not checked yet", 5.0, PLACE)),
        (PESSIMISTIC, EndpointHealth(False, "not checked yet", 5.0, PLACE)),
        ({**CHECKS, **SLOW}, EndpointHealth(True, "not checked yet", 5.0, PLACE)),
    ],
)
def test_what_is_in_the_file_at_start(parts: dict[str, Any], health: EndpointHealth):
    assert table_of(a_shop(**parts)).of(*FIRST) == health


@pytest.mark.parametrize(("parts", "is_well"), [({}, True), (CHECKS, False), (PESSIMISTIC, False)])
def test_what_is_added_later_waits_for_its_first_good_probe(parts: dict[str, Any], is_well: bool):
    live = a_shop(**parts)
    table = table_of(live)
    table.follow(added(live), 7.0)
    assert table.of(*ADDED).healthy is is_well
    assert table.of(*FIRST).since == 5.0


def test_only_a_flip_is_news_and_changes_the_time():
    table = table_of(a_shop(**CHECKS))
    assert not table.set_health(FIRST, 6.0, healthy=True, detail="HTTP 200")
    assert table.set_health(FIRST, 7.0, healthy=False, detail="HTTP 500")
    assert not table.set_health(FIRST, 8.0, healthy=False, detail="HTTP 502")
    assert table.of(*FIRST) == EndpointHealth(False, "HTTP 502", 7.0, PLACE)


def test_what_is_not_in_the_live_state_is_not_known():
    live = a_shop()
    table = table_of(live)
    table.follow(remove_endpoint(live, *FIRST, NEVER), 6.0)
    assert not table.of(*FIRST).healthy
    assert not table.set_health(FIRST, 7.0, healthy=True, detail="")
    assert not table.set_sockets(FIRST, PLACE)


def test_a_name_leads_nowhere_until_it_is_resolved():
    name = ("cart", "green", "cart.example:9005")
    table = table_of(a_live())
    assert table.of(*name).sockets == ()
    assert table.set_sockets(name, PLACE)
    assert not table.set_sockets(name, PLACE)
    table.follow(a_live(), 9.0)
    assert table.of(*name).sockets == PLACE


def test_an_endpoint_warms_up_when_it_comes_up_is_added_or_is_set_to_up():
    live = a_shop(**SLOW, **CHECKS)
    table = table_of(live)
    table.set_health(FIRST, 6.0, healthy=False, detail="")
    table.set_health(FIRST, 7.0, healthy=True, detail="")
    assert table.of(*FIRST).warm_from == 7.0
    drained = set_endpoint_state(live, *FIRST, "drain", NEVER)
    table.follow(drained, 8.0)
    table.follow(live, 9.0)
    assert table.of(*FIRST).warm_from == 9.0
    table.follow(added(live), 10.0)
    assert (table.of(*FIRST).warm_from, table.of(*ADDED).warm_from) == (9.0, 0.0)
    table.set_health(ADDED, 11.0, healthy=True, detail="")
    assert table.of(*ADDED).warm_from == 11.0


def test_without_slow_start_nothing_warms_up():
    live = a_shop()
    table = table_of(live)
    table.follow(added(live), 10.0)
    assert table.of(*ADDED).warm_from == 0.0


def test_when_the_checks_are_taken_away_everything_is_well():
    live = a_shop(**CHECKS)
    table = table_of(live)
    table.set_health(FIRST, 6.0, healthy=False, detail="HTTP 500")
    table.follow(reconfigure(live, a_shop().config, NEVER, {}), 7.0)
    assert table.of(*FIRST) == EndpointHealth(True, "", 7.0, PLACE)
