"""Seeds: every message of tests/corpus/http1, as an input of its side.

Owns how a case becomes an input: a response begins with the byte that chooses what was asked (responses.py).
"""

import re
from pathlib import Path

#: What was asked, by the beginning of a case's subject; the last is for all others.
ASKED = {
    "to-head-": b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "to-1.0-": b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
    "to-expect-": b"POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "to-websocket-": b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "": b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
}


def sow(side: str, cases: Path, corpus: Path) -> None:
    """Put the seeds of a side into its corpus; what earlier runs found there stays."""
    corpus.mkdir(parents=True, exist_ok=True)
    folder = {"requests": "request", "responses": "response"}[side]
    for path in cases.glob(f"*/{folder}/*.http"):
        (corpus / f"{path.parts[-3]}-{path.stem}").write_bytes(_chosen(path) + path.read_bytes())


def _chosen(path: Path) -> bytes:
    if path.parts[-2] == "request":
        return b""
    subject = re.sub(r"^(?:(?:\d{3}|cut)-)*", "", path.name)
    return bytes([next(i for i, beginning in enumerate(ASKED) if subject.startswith(beginning))])
