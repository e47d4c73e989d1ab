"""Steady traffic: requests at a fixed rate over kept connections, and what came of them.

Owns the pace and the counts of what the client saw. The rate is kept whatever the answers take (as users do, who do not
wait for each other), up to a limit of requests in flight; what would go beyond is late, not lost.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp

RECENT_SECONDS: Final = 5.0

_IN_FLIGHT: Final = 256
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
_TICK: Final = 0.01  # seconds: at higher rates several requests start together
_DEBT: Final = 1.0  # seconds: what was missed before (a suspended machine) is not made up for
_KEPT: Final = 20_000  # answers, whatever the rate


@dataclass(frozen=True, slots=True)
class Recent:
    """What one version did in the last seconds; the latencies, in seconds, are None without a good answer."""

    answered: int = 0
    failed: int = 0
    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    at: float
    version: str
    seconds: float
    is_good: bool


@dataclass(slots=True)
class Tally:
    """What the client saw so far."""

    requests: int = 0
    """All that have come to an end."""
    answered: Counter[str] = field(default_factory=Counter)
    """Answers by version, whatever their status."""
    failed: int = 0
    """Answers of 5xx, and requests without an answer."""
    failed_by: Counter[str] = field(default_factory=Counter)
    """The answers of 5xx by version."""
    last_failure: str = ""
    _last: deque[_Answer] = field(default_factory=lambda: deque(maxlen=_KEPT), compare=False, repr=False)

    def answer(self, version: str, at: float, seconds: float, *, is_good: bool) -> None:
        """Count an answer of a version."""
        self.answered[version] += 1
        if not is_good:
            self.failed_by[version] += 1
        self._last.append(_Answer(at, version, seconds, is_good))

    def fail(self, why: str) -> None:
        """Count a request that failed."""
        self.failed += 1
        self.last_failure = why

    def recent(self, now: float) -> dict[str, Recent]:
        """What each version did in the last seconds."""
        while self._last and self._last[0].at < now - RECENT_SECONDS:
            self._last.popleft()
        latencies: dict[str, list[float]] = {}
        answered: Counter[str] = Counter()
        for answer in self._last:
            answered[answer.version] += 1
            if answer.is_good:
                latencies.setdefault(answer.version, []).append(answer.seconds)
        return {
            version: _recent(count, sorted(latencies.get(version, ()))) for version, count in sorted(answered.items())
        }


class Traffic:
    """Requests to one address at a rate (per second; 0: none) until `run` is cancelled."""

    def __init__(self, url: str, rate: float) -> None:
        self.tally = Tally()
        self._url = url
        self._rate = rate
        self._free = asyncio.Semaphore(_IN_FLIGHT)

    async def run(self) -> None:
        """Make requests; when cancelled, those in flight still get their answers."""
        connector = aiohttp.TCPConnector(limit=_IN_FLIGHT)
        session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        async with session, asyncio.TaskGroup() as in_flight:
            with suppress(asyncio.CancelledError):
                await self._keep_pace(session, in_flight)

    async def _keep_pace(self, session: aiohttp.ClientSession, in_flight: asyncio.TaskGroup) -> None:
        if not self._rate:
            await asyncio.Event().wait()  # until cancelled
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            while due <= clock():
                await self._free.acquire()
                in_flight.create_task(self._request(session, clock))
                due = max(due + 1 / self._rate, clock() - _DEBT)
            await asyncio.sleep(max(_TICK, due - clock()))

    async def _request(self, session: aiohttp.ClientSession, clock: Callable[[], float]) -> None:
        began = clock()
        try:
            async with session.get(self._url) as response:
                body = await response.json(content_type=None)
                is_good = response.status < 500
                if "version" in body:  # else it is the proxy that answers
                    self.tally.answer(str(body["version"]), clock(), clock() - began, is_good=is_good)
                if not is_good:
                    self.tally.fail(f"{response.status} {response.reason}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            self.tally.fail(f"{type(exc).__name__}: {exc}")
        finally:
            self.tally.requests += 1
            self._free.release()


def _recent(answered: int, latencies: list[float]) -> Recent:
    """The figures of a version, from all of its answers and the sorted latencies of the good ones."""
    if not latencies:
        return Recent(answered, answered)
    p50, p99 = (latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.99))
    return Recent(answered, answered - len(latencies), p50, p99)
