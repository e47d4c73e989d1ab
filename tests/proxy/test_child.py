"""When a worker has to be replaced: what it owes, counted from when the supervisor itself was awake."""

import time

import pytest

from proxy.child import Child, Patience
from proxy.control import Message

PATIENCE = Patience(start=30.0, ack=5.0, silence=10.0, farewell=2.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """Sets the time that the child sees."""

    def set_to(seconds: float) -> float:
        monkeypatch.setattr(time, "monotonic", lambda: seconds)
        return seconds

    set_to(100.0)
    return set_to


class Deaf:
    """A channel that leads nowhere."""

    def send_frame(self, frame: bytes) -> None:
        """Forget it."""


def a_child(*, ready: bool = True) -> Child:
    child = Child(0, lambda child, refusal: None)
    child._channel = Deaf()  # type: ignore[assignment]
    if ready:
        child._received(Message(0, "ready"))
    return child


def complaint(child: Child, now: float, heartbeat: float = 0.0, forgiven: float = 0.0) -> str:
    return child.complaint(now, heartbeat, PATIENCE, forgiven)


def test_a_child_has_time_to_become_ready(clock):
    child = a_child(ready=False)
    child.send(1, b"")
    assert complaint(child, 130.0) == ""
    assert complaint(child, 131.0) == "did not become ready for 31.0 s"
    assert complaint(child, 131.0, forgiven=110.0) == ""


def test_a_child_confirms_what_it_is_sent_in_order(clock):
    child = a_child()
    clock(101.0)
    child.send(1, b"")
    clock(104.0)
    child.send(2, b"")
    assert complaint(child, 106.0, heartbeat=106.0) == ""
    assert complaint(child, 106.5, heartbeat=106.0) == "did not confirm a message for 5.5 s"
    child._received(Message(1, "ack"))
    assert complaint(child, 106.5, heartbeat=106.0) == ""
    assert complaint(child, 109.5, heartbeat=106.0) == "did not confirm a message for 5.5 s"
    child._received(Message(2, "ack"))
    assert (child.confirmed, complaint(child, 109.5, heartbeat=106.0)) == (2, "")


def test_a_child_gives_signs_of_life_from_when_it_is_ready(clock):
    child = a_child()
    assert complaint(child, 110.0, heartbeat=3.0) == ""  # of the child before it
    assert complaint(child, 111.0, heartbeat=3.0) == "gave no sign of life for 11.0 s"
    assert complaint(child, 111.0, heartbeat=101.0) == ""
    assert complaint(child, 119.0, heartbeat=101.0, forgiven=110.0) == ""


def test_a_child_whose_channel_has_ended_has_to_end(clock):
    child = a_child()
    child._lost()
    assert complaint(child, 102.0, heartbeat=102.0) == ""
    assert complaint(child, 102.5, heartbeat=102.0) == "closed its control channel without ending for 2.5 s"


def test_a_child_that_was_killed_owes_nothing_and_is_not_heard_any_more(clock):
    child = a_child()
    child.send(1, b"")
    child.kill()
    child._received(Message(1, "ack"))
    assert (child.is_ready, child.confirmed, complaint(child, 999.0)) == (False, 0, "")


def test_a_refusal_is_kept_and_told(clock):
    told: list[str] = []
    child = Child(0, lambda child, refusal: told.append(refusal))
    child._received(Message(3, "ack", "no such regular expression"))
    child._received(Message(0, "ready"))
    assert (told, child.refusals) == (["no such regular expression", ""], {3: "no such regular expression"})
