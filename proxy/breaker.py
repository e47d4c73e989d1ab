"""The breaker: takes a version whose requests fail out of the split within a second, without any controller.

Owns the samples of the counters and the step that follows. The rule itself is `proxy.core.breaking`.

1. It follows the versions that have a guard (`config.guard`) while they have weight in a split. A version with weight 0
   and a service in pool mode have nothing that could be taken: it does not switch pools.
2. What it has taken stays out until somebody sets the weights again. Then it counts from nothing.
3. The reference is what the guard names. Without a usable endpoint of it, nothing is taken: there is nowhere to go.
4. What a worker counted before it died stays counted, and what it left unfinished is no failure.
5. Its weight is taken away; where no other version has any, the reference gets it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from config.guard import Guard, guard_of
from proxy.core.attempts import Counts
from proxy.core.blame import Blame
from proxy.core.breaking import LastAttempts, Trip
from proxy.core.live import Change, Live, LiveEndpoint, LiveService, Refused, set_split
from proxy.core.outcome import Outcome
from proxy.core.serving import EndpointHealth
from proxy.core.slots import Slots
from proxy.wire.counters import Slab

#: What fails between two looks, and until the change is made, reaches clients: at 25 requests a second that all fail,
#: one or two. A look at a version that had no requests costs next to nothing.
PERIOD: Final = 0.05
RETRY_PAUSE: Final = 1.0  # after a refusal
BY: Final = "breaker"

_FAILURES: Final = tuple(outcome for outcome in Outcome if outcome.is_failure)
_log = logging.getLogger(__name__)

VersionName = tuple[str, str]


class Events(Protocol):
    """Where it is said that a breaker has opened."""

    def publish(self, kind: str, **fields: Any) -> object:
        """Tell everybody who listens."""


class Supervisor(Protocol):
    """What this needs of the supervisor."""

    @property
    def live(self) -> Live:
        """The services, versions and weights of now."""

    @property
    def slots(self) -> Slots:
        """Where they are counted."""

    @property
    def slabs(self) -> Sequence[Slab]:
        """The counters of each worker."""

    @property
    def events(self) -> Events:
        """Everything that happens."""

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        """What is known of an endpoint."""

    async def change(self, step: Callable[[Live], Live]) -> Live:
        """Take a step on the live state; returns when every worker serves what came of it. Raises Refused."""


Pulses = Sequence[tuple[int, int, int, int]]


class Tally:
    """What the attempts of a version have come to since the last look, however often its counters start again."""

    def __init__(self) -> None:
        self._seen: tuple[Pulses, tuple[LiveEndpoint, ...]] | None = None
        self._last: dict[int, Counts] = {}

    def is_quiet(self, pulses: Pulses, endpoints: tuple[LiveEndpoint, ...]) -> bool:
        """Whether nothing has begun or ended since this was asked last: then there is nothing to read."""
        before, self._seen = self._seen, (pulses, endpoints)
        return before == self._seen

    def since_last(self, now: Mapping[int, Counts]) -> Counts:
        """The sum of what each slot has counted more. A slot that is new, or starts again, begins with nothing."""
        total = Counts()
        for slot, counts in now.items():
            last = self._last.get(slot)
            if last is not None and counts.attempts >= last.attempts and counts.failures >= last.failures:
                total += counts - last
        self._last = dict(now)
        return total


class _Followed:
    """One version under guard: its last attempts, and the looks at its own and at the reference's counters."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        rule = guard.rule
        self.attempts = LastAttempts(rule.window, rule.fails, Blame() if guard.only_beside_reference else None)
        self.own = Tally()
        self.reference = Tally()


