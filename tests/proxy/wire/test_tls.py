"""TLS to clients, through a real worker: who is let in, what is shown, and that nothing is lost."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace

import pytest

from proxy.core.snapshot import KeySource, ServerTls, Sticky
from proxy.wire.contexts import tickets_can_be_shared
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.peers import PATIENCE, Peer, Upstream
from tests.support.tls_peers import (
    API,
    ASK,
    OK,
    OTHERS,
    OURS,
    SHOP,
    SIZES,
    close_kept,
    connect,
    in_background,
    kept,
    serving,
    tls,
    tls_of,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[OneWorker, Upstream]]:
    with serving(**tls()) as both:
        yield both


@pytest.fixture(autouse=True)
def _closed_in_the_end() -> Iterator[None]:
    yield
    close_kept()


class TestClients:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_request_is_served_over_both_versions_and_the_endpoint_hears_so(
        self, shared: tuple[OneWorker, Upstream], version: ssl.TLSVersion
    ):
        worker, upstream = shared
        client = connect(worker, OURS.trusting(version)).send(ASK)
        asked = upstream.asked()
        head = asked.head()
        asked.send(OK)
        assert client.message().body == b"ok"
        assert head.one(b"X-Forwarded-Proto") == b"https"
        assert tls_of(client).version() == version.name.replace("_", ".")

    @pytest.mark.parametrize("size", SIZES)
    def test_bodies_of_every_size_arrive_whole_in_both_directions(self, shared: tuple[OneWorker, Upstream], size: int):
        worker, upstream = shared
        body = os.urandom(size)
        client = connect(worker)
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
        sending = in_background(client.send, head, body)
        asked = upstream.asked()
        assert asked.message().body == body
        sending.join()
        answering = in_background(asked.send, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, body)
        assert client.message().body == body
        answering.join()

    def test_a_handshake_and_a_request_that_come_byte_by_byte_are_understood(self, shared: tuple[OneWorker, Upstream]):
        worker, upstream = shared
        plain = socket.create_connection(worker.address, PATIENCE)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = OURS.trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")

        def dribble() -> None:
            for byte in outgoing.read():
                plain.sendall(bytes([byte]))

        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                dribble()
                incoming.write(plain.recv(65536))
        client.write(ASK)
        dribble()
        upstream.asked().send(OK).message()
        incoming.write(plain.recv(65536))
        answer = b""
        while not answer.endswith(b"ok"):
            try:
                answer += client.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65536))
        plain.close()

    def test_pipelined_requests_in_one_record_are_answered_in_order(self, shared: tuple[OneWorker, Upstream]):
        worker, upstream = shared
        client = connect(worker).send(ASK * 3)
        for number in range(3):
            asked = upstream.asked()
            asked.message()
            asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        assert [client.message().body for _ in range(3)] == [b"0", b"1", b"2"]

    def test_what_speaks_http_without_tls_is_told_so(self, shared: tuple[OneWorker, Upstream]):
        client = kept(Peer.connect(shared[0].address)).send(ASK)
        answer = client.message()
        assert answer.status == 400
        assert b"https://" in answer.body
        assert client.end() == "closed"

    def test_what_is_no_tls_at_all_gets_no_more_than_an_alert(self, shared: tuple[OneWorker, Upstream]):
        client = kept(Peer.connect(shared[0].address)).send(os.urandom(100))
        assert client.rest()[:1] in (b"", b"\x15")

    @pytest.mark.filterwarnings("ignore:.*TLSv1_1:DeprecationWarning")
    def test_old_versions_are_refused(self, shared: tuple[OneWorker, Upstream]):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            connect(shared[0], context)

    def test_only_http_1_1_is_agreed_on(self, shared: tuple[OneWorker, Upstream]):
        context = OURS.trusting()
        context.set_alpn_protocols(["h2", "http/1.1"])
        assert tls_of(connect(shared[0], context)).selected_alpn_protocol() == "http/1.1"

    def test_handshakes_are_counted(self):
        with serving(**tls()) as (worker, _):
            connect(worker).close()
            with pytest.raises(ssl.SSLCertVerificationError):
                connect(worker, OTHERS.trusting())
            while (seen := worker.slab.read_worker())["tls_handshakes"] + seen["tls_failures"] < 2:
                pass
            assert (seen["tls_handshakes"], seen["tls_failures"]) == (1, 1)


class TestCookies:
    @pytest.mark.parametrize("secure", [True, False])
    def test_the_cookie_of_a_user_is_for_tls_only_when_told_so(self, secure: bool):
        upstream = Upstream()
        sticky = Sticky((KeySource("own-cookie"),), secure_over_tls=secure)
        with one_worker(service([[upstream.port]], sticky=sticky), **tls()) as worker:
            client = connect(worker).send(ASK)
            asked = upstream.asked()
            asked.message()
            asked.send(OK)
            cookie = client.message().one(b"Set-Cookie")
            assert cookie is not None
            assert cookie.endswith(b"; Secure") is secure
        upstream.close()


class TestEnds:
    def test_the_end_of_a_connection_is_said(self, shared: tuple[OneWorker, Upstream]):
        worker, upstream = shared
        client = connect(worker).send(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        asked = upstream.asked()
        asked.message()
        asked.send(OK)
        assert client.message().body == b"ok"
        assert client.rest() == b""  # close_notify: without it this raises

    def test_an_answer_that_was_cut_off_does_not_end_well(self, shared: tuple[OneWorker, Upstream]):
        worker, upstream = shared
        client = connect(worker).send(ASK)
        asked = upstream.asked()
        asked.message()
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").close()
        client.head()
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            client.rest()

    def test_a_client_that_ends_its_side_still_gets_its_answer(self, shared: tuple[OneWorker, Upstream]):
        worker, upstream = shared
        client = connect(worker).send(ASK)
        asked = upstream.asked()
        tls_of(client).shutdown(socket.SHUT_WR)
        asked.message()
        asked.send(OK)
        plain = socket.socket(fileno=os.dup(client.fileno()))
        assert plain.recv(100)  # a record: it came although the client says nothing more
        plain.close()


class TestNames:
    @pytest.mark.parametrize(
        "name", ["localhost", "shop.example.com", "api.example.com", "v1.api.example.com", "V1.API.example.com"]
    )
    def test_the_name_that_is_asked_for_chooses_the_certificate(self, shared: tuple[OneWorker, Upstream], name: str):
        connect(shared[0], name=name)  # the client checks that it is for this name

    def test_the_first_certificate_is_for_every_other_name(self, shared: tuple[OneWorker, Upstream]):
        context = OURS.trusting()
        context.check_hostname = False
        shown = tls_of(connect(shared[0], context, "elsewhere.example.com")).getpeercert()
        assert shown is not None
        assert ("DNS", "localhost") in shown["subjectAltName"]

    def test_a_name_that_no_certificate_has_is_refused_when_told_so(self):
        with serving(**tls(strict_sni=True)) as (worker, _):
            connect(worker)
            with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
                connect(worker, name="elsewhere.example.com")

    def test_new_certificates_are_shown_from_the_next_connection_on_and_open_ones_stay(self):
        new = OTHERS.certificate("localhost")
        settings = tls()
        with serving(**settings) as (worker, upstream):
            old_client = connect(worker)
            changed = replace(worker.settings, tls=(ServerTls((new,)),))
            assert worker.say("settings", changed) is None
            connect(worker, OTHERS.trusting())
            old_client.send(ASK)
            asked = upstream.asked()
            asked.message()
            asked.send(OK)
            assert old_client.message().body == b"ok"

    def test_a_certificate_that_cannot_be_used_changes_nothing(self):
        with serving(**tls()) as (worker, _):
            broken = replace(SHOP, key=API.key)
            error = worker.say("settings", replace(worker.settings, tls=(ServerTls((broken,)),)))
            assert "KEY_VALUES_MISMATCH" in str(error)
            connect(worker)


class TestSessions:
    @pytest.mark.skipif(not tickets_can_be_shared(), reason="this Python's OpenSSL hides its functions")
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_session_goes_on_at_any_worker_that_has_the_same_keys(self, version: ssl.TLSVersion):
        settings = tls()
        context = OURS.trusting(version)
        with serving(**settings) as (one, upstream), serving(**settings) as (two, _), serving(**tls()) as (stranger, _):
            client = connect(one, context).send(ASK)
            asked = upstream.asked()
            asked.message()
            asked.send(OK)
            client.message()  # the tickets come before the answer
            session = tls_of(client).session
            assert tls_of(connect(two, context, session=session)).session_reused is True
            assert tls_of(connect(stranger, context, session=session)).session_reused is False

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_session_without_a_certificate_is_none_where_clients_need_one(self, version: ssl.TLSVersion):
        """Else whoever is let in at one listener is in at the other, without a name (nginx: CVE-2025-23419)."""
        keys = os.urandom(80)
        context = OURS.trusting(version)
        strict = {"tls": (ServerTls((SHOP,), client_ca=OURS.pem),), "ticket_keys": keys}
        with serving(tls=(ServerTls((SHOP,)),), ticket_keys=keys) as (one, upstream), serving(**strict) as (other, _):
            client = connect(one, context).send(ASK)
            asked = upstream.asked()
            asked.message()
            asked.send(OK)
            client.message()
            with pytest.raises((ssl.SSLError, ConnectionError)):
                connect(other, context, session=tls_of(client).session).send(ASK).message()
            assert other.slab.read_worker()["tls_failures"] == 1


class TestMutualTls:
    def test_a_client_needs_a_certificate_of_the_right_authority(self):
        with serving(**tls(client_ca=OURS.pem)) as (worker, upstream):
            client = connect(worker, OURS.trusting(own=OURS.certificate("user"))).send(ASK)
            asked = upstream.asked()
            asked.message()
            asked.send(OK)
            assert client.message().status == 200
            for own in (None, OTHERS.certificate("user")):
                # TLS 1.3 tells a client that it was refused after its own side of the handshake.
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    connect(worker, OURS.trusting(own=own)).send(ASK).message()

    def test_where_it_is_optional_a_wrong_one_is_refused_all_the_same(self):
        with serving(**tls(client_ca=OURS.pem, client_required=False)) as (worker, upstream):
            client = connect(worker).send(ASK)
            asked = upstream.asked()
            asked.message()
            asked.send(OK)
            assert client.message().status == 200
            with pytest.raises((ssl.SSLError, ConnectionError)):
                connect(worker, OURS.trusting(own=OTHERS.certificate("user"))).send(ASK).message()
