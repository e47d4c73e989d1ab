"""Who gets in: the token, the rate of wrong tokens, and pages of other sites in a browser.

Owns the decision. Must not know what is asked, except whether the call is open to everybody.

1. Only digests are compared, each with all tokens and in constant time; a token never stands in a log or an answer.
2. After ten wrong tokens from one address within ten seconds, further ones get 429. Ten *different* ones are somebody
   guessing: then the right one gets 429 as well, or a guess would still tell. A program that repeats an old token locks
   nobody out of the same address.
3. Without a token the API answers on local addresses only, whatever a reload says.
4. A browser sends Origin with what a page of another site makes it send, and a Host which that site chose (DNS
   rebinding): neither gets in. RFC 6454 §7.3.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from config.address import ListenAddress, TcpAddress
from config.admin import Admin, Role
from webapi.problem import Denied, escaped, log
from webapi.roles import CALLER, NOBODY, Caller, caller_with, digest_of, local_caller

WRONG_TOKENS: Final = 10
WINDOW_SECONDS: Final = 10.0
_ADDRESSES: Final = 1024  # remembered; the one that has been quiet for longest goes first
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(slots=True)
class _Failures:
    """The wrong tokens from one address."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=WRONG_TOKENS))
    digests: dict[bytes, float] = field(default_factory=dict)  # each with its first use; at most WRONG_TOKENS

    def forget_before(self, instant: float) -> None:
        while self.times and self.times[0] <= instant:
            self.times.popleft()
        self.digests = {digest: first for digest, first in self.digests.items() if first > instant}


class WrongTokens:
    """The wrong tokens of late, by address. Units: `now` is seconds of any steady clock."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()

    def is_guessing(self, address: str, now: float) -> bool:
        """Whether so many different tokens came from an address that even the right one proves nothing."""
        failures = self._recent(address, now)
        return failures is not None and len(failures.digests) >= WRONG_TOKENS

    def note(self, address: str, digest: bytes, now: float) -> None:
        """Remember a wrong token."""
        failures = self._recent(address, now) or self._by_address.setdefault(address, _Failures())
        self._by_address.move_to_end(address)
        if len(self._by_address) > _ADDRESSES:
            self._by_address.popitem(last=False)
        failures.times.append(now)
        if len(failures.digests) < WRONG_TOKENS:
            failures.digests.setdefault(digest, now)

    def wait(self, address: str, now: float) -> int:
        """Seconds until another wrong token gets a plain 401 again; 0: it would now."""
        failures = self._recent(address, now)
        if failures is None or len(failures.times) < WRONG_TOKENS:
            return 0
        return max(1, math.ceil(failures.times[0] + WINDOW_SECONDS - now))

    def _recent(self, address: str, now: float) -> _Failures | None:
        failures = self._by_address.get(address)
        if failures is not None:
            failures.forget_before(now - WINDOW_SECONDS)
        return failures


class Gate:
    """Lets a request in and says who has sent it, or raises Denied (401, 403, 429)."""

    def __init__(self, address: ListenAddress) -> None:
        self._address = address
        self._wrong = WrongTokens()

    def check(self, request: web.Request, admin: Admin, *, is_open: bool) -> None:
        """Check a request against the configuration of now; `is_open` calls need no token. Sets `CALLER`.

        Raises:
            Denied: it does not get in.
        """
        _check_origin(request)
        request[CALLER] = NOBODY if is_open else self._caller(request, admin)

    def _caller(self, request: web.Request, admin: Admin) -> Caller:
        if admin.needs_token:
            return self._owner(request, admin)
        if not self._address.is_local:
            raise Denied(403, "This address is not local, so a token is needed, and the file has none any more")
        self._check_host(request)
        return local_caller()

    def _owner(self, request: web.Request, admin: Admin) -> Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("A token is needed: Authorization: Bearer TOKEN", "")
        address, now, digest = request.remote or "unix", time.monotonic(), digest_of(token.strip())
        caller = caller_with(digest, admin)
        if caller is not None and not self._wrong.is_guessing(address, now):
            return caller
        wait = self._wrong.wait(address, now)
        self._wrong.note(address, digest, now)
        if wait:
            sentence = f"Too many wrong tokens; try again in {wait} s"
            raise Denied(429, sentence, headers={"Retry-After": str(wait)})
        log.warning("wrong token from %s for %s %s", escaped(address), request.method, escaped(request.path))
        raise _unauthorized("There is no such token", ', error="invalid_token"')

    def _check_host(self, request: web.Request) -> None:
        host = request.headers.get("Host")
        if host is None or not isinstance(self._address, TcpAddress):
            return
        name = _split(f"http://{host}")[1]
        if not TcpAddress(name, 0).is_local:
            raise Denied(403, "Without a token this API answers to localhost, 127.0.0.1 and [::1] only, as Host")


def require_token(admin: Admin, section: str) -> None:
    """Refuse to start where everybody could change everything; `section` is that of the file. Raises ValueError."""
    if not (admin.needs_token or admin.address.is_local):
        raise ValueError(f"{section}.address {admin.address} is not local: set {section}.token or {section}.token_file")


def check_role(request: web.Request, name: str, needed: Role) -> None:
    """Whether a request that was let in may also do what it asks for; `name` is that of the call.

    Raises:
        Denied: 403, with the role that it needs.
    """
    caller = request[CALLER]
    if caller.may(needed):
        return
    log.warning("%s has the role %s and asked for %s, which needs %s", caller.name, caller.role, name, needed)
    # RFC 6750 §3.1
    challenge = f'Bearer realm="serinus", error="insufficient_scope", scope="{needed}"'
    sentence = f"{name} needs the role {needed}; the token {caller.name} has the role {caller.role}"
    raise Denied(403, sentence, headers={"WWW-Authenticate": challenge})


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is None:
        return
    parts = _split(origin)
    default = _DEFAULT_PORTS.get(parts[0], 0)
    own = _split(f"{parts[0]}://{request.headers.get('Host', '')}")
    if not parts[1] or (parts[1], parts[2] or default) != (own[1], own[2] or default):
        raise Denied(
            403, "Pages of other sites have no access: Origin has to be this API's own host and port, or absent"
        )


def _split(origin: str) -> tuple[str, str, int]:
    """Scheme, host and port; empty and 0 where there is none."""
    try:
        parts = urlsplit(origin)
        return parts.scheme, parts.hostname or "", parts.port or 0
    except ValueError:
        return "", "", 0


def _unauthorized(sentence: str, parameter: str) -> Denied:
    # RFC 6750 §3: the error code is for requests that brought a token.
    return Denied(401, sentence, headers={"WWW-Authenticate": f'Bearer realm="serinus"{parameter}'})
