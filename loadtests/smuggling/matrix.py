"""The whole run: start everything, send every technique to every server, end everything, read what was recorded.

Owns: the order. Servers are attacked at the same time, each by one thread; techniques one after the other, so that
the next one finds the connections of the one before. Nothing is judged before all programs have ended and written all
they had to write.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.smuggling.client import Answer, ask, attack
from loadtests.smuggling.judge import Cell, Happened, judge, share_out
from loadtests.smuggling.ours import proxying, read_log
from loadtests.smuggling.techniques.parts import Technique
from loadtests.smuggling.upstreams import Upstream, places

# Next clients per technique: we stop when one came by the server's connection that the technique used. Each has an even
# chance to reach the worker that holds it.
_NEXT: Final = 4


@dataclass(frozen=True, slots=True)
class Column:
    """All cells of one server, in the order of the techniques."""

    upstream: Upstream
    version: str
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """The name of the server."""
        return self.upstream.title


def run(
    techniques: Sequence[Technique], upstreams: Sequence[Upstream], folder: Path, tick: Callable[[], None]
) -> list[Column]:
    """Fill the matrix; `tick` is called behind each technique, by any thread.

    Raises:
        Missing: a server is not there.
        Invalid: a server or Serinus did not start, or Serinus did not end well.
    """
    at = places(upstreams, folder)
    with ExitStack() as stack:
        versions = [upstream.find().version for upstream in upstreams]
        for upstream in upstreams:
            stack.enter_context(upstream.serving(at[upstream.code]))
        ports = {code: place.port for code, place in at.items()}
        port = stack.enter_context(proxying(folder, ports))
        pool = stack.enter_context(ThreadPoolExecutor(len(upstreams)))
        columns = [pool.submit(_send_all, port, upstream.code, techniques, tick) for upstream in upstreams]
        happened = [column.result() for column in columns]
    logged = read_log(folder)
    for upstream, column in zip(upstreams, happened, strict=True):
        ours = [each for each in logged if each.target.startswith(f"/{upstream.code}/")]
        share_out(column, ours, upstream.read(at[upstream.code]))
    return [
        Column(upstream, version, tuple(map(judge, column.values())))
        for upstream, version, column in zip(upstreams, versions, happened, strict=True)
    ]


def _send_all(port: int, code: str, techniques: Sequence[Technique], tick: Callable[[], None]) -> dict[int, Happened]:
    happened = {}
    for number, technique in enumerate(techniques):
        happened[number] = _send(port, code, number, technique)
        tick()
    return happened


def _send(port: int, code: str, number: int, technique: Technique) -> Happened:
    began = time.time()
    heard = attack(port, technique, code, number)
    used = {answer.connection for answer in heard.answers} - {None}
    asked: dict[str, Answer | None] = {}
    for turn in range(_NEXT if used else 1):
        name = f"{code}-{number}-{turn}"
        asked[name] = answer = ask(port, code, number, name)
        if answer is not None and answer.connection in used:
            break
    return Happened(technique, began, heard, asked)
