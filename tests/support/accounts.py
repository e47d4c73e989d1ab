"""What must be as before when a fault is over: descriptors, children, memory, and the numbers in the metrics.

Owns the measuring and the comparison. Must not cause a fault.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.whole_proxy import Samples, WholeProxy, wait_until

#: Buffers that were needed once may stay: the allocator keeps what it may need again.
GROWTH: Final = 16 * 1024 * 1024
_COUNTED: Final = re.compile(r"serinus_requests_total\{code=(\d+),service=([^,]*),version=([^}]*)\}")


@dataclass(frozen=True)
class Holdings:
    """What the proxy holds: open descriptors beside connections to endpoints, workers, and memory in bytes."""

    descriptors: int
    workers: int
    memory: int


def descriptors(pid: int) -> int:
    """How many files a process has open; 0 when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def holdings(proxy: WholeProxy) -> Holdings:
    """What it holds now. Connections to endpoints that are kept for later are no leak, and not counted."""
    workers = proxy.workers()
    pids = [proxy.program.pid, *workers]
    kept = int(proxy.metrics()["serinus_connections{side=upstream}"])
    return Holdings(sum(map(descriptors, pids)) - kept, len(workers), sum(map(_memory, workers)))


class Accounts:
    """The state of a proxy before a fault."""

    def __init__(self, proxy: WholeProxy) -> None:
        self._proxy = proxy
        wait_until(lambda: not self._left(), "for the end of what was before")
        self._before = _settled(proxy)
        self._metrics = proxy.metrics()

    def settle(self, *, growth: int = GROWTH) -> None:
        """Wait until everything is as before: no client, nothing in flight, no descriptor more, all workers there."""
        wait_until(lambda: not self._left(), f"for an end of {self._left()}")
        wait_until(
            lambda: holdings(self._proxy).descriptors <= self._before.descriptors, "for descriptors to be closed"
        )
        now = holdings(self._proxy)
        assert now.workers == self._before.workers
        assert now.memory - self._before.memory < growth

    def _left(self) -> dict[str, float]:
        """The gauges that must be zero in the end, and are not yet."""
        return {
            name: value
            for name, value in self._proxy.metrics().items()
            if value and ("in_flight" in name or name in ("serinus_connections{side=client}", "serinus_tunnels{}"))
        }

    def counted(self) -> Counter[int]:
        """How many requests the metrics have counted since then, by status."""
        found: Counter[int] = Counter()
        for name, value in changed(self._metrics, self._proxy.metrics()).items():
            if match := _COUNTED.fullmatch(name):
                found[int(match[1])] += int(value)
        return found

    def grown(self, name: str) -> float:
        """How much one sample, or all samples of one name, have grown."""
        return sum(
            value
            for sample, value in changed(self._metrics, self._proxy.metrics()).items()
            if name in (sample, sample.partition("{")[0])
        )


def _settled(proxy: WholeProxy) -> Holdings:
    """What it holds, once two looks find the same: the end of a connection takes a moment."""
    found = holdings(proxy)
    while (again := holdings(proxy)).descriptors != found.descriptors:
        found = again
    return again


def changed(before: Samples, after: Samples) -> Samples:
    """What has changed, and by how much."""
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}


def statuses(ended: Iterable[int | str]) -> Counter[int]:
    """The statuses among what came of some requests."""
    return Counter(each for each in ended if isinstance(each, int))


def _memory(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
