"""What a proxy leaves to the one that takes over from it, beside its sockets: everything that a request could notice.

Owns the words in which that passes from one version of Serinus to another. Must not decide when it does.

1. The live state passes in the form of the file, so that a version refuses what it does not understand here as there.
2. What the other side does not know yet is left out by it; what it does not say is as at a start.

Units: seconds of CLOCK_MONOTONIC, which both processes share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from proxy.certificates import Material
from proxy.core.serving import EndpointHealth
from proxy.core.slots import EndpointName
from proxy.state import Saved, read_state, write_state


@dataclass(frozen=True, slots=True)
class _Endpoint:
    name: EndpointName
    health: EndpointHealth


@dataclass(frozen=True, slots=True)
class _Words:
    state: str
    ticket_keys: str = ""
    ticket_keys_at: float = 0.0
    endpoints: tuple[_Endpoint, ...] = ()


_WORDS = TypeAdapter(_Words)


@dataclass(frozen=True, slots=True)
class Legacy:
    """The live state, what is known of the endpoints, and the keys of TLS sessions. Without a state: it is on disk."""

    saved: Saved | None = None
    endpoints: Mapping[EndpointName, EndpointHealth] = field(default_factory=dict)
    material: Material | None = None

    def write(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        assert self.saved is not None
        material = self.material or Material()
        known = tuple(_Endpoint(name, health) for name, health in self.endpoints.items())
        state = write_state(self.saved).decode("ascii")
        return asdict(_Words(state, material.ticket_keys.hex(), material.ticket_keys_at, known))


def read_legacy(words: object) -> Legacy:
    """What `write` wrote, in this version or another one. Raises ValueError with the end of a sentence."""
    read = _WORDS.validate_python(words)
    material = Material(ticket_keys=bytes.fromhex(read.ticket_keys), ticket_keys_at=read.ticket_keys_at)
    return Legacy(read_state(read.state.encode("ascii")), {each.name: each.health for each in read.endpoints}, material)
