"""Ways in which a new version turns out bad, for the demonstration: what is done to the endpoints, and when it ends.

Owns the damage. Must not decide when it begins, or look at what comes of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from loadtests.demo.configuration import ENDPOINTS, NEW, OLD
from loadtests.demo.stage import Stage

OUTAGE_SECONDS: Final = 8.0
_BETWEEN: Final = 0.5  # seconds
_DELAY: Final = "160ms"  # on top of about 40 ms of work
_LEAK: Final = 0.02  # of the requests, more of them with every second


@dataclass(frozen=True, slots=True)
class Break:
    """One way to be bad. `does` returns when nothing more will be done."""

    what: str
    """The sentence for people."""
    does: Callable[[Stage], Awaitable[None]]
    hurts: str = "failed"
    """What clients see of it: requests that have failed, or that were slow."""
    ends: str = ""
    """The sentence for its end, if it has one."""


async def _fail(stage: Stage) -> None:
    await _turn(stage, NEW, error_rate=1)


async def _slow_down(stage: Stage) -> None:
    await _turn(stage, NEW, delay=_DELAY)


async def _fail_both(stage: Stage) -> None:
    # The old version fails first and is well again last, so that at no time it is the new one alone that fails.
    await _turn(stage, OLD, error_rate=1)
    await _rest(_BETWEEN)
    await _turn(stage, NEW, error_rate=1)
    await _rest(OUTAGE_SECONDS)
    await _turn(stage, NEW, error_rate=0)
    await _rest(_BETWEEN)
    await _turn(stage, OLD, error_rate=0)


async def _crash(stage: Stage) -> None:
    for name, _ in ENDPOINTS[NEW]:
        stage.kill(name)


async def _leak(stage: Stage) -> None:
    share = 0.0
    while share < 1:
        share = min(share + _LEAK, 1.0)
        await _turn(stage, NEW, error_rate=share)
        await _rest(1)


async def _rest(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _turn(stage: Stage, version: str, **knobs: Any) -> None:
    """Turn knobs at every endpoint of a version.

    Raises:
        aiohttp.ClientError: one does not answer.
    """
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        for name, _ in ENDPOINTS[version]:
            async with session.put(f"{stage.url(name)}/knobs", json=knobs):
                pass


BREAKS: Final[Mapping[str, Break]] = {
    "errors": Break(f"{NEW} answers 500 from now on", _fail),
    "latency": Break(f"{NEW} takes {_DELAY.replace('ms', ' ms')} longer from now on", _slow_down, hurts="slow"),
    "outage": Break(
        f"{OLD} and {NEW} answer 500 from now on, as when the database of both is away",
        _fail_both,
        ends="both versions are well again",
    ),
    "crash": Break(f"the process of {NEW} dies (kill -9)", _crash),
    "slow-leak": Break(f"{NEW} begins to fail, {_LEAK:.0%} more of its answers every second".replace("%", " %"), _leak),
}
