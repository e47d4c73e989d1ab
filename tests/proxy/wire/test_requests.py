"""Request heads: which are taken, how their target is forwarded, and which are refused before anything goes upstream.

RFC 9112 sections 2, 3 and 5. Every refusal is sent whole, byte by byte, and cut in two at every position.
"""

import pytest

from tests.support.peers import cuts, head
from tests.support.stage import OK, Stage


def request(line: bytes = b"GET / HTTP/1.1", *fields: bytes, host: bytes = b"Host: a.example") -> bytes:
    return head(line, *fields, host=host)


REFUSED_LINES = {
    "bare LF after the request line": b"GET / HTTP/1.1\nHost: a.example\r\n\r\n",
    "bare CR after the request line": b"GET / HTTP/1.1\rHost: a.example\r\n\r\n",
    "CR in the middle of the request line": b"GET /\r HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "two spaces before the target": request(b"GET  / HTTP/1.1"),
    "two spaces after the target": request(b"GET /  HTTP/1.1"),
    "tab instead of a space": request(b"GET\t/ HTTP/1.1"),
    "space before the method": request(b" GET / HTTP/1.1"),
    "space behind the version": request(b"GET / HTTP/1.1 "),
    "something behind the version": request(b"GET / HTTP/1.1 x"),
    "no target": request(b"GET HTTP/1.1"),
    "empty target": request(b"GET  HTTP/1.1"),
    "no method": request(b"/ HTTP/1.1"),
    "method that is no token": request(b"G(T / HTTP/1.1"),
    "method with a byte above 0x7f": request(b"G\xc9T / HTTP/1.1"),
    "method of 65 bytes": request(b"M" * 65 + b" / HTTP/1.1"),
    "NUL in the method": request(b"GE\x00T / HTTP/1.1"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9 with fields": b"GET /\r\nHost: a.example\r\n\r\n",
    "lower-case version": request(b"GET / http/1.1"),
    "version with two digits": request(b"GET / HTTP/1.10"),
    "version with one digit": request(b"GET / HTTP/1"),
    "version with a comma": request(b"GET / HTTP/1,1"),
    "version of letters": request(b"GET / HTTP/x.y"),
    "other protocol": request(b"GET / HTTQ/1.1"),
    "two empty lines before the request": b"\r\n\r\n" + request(),
    "bare LF before the request": b"\n" + request(),
    "bare CR before the request": b"\r" + request(),
}

REFUSED_TARGETS = {
    "fragment": b"/x#y",
    "NUL": b"/\x00",
    "control character": b"/\x1f",
    "DEL": b"/\x7f",
    "byte above 0x7f": b"/\xc3\xa4",
    "overlong UTF-8": b"/\xc0\xaf",
    "no slash": b"x",
    "a query only": b"?x=1",
    "authority-form": b"a.example:80",
    "asterisk with GET": b"*",
    "other scheme": b"ftp://a.example/",
    "scheme only": b"http://",
    "no authority": b"http:///x",
    "user information": b"http://me@a.example/",
    "port that is no number": b"http://a.example:8o/",
    "other host than Host": b"http://b.example/",
    "other port than Host": b"http://a.example:81/",
}

REFUSED_FIELDS = {
    "space before the colon": b"X-A : 1",
    "tab before the colon": b"X-A\t: 1",
    "space before the name": b" X-A: 1",
    "empty name": b": 1",
    "no colon": b"X-A",
    "empty line with a space": b" ",
    "name that is no token": b"X(A: 1",
    "name with a byte above 0x7f": b"X-\xc4: 1",
    "name with a control character": b"X\x01A: 1",
    "NUL in a name": b"X\x00A: 1",
    "NUL in a value": b"X-A: a\x00b",
    "control character in a value": b"X-A: a\x01b",
    "escape in a value": b"X-A: \x1b[2J",
    "DEL in a value": b"X-A: \x7f",
    "vertical tab in a value": b"X-A: a\x0bb",
    "form feed in a value": b"X-A: a\x0cb",
    "bare CR in a value": b"X-A: a\rb",
    "bare LF in a value": b"X-A: a\nX-B: b",
    "folded line": b"X-A: a\r\n b",
    "line folded with a tab": b"X-A: a\r\n\tb",
    "Host again": b"Host: a.example",
    "other Host": b"Host: b.example",
    "Connection that is no list of tokens": b'Connection: "close"',
    "Connection: Host": b"Connection: Host",
    "Connection: Content-Length": b"Connection: close, Content-Length",
    "Connection: Content-Type": b"Connection: content-type",
    "Connection: Transfer-Encoding": b"Connection: Transfer-Encoding",
    "Connection: Cookie": b"Connection: Cookie",
    "Connection: Authorization": b"Connection: Authorization",
    "Connection: Forwarded": b"Connection: Forwarded",
    "Connection: X-Forwarded-For": b"Connection: X-Forwarded-For",
    "Connection: X-Forwarded-Port": b"Connection: X-Forwarded-Port",
    "Connection: X-Forwarded-Prefix": b"Connection: keep-alive ,X-Forwarded-Prefix",
    "Connection: X-Real-IP": b"Connection: X-Real-IP",
    "Connection: X-Request-Id": b"Connection: X-Request-Id",
    "Connection: traceparent": b"Connection: traceparent",
    "Connection: X-Serinus-Version": b"Connection: X-Serinus-Version",
}

REFUSED_HOSTS = {
    "missing": b"",
    "empty": b"Host:",
    "white space": b"Host: a.example b",
    "list": b"Host: a.example, b.example",
    "path": b"Host: a.example/x",
    "query": b"Host: a.example?x",
    "user information": b"Host: me@a.example",
    "port that is no number": b"Host: a.example:8o",
    "port of six digits": b"Host: a.example:123456",
    "two ports": b"Host: a.example:80:80",
    "port only": b"Host: :80",
    "byte above 0x7f": b"Host: \xc3\xa4.example",
    "open bracket": b"Host: [::1",
    "empty brackets": b"Host: []",
    "no address in brackets": b"Host: [example]",
    "behind the bracket": b"Host: [::1]x",
    "quote": b'Host: a"b',
    "backslash": b"Host: a\\b",
    "folded": b"Host:\r\n a.example",
}

OTHER_STATUSES = {
    "CONNECT": (405, request(b"CONNECT a.example:80 HTTP/1.1")),
    "CONNECT with a body": (405, request(b"CONNECT a.example:80 HTTP/1.1", b"Content-Length: 1") + b"x"),
    "TRACE": (405, request(b"TRACE / HTTP/1.1")),
    "HTTP/2's preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.2": (505, request(b"GET / HTTP/1.2")),
    "HTTP/0.9 by name": (505, request(b"GET / HTTP/0.9")),
    "HTTP/9.9": (505, request(b"GET / HTTP/9.9")),
    "other expectation": (417, request(b"GET / HTTP/1.1", b"Expect: 200-ok")),
    "two expectations": (417, request(b"GET / HTTP/1.1", b"Expect: 100-continue", b"Expect: 100-continue")),
    "two expectations in one": (417, request(b"GET / HTTP/1.1", b"Expect: 100-continue, x")),
}

REFUSALS = {
    **{name: (400, text) for name, text in REFUSED_LINES.items()},
    **{f"target: {name}": (400, request(b"GET %b HTTP/1.1" % text)) for name, text in REFUSED_TARGETS.items()},
    **{f"field: {name}": (400, request(b"GET / HTTP/1.1", text)) for name, text in REFUSED_FIELDS.items()},
    **{f"Host: {name}": (400, request(host=text)) for name, text in REFUSED_HOSTS.items()},
    "absolute-form without Host": (400, request(b"GET http://a.example/ HTTP/1.1", host=b"")),
    "two Hosts from HTTP/1.0": (400, request(b"GET / HTTP/1.0", b"Host: a.example")),
    **OTHER_STATUSES,
}


@pytest.mark.parametrize(("status", "text"), REFUSALS.values(), ids=REFUSALS)
def test_what_two_parsers_could_read_differently_is_refused(stage: Stage, status: int, text: bytes) -> None:
    answer = stage.refused(text)

    assert answer.status == status
    assert answer.one(b"Connection") == b"close"
    assert stage.refused_in_pieces(text) == {status}
    counts = stage.counts()
    assert counts.requests == {status: len(text) + 1}
    assert counts.attempts == {}


TAKEN = {
    "path": (b"GET /a/b HTTP/1.1", b"GET /a/b HTTP/1.1"),
    "query": (b"GET /?a=b&c=%20 HTTP/1.1", b"GET /?a=b&c=%20 HTTP/1.1"),
    "path that is not normal": (b"GET //a/../%2e/%2F HTTP/1.1", b"GET //a/../%2e/%2F HTTP/1.1"),
    "unwise characters": (b'GET /{"|\\^`} HTTP/1.1', b'GET /{"|\\^`} HTTP/1.1'),
    "unknown method": (b"PROPFIND / HTTP/1.1", b"PROPFIND / HTTP/1.1"),
    "method in lower case": (b"get / HTTP/1.1", b"get / HTTP/1.1"),
    "method of 64 bytes": (b"M" * 64 + b" / HTTP/1.1", b"M" * 64 + b" / HTTP/1.1"),
    "HTTP/1.0": (b"GET / HTTP/1.0", b"GET / HTTP/1.1"),
    "absolute-form": (b"GET http://a.example/x?y HTTP/1.1", b"GET /x?y HTTP/1.1"),
    "absolute-form in capitals": (b"GET HTTP://A.Example/x HTTP/1.1", b"GET /x HTTP/1.1"),
    "absolute-form by https": (b"GET https://a.example/x HTTP/1.1", b"GET /x HTTP/1.1"),
    "absolute-form without a path": (b"GET http://a.example HTTP/1.1", b"GET / HTTP/1.1"),
    "absolute-form with a query only": (b"GET http://a.example?x HTTP/1.1", b"GET /?x HTTP/1.1"),
}


@pytest.mark.parametrize(("line", "forwarded"), TAKEN.values(), ids=TAKEN)
def test_the_request_line_is_written_anew(stage: Stage, line: bytes, forwarded: bytes) -> None:
    seen, answer = stage.exchange(request(line))

    assert seen.line == forwarded
    assert answer.body == b"ok"


def test_the_authority_of_an_absolute_target_is_the_host(stage: Stage) -> None:
    seen, _ = stage.exchange(request(b"GET http://A.example:8080/ HTTP/1.1", host=b"Host: a.EXAMPLE:8080"))

    assert seen.all(b"Host") == [b"A.example:8080"]


@pytest.mark.parametrize("host", [b"a", b"a.example:80", b"127.0.0.1:8080", b"[::1]", b"[2001:db8::1]:443", b"a-b_c~d"])
def test_the_host_is_forwarded_as_it_came(stage: Stage, host: bytes) -> None:
    seen, _ = stage.exchange(request(host=b"Host: " + host))

    assert seen.all(b"Host") == [host]


def test_http_1_0_without_host_is_served_by_our_own_address(stage: Stage) -> None:
    seen, answer = stage.exchange(request(b"GET / HTTP/1.0", host=b""))

    assert seen.all(b"Host") == [b"%b:%d" % (stage.worker.address[0].encode(), stage.worker.address[1])]
    assert answer.status == 200


def test_options_with_an_asterisk_is_answered_by_the_proxy(stage: Stage) -> None:
    """It asks about the server as a whole, which is this one (RFC 9110 section 9.3.7)."""
    client = stage.client().send(request(b"OPTIONS * HTTP/1.1"))
    answer = client.message()

    assert (answer.status, answer.one(b"Connection")) == (204, b"keep-alive")
    assert answer.one(b"Allow") == b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert stage.exchange(request(), client=client)[1].status == 200
    assert stage.counts().requests == {200: 1, 204: 1}


def test_options_with_a_path_is_forwarded(stage: Stage) -> None:
    seen, _ = stage.exchange(request(b"OPTIONS /x HTTP/1.1"))

    assert seen.line == b"OPTIONS /x HTTP/1.1"


def test_one_empty_line_before_a_request_is_skipped(stage: Stage) -> None:
    client = stage.client()
    for _ in range(3):
        stage.exchange(b"\r\n" + request(), client=client)

    assert stage.counts().requests == {200: 3}


def test_values_keep_all_but_the_white_space_around_them(stage: Stage) -> None:
    """Only SP and HTAB are white; bytes above 0x7f are the application's business (RFC 9110 section 5.5)."""
    fields = [b"X-A:1", b"X-B:  \t a \t b\t ", b"X-C:", b"X-D: \x85\xa0\xe4", b"X-A: 2"]
    seen, _ = stage.exchange(request(b"GET / HTTP/1.1", *fields))

    passed = [(name, value) for name, value in seen.fields if len(name) == 3]
    assert passed == [
        (b"X-A", b"1"),
        (b"X-B", b"a \t b"),
        (b"X-C", b""),
        (b"X-D", b"\x85\xa0\xe4"),
        (b"X-A", b"2"),
    ]


def test_a_request_may_come_byte_by_byte_and_cut_anywhere(stage: Stage) -> None:
    text = request(b"GET /x?y HTTP/1.1", b"X-A: 1", b"Cookie: a=b")
    whole, _ = stage.exchange(text)
    client = stage.client(unix=True)
    for parts in cuts(text):
        client.send_apart(*parts)
        side = stage.upstream.asked()
        seen = side.message()
        side.send(OK)
        assert client.message().body == b"ok"
        assert [pair for pair in seen.fields if pair[0] in (b"Host", b"X-A", b"Cookie")] == [
            pair for pair in whole.fields if pair[0] in (b"Host", b"X-A", b"Cookie")
        ]
        assert seen.line == whole.line
