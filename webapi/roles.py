"""Who calls, and what each may do.

Owns the order of the roles and the names that a caller may not take. Must not know a call.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from aiohttp import web

from config.admin import OWN_NAMES, ROLES, Admin, Role

ROLES_IN_WORDS: Final[Mapping[Role, str]] = {
    "read": "looks",
    "operate": "leads traffic and rollouts",
    "admin": "does everything",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `name` is that of the token, and empty for the token that has none and where no token is needed."""

    name: str
    role: Role
    #: What nobody but their owners may call themselves, in lower case.
    taken: frozenset[str] = field(default=OWN_NAMES, repr=False)

    def may(self, needed: Role) -> bool:
        """Whether this role is enough."""
        return ROLES.index(self.role) >= ROLES.index(needed)


#: Who has sent a request that was let in.
CALLER: Final = web.RequestKey("caller", Caller)

NOBODY: Final = Caller("", "read")
"""A call that is open to everybody."""


def local_caller() -> Caller:
    """Whoever reaches an API that needs no token."""
    return Caller("", "admin")


def caller_with(digest: bytes, admin: Admin) -> Caller | None:
    """The owner of a token. Every token is compared, in constant time, so that the time says nothing."""
    taken = OWN_NAMES | {token.name.casefold() for token in admin.tokens}
    found: Caller | None = None
    if admin.token is not None and hmac.compare_digest(digest, digest_of(admin.token.get_secret_value())):
        found = Caller("", "admin", taken)
    for each in admin.tokens:
        assert each.token is not None, "a loaded file has read its tokens"
        if hmac.compare_digest(digest, digest_of(each.token.get_secret_value())):
            found = Caller(each.name, each.role, taken)
    return found


def digest_of(token: str) -> bytes:
    """What of a token is compared and remembered."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
