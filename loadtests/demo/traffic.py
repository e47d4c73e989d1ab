"""Steady traffic: requests at a fixed rate over kept connections, and what came of them.

Owns the pace and the counts of what the client saw. The rate is kept whatever the answers take (as users do, who do not
wait for each other), up to a limit of requests in flight; what would go beyond is late, not lost.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp

_IN_FLIGHT: Final = 256
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
_TICK: Final = 0.01  # seconds: at higher rates several requests start together
_DEBT: Final = 1.0  # seconds: what was missed before (a suspended machine) is not made up for


@dataclass(slots=True)
class Tally:
    """What the client saw so far."""

    requests: int = 0
    """All that have come to an end."""
    answered: Counter[str] = field(default_factory=Counter)
    """Answers by version, whatever their status."""
    failed: int = 0
    """Answers of 5xx, and requests without an answer."""
    last_failure: str = ""

    def fail(self, why: str) -> None:
        """Count a request that failed."""
        self.failed += 1
        self.last_failure = why


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
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            while due <= loop.time():
                await self._free.acquire()
                in_flight.create_task(self._request(session))
                due = max(due + 1 / self._rate, loop.time() - _DEBT)
            await asyncio.sleep(max(_TICK, due - loop.time()))

    async def _request(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.get(self._url) as response:
                body = await response.json(content_type=None)
                if "version" in body:  # else it is the proxy that answers
                    self.tally.answered[str(body["version"])] += 1
                if response.status >= 500:
                    self.tally.fail(f"{response.status} {response.reason}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            self.tally.fail(f"{type(exc).__name__}: {exc}")
        finally:
            self.tally.requests += 1
            self._free.release()
