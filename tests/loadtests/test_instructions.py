"""The comparison of counted instructions with the recorded ones."""

import json

import pytest

from loadtests.bench import instructions
from loadtests.bench.work import WORKS

NAMED = {work.name: work for work in WORKS}


def test_what_needs_more_than_is_allowed_beyond_its_record_is_named():
    record = {"small": 10_000.0, "log": 20_000.0}
    counts = {"small": 10_300.0, "log": 20_601.0, "new": 1e9}
    assert instructions.worse(counts, record) == ["log"]


def test_every_work_that_is_counted_has_a_record():
    record = json.loads(instructions.RECORD.read_text())
    assert record["instructions"].keys() == {*instructions.COUNTED}
    assert record["surroundings"].keys() == {"python", "compiler", "machine"}


@pytest.mark.parametrize("name", instructions.COUNTED)
def test_a_request_has_all_fields_of_its_work_and_its_body(name: str):
    head, _, body = instructions.request_of(NAMED[name]).partition(b"\r\n\r\n")
    assert all(f"\r\n{field}: {value}".encode() in head for field, value in NAMED[name].headers.items())
    assert len(body) == NAMED[name].upload_bytes


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxy", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_when_its_body_is(answer: bytes, whole: bool):
    assert instructions._is_whole(answer) is whole


def test_a_work_that_does_not_exist_is_a_mistake_of_usage(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        instructions.main(["--only", "small,large"])
    assert ended.value.code == 2
    assert "large: not a work" in capsys.readouterr().err
