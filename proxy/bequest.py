"""What the next version of Serinus is started with, and the words between the two.

Owns their form, which two different versions have to understand. Must not say anything by itself.

1. An environment variable names the descriptors that the next one inherits: an end of a socket pair, the lock of the
   state folder, the listening sockets.
2. Over the socket pair go lines of JSON, `{"word": ...}`. The next one says `prepared` once its file is known to be
   good; then the old one says `state`, with everything; the next one `serving` when its workers do; the old one
   `yours`, and from then on it takes nothing new. Instead of its next word, the next one says `failed`, and why.
3. The end of the line before `yours` means that the other one has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from proxy.inheritance import Passed

VARIABLE: Final = "SERINUS_HANDOVER"
VERSION: Final = 1
#: Far above a state file and its endpoints.
MAX_LINE: Final = 256 * 1024 * 1024

Word = Literal["prepared", "state", "serving", "yours", "failed"]


class Unintelligible(Exception):
    """What the other side says is not of this version; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Bequest:
    """The inherited descriptors: `control` and `lock`, and those of the listeners of both kinds."""

    version: int
    pid: int
    control: int
    lock: int
    listen: tuple[Passed, ...]
    admin: tuple[Passed, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        return (self.control, self.lock, *(fd for each in (*self.listen, *self.admin) for fd in each.fds))

    def write(self) -> str:
        """The value of the variable."""
        return json.dumps(asdict(self))


_BEQUEST: Final = TypeAdapter(Bequest)


def find_bequest() -> Bequest | None:
    """What this process was started with, if by the proxy before it. Raises Unintelligible."""
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        bequest = _BEQUEST.validate_json(text)
    except ValidationError as exc:
        raise Unintelligible(f"{VARIABLE} is not what a Serinus of version {VERSION} hands over") from exc
    if bequest.version != VERSION:
        raise Unintelligible(f"the proxy before hands over in version {bequest.version}, this one knows {VERSION}")
    return bequest


def encode(word: Word, **more: Any) -> bytes:
    """One line."""
    return json.dumps({"word": word, **more}).encode("ascii") + b"\n"


async def hear(reader: asyncio.StreamReader) -> Mapping[str, Any] | None:
    """The next line; None: the other side has ended. Raises Unintelligible."""
    try:
        line = await reader.readline()
    except ConnectionError:
        return None
    except ValueError as exc:
        raise Unintelligible("a line is too long") from exc
    if not line.endswith(b"\n"):
        return None
    try:
        said = json.loads(line)
    except ValueError as exc:
        raise Unintelligible("a line is no JSON") from exc
    if not isinstance(said, dict) or "word" not in said:
        raise Unintelligible("a line has no word")
    return said
