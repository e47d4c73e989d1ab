"""What is added to messages and taken from them on their way, in both directions, and whom that depends on.

RFC 9110 section 7.6.1 (hop by hop), RFC 7239 (Forwarded). Trust is a matter of the peer's address alone.
"""

import re

import pytest

from proxy.core.snapshot import Route, ValueMatch
from tests.support.one_worker import one_worker, service
from tests.support.peers import Message, Pair, Peer, Upstream, head
from tests.support.stage import OK, Stage

TRUSTED = "127.0.0.2"
OURS = b"Host X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host Forwarded X-Request-Id X-Serinus-Version".split()


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a.example") -> bytes:
    return head(line, *fields, host=host)


def forwarded(stage: Stage, *fields: bytes, source: str = "127.0.0.1") -> Message:
    """What the upstream gets of a GET with these fields, from this peer."""
    stage.limit(trusted_proxies=(f"{TRUSTED}/32", "::1/128"))
    return stage.exchange(get(*fields), client=stage.client(source=source))[0]


def passed(message: Message) -> list[bytes]:
    """The field lines that did not come from us."""
    return [b"%b: %b" % pair for pair in message.fields if pair[0] not in OURS]


# Requests


def test_a_request_gets_these_fields_and_no_others(stage: Stage) -> None:
    seen, _ = stage.exchange(get(b"Accept: */*", b"X-A: 1"))

    request_id = seen.one(b"X-Request-Id") or b""
    assert re.fullmatch(b"[0-9a-f]{32}", request_id)
    assert seen.fields == (
        (b"Host", b"a.example"),
        (b"Accept", b"*/*"),
        (b"X-A", b"1"),
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"a.example"),
        (b"Forwarded", b'for=127.0.0.1;host="a.example";proto=http'),
        (b"X-Request-Id", request_id),
        (b"X-Serinus-Version", b"v1"),
    )


HOP_BY_HOP = [
    b"Connection: close",
    b"Connection: keep-alive",
    b"connection: X-Gone, , x-gone-too\r\nX-Gone: 1\r\nx-GONE: 2\r\nX-Gone-Too: 3",
    b"X-Gone: 1\r\nConnection: X-Gone",
    b"Connection: X-Gone\r\nConnection: X-Gone-Too\r\nX-Gone: 1\r\nX-Gone-Too: 1",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authenticate: Basic",
    b"Proxy-Authorization: Basic x",
    b"TE: gzip",
    b"TE: trailers;q=1",
    b"Trailer: X-Sum",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP",
    b"Connection: Upgrade\r\nUpgrade: unheard/1.0",
    b"HTTP2-Settings: AAMAAABkAAQAAP",
    b"Upgrade: websocket",
]


@pytest.mark.parametrize("fields", HOP_BY_HOP)
def test_fields_for_one_hop_end_here(stage: Stage, fields: bytes) -> None:
    seen, _ = stage.exchange(get(b"X-A: 1", fields, b"X-B: 2"))

    assert passed(seen) == [b"X-A: 1", b"X-B: 2"]


def test_who_takes_trailers_says_so_to_the_next_hop(stage: Stage) -> None:
    seen, _ = stage.exchange(get(b"TE: deflate, Trailers"))

    assert passed(seen) == [b"Connection: TE", b"TE: trailers"]


def test_the_announcement_of_trailers_passes_with_chunks(stage: Stage) -> None:
    seen, _ = stage.exchange(get(b"Trailer: X-Sum", b"Transfer-Encoding: chunked") + b"0\r\nX-Sum: 1\r\n\r\n")

    assert passed(seen) == [b"Trailer: X-Sum", b"Transfer-Encoding: chunked"]
    assert seen.trailers == ((b"X-Sum", b"1"),)


def test_trailers_that_act_on_a_message_are_dropped(stage: Stage) -> None:
    names = b"Set-Cookie Cookie Cache-Control X-Forwarded-For Range Content-Type Content-Encoding X-Serinus-Version Age"
    dropped = [name + b": x" for name in names.split()]
    text = get(b"Transfer-Encoding: chunked") + b"\r\n".join([b"0", b"X-A: 1", *dropped, b"X-B: 2", b"", b""])
    seen, _ = stage.exchange(text)

    assert seen.trailers == ((b"X-A", b"1"), (b"X-B", b"2"))


