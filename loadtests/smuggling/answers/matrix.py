"""The whole run of answers: every technique to every client, and what came of each.

Owns: the order and the rules. Clients run at the same time, each in one thread, and each has an upstream of its own:
what it leaves behind on a connection there is what its next client would get, and nothing is on its way that it has not
waited for. (An answer that comes too late, when the next request is on its way, is by HTTP/1.1 the answer to that one.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.smuggling.answers.clients import Ask, Client, Got, running_client
from loadtests.smuggling.answers.techniques import ID, AnswerTechnique
from loadtests.smuggling.answers.upstream import RawUpstream, ordinary, raw_upstream
from loadtests.smuggling.judge import Cell
from loadtests.smuggling.ours import proxying

#: Next clients for each technique: each has an even chance to reach the worker that holds the upstream's connection.
_NEXT: Final = 2
#: What Serinus says when there is no answer, or none that it understands.
_REFUSALS: Final = (502, 504)


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """All cells of one client, in the order of the techniques."""

    title: str
    version: str
    cells: tuple[Cell, ...]


def run_answers(
    techniques: Sequence[AnswerTechnique], clients: Sequence[type[Client]], folder: Path
) -> list[AnswerColumn]:
    """Fill the matrix.

    Raises:
        Missing: a client is not there.
        Invalid: Serinus did not start, or did not end well.
    """
    versions = [client.find() for client in clients]
    with ExitStack() as stack:
        upstreams = {kind.code: stack.enter_context(raw_upstream(techniques)) for kind in clients}
        port = stack.enter_context(proxying(folder, {code: each.port for code, each in upstreams.items()}))
        pool = stack.enter_context(ThreadPoolExecutor(len(clients)))
        columns = [pool.submit(_play_all, kind, port, upstreams[kind.code], techniques) for kind in clients]
        cells = [column.result() for column in columns]
    return [
        AnswerColumn(kind.title, version, found) for kind, version, found in zip(clients, versions, cells, strict=True)
    ]


def _play_all(
    kind: type[Client], port: int, upstream: RawUpstream, techniques: Sequence[AnswerTechnique]
) -> tuple[Cell, ...]:
    with running_client(kind, port) as client:
        return tuple(_play(client, upstream, number, technique) for number, technique in enumerate(techniques))


def _play(client: Client, upstream: RawUpstream, number: int, technique: AnswerTechnique) -> Cell:
    if technique.interim and not client.knows_interim:
        return Cell(0, 0, is_met=False, breaches=(), note="not played")
    names = [f"{client.code}{number:03}{kind}" for kind in ("att", "fol", *(f"ne{turn}" for turn in range(_NEXT)))]
    asks: list[Ask] = [(technique.method, f"/{client.code}/{number}/{names[0]}")]
    asks += [("GET", f"/{client.code}/up/{name}") for name in names[1:]]
    first, *rest = asks
    wait = lambda: upstream.wait_until_said(names[0])  # noqa: E731
    if technique.late:  # curl cannot wait between two requests
        got = client.talk(first, between=wait)
    else:
        got = client.talk(first, rest.pop(0), between=wait)
    for ask in rest:
        got += client.talk(ask, between=wait)
    used = {upstream.connection_of.get(name) for name in names[1:]}
    return Cell(
        status=got[0].status,
        passed=int(got[0].status not in (0, *_REFUSALS)),
        is_met=upstream.connection_of.get(names[0]) in used,
        breaches=tuple(judge_answers(technique, names, got)),
    )


def judge_answers(technique: AnswerTechnique, names: Sequence[str], got: Sequence[Got]) -> Iterator[str]:
    """Every answer that a client took and that is not its own; an ordinary one may fail where the connection did."""
    first, follow, *after = got
    whole = None if technique.whole is None else technique.whole.replace(ID, names[0].encode())
    if first.status not in (0, *_REFUSALS) and (first.status not in (200, 204, 304) or first.body != whole):
        yield f"the client took {first} for its answer"
    for name, answer in zip(names[1:], (follow, *after), strict=True):
        if answer.error and answer is follow:
            continue
        if (answer.status, answer.body) != (200, ordinary(name)):
            yield f"the next client {name} got {answer}"
