"""Conditions on the generation of the live state: If-Match and If-None-Match (RFC 9110 §13.1).

Owns how they are read. Must not know a view.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from proxy.core.live import Refused

# `7`, `"7"` and `W/"7"`: people type the first, and proxies make the last of the second when they compress.
_TAG: Final = re.compile(r'(?:W/)?"([^"]*)"|([0-9]+)')


def read_if_match(request: web.Request, generation: int) -> int | None:
    """The generation that a change has to be based on, None when any will do (RFC 9110 §13.1.1).

    Raises:
        Refused: 412 when the current generation is none of those named.
    """
    tags = _tags(request, "If-Match")
    if tags is None or "*" in tags:
        return None
    if str(generation) not in tags:
        raise Refused(412, f"The live state has generation {generation}, which If-Match does not name")
    return generation


def matches_none(request: web.Request, generation: int) -> bool:
    """Whether a conditional GET has news for the client (RFC 9110 §13.1.2)."""
    tags = _tags(request, "If-None-Match")
    return tags is None or not tags & {"*", str(generation)}


def _tags(request: web.Request, header: str) -> set[str] | None:
    fields = request.headers.getall(header, [])
    if not fields:
        return None
    text = ",".join(fields)
    return {"*"} if text.strip() == "*" else {quoted or bare for quoted, bare in _TAG.findall(text)}
