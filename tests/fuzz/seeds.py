"""Seeds: every message of tests/corpus/http1, as an input of its side.

Owns how a case becomes an input: a response begins with the byte that chooses what was asked (responses.py).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

#: What was asked, by the beginning of a case's subject; the last is for all others.
ASKED = {
    "to-head-": b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "to-1.0-": b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
    "to-expect-": b"POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "to-websocket-": b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "": b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
}


_MIDDLE = b"\x80"  # where the input of a part is cut


def sow(side: str, cases: Path, corpus: Path) -> None:
    """Put the seeds of a side into its corpus; what earlier runs found there stays."""
    corpus.mkdir(parents=True, exist_ok=True)
    for path in cases.glob("*/*/*.http"):
        for kind, seed in _SEEDS[side](path.parts[-2], path):
            (corpus / f"{path.parts[-3]}-{kind}{path.stem}").write_bytes(seed)


def _request(folder: str, path: Path) -> Iterator[tuple[str, bytes]]:
    if folder == "request":
        yield "", path.read_bytes()


def _response(folder: str, path: Path) -> Iterator[tuple[str, bytes]]:
    if folder == "response":
        yield "", _chosen(path) + path.read_bytes()


def _heads(folder: str, path: Path) -> Iterator[tuple[str, bytes]]:
    text = path.read_bytes()
    yield f"{folder}-", (b"\x01" if folder == "response" else b"\x00") + _MIDDLE + text
    if trailers := text.partition(b"\r\n0\r\n")[2]:
        yield f"trailers-{folder}-", b"\x02" + _MIDDLE + trailers


def _chunks(folder: str, path: Path) -> Iterator[tuple[str, bytes]]:
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        yield f"{folder}-", b"\x55" + _MIDDLE + body


#: What a message of the corpus gives for each side: the beginnings of names, and the inputs.
_SEEDS: Mapping[str, Callable[[str, Path], Iterator[tuple[str, bytes]]]] = {
    "requests": _request,
    "responses": _response,
    "heads": _heads,
    "chunks": _chunks,
}


def _chosen(path: Path) -> bytes:
    """The byte that chooses what was asked."""
    subject = re.sub(r"^(?:(?:\d{3}|cut)-)*", "", path.name)
    return bytes([next(i for i, beginning in enumerate(ASKED) if subject.startswith(beginning))])
