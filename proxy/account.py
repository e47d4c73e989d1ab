"""Whose rights the workers have: the account that `user` and `group` name.

Owns finding the account and becoming it. Must not decide who does: that is `proxy.supervisor` for the workers.

Rules:
1. Rights are given up for good: all ids at once, groups too, and it is tried whether they come back.
2. What needs more is not theirs: the supervisor, which keeps its rights, listens on sockets and reads keys.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
from dataclasses import dataclass
from typing import Final

_SET_DUMPABLE: Final = 4  # PR_SET_DUMPABLE of prctl(2)


@dataclass(frozen=True, slots=True)
class Account:
    """A user with its groups, by number."""

    user: int
    group: int
    groups: tuple[int, ...]

    def __str__(self) -> str:
        """As `parse_account` reads it."""
        return f"{self.user}:{self.group}:{','.join(map(str, self.groups))}"


def find_account(user: str | None, group: str | None) -> Account | None:
    """The account to become; None where nothing is to be given up. Raises ValueError with a whole sentence."""
    if user is None:
        return None
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        group_id = entry.pw_gid if group is None else _group(group)
    except KeyError as exc:
        raise ValueError(f"this machine has no user {user!r}") from exc
    found = Account(entry.pw_uid, group_id, tuple(sorted(os.getgrouplist(entry.pw_name, group_id))))
    if os.geteuid() == 0:
        return found if found.user else None
    if (found.user, found.group) == (os.geteuid(), os.getegid()):
        return None
    raise ValueError(f"only root can be {user!r}: start the proxy as root, or as {user!r} without this option")


def _group(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError as exc:
        raise ValueError(f"this machine has no group {name!r}") from exc


def parse_account(text: str) -> Account:
    """The account that `str` wrote."""
    user, group, groups = text.split(":")
    return Account(int(user), int(group), tuple(map(int, groups.split(","))))


def become(account: Account) -> None:
    """Be this account and nobody else from now on. Raises OSError: this process may not."""
    os.setgroups(account.groups)
    os.setresgid(account.group, account.group, account.group)
    os.setresuid(account.user, account.user, account.user)
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        # Linux closes /proc/self to a process that changed its user; certificates are given to OpenSSL by a path there.
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 1, 0, 0, 0)
        return
    raise PermissionError("the rights that were given up came back")
