"""What is said on standard error can be read at once, and holds up nobody when nobody reads it."""

import logging
import os
import select
import threading
from collections.abc import Iterator

import pytest

from webapi.standard_error import LINES_MOST, Aside


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    out, into = os.pipe()
    yield out, into
    os.close(out)


def a_log(into: int) -> logging.Logger:
    log = logging.Logger("test")
    log.addHandler(Aside(into))
    return log


def read_all(out: int) -> list[str]:
    """What comes until the other end is closed."""
    said = b""
    while part := os.read(out, 65536):
        said += part
    return said.decode().splitlines()


def test_a_line_is_there_when_the_call_is_over(pipe: tuple[int, int]):
    out, into = pipe
    log = a_log(into)
    for number in range(100):
        log.warning("line %d of %s", number, "ü\ud800")
        assert os.read(out, 65536).decode() == f"line {number} of ü\\ud800\n"
    os.close(into)


def threads() -> int:
    return sum(thread.name == "standard-error" for thread in threading.enumerate())


def test_a_thread_is_there_only_once_a_line_has_to_wait(pipe: tuple[int, int]):
    out, into = pipe
    before = threads()
    log = a_log(into)
    for _ in range(100):
        log.warning("read at once")
        os.read(out, 65536)
    assert threads() == before
    log.warning("longer than what a pipe surely takes: %s", "x" * select.PIPE_BUF)
    assert os.read(out, 65536).endswith(b"xxx\n")
    assert threads() == before + 1
    os.close(into)


def test_lines_that_nobody_reads_hold_up_nobody_and_their_number_is_told_when_somebody_does(pipe: tuple[int, int]):
    out, into = pipe
    log = a_log(into)
    count = 3 * LINES_MOST
    for number in range(count):
        log.warning("%d %s", number, "x" * 200)
    said = b""
    while not said.endswith(b"lines are missing here: nobody read them\n"):
        said += os.read(out, 65536)
    *lines, last = said.decode().splitlines()
    missing = int(last.split()[0])
    assert 0 < missing < count
    assert [int(line.split()[0]) for line in lines] == list(range(count - missing))
    log.warning("and now again")
    assert os.read(out, 65536) == b"and now again\n"
    os.close(into)


def test_a_closed_pipe_is_nobodys_trouble(pipe: tuple[int, int]):
    out, into = pipe
    log = a_log(into)
    other_out, other_into = os.pipe()
    os.close(other_out)
    os.dup2(other_into, into)
    os.close(other_into)
    for _ in range(10):
        log.warning("into nothing")
    log.handlers[0].flush()
    os.close(into)
    assert read_all(out) == []
