"""Options mean on the wire what the file says of them, at the ends of their ranges too."""

from pathlib import Path
from typing import Any

from proxy.core.snapshot import AccessLog, Ejection, Endpoint, KeySource, Service, Settings, Sticky, Version
from tests.support.stage import GET, OK, Stage, eventually

FAILED = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


def give(stage: Stage, **settings: Any) -> None:
    assert stage.worker.say("settings", Settings(drain_timeout=0.2, **settings)) is None


def a_look_at_deadlines(stage: Stage) -> None:
    def heartbeat() -> int:
        beat: int = stage.worker.slab.read_worker()["heartbeat_ns"]
        return beat

    before = heartbeat()
    eventually(lambda: heartbeat() != before)


def test_without_keepalive_every_response_closes_its_connection(stage: Stage):
    give(stage, keepalive_timeout=0.0)
    client = stage.client()
    _, answer = stage.exchange(GET, client=client)
    assert (answer.status, answer.one(b"connection"), client.rest()) == (200, b"close", b"")


def test_without_an_idle_timeout_a_body_may_take_as_long_as_it_likes(stage: Stage):
    give(stage, body_timeout=0.0, write_timeout=0.0)
    client = stage.client().send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nab")
    for _ in range(3):
        a_look_at_deadlines(stage)
    client.send(b"cd")
    side = stage.upstream.asked()
    assert side.message().body == b"abcd"
    side.send(OK)
    assert client.message().status == 200


def test_a_cookie_that_lives_until_the_browser_closes_has_no_age(stage: Stage):
    stage.serve(sticky=Sticky((KeySource("own-cookie"),), cookie_max_age=0))
    _, answer = stage.exchange(GET)
    cookie = answer.one(b"set-cookie")
    assert cookie is not None
    assert cookie.startswith(b"serinus_uid=")
    assert b"Max-Age" not in cookie


def test_the_only_endpoint_of_a_version_is_never_ejected(stage: Stage):
    (socket,) = stage.upstream.sockets
    only = Version("v1", 1, (Endpoint(f"127.0.0.1:{stage.upstream.port}", 1, (socket,)),))
    stage.worker.serve(Service("shop", (only,), (1.0,), 0, ejection=Ejection(consecutive=1, max_share=1.0)))
    assert stage.exchange(GET, FAILED)[1].status == 500
    assert stage.exchange(GET)[1].status == 200


def test_the_fields_of_a_log_line_stand_in_the_order_of_the_file(stage: Stage, tmp_path: Path):
    log = tmp_path / "log"
    give(stage, access_log=AccessLog("json", str(log), ("status", "method")))
    stage.exchange(GET)
    eventually(log.read_bytes)
    assert log.read_bytes() == b'{"status":200,"method":"GET"}\n'
