"""Doing what was decided: the same changes at every proxy, each based on what was seen of it.

Owns the order at one proxy, and that it is done at all of them. Must not decide, or wait before trying again: the next
turn of the loop looks again first.

1. A change is refused by the proxy when somebody else has made one since we looked (If-Match). Then we look again.
2. What was wanted is acknowledged when every proxy that we lead has answered that all of its workers serve it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from controller.core.actions import Action
from controller.core.observed import SeenService
from controller.proxies import Proxy, ProxyLost, ProxyRefused

_log = logging.getLogger(__name__)


async def act(
    proxies: Mapping[str, Proxy],
    seen: Mapping[str, SeenService],
    service: str,
    actions: Sequence[Action],
    actor: str,
    reason: str,
) -> bool:
    """Do the actions at every proxy that was seen; true when every proxy serves what comes of them."""
    troubles = await asyncio.gather(
        *(_act_at(proxies[name], service, actions, found.generation, actor, reason) for name, found in seen.items())
    )
    for name, trouble in zip(seen, troubles, strict=True):
        if trouble:
            _log.warning("%s: %s has not made the change: %s; trying again", actor, name, trouble)
    return not any(troubles) and seen.keys() == proxies.keys()


async def _act_at(
    proxy: Proxy, service: str, actions: Sequence[Action], generation: int, actor: str, reason: str
) -> str:
    """Do the actions in their order; why not, or empty."""
    try:
        for action in actions:
            generation = await proxy.do(service, action, generation, actor, reason)
    except (ProxyLost, ProxyRefused) as exc:
        return str(exc)
    return ""
