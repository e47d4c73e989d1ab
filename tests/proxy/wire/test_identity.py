"""What endpoints are told of clients, and what clients may not say of themselves: certificates, internal headers."""

import base64
import hashlib
import re
import ssl
from collections.abc import Iterator

import pytest

from proxy.core.snapshot import ClientField, Route, ServerTls, ValueMatch
from proxy.wire.identity import subject_text
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.peers import Message, Peer, Upstream
from tests.support.stage import OK, Stage
from tests.support.tls_peers import ASK, OURS, SHOP, close_kept, connect

CLIENT = OURS.certificate("client.example.com")
DER = ssl.PEM_cert_to_DER_cert(
    CLIENT.chain.decode().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
)
HEADERS: tuple[tuple[ClientField, str], ...] = (
    ("certificate", "Client-Cert"),
    ("subject", "X-Client-Subject"),
    ("fingerprint", "X-Client-Fingerprint"),
)
NAMES = [name.encode() for _, name in HEADERS]
TRUSTED = "127.0.0.2"

Scene = tuple[OneWorker, Upstream]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A worker that speaks TLS on its first listener, where clients may show a certificate."""
    upstream = Upstream()
    spoken = ServerTls((SHOP,), client_ca=OURS.pem, client_required=False, client_headers=HEADERS)
    with one_worker(service([[upstream.port]]), tls=(spoken,), trusted_proxies=("127.0.0.1/32",)) as worker:
        yield worker, upstream
    upstream.close()


@pytest.fixture(autouse=True)
def _closed_in_the_end() -> Iterator[None]:
    yield
    close_kept()


def asked(scene: Scene, client: Peer, request: bytes = ASK) -> Message:
    """What the upstream gets of this request."""
    client.send(request)
    side = scene[1].asked()
    seen = side.message()
    side.send(OK)
    assert client.message().status == 200
    return seen


def told(message: Message) -> list[list[bytes]]:
    return [message.all(name) for name in NAMES]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_endpoints_are_told_of_the_certificate_that_a_client_has_shown(scene: Scene, version: ssl.TLSVersion) -> None:
    client = connect(scene[0], OURS.trusting(version, CLIENT))
    for _ in range(2):
        certificate, subject, fingerprint = told(asked(scene, client))
        assert certificate == [b":" + base64.b64encode(DER) + b":"]
        assert fingerprint == [hashlib.sha256(DER).hexdigest().encode()]
        assert re.fullmatch(rb"OU=Testing cert #[\w-]+,O=trustme v[0-9.]+", subject[0])


def test_a_session_that_is_resumed_tells_the_same(scene: Scene) -> None:
    context = OURS.trusting(ssl.TLSVersion.TLSv1_2, CLIENT)
    first = connect(scene[0], context)
    before = told(asked(scene, first))
    assert isinstance(first.sock, ssl.SSLSocket)
    again = connect(scene[0], context, session=first.sock.session)
    assert told(asked(scene, again)) == before


FORGED = [
    b"Client-Cert: :x:",
    b"CLIENT-CERT: :x:",
    b"client_cert: x",
    b"X-Client-Subject: CN=root",
    b"X-Client_Subject: y",
]
FORGERY = ASK[:-2] + b"\r\n".join(FORGED) + b"\r\nX-Client-Subjects: kept\r\n\r\n"


@pytest.mark.parametrize("own", [CLIENT, None])
def test_what_a_client_says_in_these_fields_is_removed(scene: Scene, own: object) -> None:
    """Also of trusted proxies, to which this client belongs."""
    context = OURS.trusting(own=CLIENT if own else None)
    seen = asked(scene, connect(scene[0], context), FORGERY)

    assert [len(values) for values in told(seen)] == ([1, 1, 1] if own else [0, 0, 0])
    assert not any(value in (b":x:", b"x", b"CN=root", b"y") for _, value in seen.fields)
    assert seen.one(b"X-Client-Subjects") == b"kept"


def test_trailers_do_not_bring_them_back(scene: Scene) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    trailers = b"X-Client-Subject: CN=root\r\nx_client_subject: z\r\nX-Sum: 1\r\n\r\n"
    seen = asked(scene, connect(scene[0]), head + trailers)

    assert seen.trailers == ((b"X-Sum", b"1"),)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), ""),
        (
            ((("countryName", "DE"),), (("organizationName", "A, B"),), (("commonName", "alice"),)),
            "CN=alice,O=A\\, B,C=DE",
        ),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("emailAddress", "a@b.c"),), (("1.2.3.4", "x"),)), "1.2.3.4=x,emailAddress=a@b.c"),
        (((("commonName", ' "#<x>;+\\ '),),), 'CN=\\ \\"#\\<x\\>\\;\\+\\\\\\ '),
        (((("commonName", "#x"),),), "CN=\\#x"),
        (((("commonName", "M\u00fcller\r\nX: 1\x00"),),), "CN=M\\C3\\BCller\\0D\\0AX: 1\\00"),
    ],
)
def test_a_subject_is_one_line_of_visible_text(names: object, text: str) -> None:
    assert subject_text(names) == text


# Internal headers


def test_internal_headers_of_strangers_are_removed_and_those_of_trusted_proxies_pass(stage: Stage) -> None:
    stage.limit(internal_headers=("X-Canary", "X-User"), trusted_proxies=(f"{TRUSTED}/32",))
    request = b"GET / HTTP/1.1\r\nHost: a\r\nx-canary: 1\r\nX_Canary: 2\r\nX-USER: 3\r\nX-Users: 4\r\n\r\n"
    stranger, _ = stage.exchange(request)
    friend, _ = stage.exchange(request, client=stage.client(source=TRUSTED))

    assert [name for name, _ in stranger.fields if name.lower().startswith((b"x-c", b"x_c", b"x-u"))] == [b"X-Users"]
    assert [value for name, value in friend.fields if name.lower().startswith((b"x-c", b"x_c", b"x-u"))] == [
        *(b"1", b"2", b"3", b"4")
    ]


def test_routes_do_not_see_the_internal_headers_of_strangers() -> None:
    upstream = Upstream()
    routes = [Route("shop", headers=(ValueMatch("x-canary", "present"),))]
    shop = service([[upstream.port]])
    with one_worker(shop, routes=routes, internal_headers=("X-Canary",), trusted_proxies=(f"{TRUSTED}/32",)) as worker:
        for source, status in ((TRUSTED, 200), ("127.0.0.1", 404)):
            client = Peer.connect(worker.address, source).send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Canary: 1\r\n\r\n")
            if status == 200:
                side = upstream.asked()
                side.message()
                side.send(OK)
            assert client.message().status == status
            client.close()
    upstream.close()
