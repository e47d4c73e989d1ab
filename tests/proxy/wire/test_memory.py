"""A worker's memory is bounded whatever its neighbours do: endless bodies, readers that do not read, many clients."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from proxy.core.snapshot import Retries, Timeouts
from tests.support.echo_upstream import echoes, reset
from tests.support.one_client import connected
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.waiting import until

MIB = 1024 * 1024
GROWTH = 8 * MIB
LENGTH = 256 * MIB
BLOCK = bytes(MIB)
CHUNK = b"100000\r\n" + BLOCK + b"\r\n"

Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Memory:
    """The resident memory of a worker from now on, in bytes."""

    def __init__(self, worker: OneWorker) -> None:
        folder = Path(f"/proc/{worker.program.pid}")
        self._status = folder / "status"
        (folder / "clear_refs").write_text("5")  # the peak begins anew: proc_pid_clear_refs(5)
        self.begin = self._read("VmRSS")

    def _read(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", self._status.read_text())
        assert found is not None
        return int(found[1]) * 1024

    @property
    def growth(self) -> int:
        return self._read("VmRSS") - self.begin

    @property
    def most_growth(self) -> int:
        return self._read("VmHWM") - self.begin


@asynccontextmanager
async def serving(served: Served) -> AsyncIterator[int]:
    """A port at which this happens with each connection, after the head of its first request."""

    async def after_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await served(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(after_head, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        server.close()


async def send_blocks(writer: asyncio.StreamWriter, head: bytes, block: bytes, end: bytes, sent: list[int]) -> None:
    """Send 256 of these, counting."""
    writer.write(head)
    for _ in range(LENGTH // MIB):
        writer.write(block)
        await writer.drain()
        sent[0] += 1
    writer.write(end)
    await writer.drain()


async def has_stopped(worker: OneWorker, sent: list[int]) -> None:
    """Wait until no more is taken, from one beat of the worker to the third after it: all buffers are full."""
    before = -1
    while sent[0] != before:
        before = sent[0]
        for _ in range(3):
            beat = worker.slab.read_worker()["heartbeat_ns"]
            await until(lambda beat=beat: worker.slab.read_worker()["heartbeat_ns"] != beat)  # type: ignore[misc]


FRAMINGS = {
    "length": (b"Content-Length: %d\r\n\r\n" % LENGTH, BLOCK, b""),
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n", CHUNK, b"0\r\n\r\n"),
    "until close": (b"\r\n", BLOCK, b""),
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_download_of_any_length_by_a_slow_reader(framing: str, capsys: pytest.CaptureFixture[str]):
    sent = [0]
    fields, block, end = FRAMINGS[framing]

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send_blocks(writer, b"HTTP/1.1 200 OK\r\n" + fields, block, end, sent)

    async with serving(served) as port:
        with one_worker(service([[port]])) as worker:
            memory = Memory(worker)
            async with connected(worker.address) as client:
                client.send()
                await has_stopped(worker, sent)
                assert 0 < sent[0] < LENGTH // MIB
                received = 0
                while received < LENGTH:
                    received += len(await client.reader.readexactly(MIB // 4))
            report(capsys, f"download ({framing})", memory.most_growth)
            assert memory.most_growth < GROWTH


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_an_upload_of_any_length_to_a_slow_reader(framing: str, capsys: pytest.CaptureFixture[str]):
    sent, may_read = [0], asyncio.Event()
    fields, block, end = FRAMINGS[framing]

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        received = 0
        while received < LENGTH:
            received += len(await reader.read(MIB // 4))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    async with serving(served) as port:
        with one_worker(service([[port]])) as worker:
            memory = Memory(worker)
            async with connected(worker.address) as client:
                head = b"PUT / HTTP/1.1\r\nHost: a\r\n" + fields
                sending = asyncio.create_task(send_blocks(client.writer, head, block, end, sent))
                await has_stopped(worker, sent)
                assert 0 < sent[0] < LENGTH // MIB
                may_read.set()
                assert (await client.receive()).body == b"ok"
                sending.cancel()
                await asyncio.wait([sending])
            report(capsys, f"upload ({framing})", memory.most_growth)
            assert memory.most_growth < GROWTH


async def test_a_hundred_downloads_that_nobody_reads(capsys: pytest.CaptureFixture[str]):
    """Of each the worker holds what it read last, and no more."""
    count, sent = 100, [0]

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fields, block, end = FRAMINGS["chunks"]
        await send_blocks(writer, b"HTTP/1.1 200 OK\r\n" + fields, block, end, sent)

    async with serving(served) as port:
        with one_worker(service([[port]])) as worker:
            memory = Memory(worker)
            async with AsyncExitStack() as stack:
                for _ in range(count):
                    client = await stack.enter_async_context(connected(worker.address))
                    client.send()
                await until(lambda: sent[0] >= count)
                await has_stopped(worker, sent)
                report(capsys, "a download that nobody reads", memory.most_growth // count)
                assert memory.most_growth < count * 512 * 1024


async def test_a_thousand_idle_connections(capsys: pytest.CaptureFixture[str]):
    count = 1000
    async with echoes(1) as (echo,):
        with one_worker(service([[echo.port]])) as worker:
            memory = Memory(worker)
            async with AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(connected(worker.address)) for _ in range(count)]
                await until(lambda: worker.slab.read_worker()["connections"] == count)
                unused = memory.growth // count
                for client in clients:
                    assert (await client.ask()).port == echo.port
                used = memory.growth // count
                report(capsys, "an idle connection", unused, used)
                assert used < 32 * 1024
            await until(lambda: worker.slab.read_worker()["connections"] == 0)


async def test_requests_of_every_kind_leave_nothing_behind(capsys: pytest.CaptureFixture[str]):
    """What one round of good, failed, retried, refused, cut and abandoned exchanges takes, later rounds use again."""
    async with echoes(3) as (good, bad, dead):
        bad.always = reset
        await dead.stop()
        shop = service(
            [[good.port, bad.port, dead.port], []],
            [9, 1],
            fallback=0,
            ejection=None,
            retries=Retries(budget=1.0, budget_min=1000),
            timeouts=Timeouts(queue=0.01),
        )
        with one_worker(shop) as worker:
            await a_round(worker, 1000)
            memory = Memory(worker)
            await a_round(worker, 8000)
            report(capsys, "8,000 exchanges", memory.growth)
            assert memory.growth < MIB


async def a_round(worker: OneWorker, count: int) -> None:
    async with connected(worker.address) as client:
        for i in range(count):
            assert (await client.ask(f"/{i}", ("GET", "PUT")[i % 2], b"body" * (i % 100))).status in (200, 502)
            if i % 20 == 0:
                async with connected(worker.address) as other:
                    other.writer.write(
                        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3, b"nonsense\r\n\r\n", b"GET /")[i // 20 % 3]
                    )
                    if i % 40:
                        other.reset()


def report(capsys: pytest.CaptureFixture[str], what: str, *amounts: int) -> None:
    with capsys.disabled():
        print(f"\n{what}: {', '.join(f'{amount / 1024:,.1f} KiB' for amount in amounts)} of resident memory")
