"""What becomes of workers that die, hang or do not confirm, and of all of them at the end."""

import asyncio
import os
import signal
import socket
import time

import pytest

from proxy.child import Child, Patience
from proxy.core.live import Refused
from proxy.crew import StartError
from tests.support.supervised import Proxy, all_ready, answer, kinds, pids, split
from tests.support.waiting import until


async def test_every_worker_is_greeted_and_serves_when_the_start_returns(proxy: Proxy):
    supervisor = await proxy.start()
    snapshot = "1 shop:stable=99(up),canary=1(up) cart:v1=1(down)"
    assert sorted(proxy.heard()) == sorted(
        line for index in (0, 1) for line in (f"{index} settings ", f"{index} snapshot {snapshot}")
    )
    assert supervisor.has_ready_worker()
    assert [(worker.index, worker.state, worker.restarts) for worker in supervisor.worker_states] == [
        (0, "ready", 0),
        (1, "ready", 0),
    ]
    assert len({await answer(supervisor) for _ in range(40)}) == 2


async def test_a_worker_that_is_killed_during_a_change_serves_it_when_it_is_back(proxy: Proxy):
    supervisor = await proxy.start()
    proxy.mood("mute", worker=1)
    change = asyncio.create_task(supervisor.change(split(10)))
    await until(lambda: "1 services 2 shop:stable=90(up),canary=10(up)" in proxy.heard())
    old = pids(supervisor)
    assert not change.done()
    proxy.mood("", worker=1)
    os.kill(old[1], signal.SIGKILL)
    await change
    assert proxy.heard()[-1] == "1 snapshot 2 shop:stable=90(up),canary=10(up) cart:v1=1(down)"
    new = pids(supervisor)
    assert (new[0], new[1] != old[1]) == (old[0], True)
    assert [worker.restarts for worker in supervisor.worker_states] == [0, 1]


async def test_a_worker_that_does_not_confirm_is_replaced(proxy: Proxy):
    supervisor = await proxy.start(Patience(ack=0.5))
    old = pids(supervisor)
    proxy.mood("mute", worker=0)
    await supervisor.change(split(10))
    assert pids(supervisor)[0] != old[0]
    assert pids(supervisor)[1] == old[1]
    assert kinds(supervisor) == ["change", "worker_killed", "worker_ended"]


async def test_a_worker_that_cannot_even_go_back_is_replaced(proxy: Proxy):
    supervisor = await proxy.start()
    old = pids(supervisor)
    proxy.mood("refuse-2 refuse-3", worker=1)
    with pytest.raises(Refused, match="undone; worker 1: cannot"):
        await supervisor.change(split(10))
    assert (pids(supervisor)[0], pids(supervisor)[1] != old[1]) == (old[0], True)
    assert proxy.heard()[-1] == "1 snapshot 3 shop:stable=99(up),canary=1(up) cart:v1=1(down)"


async def test_a_change_that_a_worker_does_not_live_to_serve_is_in_force_but_said(proxy: Proxy):
    supervisor = await proxy.start(Patience(start=1.0, ack=0.5))
    proxy.mood("die", worker=1)
    os.kill(pids(supervisor)[1], signal.SIGKILL)
    with pytest.raises(
        Refused, match="in force, but not every worker is ready to serve it; worker 1 is not ready"
    ) as late:
        await supervisor.change(split(10))
    assert late.value.status == 503
    assert supervisor.live.services["shop"].weights == {"stable": 90.0, "canary": 10.0}
    proxy.mood("", worker=1)
    await all_ready(supervisor)


