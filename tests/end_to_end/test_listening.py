"""Where the proxy listens: inherited descriptors, unix sockets, and the addresses that it refuses."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.endpoints import Endpoint
from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import a_service, failed_start, whole_proxy

SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execvpe(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_PID": str(os.getpid())})
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def tree() -> Iterator[dict[str, Any]]:
    with named_upstreams("v1") as places:
        yield a_service(places, {"v1": 1})


@pytest.fixture
def passed() -> Iterator[socket.socket]:
    """A listening socket that is ours, as it would be systemd's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def as_descriptor_3(passed: socket.socket, **environ: str) -> dict[str, Any]:
    """How to start the proxy with the socket as its descriptor 3, as systemd does."""
    starter = [sys.executable, "-c", SYSTEMD, str(passed.fileno())]
    return {"starter": starter, "pass_fds": [passed.fileno()], "environ": environ}


def connect(passed: socket.socket) -> socket.socket:
    """A client that has asked already."""
    client = socket.create_connection(passed.getsockname(), timeout=30)
    client.sendall(REQUEST)
    return client


def answer(client: socket.socket) -> str:
    with client, client.makefile("rb") as received:
        head, _, body = received.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    return body.decode()


# --- inherited --------------------------------------------------------------------------------------------------------


def test_it_serves_on_a_descriptor_that_it_inherits(tree: dict[str, Any], tmp_path: Path, passed: socket.socket):
    with whole_proxy(tmp_path, {**tree, "listen": [{"address": "fd@3"}]}, **as_descriptor_3(passed)) as proxy:
        assert [answer(connect(passed)) for _ in range(20)] == ["v1"] * 20
        assert f"listening on fd@3 (127.0.0.1:{passed.getsockname()[1]})" in proxy.log


def test_it_knows_by_their_names_the_descriptors_that_systemd_passes(
    tree: dict[str, Any], tmp_path: Path, passed: socket.socket
):
    as_systemd = as_descriptor_3(passed, LISTEN_FDS="1", LISTEN_FDNAMES="web")
    with whole_proxy(tmp_path, {**tree, "listen": [{"address": "fd@3"}]}, **as_systemd) as proxy:
        assert answer(connect(passed)) == "v1"
        assert "listening on fd@3 (web, 127.0.0.1:" in proxy.log


def test_clients_of_an_inherited_socket_wait_while_no_proxy_runs(
    tree: dict[str, Any], tmp_path: Path, passed: socket.socket
):
    for _ in range(2):
        waiting = [connect(passed) for _ in range(4)]
        with whole_proxy(tmp_path, {**tree, "listen": [{"address": "fd@3"}]}, **as_descriptor_3(passed)):
            assert [answer(client) for client in waiting] == ["v1"] * 4


def test_a_descriptor_that_was_not_passed_is_refused(tree: dict[str, Any], tmp_path: Path):
    code, words = failed_start(tmp_path, {**tree, "listen": [{"address": "fd@7"}]})
    assert (code, words) == (
        1,
        "serinus: fd@7: no socket with this number was passed to the proxy; passed by systemd: none\n",
    )


# --- unix sockets -----------------------------------------------------------------------------------------------------


async def test_clients_upstreams_and_the_admin_api_may_use_unix_sockets(tmp_path: Path):
    clients, admin = tmp_path / "clients", tmp_path / "admin"
    sockets = {"listen": [{"address": f"unix:{clients}"}], "admin": {"address": f"unix:{admin}"}}
    async with Endpoint().serving(tmp_path / "upstream") as upstream:
        tree = a_service({"v1": upstream.address}, {"v1": 1})
        with whole_proxy(tmp_path, {**tree, **sockets}) as proxy:
            for _ in range(8):
                reader, writer = await asyncio.open_unix_connection(clients)
                writer.write(REQUEST)
                assert (await reader.read()).endswith(b"\r\n\r\nok")
                writer.close()
                await writer.wait_closed()
            assert proxy.serinus("status")[0] == 0
    assert (clients.exists(), admin.exists()) == (False, False)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9900"])
def test_an_admin_address_that_others_can_reach_is_refused_without_a_token(
    tree: dict[str, Any], tmp_path: Path, address: str
):
    code, words = failed_start(tmp_path, {**tree, "admin": {"address": address}})
    assert (code, words.partition("serinus.yaml:")[2]) == (
        2,
        f"4:3: admin: others can reach {address}, so a token is needed: set token_file, or listen on 127.0.0.1\n",
    )


def test_with_a_token_every_call_of_the_admin_api_needs_it(tree: dict[str, Any], tmp_path: Path):
    (tmp_path / "token").write_text("swordfish\n")
    admin = {"address": "127.0.0.1:0", "token_file": "token"}
    with whole_proxy(tmp_path, {**tree, "admin": admin}) as proxy:
        code, words = proxy.serinus("activate", "shop", "v1")
        assert (code, "Set --token or SERINUS_TOKEN" in words) == (1, True), words
        assert proxy.serinus("activate", "shop", "v1", "--token", "wrong")[0] == 1
        assert proxy.serinus("activate", "shop", "v1", "--token", "swordfish")[0] == 0


def test_an_address_that_is_taken_is_refused(tree: dict[str, Any], tmp_path: Path):
    with whole_proxy(tmp_path, tree) as proxy:
        taken = f"127.0.0.1:{proxy.address[1]}"
        code, words = failed_start(tmp_path, {**tree, "listen": [{"address": taken}], "state_dir": "other"})
        assert (code, words) == (
            1,
            f"serinus: {taken}: another process listens there already; `ss -ltnpx` says which one\n",
        )
        assert proxy.ask() == (200, "v1")
