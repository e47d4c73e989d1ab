"""Access log lines: one line for each request whatever it is made of, with the fields that were asked for."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.core.logformat import FIELDS
from proxy.core.snapshot import AccessLog, KeySource, Sticky
from tests.support.stage import GET, OK, Stage, eventually

TRACE = b"0af7651916cd43dd8448eb211c80319c"
POST = (
    b"POST /a/b?c=d&e HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: curl/8\r\nReferer: http://b.example/\r\n"
    b"X-Request-Id: id-1\r\ntraceparent: 00-" + TRACE + b"-b7ad6b7169203331-01\r\n"
    b"Authorization: secret\r\nCookie: a=secret\r\nContent-Length: 5\r\n\r\nhello"
)
Lines = Callable[[int], list[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def lines(stage: Stage, path: Path) -> Lines:
    """`lines(n)` waits for n lines, and that there are no more."""

    def take(count: int) -> list[str]:
        eventually(lambda: path.read_text().count("\n") >= count)
        stage.limit()  # closes the log
        text = path.read_text()
        assert text.count("\n") == count
        assert text.endswith("\n")
        return text.splitlines()

    return take


def only(lines: Lines) -> dict[str, Any]:
    """The one line, in JSON."""
    (line,) = lines(1)
    fields: dict[str, Any] = json.loads(line)
    return fields


def log_json(stage: Stage, path: Path, *fields: str) -> None:
    stage.limit(access_log=AccessLog("json", str(path), fields))


def test_a_line_has_every_field(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path)
    stage.exchange(POST)
    line = only(lines)

    assert tuple(line) == FIELDS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert 0 <= line.pop("upstream_ms") <= line.pop("duration_ms")
    assert line == {
        "request_id": "id-1",
        "trace_id": TRACE.decode(),
        "client_ip": "127.0.0.1",
        "method": "POST",
        "host": "a.example:80",
        "path": "/a/b",
        "query": "c=d&e",
        "proto": "HTTP/1.1",
        "status": 200,
        "service": "shop",
        "version": "v1",
        "reason": "weight",
        "upstream": stage.upstream.address,
        "bytes_in": 5,
        "bytes_out": 2,
        "retries": 0,
        "error": None,
        "tls": False,
        "user_agent": "curl/8",
        "referer": "http://b.example/",
    }


def test_what_was_not_sent_is_null(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path)
    stage.exchange(GET)
    line = only(lines)

    unknown = {name for name, value in line.items() if value is None}
    assert unknown == {"trace_id", "query", "error", "user_agent", "referer"}


def test_the_fields_and_their_order_are_chosen(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path, "status", "method", "path")
    stage.exchange(GET)

    assert lines(1) == ['{"status":200,"method":"GET","path":"/"}']


def test_nothing_secret_is_written(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path)
    stage.exchange(POST)

    assert "secret" not in lines(1)[0]


HOSTILE = b'a"b\\c\x80\xff\tx</script>\xe2\x80\xa8'
READ_BACK = 'a"b\\c\x80\xff\tx</script>\xe2\x80\xa8'


def test_a_line_is_one_line_whatever_a_client_sends(stage: Stage, path: Path, lines: Lines) -> None:
    """Bytes above 0x7f are written as the characters with their numbers."""
    log_json(stage, path)
    agent = b"User-Agent: " + HOSTILE + b"\r\nReferer: " + HOSTILE
    stage.exchange(b"GET /\"'<>?\\ HTTP/1.1\r\nHost: a.example\r\n" + agent + b"\r\n\r\n")
    line = only(lines)

    assert (line["user_agent"], line["referer"]) == (READ_BACK, READ_BACK)
    assert (line["path"], line["query"]) == ("/\"'<>", "\\")


def test_the_largest_head_fits(stage: Stage, path: Path, lines: Lines) -> None:
    stage.limit(head=131072, access_log=AccessLog("json", str(path)))
    stage.exchange(GET[:-2] + b"User-Agent: " + b"\xff" * 60_000 + b"\r\nReferer: " + b"\xff" * 60_000 + b"\r\n\r\n")

    assert len(only(lines)["referer"]) == 60_000


@pytest.mark.parametrize("trace", [b"00-short", b"", b"x" * 34])
def test_a_trace_that_is_none_is_null(stage: Stage, path: Path, lines: Lines, trace: bytes) -> None:
    log_json(stage, path, "trace_id")
    stage.exchange(GET[:-2] + b"traceparent: " + trace + b"\r\n\r\n")

    assert only(lines) == {"trace_id": None}


def test_a_request_that_is_refused_has_a_line(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path, "status", "error", "method", "path", "service", "version", "reason", "upstream")
    stage.refused(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")

    assert only(lines) == {
        "status": 400,
        "error": "bad_request",
        "method": None,
        "path": None,
        "service": None,
        "version": None,
        "reason": None,
        "upstream": None,
    }


def test_what_went_wrong_has_its_word(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path, "status", "error", "version", "bytes_out")
    client, side, _ = stage.ask(GET)
    side.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    client.head()
    side.close()

    assert only(lines) == {"status": 200, "error": "response_incomplete", "version": "v1", "bytes_out": 5}


def test_a_client_that_leaves_is_499(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path, "status", "error")
    client, _, _ = stage.ask(GET)
    client.reset()

    assert only(lines) == {"status": 499, "error": "client_closed"}


def test_the_reason_of_the_choice_is_told(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path, "reason")
    stage.serve(sticky=Sticky((KeySource("header", "x-user"),)))
    stage.exchange(GET[:-2] + b"X-User: 1\r\n\r\n")

    # The only version has everything: no key was needed.
    assert only(lines) == {"reason": "weight"}


def test_each_of_many_requests_has_its_line(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path, "request_id")
    client = stage.client().send(GET * 100)
    ids = []
    for _ in range(100):
        side = stage.upstream.asked()
        ids.append({"request_id": (side.message().one(b"X-Request-Id") or b"").decode()})
        side.send(OK)
        assert client.message().status == 200

    assert [json.loads(line) for line in lines(100)] == ids


def test_the_combined_format(stage: Stage, path: Path, lines: Lines) -> None:
    stage.limit(access_log=AccessLog("combined", str(path)))
    stage.exchange(POST)
    (line,) = lines(1)

    assert re.fullmatch(
        r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
        r'"POST /a/b\?c=d&e HTTP/1\.1" 200 2 "http://b\.example/" "curl/8"',
        line,
    )


def test_the_combined_format_of_almost_nothing(stage: Stage, path: Path, lines: Lines) -> None:
    stage.limit(access_log=AccessLog("combined", str(path)))
    stage.refused(b"x\r\n\r\n")
    stage.exchange(b"GET / HTTP/1.0\r\n\r\n", client=stage.client(unix=True))
    refused, served = lines(2)

    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "-" 400 0 "-" "-"', refused)
    assert re.fullmatch(r'- - - \[.*\] "GET / HTTP/1\.0" 200 2 "-" "-"', served)


def test_the_combined_format_keeps_quotes_and_controls_out(stage: Stage, path: Path, lines: Lines) -> None:
    stage.limit(access_log=AccessLog("combined", str(path)))
    stage.exchange(b'GET /"x" HTTP/1.1\r\nHost: a.example\r\nUser-Agent: "\t\xff\\\r\n\r\n')

    assert '"GET /\\"x\\" HTTP/1.1" 200 2 "-" "\\"\\u0009\\u00ff\\\\"' in lines(1)[0]


LIE = b'" 200 0 "-" "-"'
PLACES = {
    "method": b"GE%sT / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "path": b"GET /%s HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "query": b"GET /?%s HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "host": b"GET / HTTP/1.1\r\nHost: a%s.example\r\n\r\n",
    "user_agent": b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: a%s\r\n\r\n",
    "referer": b"GET / HTTP/1.1\r\nHost: a.example\r\nReferer: a%s\r\n\r\n",
    "request_id": b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Request-Id: a%s\r\n\r\n",
    "trace_id": b"GET / HTTP/1.1\r\nHost: a.example\r\ntraceparent: 00-" + TRACE[:8] + b"%s\r\n\r\n",
}
#: What can stand in a field value, and would end a line, a quoted text or a terminal's patience.
ALLOWED = LIE + b"\\\t\xff\xc2\x9b31m\xe2\x80\xa8\xed\xa0\x80\xc0\xaf" + b"x" * 2000 + b"."
FORBIDDEN = [b"\r", b"\n", b"\x1b[2K", b"\0", b"\x0b", b"\x0c", b"\x7f", b"\r\n\r"]


@pytest.mark.parametrize("form", ["json", "combined"])
def test_no_byte_of_a_client_makes_a_line(stage: Stage, path: Path, lines: Lines, form: Any) -> None:
    """Refused or served, a request has one line of ASCII, and what it would like to have said is inside the quotes."""
    stage.limit(access_log=AccessLog(form, str(path)))
    for request in PLACES.values():
        for byte in FORBIDDEN:
            assert stage.refused(request % (byte + b"forged" + LIE)).status == 400
    served = [PLACES[name] % ALLOWED for name in ("user_agent", "referer", "request_id", "trace_id")]
    for request in served:
        stage.exchange(request)
    written = lines(len(PLACES) * len(FORBIDDEN) + len(served))

    assert all(line.isascii() and line.isprintable() for line in written)
    assert not [line for line in written if "forged" in line]
    if form == "json":
        statuses = [json.loads(line)["status"] for line in written]
    else:
        quoted = r'"(?:[^"\\]|\\.)*"'
        shape = re.compile(rf"127\.0\.0\.1 - - \[[^\]]*\] {quoted} (\d+) \d+ {quoted} {quoted}")
        statuses = [int(found[1]) for line in written if (found := shape.fullmatch(line))]
    assert statuses == [400] * len(PLACES) * len(FORBIDDEN) + [200] * len(served)


def test_a_file_that_was_moved_away_is_made_anew(stage: Stage, path: Path, lines: Lines) -> None:
    log_json(stage, path, "path")
    stage.exchange(GET)
    eventually(lambda: path.read_text())
    path.rename(path.with_suffix(".1"))
    assert stage.worker.say("reopen_logs") is None
    eventually(path.exists)
    stage.exchange(GET.replace(b"/ ", b"/second "))

    assert only(lines) == {"path": "/second"}
    assert path.with_suffix(".1").read_text() == '{"path":"/"}\n'
