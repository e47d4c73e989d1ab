"""One look at all proxies: how a service is at each of them, and what they have counted.

Owns that a silent proxy is an answer too. Must not draw conclusions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from controller.core.observed import SeenService
from controller.harvest import Counted
from controller.proxies import Proxy, ProxyLost, ProxyRefused


@dataclass(frozen=True, slots=True)
class Look:
    """What the proxies have answered; `lost` are those that did not, with the reason."""

    services: Mapping[str, SeenService]
    counts: Mapping[str, Counted]
    lost: Mapping[str, str]


async def observe(proxies: Mapping[str, Proxy], service: str, seconds: int) -> Look:
    """Ask every proxy at once how a service is, and what its versions did in the last seconds."""
    found = await asyncio.gather(*(_ask(proxy, service, seconds) for proxy in proxies.values()))
    answers = dict(zip(proxies, found, strict=True))
    return Look(
        services={name: answer[0] for name, answer in answers.items() if not isinstance(answer, str)},
        counts={name: answer[1] for name, answer in answers.items() if not isinstance(answer, str)},
        lost={name: answer for name, answer in answers.items() if isinstance(answer, str)},
    )


async def _ask(proxy: Proxy, service: str, seconds: int) -> tuple[SeenService, Counted] | str:
    """Its answers, or why there are none. Counts come first: a change between the two is seen as soon as it can be."""
    try:
        counted = await proxy.count(service, seconds)
        return await proxy.look(service), counted
    except (ProxyLost, ProxyRefused) as exc:
        return str(exc)
