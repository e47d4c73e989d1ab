"""Handing over to a next version that does this or that; and taking over from a proxy that does."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.admin_server import AdminServer
from proxy.bequest import VARIABLE, Bequest, Unintelligible, encode, find_bequest
from proxy.core.live import Refused
from proxy.handover import Estate, Handover, command_line
from proxy.inheritance import Inheritance
from proxy.legacy import Legacy, read_legacy
from proxy.observations import Observations
from proxy.orders import Orders
from proxy.predecessor import Predecessor, TakeoverError
from proxy.supervisor import Supervisor
from tests.support.supervised import FILE, Proxy, kinds, split
from tests.support.waiting import until
from webapi.systemd import ServiceNotes

STUB = str(Path(__file__).parents[1] / "support" / "stub_successor.py")


class Scene:
    """A supervised proxy with an admin API, that can be handed over to a stub with a mood."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self.supervisor = supervisor
        self.folder = folder
        self.succession = supervisor.succession
        self.orders = Orders(supervisor, ServiceNotes({}, os.getpid()))
        self.admin = AdminServer(supervisor, Observations(supervisor), Inheritance())
        self.left = False

    def hand_over(self, mood: str, seconds: float = 30.0) -> Handover:
        estate = Estate(self.supervisor, self.admin, ServiceNotes({}, 1), self.orders.wants_reload, self._leave)
        handover = Handover(estate, [sys.executable, STUB, mood, str(self.folder)], seconds)
        handover.begin()
        return handover

    async def why_not(self) -> str:
        await until(lambda: self.succession.last_failure)
        assert self.succession.last_failure is not None
        return self.succession.last_failure.reason

    def has_heard(self, word: str) -> bool:
        note = self.folder / f"heard-{word}"
        return note.exists() and note.read_bytes().endswith(b"\n")

    def told(self, what: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads((self.folder / what).read_text())
        return said

    def _leave(self) -> None:
        self.left = True


@pytest.fixture
async def scene(proxy: Proxy) -> AsyncIterator[Scene]:
    proxy.write({**FILE, "admin": {"address": "127.0.0.1:0"}})
    scene = Scene(await proxy.start(), proxy.folder)
    await scene.admin.start()
    yield scene
    await scene.admin.close()


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("refuse", "the next version refused: the file is bad"),
        ("end", "the next version ended with status 3 before it served"),
        ("die", "the next version ended with signal 9"),
        ("babble", "the next version cannot be understood: a line is no JSON"),
    ],
)
async def test_a_next_version_that_does_not_serve_leaves_everything_as_it_was(scene: Scene, mood: str, reason: str):
    scene.hand_over(mood)
    assert await scene.why_not() == reason
    assert (scene.succession.phase, scene.succession.failures, scene.left) == ("alone", 1, False)
    assert (await scene.supervisor.change(split(10))).generation == 2
    assert "handover" in kinds(scene.supervisor)


@pytest.mark.parametrize("mood", ["mute", "mute-later"])
async def test_one_that_does_not_serve_in_time_is_killed(scene: Scene, mood: str):
    scene.hand_over(mood, seconds=1.5)
    assert await scene.why_not() == "the next version did not serve within 1.5 s"
    assert (await scene.supervisor.change(split(10))).generation == 2


async def test_changes_are_refused_from_when_the_state_is_handed_over_and_what_was_confirmed_is_in_it(scene: Scene):
    await scene.supervisor.change(split(10))
    handover = scene.hand_over("mute-later")
    await until(lambda: scene.has_heard("state"))
    with pytest.raises(Refused, match="handed over") as refused:
        await scene.supervisor.change(split(20))
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    with pytest.raises(Refused, match="handed over"):
        await scene.supervisor.reload()
    saved = read_legacy(scene.told("heard-state")["legacy"]).saved
    assert saved is not None
    assert saved.generation == 2
    await handover.abort()
    assert await scene.why_not() == "the next version was not needed any more: this proxy ends"
    assert (await scene.supervisor.change(split(20))).generation == 3


