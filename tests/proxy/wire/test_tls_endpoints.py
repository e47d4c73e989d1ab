"""TLS to endpoints, through a real worker: which certificates are good, and that nothing is lost."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.snapshot import ClientTls, Service
from tests.support.one_worker import one_worker, service
from tests.support.peers import Peer, Upstream
from tests.support.tls_peers import (
    ASK,
    OK,
    OTHERS,
    OURS,
    SHOP,
    SIZES,
    accept_tls,
    close_kept,
    in_background,
    kept,
    tls_of,
)


@pytest.fixture(autouse=True)
def _closed_in_the_end() -> Iterator[None]:
    yield
    close_kept()


def to_endpoint(upstream: Upstream, says: ClientTls) -> Service:
    """A service whose only version speaks TLS to this upstream."""
    plain = service([[upstream.port]])
    return replace(plain, versions=(replace(plain.versions[0], tls=says),))


INNER = OURS.certificate("127.0.0.1")
TRUSTING = ClientTls(ca=OURS.pem)


class TestEndpoints:
    def test_requests_and_answers_of_every_size_pass_over_one_connection(self):
        upstream = Upstream()
        with one_worker(to_endpoint(upstream, TRUSTING)) as worker:
            client = kept(Peer.connect(worker.address))
            asked: Peer | None = None
            for size in SIZES:
                body = os.urandom(size)
                head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
                sending = in_background(client.send, head, body)
                asked = asked or accept_tls(upstream, OURS.serving(INNER))
                assert asked.message().body == body
                answering = in_background(asked.send, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, body)
                assert client.message().body == body
                sending.join()
                answering.join()
        upstream.close()

    @pytest.mark.parametrize(
        ("says", "shows"),
        [
            (TRUSTING, OTHERS.certificate("127.0.0.1")),
            (TRUSTING, OURS.certificate("elsewhere.example.com")),
            (replace(TRUSTING, server_name="shop.inner"), INNER),
        ],
        ids=["of an unknown authority", "for another name", "not for the name that was asked for"],
    )
    def test_a_certificate_that_is_not_valid_gets_no_request(self, says: ClientTls, shows: Any):
        upstream = Upstream()
        with one_worker(to_endpoint(upstream, says)) as worker:
            client = kept(Peer.connect(worker.address)).send(ASK)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                accept_tls(upstream, OURS.serving(shows)).read_some()
            answer = client.message()
            assert (answer.status, answer.one(b"Proxy-Status")) == (502, b"serinus; error=tls_certificate_error")
        upstream.close()

    def test_it_is_asked_for_by_the_name_in_the_file_and_not_verified_when_told_so(self):
        upstream = Upstream()
        context = OURS.serving(OTHERS.certificate("elsewhere"))
        asked_for: list[str | None] = []
        context.sni_callback = lambda _, name, __: asked_for.append(name)
        with one_worker(to_endpoint(upstream, ClientTls(verify=False, server_name="shop.inner"))) as worker:
            client = kept(Peer.connect(worker.address)).send(ASK)
            asked = accept_tls(upstream, context)
            asked.message()
            asked.send(OK)
            assert client.message().body == b"ok"
        assert asked_for == ["shop.inner"]
        upstream.close()

    def test_our_own_certificate_is_shown_to_who_asks(self):
        upstream = Upstream()
        with one_worker(to_endpoint(upstream, replace(TRUSTING, certificate=SHOP))) as worker:
            client = kept(Peer.connect(worker.address)).send(ASK)
            asked = accept_tls(upstream, OURS.serving(INNER, asks=True))
            shown = tls_of(asked).getpeercert()
            assert shown is not None
            assert ("DNS", "localhost") in shown["subjectAltName"]
            asked.message()
            asked.send(OK)
            assert client.message().body == b"ok"
        upstream.close()

    def test_an_endpoint_that_speaks_no_tls_is_told_apart(self):
        upstream = Upstream()
        with one_worker(to_endpoint(upstream, TRUSTING)) as worker:
            client = kept(Peer.connect(worker.address)).send(ASK)
            asked = upstream.accept()
            assert asked.read_some()[:1] == b"\x16"  # a handshake, not a request
            asked.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            answer = client.message()
            assert (answer.status, answer.one(b"Proxy-Status")) == (502, b"serinus; error=tls_protocol_error")
        upstream.close()

    def test_a_handshake_that_does_not_go_on_ends_with_the_time_to_connect(self):
        upstream = Upstream()
        quick = to_endpoint(upstream, TRUSTING)
        quick = replace(quick, timeouts=replace(quick.timeouts, connect=0.2))
        with one_worker(quick) as worker:
            assert kept(Peer.connect(worker.address)).send(ASK).message().status == 504
        upstream.close()

    def test_the_next_connection_resumes_the_session_of_the_last(self):
        upstream = Upstream()
        context = OURS.serving(INNER)
        with one_worker(to_endpoint(upstream, TRUSTING)) as worker:
            client = kept(Peer.connect(worker.address))
            resumed = []
            for _ in range(2):
                client.send(ASK)
                asked = accept_tls(upstream, context)
                asked.message()
                asked.send(OK)
                assert client.message().body == b"ok"
                resumed.append(tls_of(asked).session_reused)
                asked.close()
                while worker.slab.read_endpoint(1)["connections"]:
                    pass
        assert resumed == [False, True]
        upstream.close()

    @pytest.mark.parametrize("ends_well", [True, False])
    def test_an_answer_until_close_is_whole_only_when_its_end_is_said(self, ends_well: bool):
        upstream = Upstream()
        with one_worker(to_endpoint(upstream, TRUSTING)) as worker:
            client = kept(Peer.connect(worker.address)).send(ASK)
            asked = accept_tls(upstream, OURS.serving(INNER))
            asked.message()
            asked.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            client.head()
            assert client.chunk() == b"all of it"
            if ends_well:
                in_background(tls_of(asked).unwrap)
                assert client.chunk() == b""
            else:
                asked.close()
                assert client.end() == "reset"
        upstream.close()
