"""The proxy as a program, with real workers: what it says, what signals do, and that it leaves nothing behind."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

#: Passes a descriptor as systemd does.
PASSING = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="http", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
PROGRAM = "import sys; from proxy.app import run; sys.exit(run(sys.argv[1]))"


class Backend(BaseHTTPRequestHandler):
    """Answers with the version that it is told to be; /hang does not answer."""

    protocol_version = "HTTP/1.1"
    hanging: threading.Event
    released: threading.Event

    def do_GET(self) -> None:
        if self.path == "/hang":
            self.hanging.set()
            self.released.wait()
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def backend() -> Iterator[ThreadingHTTPServer]:
    Backend.hanging, Backend.released = threading.Event(), threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    Backend.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


class Program:
    """A running proxy, with what it says."""

    def __init__(self, path: Path, *before: str, fds: tuple[int, ...] = ()) -> None:
        command = [*before, sys.executable, "-c", PROGRAM, str(path)]
        self.popen = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=fds, cwd=path.parent)
        self.lines: list[str] = []

    def read(self, pattern: str) -> str:
        """Wait for a line; the group in the pattern, or all of it."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(line.rstrip())
            if match := re.search(pattern, line.rstrip()):
                return match[match.lastindex or 0]
        raise AssertionError(f"the proxy ended without {pattern!r}: {self.lines}")

    def wait_until_up(self) -> None:
        self.address = self.read(r"listening on (?:.*[ (])?([^ )]+)\)?$")
        self.admin = self.read(r"admin API on (.*)")
        self.read(r"workers serve generation")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        assert self.popen.stderr is not None
        self.lines += self.popen.stderr.read().splitlines()
        return self.popen.wait()

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text().split()]


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path, backend: ThreadingHTTPServer) -> Iterator[Start]:
    """Starts proxies in a folder of the test; all have to be at their end when it ends."""
    started: list[Program] = []

    def start(*before: str, fds: tuple[int, ...] = (), **parts: Any) -> Program:
        tree = {
            "listen": [{"address": "127.0.0.1:0"}],
            "admin": {"address": "127.0.0.1:0"},
            "access_log": "off",
            "workers": 2,
            "services": {
                "shop": {
                    "versions": {
                        "stable": {"endpoints": [f"127.0.0.1:{backend.server_port}"]},
                        "canary": {"endpoints": [f"localhost:{backend.server_port}"]},
                    },
                    "split": {"stable": 99, "canary": 1},
                }
            },
            **parts,
        }
        path = tmp_path / "serinus.yaml"
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        started.append(Program(path, *before, fds=fds))
        return started[-1]

    yield start
    for program in started:
        if program.popen.poll() is None:
            program.popen.kill()
            program.wait()
        assert program.popen.stderr is not None
        program.popen.stderr.close()


def fetch(address: str, path: str = "/") -> tuple[int, bytes]:
    with urllib.request.urlopen(f"http://{address}{path}") as response:
        return response.status, response.read()


def set_split(program: Program, **weights: int) -> int:
    request = urllib.request.Request(
        f"http://{program.admin}/v1/services/shop/split",
        json.dumps({"weights": weights, "reason": "a try"}).encode(),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request) as response:
        generation: int = json.load(response)["generation"]
        return generation


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_serves_and_ends_with_its_workers_when_it_is_told_to(start: Start):
    program = start()
    program.wait_until_up()
    assert fetch(program.address) == (200, b"hello")
    assert fetch(program.admin, "/readyz")[0] == 200
    workers = program.children()
    assert len(workers) == 2
    assert program.end() == 0
    assert not any(map(is_alive, workers))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(program.address.rpartition(":")[2])))


def test_live_weights_outlive_a_restart_and_are_said(start: Start):
    program = start()
    program.wait_until_up()
    assert set_split(program, stable=90, canary=10) == 2
    assert program.end(signal.SIGQUIT) == 0
    program = start()
    program.wait_until_up()
    assert re.search(
        r"shop: split stable=90 canary=10 \(changed live .* UTC by admin api: a try\) "
        r"instead of stable=99 canary=1 in the file",
        "\n".join(program.lines),
    )
    assert program.end() == 0


