"""Users that stay: the chain of keys, cohorts that agree with the hash, and the cookie of our own."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from proxy.core.hashing import cohort
from proxy.core.snapshot import KeySource, Service, Sticky
from tests.support.echo_upstream import Echo, echoes
from tests.support.one_client import ask, connected
from tests.support.one_worker import one_worker, service

SALT = b"0123456789abcdef"
SECRET = b"sixteen secrets!"
USERS = [f"user-{i}" for i in range(60)]
HEADER, COOKIE = KeySource("header", "x-user"), KeySource("cookie", "uid")
OWN, IP = KeySource("own-cookie"), KeySource("ip")


def split(some: Sequence[Echo], *keys: KeySource, weights: tuple[float, ...] = (50, 50)) -> Service:
    """A service with a version for each endpoint."""
    return service([[echo.port] for echo in some], weights, salt=SALT, sticky=Sticky(keys))


def expected(key: str, weights: tuple[float, ...] = (50, 50)) -> int:
    """The index of the version that a key belongs to."""
    index = cohort(SALT, key.encode(), [(f"v{i}", weight) for i, weight in enumerate(weights, 1)])
    assert index is not None
    return index


class TestKeys:
    async def test_a_header_decides(self):
        async with echoes(2) as some:
            with one_worker(split(some, HEADER)) as worker:
                async with connected(worker.address) as client:
                    for user in USERS * 2:
                        assert (await client.ask(X_User=user)).port == some[expected(user)].port

    async def test_a_cookie_decides_wherever_it_stands(self):
        async with echoes(2) as some:
            with one_worker(split(some, COOKIE)) as worker:
                async with connected(worker.address) as client:
                    for user in USERS:
                        for cookie in (f"uid={user}", f"a=b; uid={user}; c=d", f'xuid=other; uid="{user}"'):
                            assert (await client.ask(Cookie=cookie)).port == some[expected(user)].port

    async def test_the_address_of_the_client_decides(self):
        async with echoes(2) as some:
            with one_worker(split(some, IP)) as worker:
                ports = {(await ask(worker.address)).port for _ in range(10)}
        assert ports == {some[expected("127.0.0.1")].port}

    async def test_the_first_source_that_has_a_key_decides(self):
        users = [(a, b) for a in USERS[:12] for b in USERS[12:24]]
        async with echoes(2) as some:
            with one_worker(split(some, HEADER, COOKIE, IP)) as worker:
                async with connected(worker.address) as client:
                    for one, other in users:
                        assert (await client.ask(X_User=one, Cookie=f"uid={other}")).port == some[expected(one)].port
                        assert (await client.ask(Cookie=f"uid={other}")).port == some[expected(other)].port
                        assert (await client.ask(X_User="", Cookie=f"uid={other}")).port == some[expected(other)].port
                    assert (await client.ask()).port == some[expected("127.0.0.1")].port

    async def test_who_has_no_key_is_split_as_if_there_were_none(self):
        async with echoes(2) as some:
            with one_worker(split(some, HEADER, COOKIE, weights=(3, 1))) as worker:
                async with connected(worker.address) as client:
                    for _ in range(100):
                        assert "set-cookie" not in (await client.ask()).headers
            assert abs(len(some[0].requests) - 75) < 2

    async def test_raising_a_version_moves_nobody_back_and_a_rollback_everybody(self):
        async with echoes(2) as some:
            at_1 = split(some, HEADER, weights=(99, 1))
            with one_worker(at_1) as worker:
                moved = set[str]()
                for canary in (1, 5, 20, 50, 80, 100):
                    worker.serve(replace(at_1, weights=(100.0 - canary, float(canary))))
                    async with connected(worker.address) as client:
                        there = {user for user in USERS if (await client.ask(X_User=user)).port == some[1].port}
                    assert moved <= there
                    moved = there
                assert moved == set(USERS)
                worker.serve(replace(at_1, weights=(100.0, 0.0)))
                assert {(await ask(worker.address, X_User=user)).port for user in USERS} == {some[0].port}

    async def test_another_salt_draws_anew(self):
        async with echoes(2) as some:
            shop = split(some, HEADER)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    before = [(await client.ask(X_User=user)).port for user in USERS]
                    worker.serve(replace(shop, salt=b"another 16 bytes"))
                    after = [(await client.ask(X_User=user)).port for user in USERS]
        assert before != after

    async def test_in_pool_mode_every_key_goes_to_the_active_version(self):
        async with echoes(2) as some:
            with one_worker(split(some, HEADER, weights=(0, 1))) as worker:
                async with connected(worker.address) as client:
                    assert {(await client.ask(X_User=user)).port for user in USERS} == {some[1].port}


def issued(set_cookie: str) -> str:
    """The cookie in a Set-Cookie field, as a browser sends it back."""
    return set_cookie.partition(";")[0]


class TestOwnCookie:
    async def test_a_new_user_gets_a_signed_cookie_that_scripts_and_other_sites_cannot_use(self):
        async with echoes(2) as some:
            with one_worker(split(some, OWN), cookie_secret=SECRET) as worker:
                cookie = (await ask(worker.address)).headers["set-cookie"]
        assert re.fullmatch(
            r"serinus_uid=[0-9a-f]{16}\.[0-9a-f]{16}; Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax", cookie
        )

    async def test_the_key_decides_from_the_first_request_on(self):
        async with echoes(2) as some:
            with one_worker(split(some, OWN), cookie_secret=SECRET) as worker:
                for _ in range(20):
                    async with connected(worker.address) as client:
                        first = await client.ask()
                        cookie = issued(first.headers["set-cookie"])
                        assert first.port == some[expected(cookie[12:28])].port
                        for _ in range(5):
                            again = await client.ask(Cookie=cookie)
                            assert (again.port, again.headers.get("set-cookie")) == (first.port, None)

    async def test_every_new_user_gets_another_key(self):
        async with echoes(2) as some:
            with one_worker(split(some, OWN)) as worker:
                keys = {issued((await ask(worker.address)).headers["set-cookie"]) for _ in range(50)}
        assert len(keys) == 50

    async def test_a_forged_cookie_is_replaced_and_its_key_is_not_used(self):
        async with echoes(2) as some:
            with one_worker(split(some, OWN), cookie_secret=SECRET) as worker:
                good = issued((await ask(worker.address)).headers["set-cookie"])
                key, _, signature = good.removeprefix("serinus_uid=").partition(".")
                for forged in (
                    f"serinus_uid={key[::-1]}.{signature}",
                    f"serinus_uid={key}.{signature[::-1]}",
                    f"serinus_uid={key}.{signature[:-1]}",
                    f"serinus_uid={key}.{signature}0",
                    f"serinus_uid={key}.{signature[:-1]}g",
                    f"serinus_uid={key}",
                    "serinus_uid=",
                ):
                    answer = await ask(worker.address, Cookie=forged)
                    new = issued(answer.headers["set-cookie"])
                    assert new not in (good, forged)
                    assert answer.port == some[expected(new[12:28])].port

    async def test_a_cookie_of_another_secret_is_none(self):
        async with echoes(2) as some:
            with one_worker(split(some, OWN), cookie_secret=SECRET) as worker:
                cookie = issued((await ask(worker.address)).headers["set-cookie"])
            with one_worker(split(some, OWN), cookie_secret=bytes(16)) as worker:
                assert "set-cookie" in (await ask(worker.address, Cookie=cookie)).headers

    async def test_the_upstream_does_not_see_the_cookie(self):
        async with echoes(2) as some:
            with one_worker(split(some, OWN), cookie_secret=SECRET) as worker:
                cookie = issued((await ask(worker.address)).headers["set-cookie"])
                await ask(worker.address, Cookie=f"a=b; {cookie}; c=d")
        (seen,) = (
            request.headers["cookie"] for echo in some for request in echo.requests if "cookie" in request.headers
        )
        assert seen == "a=b; c=d"

    async def test_who_has_a_better_key_gets_no_cookie(self):
        async with echoes(2) as some:
            with one_worker(split(some, HEADER, OWN)) as worker:
                assert "set-cookie" not in (await ask(worker.address, X_User="one")).headers
                assert "set-cookie" in (await ask(worker.address)).headers

    @pytest.mark.parametrize("weights", [(1, 0), (0, 1)])
    async def test_a_key_given_while_one_version_has_everything_counts_later(self, weights: tuple[float, float]):
        async with echoes(2) as some:
            shop = split(some, OWN, weights=weights)
            with one_worker(shop, cookie_secret=SECRET) as worker:
                cookies = [issued((await ask(worker.address)).headers["set-cookie"]) for _ in range(10)]
                worker.serve(replace(shop, weights=(50.0, 50.0)))
                for cookie in cookies:
                    assert (await ask(worker.address, Cookie=cookie)).port == some[expected(cookie[12:28])].port

    async def test_name_age_and_attributes_are_the_service_s(self):
        chosen = Sticky((OWN,), "our_uid", 60, "; Path=/; HttpOnly; SameSite=None; Secure")
        async with echoes(2) as some:
            with one_worker(replace(split(some), sticky=chosen)) as worker:
                cookie = (await ask(worker.address)).headers["set-cookie"]
        assert re.fullmatch(r"our_uid=[0-9a-f.]{33}; Max-Age=60; Path=/; HttpOnly; SameSite=None; Secure", cookie)

    async def test_the_key_that_is_given_also_chooses_the_endpoint_of_the_first_request(self):
        """One key for the split and for `balance: hash`, not one each."""
        async with echoes(4) as some:
            for keys in ((50.0, 50.0), (1.0, 0.0)):
                shop = service(
                    [[some[0].port, some[1].port], [some[2].port, some[3].port]],
                    keys,
                    salt=SALT,
                    sticky=Sticky((OWN,)),
                    balance="hash",
                    balance_key=(OWN,),
                )
                with one_worker(shop) as worker:
                    for _ in range(20):
                        first = await ask(worker.address)
                        again = await ask(worker.address, Cookie=issued(first.headers["set-cookie"]))
                        assert again.port == first.port