FORGED = [
    b"X-Forwarded-For: 192.0.2.1",
    b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: b.example",
    b"X-Forwarded-Port: 443",
    b"X-Forwarded-Prefix: /b",
    b"X-Real-IP: 192.0.2.1",
    b"Forwarded: for=192.0.2.1",
    b"X-Serinus-Version: v9",
    b"X-Serinus-Anything: x",
    b"x-sErInUs-vErSiOn: v9",
    b"X_Forwarded_For: 192.0.2.1",
    b"X-Forwarded_Proto: https",
    b"X_Real_IP: 192.0.2.1",
    b"X_Serinus_Version: v9",
    b"Content_Length: 5",
    b"Transfer_Encoding: chunked",
    b"X_Request_Id: x",
]


@pytest.mark.parametrize("fields", FORGED)
def test_what_a_stranger_says_of_the_way_is_not_believed(stage: Stage, fields: bytes) -> None:
    seen = forwarded(stage, b"X-A: 1", fields, b"X-B: 2")

    assert passed(seen) == [b"X-A: 1", b"X-B: 2"]
    assert seen.all(b"X-Forwarded-For") == [b"127.0.0.1"]
    assert seen.all(b"X-Forwarded-Proto") == [b"http"]
    assert seen.all(b"X-Forwarded-Host") == [b"a.example"]
    assert seen.all(b"Forwarded") == [b'for=127.0.0.1;host="a.example";proto=http']
    assert seen.all(b"X-Serinus-Version") == [b"v1"]


def test_other_names_with_an_underscore_pass(stage: Stage) -> None:
    seen, _ = stage.exchange(get(b"my_field: 1", b"_: 2"))

    assert passed(seen) == [b"my_field: 1", b"_: 2"]


def test_what_a_trusted_proxy_says_is_continued(stage: Stage) -> None:
    fields = [b"X-Forwarded-For: 192.0.2.1", b"x-forwarded-for: 192.0.2.2, 192.0.2.3", b"X-Forwarded-Proto: https"]
    fields += [b"X-Forwarded-Host: b.example", b"Forwarded: for=192.0.2.1;proto=https", b"Forwarded: for=192.0.2.3"]
    fields += [b"X-Forwarded-Port: 443", b"X-Forwarded-Prefix: /b", b"X-Real-IP: 192.0.2.1", b"X-Serinus-Key: k"]
    seen = forwarded(stage, *fields, source=TRUSTED)

    assert seen.all(b"X-Forwarded-For") == [b"192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.2"]
    assert seen.all(b"X-Forwarded-Proto") == [b"https"]
    assert seen.all(b"X-Forwarded-Host") == [b"b.example"]
    assert seen.all(b"Forwarded") == [
        b'for=192.0.2.1;proto=https, for=192.0.2.3, for=127.0.0.2;host="a.example";proto=http'
    ]
    assert passed(seen) == [
        b"X-Forwarded-Port: 443",
        b"X-Forwarded-Prefix: /b",
        b"X-Real-IP: 192.0.2.1",
        b"X-Serinus-Key: k",
    ]


def test_a_trusted_proxy_that_says_nothing_gets_what_a_stranger_gets(stage: Stage) -> None:
    seen = forwarded(stage, b"X-Forwarded-For:", b"Forwarded:", source=TRUSTED)

    assert passed(seen) == []
    assert seen.all(b"X-Forwarded-For") == [b"127.0.0.2"]
    assert seen.all(b"X-Forwarded-Proto") == [b"http"]
    assert seen.all(b"X-Forwarded-Host") == [b"a.example"]
    assert seen.all(b"Forwarded") == [b'for=127.0.0.2;host="a.example";proto=http']


def test_the_version_in_a_request_is_always_the_one_chosen_here(stage: Stage) -> None:
    seen = forwarded(stage, b"X-Serinus-Version: v9", source=TRUSTED)

    assert seen.all(b"X-Serinus-Version") == [b"v1"]


def test_trust_follows_the_settings(stage: Stage) -> None:
    said = b"X-Forwarded-For: 192.0.2.1"

    assert forwarded(stage, said, source=TRUSTED).all(b"X-Forwarded-For") == [b"192.0.2.1, 127.0.0.2"]
    assert forwarded(stage, said, source="127.0.0.3").all(b"X-Forwarded-For") == [b"127.0.0.3"]
    stage.limit(trusted_proxies=("127.0.0.0/30",))
    seen, _ = stage.exchange(get(said), client=stage.client(source="127.0.0.3"))
    assert seen.all(b"X-Forwarded-For") == [b"192.0.2.1, 127.0.0.3"]
    stage.limit()
    seen, _ = stage.exchange(get(said), client=stage.client(source=TRUSTED))
    assert seen.all(b"X-Forwarded-For") == [b"127.0.0.2"]


