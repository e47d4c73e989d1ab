"""A proxy that is handed over, again and again: which process it is now, and its end.

Owns looking at it from outside, by the admin API and the log.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.waiting import has_ended
from tests.support.whole_proxy import WholeProxy, wait_until


def status(proxy: WholeProxy) -> dict[str, Any]:
    """What the admin API says of it; whoever answers there now."""
    said: dict[str, Any] = json.loads(proxy.ask_admin("/v1/handover"))
    return said


def supervisor_of(proxy: WholeProxy) -> int:
    """The process that answers now."""
    return int(status(proxy)["pid"])


def workers_of(supervisor: int) -> list[int]:
    """The workers of a supervisor, and a next version that it starts."""
    return [int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()]


def hand_over(proxy: WholeProxy) -> tuple[int, int]:
    """Have it taken over by the next version: the old and the new process. The old one may still finish something."""
    old = supervisor_of(proxy)
    os.kill(old, signal.SIGUSR2)
    wait_until(lambda: supervisor_of(proxy) != old, "for the next version to take over", 60)
    return old, supervisor_of(proxy)


def end(proxy: WholeProxy) -> None:
    """End whatever of it runs, in order."""
    last = supervisor_of(proxy)
    os.kill(last, signal.SIGTERM)
    wait_until(lambda: has_ended(last) and proxy.program.poll() is not None, "for its end", 60)
    wait_until(lambda: not proxy.left(), "for the end of all its processes", 60)


def kill(pid: int) -> None:
    """kill -9, unless it has gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
