"""Requests for a host on a connection that was made for another one (RFC 9110 section 15.5.20).

SHOP is the certificate for localhost and shop.example.com, API that for api.example.com and *.api.example.com.
"""

import socket
import ssl
from collections.abc import Iterator

import pytest

from proxy.core.snapshot import ServerTls
from tests.support.one_worker import OneWorker
from tests.support.peers import PATIENCE, Peer, Upstream
from tests.support.tls_peers import API, OK, OURS, SHOP, close_kept, connect, kept, serving, tls, tls_of

Scene = tuple[OneWorker, Upstream]
BOTH = OURS.certificate("both.example.com", "api.example.com")


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with serving(**tls()) as both:
        yield both


@pytest.fixture(autouse=True)
def _closed_in_the_end() -> Iterator[None]:
    yield
    close_kept()


def get(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def served(scene: Scene, client: Peer, host: str) -> None:
    """A request for this host is answered by the upstream."""
    client.send(get(host))
    side = scene[1].asked()
    assert side.message().one(b"Host") == host.encode()
    side.send(OK)
    assert client.message().status == 200


def refused(client: Peer, host: str) -> None:
    """A request for this host is told to ask on another connection, and this one goes on."""
    answer = client.send(get(host)).message()
    assert (answer.status, answer.one(b"Connection")) == (421, b"keep-alive")


def test_a_host_that_another_certificate_is_for_is_misdirected_and_the_connection_goes_on(scene: Scene) -> None:
    client = connect(scene[0], name="shop.example.com")
    served(scene, client, "shop.example.com")
    for host in ("api.example.com", "API.example.com:8443", "api.example.com.", "x.api.example.com"):
        refused(client, host)
    served(scene, client, "shop.example.com")


def test_every_name_of_the_certificate_is_served(scene: Scene) -> None:
    client = connect(scene[0], name="api.example.com")
    for host in (
        "api.example.com",
        "API.example.com:1",
        "one.api.example.com",
        "two.api.example.com",
        "api.example.com.",
    ):
        served(scene, client, host)
    for host in ("shop.example.com", "localhost"):
        refused(client, host)


def test_a_host_that_no_certificate_is_for_is_served(scene: Scene) -> None:
    client = connect(scene[0], name="shop.example.com")
    for host in ("elsewhere.example.com", "[::1]", "127.0.0.1:8443", "x.y.api.example.com"):
        served(scene, client, host)


def test_who_asked_for_a_name_that_nobody_has_was_shown_the_first_certificate(scene: Scene) -> None:
    context = OURS.trusting()
    context.check_hostname = False
    client = connect(scene[0], context, name="elsewhere.example.com")
    served(scene, client, "shop.example.com")
    refused(client, "api.example.com")


def test_who_asked_for_no_name_is_served_whatever_the_host(scene: Scene) -> None:
    context = OURS.trusting()
    context.check_hostname = False
    plain = socket.create_connection(scene[0].address, PATIENCE)
    client = kept(Peer(context.wrap_socket(plain, suppress_ragged_eofs=False)))
    for host in ("shop.example.com", "api.example.com"):
        served(scene, client, host)


@pytest.mark.parametrize(
    ("version", "served_host", "refused_host"),
    [
        # A session of TLS 1.2 goes on with the name and the certificate that it was made with, whatever is asked for.
        (ssl.TLSVersion.TLSv1_2, "shop.example.com", "api.example.com"),
        # In TLS 1.3 the name is that of the handshake (RFC 8446 section 4.6.1).
        (ssl.TLSVersion.TLSv1_3, "api.example.com", "shop.example.com"),
    ],
)
def test_a_session_that_goes_on_under_another_name_is_held_against_one_certificate_too(
    scene: Scene, version: ssl.TLSVersion, served_host: str, refused_host: str
) -> None:
    context = OURS.trusting(version)
    context.check_hostname = False
    first = connect(scene[0], context, name="shop.example.com")
    served(scene, first, "shop.example.com")
    second = connect(scene[0], context, name="api.example.com", session=tls_of(first).session)
    assert tls_of(second).session_reused is True
    served(scene, second, served_host)
    refused(second, refused_host)


def test_a_name_that_two_certificates_have_is_served_with_either() -> None:
    with serving(tls=(ServerTls((API, BOTH)),)) as scene:
        for name in ("both.example.com", "x.api.example.com"):
            served(scene, connect(scene[0], name=name), "api.example.com")


def test_with_one_certificate_there_is_no_better_one() -> None:
    with serving(tls=(ServerTls((SHOP,)),)) as scene:
        served(scene, connect(scene[0]), "api.example.com")