def test_an_ipv6_peer_is_in_brackets_and_quotes_where_the_grammar_wants_them(stage: Stage) -> None:
    seen, _ = stage.exchange(get(), client=stage.client(source="::1"))

    assert seen.all(b"X-Forwarded-For") == [b"::1"]
    assert seen.all(b"Forwarded") == [b'for="[::1]";host="a.example";proto=http']
    assert forwarded(stage, b"X-Forwarded-For: 192.0.2.1", source="::1").all(b"X-Forwarded-For") == [b"192.0.2.1, ::1"]


def test_the_peer_of_a_unix_socket_is_unknown(stage: Stage) -> None:
    seen, _ = stage.exchange(get(b"X-Forwarded-For: 192.0.2.1"), client=stage.client(unix=True))

    assert seen.all(b"X-Forwarded-For") == []
    assert seen.all(b"Forwarded") == [b'for=unknown;host="a.example";proto=http']


@pytest.mark.parametrize("line", [b"GET http://B.example:81/ HTTP/1.1", b"GET http://B.example:81/ HTTP/1.0"])
def test_the_host_is_told_as_it_was_asked_for(stage: Stage, line: bytes) -> None:
    seen, _ = stage.exchange(get(line=line, host=b"Host: b.EXAMPLE:81"))

    assert seen.all(b"Host") == [b"B.example:81"]
    assert seen.all(b"X-Forwarded-Host") == [b"B.example:81"]
    assert seen.all(b"Forwarded") == [b'for=127.0.0.1;host="B.example:81";proto=http']


def test_http_1_0_without_host_asks_for_our_address(stage: Stage) -> None:
    seen, _ = stage.exchange(get(line=b"GET / HTTP/1.0", host=b""))
    us = b"127.0.0.1:%d" % stage.worker.address[1]

    assert (seen.all(b"Host"), seen.all(b"X-Forwarded-Host")) == ([us], [us])


@pytest.mark.parametrize("value", [b"a", b"0af7651916cd43dd8448eb211c80319c", b"a-b_c.d/e:f=g+h", b"x" * 64])
def test_a_request_id_is_kept(stage: Stage, value: bytes) -> None:
    seen, _ = stage.exchange(get(b"X-Request-Id: " + value))

    assert seen.all(b"X-Request-Id") == [value]


@pytest.mark.parametrize("value", [b"", b"x" * 65, b"a b", b'a"b', b"a\\b", b"\xc3\xa4", b"a\tb"])
def test_a_request_id_that_is_not_short_and_visible_is_replaced(stage: Stage, value: bytes) -> None:
    seen, _ = stage.exchange(get(b"X-Request-Id: " + value))

    assert re.fullmatch(b"[0-9a-f]{32}", seen.one(b"X-Request-Id") or b"")


def test_every_request_has_an_id_of_its_own(stage: Stage) -> None:
    client = stage.client()

    assert len({stage.exchange(get(), client=client)[0].one(b"X-Request-Id") for _ in range(20)}) == 20


def test_trace_context_passes_as_it_is(stage: Stage) -> None:
    fields = [
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"tracestate: a=1",
        b"baggage: x",
    ]

    assert passed(stage.exchange(get(*fields))[0]) == fields


COOKIES = {
    b"Cookie: serinus_uid=1": [],
    b"Cookie: a=1; serinus_uid=1; b=2": [b"Cookie: a=1; b=2"],
    b"Cookie: serinus_uid=1; a=1": [b"Cookie: a=1"],
    b"Cookie: a=1;serinus_uid=1;serinus_x=2;b=2": [b"Cookie: a=1;b=2"],
    b"Cookie: a=serinus_uid; b=serinus_=1": [b"Cookie: a=serinus_uid; b=serinus_=1"],
    b"Cookie: not_serinus_uid=1; x=2": [b"Cookie: not_serinus_uid=1; x=2"],
    b"Cookie: Serinus_uid=1": [b"Cookie: Serinus_uid=1"],
    b"Cookie: a=1\r\nCookie: serinus_uid=1\r\nCookie: b=2": [b"Cookie: a=1", b"Cookie: b=2"],
    b"Cookie: a=1; ; b=2": [b"Cookie: a=1; ; b=2"],
    b"Cookie: ; serinus_uid=1;": [],
}


@pytest.mark.parametrize(("fields", "left"), COOKIES.items())
def test_our_own_cookies_are_not_forwarded(stage: Stage, fields: bytes, left: list[bytes]) -> None:
    seen, _ = stage.exchange(get(fields))

    assert passed(seen) == left


