"""`user`: root starts the proxy, and its workers have no rights of root. Needs root."""

import os
import pwd
import signal
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.named_upstreams import named_upstreams
from tests.support.roots import require_root
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

OURS = Authority()
UID = pwd.getpwnam("nobody").pw_uid
GID = pwd.getpwnam("nobody").pw_gid


@pytest.fixture(autouse=True)
def _as_root() -> None:
    require_root()


def rights(pid: int) -> tuple[set[int], set[int], set[int], int]:
    """Every user and every group that a process is, also saved ones; its other groups, and its capabilities."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    said = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    users, groups, more = (set(map(int, said[name])) for name in ("Uid", "Gid", "Groups"))
    return users, groups, more, int(said["CapEff"][0], 16) | int(said["CapPrm"][0], 16)


def shown_serial(proxy: WholeProxy) -> str:
    pem = ssl.get_server_certificate(proxy.address, timeout=30)
    return pem.strip()


def test_workers_are_that_user_and_what_replaces_them_too(tmp_path: Path) -> None:
    OURS.write(tmp_path, "server", "localhost")
    (tmp_path / "server.key").chmod(0o600)
    listen = [{"address": "127.0.0.1:0", "tls": {"cert": "server.pem", "key": "server.key"}}]
    with (
        named_upstreams("v1") as where,
        whole_proxy(tmp_path, {"listen": listen, "user": "nobody", **a_service(where, {"v1": 1})}) as proxy,
    ):
        nobody = ({UID}, {GID}, {GID}, 0)
        assert [rights(pid) for pid in proxy.workers()] == [nobody, nobody]
        assert 0 in rights(proxy.program.pid)[0]

        before = proxy.workers()
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(now := proxy.workers()) == 2 and before[0] not in now and proxy.admin.is_well("/readyz"))
        wait_until(lambda: [rights(pid) for pid in proxy.workers()] == [nobody, nobody])

        first = shown_serial(proxy)
        OURS.write(tmp_path, "server", "localhost")
        (tmp_path / "server.key").chmod(0o600)
        proxy.admin.reload()
        assert shown_serial(proxy) != first
