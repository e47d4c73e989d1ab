"""The event loop of a worker is a selector for asyncio: descriptors, timers, threads, signals, and its limits."""

import asyncio
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.core.snapshot import Route, Settings, Snapshot
from proxy.wire import ending
from proxy.wire.counters import Slab, create
from proxy.wire.listener import Listener
from proxy.wire.logline import JsonLines, attach
from proxy.wire.plane import Plane
from proxy.wire.poller import Poller
from tests.support.echo_upstream import echoes
from tests.support.one_client import ask, connected
from tests.support.one_worker import service
from tests.support.waiting import until

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture
def ticks() -> list[int]:
    return []


@pytest.fixture
def poller(ticks: list[int]) -> Iterator[Poller]:
    one = Poller(1024, ticks.append)
    yield one
    one.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def ready(poller: Poller, timeout: float | None = 0) -> list[tuple[Any, int]]:
    return [(key.data, events) for key, events in poller.select(timeout)]


class TestDescriptors:
    def test_nothing_registered_is_nothing_ready(self, poller: Poller):
        assert poller.select(0) == []
        assert poller.select(0.001) == []

    def test_what_is_ready_is_told_for_what_was_asked(self, poller: Poller, pair: tuple[socket.socket, socket.socket]):
        near, far = pair
        poller.register(near, READ, "near")
        assert ready(poller) == []
        far.send(b"x")
        assert ready(poller, None) == [("near", READ)]
        assert ready(poller) == [("near", READ)]
        poller.modify(near, WRITE, "changed")
        assert ready(poller) == [("changed", WRITE)]
        poller.modify(near, READ | WRITE, "both")
        assert ready(poller) == [("both", READ | WRITE)]
        near.recv(1)
        assert ready(poller) == [("both", WRITE)]

    def test_the_end_of_the_other_side_is_something_to_read(
        self, poller: Poller, pair: tuple[socket.socket, socket.socket]
    ):
        near, far = pair
        poller.register(near.fileno(), READ, "end")
        far.close()
        assert ready(poller) == [("end", READ)]

    def test_what_is_not_registered_any_more_is_not_told(
        self, poller: Poller, pair: tuple[socket.socket, socket.socket]
    ):
        near, far = pair
        key = poller.register(near, READ, 1)
        far.send(b"x")
        assert poller.get_key(near) == poller.get_key(near.fileno()) == key
        assert dict(poller.get_map()) == {near.fileno(): key}
        assert poller.unregister(near) == key
        assert ready(poller) == []
        assert dict(poller.get_map()) == {}

    def test_a_number_that_is_used_again_belongs_to_its_new_owner(self, poller: Poller):
        for name in ("old", "new"):
            near, far = socket.socketpair()
            with near, far:
                poller.register(near, READ, name)
                far.send(b"x")
                assert ready(poller) == [(name, READ)]
                poller.unregister(near)

    def test_a_descriptor_is_registered_once(self, poller: Poller, pair: tuple[socket.socket, socket.socket]):
        near, far = pair
        poller.register(near, READ)
        with pytest.raises(KeyError, match="is already registered"):
            poller.register(near, WRITE)
        with pytest.raises(KeyError, match="is not registered"):
            poller.modify(far, READ)
        with pytest.raises(KeyError):
            poller.unregister(far)
        with pytest.raises(KeyError):
            poller.get_key(far)

    def test_a_descriptor_beyond_the_limit_is_refused(self):
        near, far = socket.socketpair()
        with near, far:
            small = Poller(near.fileno(), lambda now: None)
            with pytest.raises(OSError, match=f"descriptor {near.fileno()} is beyond the limit of {near.fileno()}"):
                small.register(near, READ)
            assert dict(small.get_map()) == {}
            small.close()

    def test_a_closed_descriptor_cannot_be_registered(self, poller: Poller):
        near, far = socket.socketpair()
        number = near.fileno()
        near.close()
        far.close()
        with pytest.raises(OSError, match="epoll_ctl"):
            poller.register(number, READ)
        assert dict(poller.get_map()) == {}

    def test_closing_twice_is_closing_once(self):
        one = Poller(16, lambda now: None)
        one.close()
        one.close()


class TestTime:
    def test_ticks_come_while_nothing_is_ready(self, poller: Poller, ticks: list[int]):
        while len(ticks) < 3:
            poller.select(0.05)
        assert ticks == sorted(ticks)

    def test_urgent_work_ends_a_wait(self, ticks: list[int]):
        """What the data path hands to asyncio must not wait for the next event."""

        def ticked(now: int) -> None:
            ticks.append(now)
            one.urgent = True

        one = Poller(16, ticked)
        assert one.select(None) == []
        assert len(ticks) == 1
        assert one.urgent is False
        one.close()


