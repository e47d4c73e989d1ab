"""The account of the workers: how it is found, what is said where it cannot be, and that it is for good."""

import grp
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from config.load import load
from config.problems import ConfigError
from proxy.account import Account, find_account, parse_account
from proxy.state import StateFolder
from proxy.supervisor import Supervisor
from tests.support.roots import require_root

NOBODY = pwd.getpwnam("nobody")
BECOME = """
import os, sys
from proxy.account import become, parse_account
become(parse_account(sys.argv[1]))
with open(f"/proc/self/fd/{os.memfd_create('x')}"):
    print(os.getresuid(), os.getresgid(), os.getgroups())
"""


def test_without_a_user_nothing_is_given_up() -> None:
    assert find_account(None, None) is None


def test_a_user_has_its_groups() -> None:
    require_root()
    account = find_account("nobody", None)

    assert account is not None
    assert (account.user, account.group) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert account.groups == tuple(sorted(os.getgrouplist("nobody", NOBODY.pw_gid)))
    assert find_account(str(NOBODY.pw_uid), None) == account


def test_a_group_may_be_another_one() -> None:
    require_root()
    other = next(each for each in grp.getgrall() if each.gr_gid not in (0, NOBODY.pw_gid))
    for name in (other.gr_name, str(other.gr_gid)):
        account = find_account("nobody", name)
        assert account is not None
        assert account.group == other.gr_gid
        assert other.gr_gid in account.groups


def test_the_superuser_is_no_other_one() -> None:
    require_root()
    assert find_account("root", None) is None


@pytest.mark.parametrize(
    ("user", "group", "sentence"),
    [
        ("no-such-user", None, "this machine has no user 'no-such-user'"),
        ("999999999", None, "this machine has no user '999999999'"),
        ("nobody", "no-such-group", "this machine has no group 'no-such-group'"),
    ],
)
def test_who_does_not_exist_is_named(user: str, group: str | None, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        find_account(user, group)


def test_who_is_not_root_can_be_nobody_else_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    monkeypatch.setattr(os, "getegid", lambda: NOBODY.pw_gid)
    assert find_account("nobody", None) is None
    with pytest.raises(ValueError, match="only root can be 'root': start the proxy as root, or as 'root' without"):
        find_account("root", None)


def test_an_account_is_read_as_it_was_written() -> None:
    account = Account(7, 8, (8, 9))
    assert parse_account(str(account)) == account


def test_whoever_became_another_one_stays_that_and_may_look_at_itself() -> None:
    """The latter is how certificates are given to OpenSSL."""
    require_root()
    account = Account(NOBODY.pw_uid, NOBODY.pw_gid, (NOBODY.pw_gid,))
    said = subprocess.run(
        [sys.executable, "-c", BECOME, str(account)], check=True, capture_output=True, text=True, timeout=30
    )
    uid, gid = NOBODY.pw_uid, NOBODY.pw_gid
    assert said.stdout == f"({uid}, {uid}, {uid}) ({gid}, {gid}, {gid}) [{gid}]\n"


def test_a_proxy_whose_workers_cannot_be_their_user_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "serinus.yaml"
    services = "services: {shop: {versions: {v1: {endpoints: ['127.0.0.1:1']}}}}"
    path.write_text(f"listen: [{{address: 127.0.0.1:0}}]\n{services}\nuser: no-such-user\n")
    state = StateFolder(tmp_path / "state")
    try:
        with pytest.raises(ConfigError, match="user: this machine has no user 'no-such-user'"):
            Supervisor(load(path), path, state)
    finally:
        state.close()
