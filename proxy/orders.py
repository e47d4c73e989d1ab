"""What signals order a running proxy to do, beside ending: SIGHUP, SIGUSR1 and SIGUSR2.

Owns these signals, and what is said to systemd about them. Must not do the work.

Rules:
1. SIGHUP reads the file again; while the proxy is handed over that waits, and if it is, the next one does it.
2. SIGUSR2 hands over to the next version. Who starts the proxy with SIGUSR2 ignored does not want that: `serinus up`,
   whose child the next one would not be.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from config.problems import ConfigError
from proxy.core.live import Refused
from proxy.handover import Handover
from proxy.supervisor import Supervisor
from webapi.systemd import ServiceNotes

_log = logging.getLogger(__name__)


class Orders:
    """The orders that a proxy gets."""

    def __init__(self, supervisor: Supervisor, notes: ServiceNotes) -> None:
        self._supervisor = supervisor
        self._notes = notes
        self._reloads: set[asyncio.Task[None]] = set()
        self._handover: Handover | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take the signals within the block."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        loop.add_signal_handler(signal.SIGUSR1, self._supervisor.reopen_logs)
        if signal.getsignal(signal.SIGUSR2) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGUSR2, self._hand_over)
        yield
        for task in self._reloads:
            task.cancel()

    def allow(self, handover: Handover) -> None:
        """From now on the proxy may be handed over."""
        self._handover = handover

    def wants_reload(self) -> bool:
        """Whether the file is still to be read."""
        return bool(self._reloads)

    def reload(self) -> None:
        """Read the file again, as soon as that can be."""
        task = asyncio.get_running_loop().create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def tell_ready(self) -> None:
        """Say to systemd that it serves, and what."""
        supervisor = self._supervisor
        self._notes.ready(f"{len(supervisor.slabs)} workers serve generation {supervisor.live.generation}")

    def _hand_over(self) -> None:
        if self._handover is None:
            _log.warning("SIGUSR2: not before this proxy serves")
        else:
            self._handover.begin()

    async def _reload(self) -> None:
        self._notes.reloading()
        if not self._supervisor.succession.alone.is_set():
            _log.info("SIGHUP: the file is read again when this proxy is handed over, or is not")
        await self._supervisor.succession.alone.wait()
        try:
            for notice in await self._supervisor.reload():
                _log.warning("%s", notice)
            _log.info("the file was read again: generation %d is served", self._supervisor.live.generation)
        except ConfigError as exc:
            _log.error("the file was not taken, what was served goes on:\n%s", exc)
        except Refused as exc:
            _log.error("the file was not taken: %s", exc)
        self.tell_ready()
