"""What commands draw on a terminal: a real one, by way of a pseudo terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.cli.fake_admin import FakeAdmin
from tests.support.terminals import on_a_terminal

ROOT = Path(__file__).parents[2]
CLEAR_LINE = "\r\x1b[K"


def drawn_by(admin: FakeAdmin, *arguments: str) -> str:
    """Everything that `serinus` writes when both of its outputs are a terminal of 120 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    command = [sys.executable, "-P", "-m", "cli", *arguments, "--admin", admin.address]
    program = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=on_a_terminal())
    os.close(theirs)
    drawn = b""
    try:
        while some := os.read(ours, 65536):
            drawn += some
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
    assert program.wait() == 0
    return drawn.decode()


def test_watch_draws_in_the_same_place(admin: FakeAdmin):
    drawn = drawn_by(admin, "watch", "--interval", "0.1", "--updates", "2")
    assert drawn.count("127.0.0.1:9001 up") >= 2
    assert "\x1b[1A" in drawn  # the cursor goes up again


def test_watch_says_when_the_proxy_is_gone_and_goes_on(admin: FakeAdmin):
    good, gone = admin.answer, iter([False, True])
    admin.answer = lambda asked: (200, b"nobody") if next(gone, True) else good(asked)  # type: ignore[method-assign]
    drawn = drawn_by(admin, "watch", "--interval", "0.1", "--updates", "3")
    assert "127.0.0.1:9001 up" in drawn
    assert "is not the admin API of Serinus" in drawn


@pytest.mark.parametrize("in_flight", [[3, 1, 0], [0]])
def test_drain_wait_has_a_line_that_goes_away(in_flight: list[int], admin: FakeAdmin):
    admin.in_flight = list(in_flight)
    drawn = drawn_by(admin, "endpoint", "drain", "--wait", "shop", "canary", "127.0.0.1:9003")
    assert ("3 in flight, 0 s" in drawn) is (in_flight[0] == 3)
    assert drawn.endswith(f"{CLEAR_LINE}127.0.0.1:9003 of shop/canary is idle (generation 7)\r\n")
