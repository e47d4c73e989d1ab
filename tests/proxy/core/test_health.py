"""The health of an endpoint: which probes turn it, and that nothing else does."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.health import TRANSITIONS, Health, Probe, Status, Thresholds, probed, unprobed

probes = st.lists(st.sampled_from(["good", "bad"]), max_size=40)
thresholds = st.builds(Thresholds, rise=st.integers(1, 5), fall=st.integers(1, 5))


def transcript(health: Health, letters: str, rise: int = 2, fall: int = 3) -> str:
    """The status after each probe: `g` and `b` in, `s`, `u` and `d` out."""
    out = ""
    for letter in letters:
        health = probed(health, "good" if letter == "g" else "bad", Thresholds(rise, fall))
        out += health.status.value[0]
    return out


@pytest.mark.parametrize(
    ("seen", "becomes"),
    [
        ("bbbbg", "ssssu"),  # one good probe is enough for an endpoint that was never seen well
        ("gbbg", "uuuu"),
        ("gbbbb", "uuudd"),
        ("gbbgbbb", "uuuuuud"),  # bad ones count in a row
        ("gbbbgg", "uuuddu"),
        ("gbbbgbgg", "uuuddddu"),  # good ones count in a row
    ],
)
def test_a_new_endpoint(seen: str, becomes: str):
    assert transcript(unprobed(counts_as_well=False), seen) == becomes


def test_an_endpoint_that_counts_as_well_does_so_until_it_has_failed_enough():
    assert unprobed(counts_as_well=True).is_up
    assert transcript(unprobed(counts_as_well=True), "bbbgg") == "uuddu"


def test_the_table_names_every_status():
    assert set(TRANSITIONS) == set(Status)


@given(st.booleans(), probes, thresholds)
def test_it_turns_exactly_after_enough_probes_in_a_row(well: bool, seen: list[Probe], limits: Thresholds):
    """The run of equal probes at the end of what was seen is compared with the threshold, one probe at a time."""
    history = [unprobed(counts_as_well=well)]
    run = 0
    for i, probe in enumerate(seen):
        old = history[-1]
        turned_here = i > 0 and history[-1].status is not history[-2].status
        run = run + 1 if i > 0 and seen[i - 1] == probe and not turned_here else 1
        new = probed(old, probe, limits)
        needed = {
            (Status.STARTING, "good"): 1,
            (Status.UP, "bad"): limits.fall,
            (Status.DOWN, "good"): limits.rise,
        }.get((old.status, probe))
        assert (new.status is not old.status) == (needed is not None and run >= needed)
        history.append(new)


@given(probes, thresholds)
def test_nothing_returns_to_the_start(seen: list[Probe], limits: Thresholds):
    health = unprobed(counts_as_well=False)
    statuses = [health.status]
    for probe in seen:
        health = probed(health, probe, limits)
        statuses.append(health.status)
    assert all(new is not Status.STARTING or old is Status.STARTING for old, new in pairwise(statuses))
