"""Certificates: read from their files, and read again when these change.

Owns what the workers' TLS is made of. Must not speak TLS or decide when workers take something new up (`supervisor`).

Rules:
1. Only what is whole is used: both halves of a pair match, else what was read before stays, and the log says why.
2. Keys live in memory, here and in the workers, and nowhere else.
3. Session tickets of one proxy are sealed with keys that all its workers share and that change once a day.

Units: seconds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from config.model import Config, Listener
from config.tls import Certificate as CertificateFiles
from config.tls import Pair, Tls, UpstreamTls, read_authorities, read_pair
from config.units import render_duration
from proxy.core.snapshot import Certificate, ClientTls, ServerTls
from proxy.wire.contexts import TICKET_KEYS_SIZE

#: From one look at the files to the next.
LOOK: Final = 2.0
TICKET_DAYS: Final = 1.0
#: Before its end, a certificate is warned of.
WARN_DAYS: Final = 14.0
DAY: Final = 86400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Material:
    """What the workers' TLS is made of: for each listener, and for the endpoints of versions."""

    listeners: tuple[ServerTls | None, ...] = ()
    upstreams: Mapping[tuple[str, str], ClientTls] = field(default_factory=dict)
    ticket_keys: bytes = field(default=b"", repr=False)
    ticket_keys_at: float = 0.0  # CLOCK_MONOTONIC

    def upstream(self, service: str, version: str) -> ClientTls | None:
        """How the endpoints of a version are spoken to; None: without TLS."""
        return self.upstreams.get((service, version))

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """Those that clients are shown."""
        return tuple(certificate for tls in self.listeners if tls is not None for certificate in tls.certificates)


def listeners_of(at_start: Sequence[Listener], now: Config) -> list[Listener]:
    """The listeners that are open, with their TLS as the file says now; what needs a restart is as it was."""
    current = {listener.address: listener for listener in now.listen}
    asked = [current.get(listener.address, listener) for listener in at_start]
    return [new if (new.tls is None) == (old.tls is None) else old for old, new in zip(at_start, asked, strict=True)]


def read_material(listeners: Sequence[Listener], config: Config, before: Material | None = None) -> Material:
    """Read the files that the configuration names. Raises ValueError, with a whole sentence."""
    now = time.monotonic()
    tls = tuple(_server(listener.tls) if listener.tls is not None else None for listener in listeners)
    upstreams = {
        (service_name, name): _client(version.tls)
        for service_name, service in config.services.items()
        for name, version in service.versions.items()
        if version.tls is not None
    }
    keys, keys_at = (before.ticket_keys, before.ticket_keys_at) if before is not None else (b"", 0.0)
    if any(tls) and (not keys or now - keys_at > TICKET_DAYS * DAY):
        keys, keys_at = os.urandom(TICKET_KEYS_SIZE), now
    return Material(tls, upstreams, keys, keys_at)


def expiring(material: Material, now: float) -> list[str]:
    """A sentence for each certificate that ends soon; `now` in seconds since 1970."""
    return [
        f"the certificate of {', '.join(certificate.names) or 'no name'} {_ends(certificate.not_after - now)}"
        for certificate in material.certificates
        if certificate.not_after - now < WARN_DAYS * DAY
    ]


class Supervisor(Protocol):
    """What this needs of the supervisor."""

    @property
    def material(self) -> Material:
        """What is in use."""

    @property
    def tls_files(self) -> tuple[Sequence[Listener], Config]:
        """Where the files are named."""

    async def renew(self, material: Material) -> None:
        """Let the workers use this from now on."""


class Renewal:
    """Looks at the files, and renews what is in use."""

    def __init__(self, supervisor: Supervisor, look: float = LOOK) -> None:
        self._supervisor = supervisor
        self._look = look
        self._seen: object = None
        self._warned_at = 0.0

    async def run(self) -> None:
        """Look until it is cancelled."""
        while True:
            self._warn()
            await asyncio.sleep(self._look)
            await self._renew()

    def _warn(self) -> None:
        if time.time() - self._warned_at > DAY:
            self._warned_at = time.time()
            for sentence in expiring(self._supervisor.material, self._warned_at):
                _log.warning("%s", sentence)

    async def _renew(self) -> None:
        listeners, config = self._supervisor.tls_files
        paths = sorted(_paths(listeners, config))
        state = [*map(_stamp, paths)], int(time.monotonic() / (TICKET_DAYS * DAY))
        if not paths or state == self._seen:
            return
        try:
            material = await asyncio.to_thread(read_material, listeners, config, self._supervisor.material)
        except ValueError as exc:
            _log.error("certificates are not renewed, the old ones stay: %s", exc)
        else:
            if material != self._supervisor.material:
                await self._supervisor.renew(material)
                self._warned_at = 0.0
        self._seen = state


def _server(tls: Tls) -> ServerTls:
    return ServerTls(
        certificates=tuple(_certificate(read_pair(each.cert, each.key)) for each in (tls, *tls.more)),
        client_ca=read_authorities(tls.client_ca) if tls.client_ca is not None else b"",
        client_required=tls.client_auth == "required",
        min_version=tls.min_version,
        ciphers=tls.ciphers or "",
        strict_sni=tls.strict_sni,
        client_headers=tls.client_headers.named,
    )


def _client(tls: UpstreamTls) -> ClientTls:
    own = read_pair(tls.cert, tls.key) if tls.cert is not None and tls.key is not None else None
    return ClientTls(
        verify=tls.verify,
        ca=read_authorities(tls.ca) if tls.ca is not None else b"",
        server_name=tls.server_name or "",
        certificate=_certificate(own) if own is not None else None,
    )


def _certificate(pair: Pair) -> Certificate:
    return Certificate(pair.chain, pair.key, pair.names, pair.not_after)


def _paths(listeners: Sequence[Listener], config: Config) -> set[Path]:
    found: set[Path | None] = set()
    for listener in listeners:
        if listener.tls is not None:
            found.add(listener.tls.client_ca)
            pairs: tuple[CertificateFiles, ...] = (listener.tls, *listener.tls.more)
            for pair in pairs:
                found |= {pair.cert, pair.key}
    for service in config.services.values():
        for version in service.versions.values():
            if version.tls is not None:
                found |= {version.tls.ca, version.tls.cert, version.tls.key}
    return {path for path in found if path is not None}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _ends(seconds: float) -> str:
    if seconds < 0:
        return "has expired: clients refuse it"
    return f"expires in {render_duration(math.ceil(seconds / 3600) * 3600)}"
