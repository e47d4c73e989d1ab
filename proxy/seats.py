"""What a worker is started with beside the control channel: the sockets it accepts from, and whose rights it has.

Owns the words for it on the worker's command line. Must not open or start anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from config.model import Listener
from proxy.account import Account
from proxy.open_listener import OpenListener


def seats(
    asked: Sequence[Listener], opened: Sequence[Sequence[OpenListener]], account: Account | None, workers: int
) -> list[tuple[list[int], list[str]]]:
    """For each worker the descriptors that it inherits, and its arguments."""
    return [_seat(asked, opened, account, index, workers) for index in range(workers)]


def _seat(
    asked: Sequence[Listener],
    opened: Sequence[Sequence[OpenListener]],
    account: Account | None,
    index: int,
    workers: int,
) -> tuple[list[int], list[str]]:
    fds, listeners = [], []
    for place, (wanted, found) in enumerate(zip(asked, opened, strict=True)):
        tls = place if wanted.tls is not None else None
        how = {"tls": tls, "redirect": wanted.redirect, "introduced": wanted.proxy_protocol}
        for listener in found:
            mine = [listening.fileno() for listening in listener.for_worker(index, workers)]
            fds += mine
            listeners += [{"fd": fd, "name": listener.name, **how} for fd in mine]
    rights = ["--account", str(account)] if account is not None else []
    return fds, ["--listeners", json.dumps(listeners), *rights]