async def test_once_it_serves_everything_is_the_next_ones(scene: Scene):
    handover = scene.hand_over("serve")
    handover.begin()  # a second one changes nothing
    await until(lambda: scene.left)
    await handover.finish()
    await until(lambda: scene.has_heard("yours"))
    await asyncio.to_thread(os.waitpid, scene.succession.successor, 0)
    assert scene.told("heard-yours") == {"word": "yours", "reload": False}
    bequest = scene.told("bequest")
    assert [each["address"] for each in bequest["listen"]] == ["127.0.0.1:0"]
    assert scene.succession.phase == "handed_over"
    with pytest.raises(Refused, match="handed over"):
        await scene.supervisor.change(split(20))
    assert await scene.supervisor.drain(5) == 0
    assert not scene.supervisor.draining


async def test_a_file_that_was_to_be_read_meanwhile_is_read_by_whoever_serves(scene: Scene):
    scene.hand_over("serve")
    scene.orders.reload()
    await until(lambda: scene.has_heard("yours"))
    await asyncio.to_thread(os.waitpid, scene.succession.successor, 0)
    assert scene.told("heard-yours") == {"word": "yours", "reload": True}
    assert scene.supervisor.reloads == {"ok": 0, "failed": 0}
    for task in scene.orders._reloads:
        task.cancel()


async def test_and_by_this_one_when_nobody_takes_over(scene: Scene):
    scene.hand_over("end")
    scene.orders.reload()
    await scene.why_not()
    await until(lambda: scene.supervisor.reloads == {"ok": 1, "failed": 0})


async def test_what_cannot_be_started_is_said(scene: Scene):
    estate = Estate(scene.supervisor, scene.admin, ServiceNotes({}, 1), scene.orders.wants_reload, scene._leave)
    Handover(estate, [str(scene.folder / "nothing")]).begin()
    assert (await scene.why_not()).startswith("the next version could not be started: [Errno 2]")


async def test_who_starts_it_with_the_signal_ignored_does_not_want_it(scene: Scene):
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        with scene.orders.taken():
            scene.orders.allow(scene.hand_over("end"))
            await scene.why_not()
            os.kill(os.getpid(), signal.SIGUSR2)
            await asyncio.sleep(0)
            assert (scene.succession.phase, scene.succession.failures) == ("alone", 1)
    finally:
        signal.signal(signal.SIGUSR2, before)


async def test_the_process_that_a_container_ends_with_is_not_handed_over(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("proxy.handover.FIRST_PROCESS", os.getpid())
    scene.hand_over("serve")
    assert "replace the container" in await scene.why_not()
    assert scene.succession.phase == "alone"


def test_what_is_installed_now_is_started():
    assert command_line(["python", "-P", "-m", "cli", "proxy"], "/new/python") == [
        *("/new/python", "-P", "-m", "cli", "proxy")
    ]
    # A script's first line may name another interpreter by now.
    assert command_line(["python", sys.executable, "proxy"], "/new/python") == [sys.executable, "proxy"]


# --- the other side ---------------------------------------------------------------------------------------------------


@pytest.fixture
def line(tmp_path: Path) -> tuple[Predecessor, socket.socket]:
    near, far = socket.socketpair()
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    return Predecessor(Bequest(1, 4711, near.detach(), lock, (), ())), far


async def test_when_the_proxy_before_ends_everything_is_ours_at_once(line: tuple[Predecessor, socket.socket]):
    before, far = line
    far.close()
    assert await before.legacy() == Legacy()
    assert await before.take_over() is False
    os.close(before.lock)


async def test_what_is_no_answer_ends_it(line: tuple[Predecessor, socket.socket]):
    before, far = line
    with far:
        far.sendall(encode("yours"))
        with pytest.raises(TakeoverError, match="the proxy before says 'yours' instead of 'state'"):
            await before.legacy()
        far.sendall(encode("yours", reload=True))
        assert await before.take_over() is True
    os.close(before.lock)


async def test_a_state_that_it_does_not_understand_is_refused(line: tuple[Predecessor, socket.socket]):
    before, far = line
    with far:
        far.sendall(encode("state", legacy={"state": '{"format": "serinus live state", "version": 99}'}))
        with pytest.raises(TakeoverError, match="what the proxy before hands over has version 99"):
            await before.legacy()
    assert await before.take_over() is False
    os.close(before.lock)


@pytest.mark.parametrize("text", ["", "{}", Bequest(2, 1, 3, 4, (), ()).write()])
def test_what_another_version_hands_over_is_refused(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(Unintelligible):
        find_bequest()
    assert VARIABLE not in os.environ
    assert find_bequest() is None
