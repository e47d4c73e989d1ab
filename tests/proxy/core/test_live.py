"""Steps on the live state: each gives the next generation with valid weights, or says everything that is wrong."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from config.problems import Problem
from proxy.core.live import (
    Change,
    LiveEndpoint,
    Refused,
    activate,
    add_endpoint,
    change_of,
    remove_endpoint,
    set_endpoint_state,
    set_split,
)
from proxy.core.overlay import from_config, overlay, reconfigure
from tests.support.lives import NEVER, SERVICES, a_config, a_live, salts

ADDRESSES = ["127.0.0.1:9001", "127.0.0.1:9003", "127.0.0.1:9009", "[::1]:80", "unix:/run/x.sock"]
NAMES = st.sampled_from(["stable", "canary", "blue", "green", "no"])
WEIGHTS = st.floats(min_value=0, max_value=1e9) | st.integers(0, 100)


def test_a_split_is_set_whole_and_makes_the_next_generation():
    old = a_live()
    new = set_split(old, "shop", {"canary": 30, "stable": 70}, NEVER)
    change = replace(NEVER, generation=2)
    shop = replace(
        old.services["shop"], weights={"stable": 70.0, "canary": 30.0}, last_change=change, split_change=change
    )
    assert new == replace(old, generation=2, services={**old.services, "shop": shop})
    assert change_of(new) == {"shop": change}


def test_who_made_the_split_is_known_whatever_happens_to_endpoints_since():
    split = set_split(a_live(), "shop", {"canary": 30, "stable": 70}, NEVER)
    other = replace(NEVER, by="somebody else")
    shop = set_endpoint_state(split, "shop", "canary", "127.0.0.1:9003", "drain", other).services["shop"]
    assert (shop.split_change, shop.last_change.by) == (replace(NEVER, generation=2), "somebody else")


def test_a_version_that_a_split_does_not_name_gets_nothing():
    assert set_split(a_live(), "shop", {"canary": 1}, NEVER).services["shop"].shares == {"stable": 0.0, "canary": 1.0}


def test_a_split_keeps_the_salt_unless_it_brings_a_new_one():
    old = a_live()
    assert set_split(old, "shop", {"canary": 1}, NEVER).services["shop"].salt == old.services["shop"].salt
    assert set_split(old, "shop", {"canary": 1}, NEVER, b"x" * 16).services["shop"].salt == b"x" * 16


def test_a_split_that_cannot_be_is_refused_with_everything_that_is_wrong():
    old = a_live()
    with pytest.raises(Refused) as refused:
        set_split(old, "shop", {"stable": -1, "cnary": 5, "canary": math.nan}, NEVER, b"short")
    assert refused.value.status == 422
    assert refused.value.problems == (
        Problem("weights.cnary", "there is no version 'cnary'", suggestion="canary"),
        Problem("weights.stable", "a weight lies between 0 and 1e+09, not -1"),
        Problem("weights.canary", "a weight lies between 0 and 1e+09, not nan"),
        Problem("salt", "a salt has 16 bytes, not 5"),
    )


@pytest.mark.parametrize("weight", [True, "90", None, math.inf, 2e9])
def test_a_weight_is_a_finite_number(weight: object):
    with pytest.raises(Refused) as refused:
        set_split(a_live(), "shop", {"stable": 1, "canary": weight}, NEVER)  # type: ignore[dict-item]
    assert [problem.path for problem in refused.value.problems] == ["weights.canary"]


@pytest.mark.parametrize("weights", [{}, {"stable": 0}, {"stable": 0.0, "canary": 0}])
def test_at_least_one_weight_is_positive(weights: dict[str, float]):
    with pytest.raises(Refused, match="all weights are 0"):
        set_split(a_live(), "shop", weights, NEVER)


def test_activating_gives_everything_to_one_version_and_a_split_ends_pool_mode():
    green = activate(a_live(), "cart", "green", NEVER)
    assert (green.services["cart"].active, green.services["cart"].weights) == ("green", {"blue": 0.0, "green": 1.0})
    assert set_split(green, "cart", {"blue": 1, "green": 1}, NEVER).services["cart"].active is None


def test_an_unknown_service_is_404_and_an_unknown_version_names_the_nearest():
    with pytest.raises(Refused) as refused:
        activate(a_live(), "chop", "blue", NEVER)
    assert (refused.value.status, refused.value.problems[0].suggestion) == (404, "shop")
    with pytest.raises(Refused) as refused:
        activate(a_live(), "cart", "gren", NEVER)
    assert (refused.value.status, refused.value.problems[0].suggestion) == (422, "green")
    with pytest.raises(Refused) as refused:
        add_endpoint(a_live(), "cart", "gren", "127.0.0.1:1", NEVER)
    assert (refused.value.status, refused.value.problems[0].path) == (404, "version")


def test_an_endpoint_is_added_drained_and_removed_by_its_address_in_any_form():
    live = add_endpoint(a_live(), "shop", "canary", "[::0001]:80", NEVER)
    assert live.endpoints("shop", "canary") == (LiveEndpoint("127.0.0.1:9003"), LiveEndpoint("[::1]:80"))
    live = set_endpoint_state(live, "shop", "canary", "[0:0::1]:80", "drain", NEVER)
    assert live.endpoint("shop", "canary", "[::1]:80") == LiveEndpoint("[::1]:80", "drain")
    live = remove_endpoint(live, "shop", "canary", "[::1]:80", NEVER)
    assert live.endpoints("shop", "canary") == (LiveEndpoint("127.0.0.1:9003"),)
    assert live.generation == 4


def test_endpoint_steps_that_cannot_be_taken_say_why():
    live = a_live()
    with pytest.raises(Refused, match="already has the endpoint") as refused:
        add_endpoint(live, "shop", "canary", "127.0.0.1:9003", NEVER)
    assert refused.value.status == 409
    with pytest.raises(Refused, match="a port is missing") as refused:
        add_endpoint(live, "shop", "canary", "localhost", NEVER)
    assert refused.value.status == 422
    with pytest.raises(Refused, match="'drian' is not one of up, drain, down") as refused:
        set_endpoint_state(live, "shop", "canary", "127.0.0.1:9003", "drian", NEVER)  # type: ignore[arg-type]
    assert refused.value.problems[0].suggestion == "drain"
    with pytest.raises(Refused, match="has no endpoint") as refused:
        remove_endpoint(live, "shop", "canary", "127.0.0.1:9004", NEVER)
    assert refused.value.status == 404


def test_a_live_state_cannot_be_changed_in_place():
    live = a_live()
    with pytest.raises(TypeError):
        live.services["shop"].weights["canary"] = 100  # type: ignore[index]
    with pytest.raises(AttributeError):
        live.generation = 9  # type: ignore[misc]


class Steps(RuleBasedStateMachine):
    """Any sequence of steps, good and bad ones, with reloads of the file in between."""

    @initialize()
    def begin(self) -> None:
        self.live = a_live()
        self.generation = 1

    def take(self, step) -> None:
        before = self.live
        try:
            self.live = step(before)
        except Refused:
            return
        self.generation += 1

    @rule(service=st.sampled_from(["shop", "cart", "no"]), weights=st.dictionaries(NAMES, WEIGHTS))
    def split(self, service: str, weights: dict[str, float]) -> None:
        self.take(lambda live: set_split(live, service, weights, NEVER))

    @rule(service=st.sampled_from(["shop", "cart"]), version=NAMES)
    def switch(self, service: str, version: str) -> None:
        self.take(lambda live: activate(live, service, version, NEVER))

    @rule(version=NAMES, address=st.sampled_from(ADDRESSES))
    def add(self, version: str, address: str) -> None:
        self.take(lambda live: add_endpoint(live, "shop", version, address, NEVER))

    @rule(version=NAMES, address=st.sampled_from(ADDRESSES))
    def remove(self, version: str, address: str) -> None:
        self.take(lambda live: remove_endpoint(live, "shop", version, address, NEVER))

    @rule(version=NAMES, address=st.sampled_from(ADDRESSES), state=st.sampled_from(["up", "drain", "down"]))
    def set_state(self, version: str, address: str, state: str) -> None:
        self.take(lambda live: set_endpoint_state(live, "shop", version, address, state, NEVER))  # type: ignore[arg-type]

    @rule()
    def reload_the_same_file(self) -> None:
        before = self.live
        self.take(lambda live: reconfigure(live, a_config(), NEVER, {}))
        assert in_any_order(self.live) == in_any_order(replace(before, generation=self.generation))

    @invariant()
    def generations_rise_by_one(self) -> None:
        assert self.live.generation == self.generation

    @invariant()
    def weights_are_valid(self) -> None:
        for name, service in self.live.services.items():
            assert list(service.weights) == list(SERVICES[name]["versions"])
            assert all(math.isfinite(weight) and weight >= 0 for weight in service.weights.values())
            assert any(service.weights.values())
            assert math.isclose(sum(service.shares.values()), 1)
            if service.active is not None:
                assert service.weights == {name: float(name == service.active) for name in service.versions}

    @invariant()
    def the_overlay_gives_the_live_state_again(self) -> None:
        change = Change("start", "", 0.0, self.live.generation)
        again = from_config(self.live.config, overlay(self.live), salts(self.live.config), change)
        assert in_any_order(again) == in_any_order(self.live)


def in_any_order(live) -> object:
    """A live state without the order of its endpoints, which an overlay does not keep."""
    versions = {
        name: {version: frozenset(endpoints) for version, endpoints in service.versions.items()}
        for name, service in live.services.items()
    }
    rest = {name: (dict(service.weights), service.active, service.salt) for name, service in live.services.items()}
    return live.generation, versions, rest, live.config


TestSteps = Steps.TestCase


@given(weights=st.dictionaries(st.sampled_from(["stable", "canary"]), WEIGHTS, min_size=1))
def test_shares_are_those_of_the_weights(weights: dict[str, float]):
    total = sum(weights.values())
    if total == 0:
        return
    shares = set_split(a_live(), "shop", weights, NEVER).services["shop"].shares
    assert shares == pytest.approx({name: weights.get(name, 0) / total for name in ("stable", "canary")})
