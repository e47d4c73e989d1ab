"""What `serinus demo --break` shows: a bad canary is rolled back, and an outage of both versions rolls nothing back."""

import signal
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.running_demo import demo, kinds

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds what was left behind in /proc"),
    pytest.mark.timeout(300),
]
FAST = ("--steps", "50", "--bake", "1", "--rate", "100")


@pytest.mark.parametrize("damage", ["latency", "crash", "slow-leak"])
async def test_a_canary_that_turns_out_bad_is_rolled_back(damage: str):
    async with demo(*FAST, "--break", damage) as running:
        lines = await running.rest()
        assert await running.end() == (1, "")
        assert running.left() == []
    expect_rollback(lines, damage)


async def test_errors_roll_it_back_and_it_stays_for_a_look_if_it_should():
    async with demo(*FAST, "--break", "errors", "--stay") as running:
        lines: list[Any] = []
        while not lines or lines[-1]["event"] != "restored":
            lines.append(await running.line())
        lines += [await running.line() for _ in range(4)]
        assert lines[-1]["event"] == "second"
        running.program.send_signal(signal.SIGINT)
        lines += await running.rest()
        assert await running.end() == (1, "")
        assert running.left() == []
    expect_rollback(lines, "errors")
    assert lines[-1]["failed"] > 0


def expect_rollback(lines: Sequence[Any], damage: str) -> None:
    """The break was followed by failed checks and a rollback, and the summary says so."""
    last = lines[-1]
    assert (last["result"], last["break"]["name"]) == ("rolled_back", damage)
    assert last["break"]["seconds_until_out"] > 0
    assert last["break"]["failed"] == last["failed"]  # none before
    found = [kind for kind in kinds(lines) if kind in ("break", "failed", "turned_back", "restored")]
    failures = [line["why"].partition(":")[0] for line in lines if line["event"] == "failed"]
    assert len(failures) == len({*failures}) > 0  # several checks may see it in the same moment, each once
    assert found == ["break", *["failed"] * len(failures), "turned_back", "restored"]
    seconds = [line for line in lines if line["event"] == "second"]
    assert seconds[-1]["service"]["versions"]["canary"]["target"] == 0


async def test_an_outage_of_both_versions_rolls_nothing_back():
    async with demo(*FAST, "--break", "outage") as running:
        lines = await running.rest()
        assert await running.end() == (0, "")
        assert running.left() == []
    found = kinds(lines)
    assert {"break", "froze", "mend", "thawed", "completed"} <= set(found)
    assert not {"failed", "turned_back", "breaker"} & set(found)
    assert found.index("froze") < found.index("thawed") < found.index("completed")
    assert (lines[-1]["result"], lines[-1]["failed"] > 0) == ("promoted", True)