def test_the_file_is_read_again_and_a_bad_one_changes_nothing(start: Start, tmp_path: Path):
    program = start()
    program.wait_until_up()
    program.popen.send_signal(signal.SIGHUP)
    assert program.read(r"generation (\d+) is served") == "2"
    (tmp_path / "serinus.yaml").write_text("listen: []")
    program.popen.send_signal(signal.SIGHUP)
    program.read("the file was not taken, what was served goes on")
    program.read("serinus.yaml:1:1: services: is required")
    assert fetch(program.address) == (200, b"hello")
    assert program.end() == 0


def test_a_killed_worker_is_replaced(start: Start):
    program = start()
    program.wait_until_up()
    killed, other = program.children()
    os.kill(killed, signal.SIGKILL)
    program.read(r"worker \d ended with signal 9; the next one starts in 0.[01] s")
    assert set_split(program, stable=1, canary=1) == 2  # answers when the new one serves it, too
    assert other in program.children()
    assert len(program.children()) == 2
    assert [fetch(program.address) for _ in range(20)] == [(200, b"hello")] * 20
    assert program.end() == 0


def test_a_request_in_flight_ends_before_the_proxy_does(start: Start):
    program = start()
    program.wait_until_up()
    answers: list[tuple[int, bytes]] = []
    client = threading.Thread(target=lambda: answers.append(fetch(program.address, "/hang")))
    client.start()
    Backend.hanging.wait()
    program.popen.send_signal(signal.SIGTERM)
    program.read("SIGTERM: finishing what is in flight")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        fetch(program.admin, "/readyz")
    Backend.released.set()
    assert program.wait() == 0
    client.join()
    assert answers == [(200, b"hello")]


def test_a_second_interrupt_ends_it_at_once(start: Start):
    program = start()
    program.wait_until_up()
    workers = program.children()
    with socket.create_connection(("127.0.0.1", int(program.address.rpartition(":")[2]))) as client:
        client.sendall(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        Backend.hanging.wait()
        program.popen.send_signal(signal.SIGINT)
        program.read("SIGINT: finishing what is in flight, within 2 s")
        assert program.end(signal.SIGINT) == 130
    assert not any(map(is_alive, workers))


def test_workers_end_when_the_supervisor_is_killed(start: Start):
    program = start(drain_timeout="off")
    program.wait_until_up()
    workers = program.children()
    watched = [os.pidfd_open(pid) for pid in workers]
    program.popen.kill()
    program.wait()
    for fd in watched:
        select.select([fd], [], [])
        os.close(fd)
    assert not any(map(is_alive, workers))


def test_it_listens_on_what_systemd_passes(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = listening.fileno()
        port = listening.getsockname()[1]
        program = start(sys.executable, "-c", PASSING, str(fd), fds=(fd,), listen=[{"address": "fd@3"}])
        program.wait_until_up()
    assert f"listening on fd@3 (http, 127.0.0.1:{port})" in program.lines[0]
    assert [fetch(f"127.0.0.1:{port}") for _ in range(10)] == [(200, b"hello")] * 10
    assert program.end() == 0


def test_it_listens_on_a_unix_socket(start: Start, tmp_path: Path):
    program = start(listen=[{"address": f"unix:{tmp_path}/http.sock"}])
    program.wait_until_up()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/http.sock")
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"hello")
    assert program.end() == 0
    assert not (tmp_path / "http.sock").exists()


def test_what_cannot_begin_says_why_and_ends_with_1(start: Start, tmp_path: Path):
    running = start()
    running.wait_until_up()
    second = start()
    assert second.wait() == 1
    assert second.lines == [
        f"serinus: state_dir {tmp_path}/state belongs to another running proxy (pid {running.popen.pid}): "
        "stop that one, or give this one a folder of its own"
    ]
    third = start(state_dir="other", listen=[{"address": running.address}])
    assert third.wait() == 1
    assert third.lines == [
        f"serinus: {running.address}: another process listens there already; `ss -ltnpx` says which one"
    ]
    fourth = start(state_dir="third", admin={"address": running.admin})
    assert fourth.wait() == 1
    assert fourth.lines == [
        f"serinus: {running.admin}: another process listens there already; `ss -ltnpx` says which one"
    ]
    assert running.end() == 0
    (tmp_path / "state" / "live.json").write_text("{")
    fifth = start()
    assert fifth.wait() == 1
    assert fifth.lines[0].startswith(f"serinus: {tmp_path}/state/live.json was cut off or is no state file")
