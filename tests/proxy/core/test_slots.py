"""Slots are stable, rest before they are given away, and come back to their old name while they rest."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from proxy.core.slots import REST_SECONDS, OutOfSlots, SlotList, Slots


def test_slots_begin_at_1_and_stay():
    slots = Slots()
    assert [slots.version("shop", "stable"), slots.version("shop", "canary"), slots.version("shop", "stable")] == [
        1,
        2,
        1,
    ]
    assert [slots.endpoint("shop", "stable", "a:1"), slots.endpoint("shop", "canary", "a:1")] == [1, 2]
    slots.keep({("shop", "canary")}, set(), now=0.0)
    assert slots.version("shop", "canary") == 2
    assert slots.versions.in_use() == [0, 2, 1]


def test_a_name_that_comes_back_gets_its_slot_back():
    slots = SlotList[str](8, "version")
    assert slots.take("a") == 1
    slots.keep((), now=0.0)
    assert slots.take("b") == 2
    assert slots.take("a") == 1
    assert slots.rested(now=1e9) == []


def test_a_slot_is_given_away_when_it_has_rested_and_was_freed():
    slots = SlotList[str](3, "version")
    slots.take("a")
    slots.take("b")
    slots.keep({"b"}, now=100.0)
    assert slots.rested(now=100.0 + REST_SECONDS - 1) == []
    assert slots.rested(now=100.0 + REST_SECONDS) == [1]
    with pytest.raises(OutOfSlots, match="room for 2 versions, all of it taken"):
        slots.take("c")
    slots.free(1)
    assert slots.take("c") == 1


def test_only_a_resting_slot_can_be_freed():
    slots = SlotList[str](3, "version")
    slots.take("a")
    with pytest.raises(KeyError, match="version slot 1 does not rest"):
        slots.free(1)


class SlotUse(RuleBasedStateMachine):
    """Any order of taking, releasing and freeing."""

    @initialize()
    def begin(self) -> None:
        self.slots = SlotList[str](5, "version")
        self.known: dict[str, int] = {}
        self.now = 0.0

    @rule(name=st.sampled_from("abcdef"))
    def take(self, name: str) -> None:
        try:
            slot = self.slots.take(name)
        except OutOfSlots:
            assert len(self.slots.in_use()) == 5
        else:
            assert self.known.setdefault(name, slot) == slot

    @rule(names=st.sets(st.sampled_from("abcdef")), seconds=st.floats(0, 100))
    def keep(self, names: set[str], seconds: float) -> None:
        self.now += seconds
        self.slots.keep(names, self.now)

    @rule()
    def free(self) -> None:
        for slot in self.slots.rested(self.now):
            self.slots.free(slot)
            self.known = {name: known for name, known in self.known.items() if known != slot}

    @invariant()
    def no_slot_has_two_names(self) -> None:
        in_use = self.slots.in_use()
        assert len(in_use) == len(set(in_use)) <= 5
        taken = dict(self.slots.items())
        assert all(self.known[name] == slot for name, slot in taken.items())
        assert 0 not in taken.values()


TestSlotUse = SlotUse.TestCase


def test_looking_for_a_slot_takes_none():
    slots = Slots()
    assert slots.versions.find(("shop", "stable")) is None
    assert slots.version("shop", "stable") == slots.versions.find(("shop", "stable")) == 1
    slots.keep([], [], 0.0)
    assert slots.versions.find(("shop", "stable")) is None
