"""Waiting for programs to come up: until somebody listens, or until an address answers 200."""

import http.client
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from loadtests.bench.faults import Invalid

_START_SECONDS = 60.0


def wait_until_listening(port: int, child: "subprocess.Popen[bytes]", title: str, log: Path) -> None:
    """Wait until somebody listens at this port of 127.0.0.1.

    Raises:
        Invalid: the program ended, or took too long.
    """
    _wait(lambda: _accepts(port), child, title, log)


def wait_until_ready(port: int, path: str, child: "subprocess.Popen[bytes]", title: str, log: Path) -> None:
    """Wait until a GET of this path answers 200.

    Raises:
        Invalid: the program ended, or took too long.
    """
    _wait(lambda: _answers(port, path), child, title, log)


def _wait(condition: Callable[[], bool], child: "subprocess.Popen[bytes]", title: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not (condition() and child.poll() is None):
        if child.poll() is not None or time.monotonic() > deadline:
            raise Invalid(f"{title} does not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.05)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
