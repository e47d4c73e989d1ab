"""A sample of the corpus of messages (tests/corpus/http1) through a whole proxy with two workers, over unix sockets.

What a worker does with every message is in tests/proxy/wire/test_corpus_*.py. Here it is seen that the same comes out
of a proxy as users run it, with its own limits and defaults; with SERINUS_LONG=1 every file is sent.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.corpus import IS_LONG, Case, plain, read_cases, ways, whole_message, without_ours
from tests.support.corpus_play import Play, Played
from tests.support.peers import Message, Peer, Upstream
from tests.support.whole_proxy import WholeProxy, a_service, whole_proxy

EACH = 1 if IS_LONG else 8
LONG = pytest.mark.timeout(900)
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    played = Upstream(tmp_path / "upstream")
    yield played
    played.close()


@pytest.fixture
def proxy(tmp_path: Path, upstream: Upstream) -> Iterator[WholeProxy]:
    """One version with one endpoint, which answers as the test says; its failures have no consequences."""
    service = a_service({"v1": upstream.address}, {"v1": 1}, breaker="off", ejection="off")
    with whole_proxy(tmp_path, {"listen": [{"address": f"unix:{tmp_path / 'clients'}"}], **service}) as running:
        yield running


def client(proxy: WholeProxy) -> Peer:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(proxy.folder / "clients"))
    return Peer(sock)


def sample(kind: str, side: str) -> list[Case]:
    return read_cases(kind, side)[::EACH]


@LONG
def test_requests_become_of_what_the_corpus_says(proxy: WholeProxy, upstream: Upstream) -> None:
    for case in sample("valid", "request") + sample("invalid", "request"):
        for parts in ways(case.text):
            played = Play(client(proxy), parts, upstream).run()
            assert arrived(played) == case.forwarded, case.name
            if case.ends or case.is_cut:
                assert played.statuses == case.ends, case.name


def arrived(played: Played) -> bytes:
    """The whole requests that came."""
    messages = [whole_message(record) for record in played.arrived]
    return b"".join(plain(without_ours(message)) for message in messages if message)


@LONG
def test_responses_become_of_what_the_corpus_says(proxy: WholeProxy, upstream: Upstream) -> None:
    for case in sample("valid", "response") + sample("invalid", "response"):
        if case.subject.startswith("to-"):
            continue  # of another request than this one
        for parts in ways(case.text):
            assert got(proxy, upstream, parts) == (case.forwarded or (None if case.is_cut else 502)), case.name


def got(proxy: WholeProxy, upstream: Upstream, parts: list[bytes]) -> bytes | int | None:
    """What a client gets when these parts are the answer: responses, the proxy's own status, or an aborted one."""
    asking = client(proxy).send(GET)
    side = upstream.asked()
    side.head()
    side.send_apart(*parts).close()
    messages: list[Message] = []
    try:
        while not messages or messages[-1].status < 200:
            messages.append(asking.message())
    except ConnectionError:
        return None
    finally:
        asking.close()
    if (messages[-1].one(b"Proxy-Status") or b"").startswith(b"serinus; error="):
        return messages[-1].status
    return b"".join(map(plain, messages))
