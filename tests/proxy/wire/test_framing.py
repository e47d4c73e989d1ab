"""Where a message ends: RFC 9112 sections 6 and 7, in both directions.

What is not framed in exactly one way is refused, a request with 400 and a response with 502. What was passed on already
is cut off, so that it does not look whole. Messages are sent whole, byte by byte, and cut in two at every position.
"""

import pytest

from tests.support.peers import cuts
from tests.support.stage import GET, OK, Stage

POST = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FRAMING = (b"Content-Length", b"Transfer-Encoding")
HELLO = b"5\r\nhello\r\n0\r\n\r\n"

REFUSED_FRAMING = {
    "length and chunks": b"Content-Length: 15\r\nTransfer-Encoding: chunked",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 15",
    "length twice": b"Content-Length: 5\r\nContent-Length: 5",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 15",
    "list of lengths": b"Content-Length: 5, 5",
    "length with plus": b"Content-Length: +5",
    "length with minus": b"Content-Length: -5",
    "minus zero": b"Content-Length: -0",
    "hexadecimal length": b"Content-Length: 0xf",
    "length in letters": b"Content-Length: five",
    "space in a length": b"Content-Length: 1 5",
    "underscore in a length": b"Content-Length: 1_5",
    "point in a length": b"Content-Length: 5.0",
    "length with a parameter": b"Content-Length: 5;x",
    "empty length": b"Content-Length:",
    "length of white space": b"Content-Length: \t ",
    "length in other digits": "Content-Length: ٥".encode(),
    "no-break space before a length": b"Content-Length: \xa05",
    "length of 2**63": b"Content-Length: 9223372036854775808",
    "length of 2**64 + 5": b"Content-Length: 18446744073709551621",
    "length of 30 digits": b"Content-Length: " + b"9" * 30,
    "identity": b"Transfer-Encoding: identity",
    "gzip": b"Transfer-Encoding: gzip",
    "gzip and chunked": b"Transfer-Encoding: gzip, chunked",
    "chunked and gzip": b"Transfer-Encoding: chunked, gzip",
    "chunked twice in a list": b"Transfer-Encoding: chunked, chunked",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "identity and chunked": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "comma before chunked": b"Transfer-Encoding: ,chunked",
    "comma behind chunked": b"Transfer-Encoding: chunked,",
    "chunked with a parameter": b"Transfer-Encoding: chunked;q=1",
    "chunked in quotes": b'Transfer-Encoding: "chunked"',
    "xchunked": b"Transfer-Encoding: xchunked",
    "chunkedx": b"Transfer-Encoding: chunkedx",
    "no-break space behind chunked": b"Transfer-Encoding: chunked\xa0",
    "next line before chunked": b"Transfer-Encoding: \x85chunked",
    "Kelvin sign in chunked": "Transfer-Encoding: chun\u212aed".encode(),
    "empty transfer coding": b"Transfer-Encoding:",
}


@pytest.mark.parametrize("fields", REFUSED_FRAMING.values(), ids=REFUSED_FRAMING)
def test_requests_framed_in_two_ways_or_in_none_are_refused(stage: Stage, fields: bytes) -> None:
    text = POST + fields + b"\r\n\r\n"

    assert stage.refused(text + HELLO).status == 400
    assert stage.refused_in_pieces(text) == {400}
    assert stage.counts().attempts == {}


def test_chunks_in_http_1_0_are_refused(stage: Stage) -> None:
    text = b"POST / HTTP/1.0\r\nHost: a.example\r\n" + CHUNKED

    assert stage.refused(text + HELLO).status == 400


