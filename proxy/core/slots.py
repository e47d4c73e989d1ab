"""Which slot of the shared counters belongs to which version and endpoint.

Owns the two lists of slots. Must not touch the counters: the caller clears them.

Rules:
1. A name keeps its slot for as long as it is kept, whatever else changes. Slot 0 belongs to nobody.
2. A slot that is not kept any more rests, because requests that began before may still count in it. A name that comes
   back while its slot rests gets it back, with its totals.
3. A slot is given to another name only after `free`, which the caller says when it has cleared the counters.

Units: `now` is seconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K")

VersionName = tuple[str, str]
EndpointName = tuple[str, str, str]

#: An exchange may still begin an attempt from the snapshot it was started with; a minute outlives the usual retries.
REST_SECONDS: Final = 60.0


class OutOfSlots(Exception):
    """More versions or endpoints than the shared memory has slots for."""


class SlotList(Generic[K]):
    """The slots of one kind, by name."""

    def __init__(self, size: int, kind: str) -> None:
        self._size = size
        self._kind = kind
        self._next = 1
        self._taken: dict[K, int] = {}
        self._resting: dict[K, tuple[int, float]] = {}
        self._free: deque[int] = deque()

    def take(self, name: K) -> int:
        """The slot of a name, the same as before or a new one. Raises OutOfSlots."""
        slot = self._taken.get(name)
        if slot is None:
            slot = self._taken[name] = self._resting.pop(name)[0] if name in self._resting else self._unused()
        return slot

    def find(self, name: K) -> int | None:
        """The slot of a name that is kept, None of any other. Any thread may ask."""
        return self._taken.get(name)

    def keep(self, names: Collection[K], now: float) -> None:
        """Let the slots of all other names rest."""
        for name in [name for name in self._taken if name not in names]:
            self._resting[name] = (self._taken.pop(name), now)

    def rested(self, now: float) -> list[int]:
        """The slots that may be cleared and freed."""
        return [slot for slot, since in self._resting.values() if now - since >= REST_SECONDS]

    def free(self, slot: int) -> None:
        """Make a resting slot, whose counters are cleared now, available to another name. Raises KeyError."""
        name = next((name for name, (resting, _) in self._resting.items() if resting == slot), None)
        if name is None:
            raise KeyError(f"{self._kind} slot {slot} does not rest")
        del self._resting[name]
        self._free.append(slot)

    def in_use(self) -> list[int]:
        """Every slot that may have counters: 0, the taken and the resting ones."""
        return [0, *self._taken.values(), *(slot for slot, _ in self._resting.values())]

    def items(self) -> Iterator[tuple[K, int]]:
        """The names that are kept, with their slots."""
        yield from self._taken.items()

    def _unused(self) -> int:
        if self._free:
            return self._free.popleft()
        if self._next >= self._size:
            raise OutOfSlots(f"there is room for {self._size - 1} {self._kind}s, all of it taken")
        self._next += 1
        return self._next - 1


class Slots:
    """The slots of versions and of endpoints."""

    def __init__(self, versions: int = 4096, endpoints: int = 32768) -> None:
        self.versions: SlotList[VersionName] = SlotList(versions, "version")
        self.endpoints: SlotList[EndpointName] = SlotList(endpoints, "endpoint")

    def version(self, service: str, version: str) -> int:
        """The slot of a version. Raises OutOfSlots."""
        return self.versions.take((service, version))

    def endpoint(self, service: str, version: str, address: str) -> int:
        """The slot of an endpoint. Raises OutOfSlots."""
        return self.endpoints.take((service, version, address))

    def keep(self, versions: Collection[VersionName], endpoints: Collection[EndpointName], now: float) -> None:
        """Let the slots of all other versions and endpoints rest."""
        self.versions.keep(versions, now)
        self.endpoints.keep(endpoints, now)
