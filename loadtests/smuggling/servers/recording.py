"""The record of a server in Python: requests, and what its library logs to say that it refused something.

Owns: the file that the variable SMUGGLING_RECORD names. A line is written at once, before the answer is sent.
"""

import json
import logging
import os
import time
from collections.abc import Mapping

_record = os.open(os.environ["SMUGGLING_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(method: str, target: str, fields: Mapping[str, str], port: int, body: int | None) -> bytes:
    """Write a request down; what to answer. `fields` have names in lower case."""
    # HAProxy says which of its connections a request came by: that one is ours, the port belongs to HAProxy.
    connection = int(fields.get("x-connection", port))
    name = fields.get("x-request-id", "")
    _write(
        method=method,
        target=target,
        host=fields.get("host"),
        id=name,
        connection=connection,
        client=fields.get("x-forwarded-for"),
        body=body,
    )
    return f"{name} {connection}".encode("latin-1", "replace")


def note_refused(why: str, port: int | None = None) -> None:
    """Write down that bytes were refused as no request."""
    _write(refused=why, connection=port)


def _write(**event: object) -> None:
    os.write(_record, json.dumps({"at": time.time(), **event}).encode() + b"\n")


class _Refusals(logging.Handler):
    def __init__(self, beginning: str, cause: type[Exception] | None) -> None:
        super().__init__()
        self._beginning = beginning
        self._cause = cause

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        raised = record.exc_info[1] if record.exc_info else None
        if text.startswith(self._beginning) and (self._cause is None or isinstance(raised, self._cause)):
            note_refused(f"{text} {raised or ''}".strip())


def note_refusals(logger: str, beginning: str, cause: type[Exception] | None = None) -> None:
    """Take what this logger says for refusals where it begins so and, if one is named, has this cause."""
    logging.getLogger(logger).addHandler(_Refusals(beginning, cause))