@pytest.mark.parametrize("fields", REFUSED_FRAMING.values(), ids=REFUSED_FRAMING)
def test_responses_framed_in_two_ways_or_in_none_are_502(stage: Stage, fields: bytes) -> None:
    answer_all_ways(stage, b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")


REFUSED_ANSWERS = {
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "bare CR": b"HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\n\r\n",
    "folded line": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: a\x00\r\n\r\n",
    "control character in a value": b"HTTP/1.1 200 OK\r\nX-A: a\x1bb\r\n\r\n",
    "control character in a name": b"HTTP/1.1 200 OK\r\nX\x01A: a\r\n\r\n",
    "control character in the reason": b"HTTP/1.1 200 O\x07K\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nX-A\r\n\r\n",
    "empty line before it": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 Low\r\n\r\n",
    "status above 599": b"HTTP/1.1 600 High\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "lower-case version": b"http/1.1 200 OK\r\n\r\n",
    "other protocol": b"ICY 200 OK\r\n\r\n",
    "HTTP/0.9": b"<html></html>\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunks in 204": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunks in 103": b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
    "switching protocols unasked": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "Connection: Content-Length": b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 0\r\n\r\n",
    "17 interim responses": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17,
}


@pytest.mark.parametrize("text", REFUSED_ANSWERS.values(), ids=REFUSED_ANSWERS)
def test_responses_that_are_not_well_formed_are_502(stage: Stage, text: bytes) -> None:
    answer_all_ways(stage, text)


def answer_all_ways(stage: Stage, text: bytes) -> None:
    """Answer with this, however it is cut: the client gets 502, the upstream's connection ends."""
    upstream = stage.new_upstream(unix=True)
    stage.serve(upstream)
    ways = [[text], *(cuts(text) if len(text) < 200 else [])]
    for parts in ways:
        client = stage.client().send(GET)
        side = upstream.asked()
        side.message()
        side.send_apart(*parts)
        answer = client.message()
        while answer.status == 103:
            answer = client.message()
        assert answer.status == 502
        assert answer.one(b"Proxy-Status") == b"serinus; error=http_protocol_error"
        assert side.end()
        client.close()
    counts = stage.counts()
    assert counts.requests == {502: len(ways)}
    assert counts.reasons == {"upstream_protocol": len(ways)}
    assert counts.attempts == {"protocol_error": len(ways)}


REFUSED_CHUNKS = {
    "size with plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "tab behind the size": b"5\t\r\nhello\r\n0\r\n\r\n",
    "underscore in the size": b"0_5\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "size that is no number": b"g\r\nhello\r\n0\r\n\r\n",
    "size of 17 digits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size of 2**63": b"8000000000000000\r\nhello\r\n0\r\n\r\n",
    "LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "empty extension": b"5;\r\nhello\r\n0\r\n\r\n",
    "two semicolons": b"5;;a\r\nhello\r\n0\r\n\r\n",
    "extension without a name": b"5;=a\r\nhello\r\n0\r\n\r\n",
    "extension without a value": b"5;a=\r\nhello\r\n0\r\n\r\n",
    "extension with two values": b"5;a=b=c\r\nhello\r\n0\r\n\r\n",
    "two equal signs": b"5;a==b\r\nhello\r\n0\r\n\r\n",
    "space before an extension": b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "space in an extension": b"5; a\r\nhello\r\n0\r\n\r\n",
    "space behind an extension": b"5;a \r\nhello\r\n0\r\n\r\n",
    "extension that is no token": b"5;a(b\r\nhello\r\n0\r\n\r\n",
    "quote in a name": b'5;a"b"\r\nhello\r\n0\r\n\r\n',
    "quote without an end": b'5;a="b\r\nhello\r\n0\r\n\r\n',
    "something behind a quote": b'5;a="b"c\r\nhello\r\n0\r\n\r\n',
    "NUL in an extension": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "control character in quotes": b'5;a="\x01"\r\nhello\r\n0\r\n\r\n',
    "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "LF in quotes": b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
    "byte above 0x7f in an extension": b"5;a=\xc4\r\nhello\r\n0\r\n\r\n",
    "data longer than the size": b"5\r\nhello!\r\n0\r\n\r\n",
    "data without CRLF": b"5\r\nhello0\r\n\r\n",
    "data with LF": b"5\r\nhello\n0\r\n\r\n",
    "data with CR": b"5\r\nhello\r0\r\n\r\n",
    "data with two other bytes": b"5\r\nhelloxx0\r\n\r\n",
    "last chunk with a bare LF": b"0\n\r\n",
    "trailer: Content-Length": b"0\r\nContent-Length: 5\r\n\r\n",
    "trailer: Transfer-Encoding": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer: Host": b"0\r\nHost: b.example\r\n\r\n",
    "trailer: Connection": b"0\r\nConnection: close\r\n\r\n",
    "trailer: Trailer": b"0\r\nTrailer: X\r\n\r\n",
    "trailer: TE": b"0\r\nTE: trailers\r\n\r\n",
    "trailer: Upgrade": b"0\r\nUpgrade: x\r\n\r\n",
    "trailer: Authorization": b"0\r\nAuthorization: x\r\n\r\n",
    "trailer without a colon": b"0\r\nX-A\r\n\r\n",
    "trailer with a space before the colon": b"0\r\nX-A : 1\r\n\r\n",
    "folded trailer": b"0\r\nX-A: 1\r\n 2\r\n\r\n",
    "trailer with a bare LF": b"0\r\nX-A: 1\nX-B: 2\r\n\r\n",
    "trailer with NUL": b"0\r\nX-A: \x00\r\n\r\n",
}


@pytest.mark.parametrize("body", REFUSED_CHUNKS.values(), ids=REFUSED_CHUNKS)
def test_faults_in_a_chunked_request_are_400_and_upstream_sees_no_end(stage: Stage, body: bytes) -> None:
    assert stage.refused(POST + CHUNKED + body).status == 400
    ways = cuts(body)
    for parts in ways:
        client = stage.client(unix=True).send_apart(POST + CHUNKED, *parts)
        side = stage.upstream.accept()
        with pytest.raises(ConnectionError):
            side.message()
        assert client.message().status == 400
        assert client.rest() == b""
        client.close()

    counts = stage.counts()
    assert counts.requests == {400: len(ways) + 1}
    assert counts.reasons == {"bad_body": len(ways) + 1}
    assert counts.attempts == {"aborted": len(ways)}


@pytest.mark.parametrize("body", REFUSED_CHUNKS.values(), ids=REFUSED_CHUNKS)
def test_faults_in_a_chunked_response_cut_it_off(stage: Stage, body: bytes) -> None:
    upstream = stage.new_upstream(unix=True)
    stage.serve(upstream)
    head = b"HTTP/1.1 200 OK\r\n" + CHUNKED
    ways = [[head + body], *([head, *parts] for parts in cuts(body))]
    for parts in ways:
        client = stage.client().send(GET)
        side = upstream.asked()
        side.message()
        side.send_apart(*parts)
        with pytest.raises(ConnectionError):
            client.message()
        assert side.end()
        client.close()

    counts = stage.counts()
    assert counts.requests == {200: len(ways)}
    assert counts.reasons == {"upstream_protocol": len(ways)}
    assert counts.attempts == {"protocol_error": len(ways)}


@pytest.mark.parametrize("extensions", [b"x" * 1025, b"a=b;" * 300 + b"c"], ids=["one", "many"])
def test_chunk_extensions_of_more_than_1_kib_are_refused(stage: Stage, extensions: bytes) -> None:
    answer = stage.refused(POST + CHUNKED + b"5;" + extensions + b"\r\nhello\r\n0\r\n\r\n")

    assert answer.status == 400


def test_chunk_extensions_are_limited_in_the_whole_body(stage: Stage) -> None:
    chunk = b"1;a=12345678\r\nx\r\n"

    assert stage.exchange(POST + CHUNKED + 90 * chunk + b"0\r\n\r\n")[0].body == 90 * b"x"
    client = stage.client().send(POST + CHUNKED, 100 * chunk)
    assert client.message().status == 400


GET_WITH = GET[:-2]
BY_LENGTH = b"Content-Length: 5\r\n\r\nhello"
MANY_CHUNKS = (
    b'1;a\r\nh\r\n01;a=b;c="d\\"; e"\r\ne\r\n000003\r\nllo\r\nA\r\n0123456789\r\na;x\r\n0123456789\r\n000;z\r\n'
    b"X-Sum: 1\r\nX-End: 2\r\n\r\n"
)
MANY = b"hello01234567890123456789"
# What is sent, and what comes out of it.
TAKEN_REQUESTS = {
    "no body": (GET, b"", b""),
    "length": (POST + BY_LENGTH, b"Content-Length: 5", b"hello"),
    "length 0": (POST + b"Content-Length: 0\r\n\r\n", b"Content-Length: 0", b""),
    "leading zeros": (POST + b"Content-Length: 005\r\n\r\nhello", b"Content-Length: 5", b"hello"),
    "length of GET": (GET_WITH + BY_LENGTH, b"Content-Length: 5", b"hello"),
    "length of HTTP/1.0": (b"POST / HTTP/1.0\r\n" + BY_LENGTH, b"Content-Length: 5", b"hello"),
    "chunks": (POST + CHUNKED + HELLO, b"Transfer-Encoding: chunked", b"hello"),
    "chunks of GET": (GET_WITH + CHUNKED + HELLO, b"Transfer-Encoding: chunked", b"hello"),
    "capitals": (POST + b"transfer-encoding: \tCHUNKED \r\n\r\n" + HELLO, b"Transfer-Encoding: chunked", b"hello"),
    "many chunks": (POST + CHUNKED + MANY_CHUNKS, b"Transfer-Encoding: chunked", MANY),
}


@pytest.mark.parametrize(("text", "framing", "body"), TAKEN_REQUESTS.values(), ids=TAKEN_REQUESTS)
def test_a_request_is_framed_anew_however_it_was_cut(stage: Stage, text: bytes, framing: bytes, body: bytes) -> None:
    for parts in [[text], *cuts(text)]:
        client = stage.client(unix=True).send_apart(*parts)
        side = stage.upstream.asked()
        seen = side.message()
        side.send(OK)
        assert client.message().body == b"ok"
        client.close()
        assert [b"%b: %b" % pair for pair in seen.fields if pair[0] in FRAMING] == ([framing] if framing else [])
        assert seen.body == body
        assert seen.trailers == (((b"X-Sum", b"1"), (b"X-End", b"2")) if b"X-Sum" in text else ())


TAKEN_ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\n" + BY_LENGTH, b"Content-Length: 5", b"hello"),
    "length 0": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"Content-Length: 0", b""),
    "leading zeros": (b"HTTP/1.1 200 OK\r\nContent-Length: 005\r\n\r\nhello", b"Content-Length: 5", b"hello"),
    "no reason": (b"HTTP/1.1 200\r\n" + BY_LENGTH, b"Content-Length: 5", b"hello"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n" + BY_LENGTH, b"Content-Length: 5", b"hello"),
    "chunks": (b"HTTP/1.1 200 OK\r\n" + CHUNKED + HELLO, b"Transfer-Encoding: chunked", b"hello"),
    "many chunks": (b"HTTP/1.1 200 OK\r\n" + CHUNKED + MANY_CHUNKS, b"Transfer-Encoding: chunked", MANY),
    "interim": (b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\n" + BY_LENGTH, b"Content-Length: 5", b"hello"),
}


@pytest.mark.parametrize(("text", "framing", "body"), TAKEN_ANSWERS.values(), ids=TAKEN_ANSWERS)
def test_a_response_is_framed_anew_however_it_was_cut(stage: Stage, text: bytes, framing: bytes, body: bytes) -> None:
    upstream = stage.new_upstream(unix=True)
    stage.serve(upstream)
    client = stage.client()
    for parts in [[text], *cuts(text)]:
        client.send(GET)
        side = upstream.asked()
        side.message()
        side.send_apart(*parts)
        got = client.message()
        if b"103" in text:
            assert got.line == b"HTTP/1.1 103 X"
            got = client.message()
        assert [b"%b: %b" % pair for pair in got.fields if pair[0] in FRAMING] == [framing]
        assert got.body == body
        assert got.trailers == (((b"X-Sum", b"1"), (b"X-End", b"2")) if b"X-Sum" in text else ())


def test_a_body_until_close_ends_with_the_connection_however_it_was_cut(stage: Stage) -> None:
    text = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nhello"
    upstream = stage.new_upstream(unix=True)
    stage.serve(upstream)
    client = stage.client()
    for parts in [[text], *cuts(text)]:
        client.send(GET)
        side = upstream.asked()
        side.message()
        side.send_apart(*parts)
        side.close()
        answer = client.message()
        assert (answer.body, answer.one(b"Transfer-Encoding")) == (b"hello", b"chunked")
        assert answer.one(b"Connection") is None
