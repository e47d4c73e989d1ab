"""What systemd is told."""

import os
import time
from pathlib import Path

import pytest

from tests.support.notified import notified
from webapi.systemd import ServiceNotes


def test_each_note_is_one_datagram_of_lines(tmp_path: Path):
    place = str(tmp_path / "notify")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with notified(place) as told:
        notes = ServiceNotes({"NOTIFY_SOCKET": place}, 7)
        notes.ready("2 workers\nserve")
        notes.reloading()
        notes.status("a word")
        notes.main_process(8)
        notes.stopping("bye")
    reloading, _, microseconds = told.pop(1).partition("\nMONOTONIC_USEC=")
    assert reloading == "RELOADING=1"
    assert before <= int(microseconds) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert told == ["READY=1\nSTATUS=2 workers serve", "STATUS=a word", "MAINPID=8", "STOPPING=1\nSTATUS=bye"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}, {"NOTIFY_SOCKET": "@nobody-listens"}])
def test_who_does_not_listen_holds_up_nothing(environ: dict[str, str]):
    ServiceNotes(environ, 7).ready("it serves")


def test_a_place_without_a_file_is_found():
    name = f"serinus-test-{os.getpid()}"
    with notified(f"\0{name}") as told:
        ServiceNotes({"NOTIFY_SOCKET": f"@{name}"}, 7).main_process(9)
    assert told == ["MAINPID=9"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "7"}, 2.0),
        ({"WATCHDOG_USEC": "4000000"}, 2.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_signs_of_life_are_for_whoever_they_are_wanted_of(environ: dict[str, str], seconds: float):
    assert ServiceNotes(environ, 7).watchdog_seconds == seconds