class Breaker:
    """Looks at the counters and takes failing versions out, for ever."""

    def __init__(self, supervisor: Supervisor, clock: Callable[[], float] = time.time) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._followed: dict[VersionName, _Followed] = {}
        self._opening: dict[VersionName, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look twenty times a second. A change that takes its time holds up nobody but its own version."""
        try:
            while True:
                self.look()
                await asyncio.sleep(PERIOD)
        finally:
            for task in self._opening.values():
                task.cancel()

    def look(self) -> None:
        """Count what has ended since the last look, and begin to take out what fails."""
        live = self._supervisor.live
        old, self._followed = self._followed, {}
        for service, version, guard in _guarded(live):
            followed = old.get((service, version))
            if followed is None or followed.guard != guard:
                followed = _Followed(guard)
            self._followed[service, version] = followed
            trip = self._count(followed, service, version)
            if trip and (service, version) not in self._opening and self._is_usable(service, guard.reference):
                self._begin_to_open(service, version, guard.reference, trip)

    def _count(self, followed: _Followed, service: str, version: str) -> Trip | None:
        own = self._ended(followed.own, service, version)
        reference = followed.guard.reference
        weights = self._supervisor.live.services[service].weights
        share = weights[version] / (weights[version] + weights[reference])
        return followed.attempts.add(own, self._ended(followed.reference, service, reference), share)

    def _ended(self, tally: Tally, service: str, version: str) -> Counts:
        slot = self._supervisor.slots.version(service, version)
        endpoints = self._supervisor.live.services[service].versions[version]
        pulses = [slab.read_pulse(slot) for slab in self._supervisor.slabs]
        if tally.is_quiet(pulses, endpoints):
            return Counts()
        # Those that found no endpoint were at none: slot 0.
        unavailable = sum(pulse[3] for pulse in pulses)
        counts = {0: Counts(unavailable, unavailable)}
        for endpoint in endpoints:
            slot = self._supervisor.slots.endpoint(service, version, endpoint.address)
            counts[slot] = self._counts_at(slot)
        return tally.since_last(counts)

    def _counts_at(self, slot: int) -> Counts:
        """What all attempts at one endpoint have come to."""
        of_workers = (slab.read_endpoint(slot)["outcomes"] for slab in self._supervisor.slabs)
        outcomes = [sum(column) for column in zip(*of_workers, strict=True)]
        failures = sum(outcomes[outcome] for outcome in _FAILURES)
        return Counts(failures + outcomes[Outcome.OK] + outcomes[Outcome.FOUR_XX], failures)

    def _is_usable(self, service: str, reference: str) -> bool:
        """Whether the reference could take over."""
        return any(
            endpoint.state == "up" and health.healthy and health.sockets
            for endpoint in self._supervisor.live.services[service].versions[reference]
            for health in (self._supervisor.health_of(service, reference, endpoint.address),)
        )

    def _begin_to_open(self, service: str, version: str, reference: str, trip: Trip) -> None:
        name = service, version
        opening = self._open(service, version, reference, trip)
        task = self._opening[name] = asyncio.create_task(opening, name=f"breaker of {name}")
        task.add_done_callback(lambda _: self._opening.pop(name))

    async def _open(self, service: str, version: str, reference: str, trip: Trip) -> None:
        reason = f"breaker: {trip.reason}"
        change = Change(BY, reason, self._clock())
        try:
            await self._supervisor.change(lambda live: taken_out(live, service, version, reference, change))
        except Refused as refused:
            # Somebody was faster, and the version or its weight is gone; or the change cannot be made now; or it is in
            # force, and a worker that is being replaced has not confirmed it yet.
            _log.warning("taking %s/%s out (%s): %s", service, version, reason, refused)
            if not self._is_out(service, reason):
                await asyncio.sleep(RETRY_PAUSE)
                return
        self._tell(service, version, reason, trip)

    def _is_out(self, service: str, reason: str) -> bool:
        current = self._supervisor.live.services.get(service)
        return current is not None and (current.last_change.by, current.last_change.reason) == (BY, reason)

    def _tell(self, service: str, version: str, reason: str, trip: Trip) -> None:
        _log.warning("took %s/%s out: %s", service, version, reason)
        self._supervisor.events.publish(
            BY, service=service, version=version, reason=reason,
            attempts=trip.version.attempts, failures=trip.version.failures,
            stable_attempts=trip.reference.attempts, stable_failures=trip.reference.failures,
        )  # fmt: skip


def _guarded(live: Live) -> Iterator[tuple[str, str, Guard]]:
    """The versions that a breaker could take something from, each with its guard."""
    for name, service in live.services.items():
        if service.active is not None:
            continue
        led = service.lease.brings if service.lease is not None else None
        for version, weight in service.weights.items():
            guard = guard_of(live.config, name, version, led) if weight > 0 else None
            # A reload may have taken the reference of a rollout that is led: then there is nowhere to go.
            beside = service.weights.get(guard.reference) if guard else None
            if guard and beside is not None and (beside > 0 or not guard.only_beside_reference):
                yield name, version, guard


def taken_out(live: Live, service: str, version: str, reference: str, change: Change) -> Live:
    """The live state in which a version has no weight any more; `reference` gets it where nobody else has any.

    Raises:
        Refused: 404 for an unknown service, 409 when the version has nothing that could be taken.
    """
    current = live.service(service)
    if current.active is not None or not current.weights.get(version, 0.0):
        raise Refused(409, f"{service}/{version} has no weight any more")
    return set_split(live, service, _weights_without(current, version, reference), change)


def _weights_without(service: LiveService, version: str, reference: str) -> dict[str, float]:
    rest = {name: weight for name, weight in service.weights.items() if name != version}
    return rest if any(rest.values()) else {reference: service.weights[version]}
