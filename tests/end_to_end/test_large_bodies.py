"""Bodies of any length pass in bounded memory, however slowly they are read.

SERINUS_LONG=1 makes them as long as the promise is.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.whole_proxy import WholeProxy, a_service, whole_proxy

MIB = 1024 * 1024
IS_LONG = os.environ.get("SERINUS_LONG") == "1"
BLOCKS = 10 * 1024 if IS_LONG else 384
BLOCK = bytes(MIB)
GROWTH = 8 * MIB

pytestmark = pytest.mark.timeout(600 if IS_LONG else 60)


def test_a_long_chunked_download_by_a_slow_reader_takes_no_memory(
    proxy: WholeProxy, capsys: pytest.CaptureFixture[str]
):
    connection = HTTPConnection(*proxy.address, timeout=30)
    with watching_memory(proxy) as memory:
        connection.request("GET", "/")
        response = connection.getresponse()
        received, block = 0, bytearray(MIB)
        while size := response.readinto(block):
            rest(received)
            received += size
    connection.close()
    report(capsys, "download", memory)
    assert (response.headers["Transfer-Encoding"], received) == ("chunked", BLOCKS * MIB)
    assert memory.growth < GROWTH


def test_a_long_chunked_upload_to_a_slow_reader_takes_no_memory(proxy: WholeProxy, capsys: pytest.CaptureFixture[str]):
    connection = HTTPConnection(*proxy.address, timeout=120)
    with watching_memory(proxy) as memory:
        connection.request("PUT", "/", body=(BLOCK for _ in range(BLOCKS)), encode_chunked=True)
        response = connection.getresponse()
        received = int(response.read())
    connection.close()
    report(capsys, "upload", memory)
    assert received == BLOCKS * MIB
    assert memory.growth < GROWTH


def rest(received: int) -> None:
    """Do not read for a while: long at the beginning, so that every buffer is full, and now and then later."""
    if received == 0:
        time.sleep(1)
    elif received % (16 * MIB) < 64 * 1024:
        time.sleep(0.02)


class Memory:
    """The resident memory of the workers, summed: at the beginning and the most since."""

    def __init__(self, proxy: WholeProxy) -> None:
        self._proxy = proxy
        self._workers = proxy.workers()
        self.begin = self.most = self.now()

    def now(self) -> int:
        return sum(self._proxy.memory(worker) for worker in self._workers)

    def look(self) -> None:
        self.most = max(self.most, self.now())

    @property
    def growth(self) -> int:
        return self.most - self.begin


@contextmanager
def watching_memory(proxy: WholeProxy) -> Iterator[Memory]:
    """Look at the memory all the time."""
    memory = Memory(proxy)
    ending = threading.Event()

    def watch() -> None:
        while not ending.wait(0.02):
            memory.look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield memory
    finally:
        ending.set()
        watcher.join()


def report(capsys: pytest.CaptureFixture[str], what: str, memory: Memory) -> None:
    with capsys.disabled():
        print(f"\n{what} of {BLOCKS} MiB: workers {memory.begin / MIB:.1f} MiB + {memory.growth / MIB:.1f} MiB")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    """A proxy in front of an upstream that sends and takes a lot."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Large) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        tree = a_service({"v1": f"127.0.0.1:{server.server_port}"}, {"v1": 1})
        with whole_proxy(tmp_path_factory.mktemp("large"), tree) as running:
            yield running
        server.shutdown()
        thread.join()


class _Large(BaseHTTPRequestHandler):
    """Sends as much as it can, and takes what comes with rests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(BLOCKS):
            self.wfile.write(b"%x\r\n%b\r\n" % (MIB, BLOCK))
        self.wfile.write(b"0\r\n\r\n")

    def do_PUT(self) -> None:
        received = 0
        while size := int(self.rfile.readline(), 16):
            rest(received)
            received += len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        answer = b"%d" % received
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