def run(main: Callable[[Poller], Awaitable[Any]]) -> Any:
    """Run on a loop whose selector is a poller."""
    poller = Poller(1024, lambda now: None)
    loop = asyncio.SelectorEventLoop(poller)  # type: ignore[arg-type]  # it is a selector by its methods
    try:
        return loop.run_until_complete(asyncio.wait_for(main(poller), 30))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@asynccontextmanager
async def data_path(poller: Poller, slab: Slab, port: int) -> AsyncIterator[tuple[Plane, tuple[str, int]]]:
    """The data path in this process, with this upstream; the plane and where it listens."""
    plane = Plane(poller, slab)
    plane.configure(Settings())
    plane.apply(Snapshot(1, (service([[port]]),), (Route("shop", path_kind="prefix", path="/shop"),)))
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    listener = Listener(plane, listening.detach(), "test")
    yield plane, address
    listener.stop()


class TestFaults:
    def test_a_fault_of_ours_ends_one_connection_and_no_other(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ):
        slab = Slab(create(1, 8, 8), 0)

        def fails(*args: object, **fields: object) -> bytes:
            raise ZeroDivisionError("on purpose")

        async def main(poller: Poller) -> None:
            async with echoes(1) as (echo,), data_path(poller, slab, echo.port) as (_, address):
                async with connected(address) as one, connected(address) as other:
                    assert (await one.ask("/shop")).port == (await other.ask("/shop")).port == echo.port
                    with monkeypatch.context() as patched:
                        patched.setattr(ending, "render", fails)
                        with pytest.raises(ConnectionResetError):
                            await one.ask("/nowhere")
                    assert (await other.ask("/nowhere")).status == 404
                    assert (await other.ask("/shop")).port == (await ask(address, "/shop")).port == echo.port
                await until(lambda: slab.read_worker()["connections"] == 0)

        run(main)
        assert "closing a connection after an internal error: <Client 127.0.0.1" in caplog.text
        assert slab.read_version(0)["requests"] == {404: 1, 500: 1}
        assert slab.read_version(1)["requests"] == {200: 4}

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_log_that_fails_ends_no_connection(self):
        lines: list[bytes] = []

        def breaks(text: bytes) -> None:
            lines.append(text)
            raise ZeroDivisionError("on purpose")

        async def main(poller: Poller) -> None:
            slab = Slab(create(1, 8, 8), 0)
            async with echoes(1) as (echo,), data_path(poller, slab, echo.port) as (plane, address):
                attach(plane, JsonLines(breaks))
                async with connected(address) as client:
                    while len(lines) < 3:
                        assert (await client.ask("/shop/" + "x" * 4000)).port == echo.port
                attach(plane, None)

        run(main)


class TestAsyncio:
    def test_timers_run_in_order(self):
        async def main(_: Poller) -> list[int]:
            order: list[int] = []

            async def after(delay: int) -> None:
                await asyncio.sleep(delay / 100)
                order.append(delay)

            await asyncio.gather(after(3), after(1), after(2))
            return order

        assert run(main) == [1, 2, 3]

    def test_streams_pass_large_amounts_both_ways(self):
        body = bytes(range(256)) * 40_000

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while some := await reader.read(65536):
                writer.write(some)
                await writer.drain()
            writer.close()

        async def main(_: Poller) -> bytes:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            async with server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(body)
                writer.write_eof()
                received = await reader.read()
                writer.close()
                await writer.wait_closed()
                server.close()
            return received

        assert run(main) == body

    def test_other_threads_wake_it(self):
        async def main(_: Poller) -> str:
            loop = asyncio.get_running_loop()
            woken = loop.create_future()
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(woken.set_result, "woken"))
            thread.start()
            result: str = await woken
            thread.join()
            return result + await asyncio.to_thread(lambda: " twice")

        assert run(main) == "woken twice"

    def test_signals_are_handled_while_it_waits(self):
        async def main(_: Poller) -> bool:
            heard = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, heard.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            return await heard.wait()

        assert run(main) is True

    def test_a_signal_whose_handling_raises_ends_the_wait(self, poller: Poller):
        def interrupt(number: int, frame: object) -> None:
            raise InterruptedError("by a signal")

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            with pytest.raises(InterruptedError, match="by a signal"):
                poller.select(None)
            timer.join()
        finally:
            signal.signal(signal.SIGUSR1, before)

    def test_subprocesses_are_waited_for(self):
        async def main(_: Poller) -> tuple[int | None, bytes]:
            program = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print('here')", stdout=asyncio.subprocess.PIPE
            )
            output = (await program.communicate())[0]
            return program.returncode, output

        assert run(main) == (0, b"here\n")
