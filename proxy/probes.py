"""One probe of one endpoint: an HTTP request or a TCP connection, and what came of it in words.

Owns the smallest client that can tell well from unwell. Must not decide what follows from a probe.

1. A probe is a connection of its own, closed at the end, and is over within its timeout.
2. It says what was tried and what came back, so that nobody has to try it by hand.
3. What fails because of ourselves (no descriptors, no ports, no memory) tells nothing about the endpoint.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from config.model import Health
from config.units import render_duration
from proxy.core.snapshot import ClientTls, SocketAddress
from proxy.wire.contexts import client_context, host_of

#: Enough to recognize an error page.
_SHOWN: Final = 120
_BODY_WAIT: Final = 0.1
_MAX_LINE: Final = 16 * 1024
# RFC 9112 section 4; a missing reason phrase is common.
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of a probe: `good` is None when it tells nothing, and `answered` when the endpoint itself said so."""

    good: bool | None
    detail: str
    answered: bool = False


class _Secure(NamedTuple):
    """How asyncio is told to speak TLS."""

    ssl: ssl.SSLContext
    server_hostname: str


class _Unwell(Exception):
    """What came back is not what was wanted."""


async def probe(health: Health, address: str, sockets: Sequence[SocketAddress], tls: ClientTls | None = None) -> Probed:
    """Try the addresses of an endpoint in turn until one accepts; what it does then is the result."""
    tried = _words(health, address, "https" if tls is not None else "http")
    try:
        async with asyncio.timeout(health.timeout):
            detail = await _attempt(health, address, sockets, _secure(address, tls))
    except TimeoutError:
        return Probed(False, f"{tried}: no answer within {render_duration(health.timeout)}")
    except _Unwell as exc:
        return Probed(False, f"{tried}: {exc}", answered=True)
    except ssl.SSLError as exc:
        return Probed(False, f"{tried}: no TLS connection: {exc}", answered=True)
    except OSError as exc:
        return Probed(None if exc.errno in _OURS else False, f"{tried}: {_reason(exc)}")
    return Probed(True, f"{tried}: {detail}", answered=True)


def _secure(address: str, tls: ClientTls | None) -> _Secure | None:
    return _Secure(client_context(tls), tls.server_name or host_of(address)) if tls is not None else None


def _words(health: Health, address: str, scheme: str) -> str:
    if health.path is None:
        return f"connect to {address}"
    return (
        f"GET {health.path} at {address}" if address.startswith("unix:") else f"GET {scheme}://{address}{health.path}"
    )


async def _attempt(health: Health, address: str, sockets: Sequence[SocketAddress], secure: _Secure | None) -> str:
    reader, writer = await _connect(sockets, health.timeout, secure)
    try:
        if health.path is None:
            return "accepted"
        host = health.host or ("localhost" if address.startswith("unix:") else address)
        writer.write(
            f"GET {health.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: serinus-health\r\nAccept: */*\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        return await _read_answer(health, reader)
    finally:
        # There is nothing to wait for: an answer has been read as far as it matters.
        writer.transport.abort()


async def _connect(
    sockets: Sequence[SocketAddress], timeout: float, secure: _Secure | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The first connection that is accepted. Raises what the last address answered."""
    failure: OSError = OSError("it has no address")
    for kind, host, port in sockets:
        try:
            async with asyncio.timeout(timeout / len(sockets)):
                tls = secure._asdict() if secure is not None else {}
                if kind == "unix":
                    return await asyncio.open_unix_connection(host, limit=_MAX_LINE, **tls)
                return await asyncio.open_connection(host, port, limit=_MAX_LINE, **tls)
        except OSError as exc:
            failure = exc
    raise failure


async def _read_answer(health: Health, reader: asyncio.StreamReader) -> str:
    """The status as people write it. Raises _Unwell when it is none, or not one that is wanted."""
    while True:
        line = await _line(reader)
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise _Unwell(f"not an HTTP/1.1 answer: {_quoted(line)}" if line else "closed without an answer")
        status = int(match[1])
        if status >= 200:
            break
        await _head(reader)  # RFC 9110 section 15.2: an interim answer, the final one follows
    answer = f"{status} {(match[2] or b'').decode('latin-1')}".strip()[:_SHOWN]
    if any(status in wanted for wanted in health.expect):
        return answer
    wanted = ", ".join(str(statuses) for statuses in health.expect)
    raise _Unwell(f"{answer}, wanted {wanted}{await _beginning_of_body(reader)}")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as exc:
        return exc.partial
    except asyncio.LimitOverrunError:
        return await reader.read(_SHOWN)


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The rest of a head, without its last line."""
    head = b""
    while (line := await _line(reader)).strip() and len(head) < _MAX_LINE:
        head += line
    return head


async def _beginning_of_body(reader: asyncio.StreamReader) -> str:
    """What an unwell answer says, as far as it comes soon: the status is known already."""
    try:
        async with asyncio.timeout(_BODY_WAIT):
            head = await _head(reader)
            if re.search(rb"^transfer-encoding:.*chunked", head, re.IGNORECASE | re.MULTILINE):
                await _line(reader)
            body = await reader.read(_SHOWN)
    except OSError:
        return ""
    return f": {_quoted(body)}" if body else ""


def _quoted(text: bytes) -> str:
    return ascii(" ".join(text.decode("utf-8", "replace").split())[:_SHOWN])


def _reason(exc: OSError) -> str:
    if exc.errno is None or exc.errno not in errno.errorcode:
        return str(exc)
    return f"{os.strerror(exc.errno)} ({errno.errorcode[exc.errno]})"