@pytest.mark.parametrize("fields", COOKIES)
def test_our_own_cookies_are_forwarded_to_a_service_that_asks_for_them(stage: Stage, fields: bytes) -> None:
    stage.serve(own_cookies=True)
    seen, _ = stage.exchange(get(fields))

    assert passed(seen) == fields.split(b"\r\n")


def test_ten_thousand_cookies_beside_ours_arrive(stage: Stage) -> None:
    others = b";".join([b"a"] * 15000)
    seen, _ = stage.exchange(get(b"Cookie: serinus_uid=1;" + others))

    assert passed(seen) == [b"Cookie: " + others]


def test_a_head_of_the_largest_size_passes(stage: Stage) -> None:
    stage.limit(head=131072)
    values = [b"X-%d: %b" % (i, b"v" * 1300) for i in range(95)]
    seen, _ = stage.exchange(get(*values))

    assert passed(seen) == values


# Routes


def test_routes_see_what_a_trusted_proxy_says_only() -> None:
    """`X-Serinus-*` of strangers are dropped before anything is decided by them."""
    stable, canary = Upstream(), Upstream()
    by_header = Route("shop", version="v2", headers=(ValueMatch("x-serinus-version", "exact", "v2"),))
    with one_worker(
        service([[stable.port], [canary.port]], [1, 0]),
        routes=(by_header, Route("shop")),
        trusted_proxies=(f"{TRUSTED}/32",),
    ) as worker:
        for source, upstream in (("127.0.0.1", stable), (TRUSTED, canary)):
            client = Peer.connect(worker.address, source)
            client.send(get(b"X-Serinus-Version: v2"))
            side = upstream.accept()
            assert side.message().line == b"GET / HTTP/1.1"
            side.send(OK)
            assert client.message().status == 200
            client.close()
    stable.close()
    canary.close()


# Responses


def answer(stage: Stage, *fields: bytes, body: bytes = b"Content-Length: 2\r\n\r\nok") -> tuple[Pair, ...]:
    """The fields that the client gets of a response with these."""
    return stage.exchange(get(), b"\r\n".join([b"HTTP/1.1 200 OK", *fields, body]))[1].fields


def test_a_response_gets_nothing_but_its_framing(stage: Stage) -> None:
    fields = answer(
        stage, b"Server: x", b"Date: y", b"Location: http://10.0.0.1/", b"Set-Cookie: a=1", b"Set-Cookie: b=2"
    )

    assert fields == (
        (b"Server", b"x"),
        (b"Date", b"y"),
        (b"Location", b"http://10.0.0.1/"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"Content-Length", b"2"),
    )


RESPONSE_HOPS = [
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: X-Gone\r\nX-Gone: 1",
    b"X-Gone: 1\r\nConnection: close, x-gone",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: close",
    b"Proxy-Authenticate: Basic",
    b"TE: x",
    b"Upgrade: h2c",
    b"Trailer: X-Sum",
    b"X-Serinus-Version: v9",
    b"X-Serinus-Anything: x",
]


@pytest.mark.parametrize("fields", RESPONSE_HOPS)
def test_fields_for_one_hop_end_here_on_the_way_back_too(stage: Stage, fields: bytes) -> None:
    assert answer(stage, b"X-A: 1", fields, b"X-B: \xe4") == (
        (b"X-A", b"1"),
        (b"X-B", b"\xe4"),
        (b"Content-Length", b"2"),
    )


def test_the_version_is_told_when_the_service_says_so(stage: Stage) -> None:
    stage.serve(expose_version=True)

    assert answer(stage, b"X-Serinus-Version: v9")[0] == (b"X-Serinus-Version", b"v1")


WITH_TRAILERS = (
    b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\n\r\n"
)


def test_trailers_pass_with_their_announcement(stage: Stage) -> None:
    _, got = stage.exchange(get(b"TE: trailers"), WITH_TRAILERS)

    assert got.fields == ((b"Trailer", b"X-Sum"), (b"Transfer-Encoding", b"chunked"))
    assert (got.body, got.trailers) == (b"ok", ((b"X-Sum", b"1"),))


def test_http_1_0_gets_neither_chunks_nor_trailers(stage: Stage) -> None:
    _, got = stage.exchange(get(b"Connection: keep-alive", line=b"GET / HTTP/1.0"), WITH_TRAILERS)

    assert got == Message(b"HTTP/1.1 200 OK", ((b"Connection", b"close"),), b"ok")