async def test_a_killed_worker_is_replaced_on_the_same_socket_and_its_gauges_are_settled(proxy: Proxy):
    proxy.mood("busy", worker=0)
    supervisor = await proxy.start()
    assert supervisor.in_flight("shop", "stable", "127.0.0.1:9001") == 1
    assert supervisor.in_flight("shop", "stable", "no.such:1") == supervisor.ejected_workers("shop", "no", "no") == 0
    proxy.mood("stop", worker=1)
    os.kill(pids(supervisor)[1], signal.SIGSTOP)
    proxy.mood("die", worker=0)
    old = pids(supervisor)
    os.kill(old[0], signal.SIGKILL)
    await until(lambda: supervisor.worker_states[0].restarts >= 2)
    assert supervisor.in_flight("shop", "stable", "127.0.0.1:9001") == 0
    assert supervisor.slabs[0].read_version(1)["started"] == 1
    (listener,) = supervisor.listening.opened[0]
    waiting = [socket.create_connection(listener.sockets[0].getsockname()) for _ in range(16)]
    proxy.mood("", worker=0)
    proxy.mood("", worker=1)
    os.kill(old[1], signal.SIGCONT)
    await all_ready(supervisor)
    loop = asyncio.get_running_loop()
    answers = []
    for client in waiting:
        client.setblocking(False)
        answers.append(int(await loop.sock_recv(client, 100)))
        client.close()
    assert set(answers) == set(pids(supervisor))


async def test_a_worker_that_gives_no_sign_of_life_is_replaced(proxy: Proxy):
    supervisor = await proxy.start(Patience(silence=0.5))
    old = pids(supervisor)
    os.kill(old[0], signal.SIGSTOP)
    await until(lambda: pids(supervisor)[0] not in {old[0], 0})
    await all_ready(supervisor)
    assert pids(supervisor)[1] == old[1]


async def test_a_worker_that_closes_its_channel_is_replaced(proxy: Proxy):
    proxy.mood("deaf", worker=0)
    supervisor = await proxy.start(Patience(farewell=0.2))
    old = pids(supervisor)
    proxy.mood("", worker=0)
    await until(lambda: pids(supervisor)[0] not in {old[0], 0})
    await all_ready(supervisor)


async def test_a_pause_of_the_supervisor_is_nobodys_fault(proxy: Proxy, monkeypatch: pytest.MonkeyPatch):
    supervisor = await proxy.start()
    old, clock = pids(supervisor), time.monotonic
    looks: list[float] = []
    judge = supervisor._crew._judge  # type: ignore[union-attr]

    def look(child: Child, now: float) -> None:
        looks.append(now)
        judge(child, now)

    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: clock() + 3600)
        patch.setattr(supervisor._crew, "_judge", look)
        await until(lambda: len(looks) >= 6)
    assert pids(supervisor) == old


async def test_a_worker_that_cannot_start_fails_the_start(proxy: Proxy):
    proxy.mood("die", worker=1)
    with pytest.raises(StartError, match="worker 1 ended with status 3 before all were ready"):
        await proxy.start()


async def test_a_worker_program_that_is_missing_fails_the_start(proxy: Proxy):
    supervisor = proxy.make()
    supervisor._command = ("/nonexistent/python",)
    with pytest.raises(StartError, match="worker 0 could not be started"):
        await supervisor.start()


async def test_a_drain_lets_the_workers_finish_and_end(proxy: Proxy):
    supervisor = await proxy.start()
    (listener,) = supervisor.listening.opened[0]
    place = listener.sockets[0].getsockname()
    assert await supervisor.drain(30.0) == 0
    assert sorted(proxy.heard()[-2:]) == ["0 drain 30.0", "1 drain 30.0"]
    assert [worker.state for worker in supervisor.worker_states] == ["ended", "ended"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place)
    with pytest.raises(Refused) as refused:
        await supervisor.change(split(10))
    assert refused.value.status == 503
    assert supervisor.draining


async def test_a_worker_that_does_not_end_is_killed_at_the_end_of_the_drain(proxy: Proxy):
    supervisor = await proxy.start()
    proxy.mood("stubborn", worker=1)
    assert await supervisor.drain(0.1) == 1


async def test_a_drain_does_not_wait_for_a_worker_that_cannot_start(proxy: Proxy):
    supervisor = await proxy.start()
    proxy.mood("die", worker=1)
    os.kill(pids(supervisor)[1], signal.SIGKILL)
    await until(lambda: supervisor.worker_states[1].restarts >= 2)
    assert await supervisor.drain(30.0) == 0


async def test_logs_are_opened_again_by_every_worker(proxy: Proxy):
    supervisor = await proxy.start()
    supervisor.reopen_logs()
    await until(lambda: {"0 reopen_logs ", "1 reopen_logs "} <= set(proxy.heard()))
