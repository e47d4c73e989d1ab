"""Which breaker guards a version: that of the rollout which brings it, or that of its service.

Owns the rule between the two. Must not know what a breaker does (`proxy.breaker`).

1. The new version of a rollout is guarded by the breaker of the rollout, and compared with its old version. Its default
   is the breaker of the service, where that has one of its own (`config.load` fills that in). Which versions these are
   says whoever leads the rollout, as long as it is under way; a rollout may bring another version than the file names.
   Nobody has to lead the one of the file: it can be led by hand.
2. A rollout's breaker guards only while the old version has requests too. Once the new one has all of them, nobody is
   left to compare it with, and the endpoints of the old one may be gone.
3. Every other version is guarded by the breaker of the service, and compared with the stable version.
4. The stable version is never guarded: it is where requests go back to.
"""

from dataclasses import dataclass

from config.model import Config
from config.service import Breaker


@dataclass(frozen=True, slots=True)
class Brought:
    """A version that a rollout brings, the one that it replaces, and the breaker between them; None: it has none."""

    version: str
    reference: str
    breaker: Breaker | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """The breaker of one version, and the version that it is compared with."""

    rule: Breaker
    reference: str
    only_beside_reference: bool
    """Whether it rests while the reference has no requests of its own."""


def guard_of(config: Config, service: str, version: str, led: Brought | None = None) -> Guard | None:
    """The guard of a version of a service, None where it has none; `led` is what a rollout brings that is under way."""
    configured, rollout = config.services[service], config.rollouts.get(service)
    if version == configured.stable:
        return None
    written = Brought(rollout.to, rollout.from_, rollout.breaker) if rollout is not None else None
    for brought in (led, written):
        if brought is not None and version == brought.version:
            return Guard(brought.breaker, brought.reference, only_beside_reference=True) if brought.breaker else None
    return Guard(configured.breaker, configured.stable, only_beside_reference=False) if configured.breaker else None
