"""The resolver: endpoints follow their names, and a resolver that fails takes nothing away."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from proxy import resolver
from proxy.core.live import Live, add_endpoint, remove_endpoint
from proxy.core.snapshot import SocketAddress
from proxy.resolver import Resolver, look_up
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.lives import NEVER, a_config, a_live
from tests.support.waiting import until

NAME = "shop.example:80"


def at(*hosts: str, port: int = 80) -> tuple[SocketAddress, ...]:
    return tuple(("inet6" if ":" in host else "inet", host, port) for host in hosts)


class Names:
    """A resolver of the system that tests tell what to answer; what is not told does not exist."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[SocketAddress, ...] | OSError] = {}
        self.asked: list[str] = []

    async def look_up(self, host: str, port: int) -> tuple[SocketAddress, ...]:
        self.asked.append(f"{host}:{port}")
        unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answer = self.answers.get(host, unknown)
        if isinstance(answer, OSError):
            raise answer
        return answer


class Watched:
    """A supervisor whose names are looked up."""

    def __init__(self) -> None:
        self.names = Names()
        self.supervisor = FakeSupervisor(a_shop(NAME))
        self.resolver = Resolver(self.supervisor, self.names.look_up)
        self.task = asyncio.create_task(self.resolver.run())

    def sockets(self, address: str = NAME, version: str = "stable") -> tuple[SocketAddress, ...]:
        return self.supervisor.health_of("shop", version, address).sockets

    def detail(self) -> str:
        return self.supervisor.health_of("shop", "stable", NAME).detail

    @property
    def told(self) -> list[tuple[str, dict[str, Any]]]:
        return self.supervisor.events.published

    async def next_answers(self) -> None:
        """Return when what is answered now has been taken up."""
        seen = len(self.names.asked)
        await until(lambda: len(self.names.asked) > seen + 1)


def a_shop(*addresses: str, **parts: Any) -> Live:
    shop = {"versions": {"stable": {"endpoints": addresses}, "canary": {}}, "resolve_interval": "5ms", **parts}
    return a_live(a_config({"shop": shop}))


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(resolver, "PERIOD", 0.005)
    monkeypatch.setattr(resolver, "FIRST_RETRY", 0.005)
    watched = Watched()
    yield watched
    watched.task.cancel()
    with suppress(asyncio.CancelledError):
        await watched.task


async def test_a_name_leads_to_all_its_addresses_and_follows_them(watched: Watched):
    watched.names.answers["shop.example"] = at("10.0.0.1", "10.0.0.2", "fd00::1")
    await until(lambda: watched.sockets() == at("10.0.0.1", "10.0.0.2", "fd00::1"))
    watched.names.answers["shop.example"] = at("10.0.0.3")
    await until(lambda: watched.sockets() == at("10.0.0.3"))


async def test_another_order_is_no_news(watched: Watched):
    watched.names.answers["shop.example"] = at("10.0.0.1", "10.0.0.2")
    await until(watched.sockets)
    watched.names.answers["shop.example"] = at("10.0.0.2", "10.0.0.1")
    await watched.next_answers()
    assert watched.sockets() == at("10.0.0.1", "10.0.0.2")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "Temporary failure in name res"),
        ((), "the answer is empty"),
        (TimeoutError(), "no answer within 15s"),
        (OSError("odd"), "odd"),
    ],
)
async def test_a_failure_keeps_the_last_good_addresses_and_is_told_once(
    watched: Watched, answer: tuple[SocketAddress, ...] | OSError, reason: str
):
    watched.names.answers["shop.example"] = at("10.0.0.1")
    await until(watched.sockets)
    watched.told.clear()
    watched.names.answers["shop.example"] = answer
    await until(lambda: watched.told)
    await watched.next_answers()
    ((kind, fields),) = watched.told
    assert (kind, fields["name"], fields["addresses"]) == ("resolve_failed", "shop.example", ["10.0.0.1"])
    assert fields["detail"].startswith(f"shop.example cannot be looked up: {reason}")
    assert watched.sockets() == at("10.0.0.1")
    assert watched.detail() == fields["detail"]

    watched.names.answers["shop.example"] = at("10.0.0.1")
    await until(lambda: len(watched.told) == 2)
    assert watched.told[1] == ("resolved", {"name": "shop.example", "addresses": ["10.0.0.1"]})
    assert watched.detail() == ""


async def test_a_name_that_never_led_anywhere_says_so(watched: Watched):
    await until(watched.detail)
    assert watched.sockets() == ()
    assert watched.detail() == "shop.example cannot be looked up: Name or service not known"


async def test_where_an_endpoint_is_probed_the_words_of_the_probe_stay(watched: Watched):
    watched.supervisor.live = a_shop(NAME, health={"path": "/"})
    watched.names.answers["shop.example"] = at("10.0.0.1")
    await until(watched.sockets)
    watched.supervisor.set_health("shop", "stable", NAME, True, "GET /: 200 OK")
    watched.names.answers["shop.example"] = ()
    await watched.next_answers()
    assert watched.detail() == "GET /: 200 OK"


async def test_a_name_is_looked_up_once_for_all_who_use_it_and_known_at_once_to_new_ones(watched: Watched):
    watched.names.answers["shop.example"] = at("10.0.0.1")
    await until(watched.sockets)
    watched.supervisor.live = add_endpoint(a_shop(NAME, resolve_interval="1h"), "shop", "canary", NAME, NEVER)
    await until(lambda: watched.sockets(version="canary"))
    assert len(watched.resolver._chores) == 1


async def test_the_shortest_interval_of_those_who_use_it_counts(watched: Watched):
    await until(lambda: watched.names.asked)
    often, rarely = a_shop(NAME).config.services["shop"], a_shop(NAME, resolve_interval="1h").config.services["shop"]
    watched.supervisor.live = a_live(
        a_config({"a": rarely.model_dump(), "b": often.model_dump(), "c": rarely.model_dump()}, routes=())
    )
    await until(lambda: len(watched.resolver._users) == 1 and len(next(iter(watched.resolver._users.values()))) == 3)
    await watched.next_answers()


async def test_a_name_that_is_gone_is_forgotten(watched: Watched):
    watched.names.answers["shop.example"] = at("10.0.0.1")
    await until(watched.sockets)
    watched.supervisor.live = remove_endpoint(watched.supervisor.live, "shop", "stable", NAME, NEVER)
    await until(lambda: not watched.resolver._chores)
    assert watched.resolver._found == {}


async def test_addresses_and_unix_sockets_are_not_looked_up(watched: Watched):
    watched.supervisor.live = a_shop("127.0.0.1:1", "[::1]:1", "unix:/run/x.sock", "other.example:1")
    await until(lambda: "other.example:1" in watched.names.asked)
    assert set(watched.names.asked) <= {NAME, "other.example:1"}


class TestTheSystemsResolver:
    async def test_it_gives_addresses_with_the_port(self):
        assert set(await look_up("localhost", 8080)) <= set(at("127.0.0.1", "::1", port=8080))

    async def test_what_cannot_be_a_name_is_an_error_of_the_kind_that_is_told(self):
        with pytest.raises((OSError, UnicodeError)):
            await look_up("x" * 64 + ".invalid", 80)
