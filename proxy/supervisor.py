"""The supervisor: the one place where the live state changes, and the order in which a change happens.

Owns the live state, its file, the listening sockets and the crew. Must not serve a request, probe, resolve or speak
HTTP: those who do ask it.

Rules:
1. One change at a time: step, save, serve, confirm. What cannot be saved is not served; what a worker cannot serve is
   undone. A caller that goes away does not stop a change half-way.
2. Whatever happens to the file or to the disk, the last good state goes on being served.
3. What was opened before a start fails is closed by `stop`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, Literal

from config.load import load
from config.model import Config, Listener
from config.notices import notices as config_notices
from proxy.certificates import Material, listeners_of
from proxy.child import Patience
from proxy.core.live import Change, Live, Problem, Refused, change_of
from proxy.core.overlay import forgotten, overlay, reconfigure
from proxy.core.serving import EndpointHealth
from proxy.core.slots import OutOfSlots, Slots
from proxy.core.snapshot import ClientTls, SocketAddress
from proxy.crew import Crew, Equipment, Rejected, Unconfirmed, WorkerState
from proxy.dispatch import Dispatch
from proxy.events import Events
from proxy.inheritance import Inheritance
from proxy.leases import Leases
from proxy.legacy import Legacy
from proxy.listening import Listening
from proxy.seats import seats
from proxy.startup import account_of, first_live, material_of, needs_restart, new_salts, worker_count
from proxy.state import Saved, StateFolder
from proxy.succession import Succession
from proxy.turns import Turns
from proxy.wire.counters import Slab

#: -P, because the folder that the proxy is started in may hold a `config` package of its own.
WORKER: Final = (sys.executable, "-P", "-m", "proxy.worker")
_FULL_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_log = logging.getLogger(__name__)


class Supervisor:
    """The live state and its workers. `state` belongs to it from here on; a proxy that it takes over from has left the
    sockets of `inheritance`, and `legacy`.

    Raises:
        StateError: what was saved cannot be used.
        OutOfSlots: there are more versions or endpoints than can be counted.
        ConfigError: a certificate or the user cannot be used.
    """

    def __init__(
        self,
        config: Config,
        config_path: Path,
        state: StateFolder,
        *,
        inheritance: Inheritance | None = None,
        legacy: Legacy | None = None,
        command: Sequence[str] = WORKER,
        patience: Patience | None = None,
    ) -> None:
        legacy = legacy or Legacy()
        saved = legacy.saved or state.load()
        self.events: Final = Events()
        self.leases: Final = Leases(self)
        self.succession: Final = Succession()
        self.draining = False
        self.reloads: Final = {"ok": 0, "failed": 0}
        self.last_reload_failed = False
        self.dropped: Final = tuple(forgotten(config, saved.services)) if saved is not None else ()
        self._config_path = config_path
        self._at_start = config
        self._state = state
        self.listening: Final = Listening([each.address for each in config.listen], inheritance)
        self._command = command
        self._patience = patience or Patience()
        self._cookie_secret = saved.cookie_secret if saved is not None else os.urandom(16)
        material = material_of(config_path, config.listen, config, legacy.material)
        self._account = account_of(config_path, config)
        live, workers = first_live(config, saved), worker_count(config)
        self._dispatch = Dispatch(live, self._cookie_secret, workers, material, legacy.endpoints)
        self._crew: Crew | None = None
        self._turns = Turns(_not_running)

    async def start(self, *, takes_over: bool = False) -> None:
        """Listen and start the workers; returns when all of them serve. Who takes over writes and changes nothing yet.

        Raises:
            ListenError: an address cannot be listened on.
            StartError: a worker does not get ready.
        """
        if not takes_over:
            await self._begin()
        self.listening.open(len(self.slabs))
        dispatch = self._dispatch
        equipment = Equipment(
            command=self._command,
            counters=dispatch.counters,
            greet=dispatch.greeting,
            heartbeat=dispatch.heartbeat,
            bury=dispatch.bury,
            tell=self.events.publish,
        )
        places = seats(self._at_start.listen, self.listening.opened, self._account, len(self.slabs))
        self._crew = Crew(equipment, places, self._patience)
        dispatch.send_by(self._crew.send)
        if not takes_over:
            self._turns.admit()
        await self._crew.start()

    async def take_over(self) -> None:
        """Everything is ours now: keep the state, and take changes."""
        for name in self.listening.own():
            _log.warning("%s is not listened on any more: the file does not name it", name)
        self._state.note_holder()
        await self._begin()
        self._turns.admit()
        self.succession.enter("alone")

    async def freeze(self) -> Legacy:
        """Take no changes from now on; everything that the next version needs to know."""
        self._turns.refuse(_handing_over)
        await self._turns.settled()
        return Legacy(self._saved(self.live), self._dispatch.known.every(), self.material)

    def thaw(self) -> None:
        """Take changes again."""
        self._turns.admit()

    @property
    def lock(self) -> int:
        """The lock on the state folder, for the next version."""
        return self._state.lock

    @property
    def live(self) -> Live:
        """The live state."""
        return self._dispatch.live

    @property
    def slots(self) -> Slots:
        """Where everything is counted."""
        return self._dispatch.slots

    @property
    def slabs(self) -> Sequence[Slab]:
        """The counters of each worker."""
        return self._dispatch.slabs

    @property
    def worker_states(self) -> list[WorkerState]:
        """Every worker as it is now."""
        return self._crew.states if self._crew is not None else []

    def has_ready_worker(self) -> bool:
        """Whether at least one worker serves."""
        return self._crew is not None and self._crew.has_ready()

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        """What is known of an endpoint."""
        return self._dispatch.known.of(service, version, address)

    def in_flight(self, service: str, version: str, address: str) -> int:
        """The requests that an endpoint is answering now; 0 of one that is not in the live state."""
        return self._dispatch.in_flight((service, version, address))

    def ejected_workers(self, service: str, version: str, address: str) -> int:
        """How many workers send an endpoint nothing because it failed them."""
        return self._dispatch.ejected_workers((service, version, address))

    def set_health(self, service: str, version: str, address: str, healthy: bool, detail: str) -> None:
        """Note what a check has found; workers hear of it when the endpoint came up or went down."""
        if self._dispatch.set_health((service, version, address), healthy=healthy, detail=detail):
            place = {"service": service, "version": version, "endpoint": address}
            self.events.publish("health", **place, healthy=healthy, detail=detail)

    def set_sockets(self, service: str, version: str, address: str, sockets: tuple[SocketAddress, ...]) -> None:
        """Note where the name of an endpoint leads; workers hear of it when that is news."""
        self._dispatch.set_sockets((service, version, address), sockets)

    async def change(self, step: Callable[[Live], Live], *, if_match: int | None = None) -> Live:
        """Take a step; returns when every worker serves what came of it.

        Raises:
            Refused: 412 when `if_match` is not the generation any more; whatever the step says; 500 or 507 when it
                cannot be saved or served, and nothing has changed; 503 when it is in force but a worker is not ready.
        """

        async def attempt() -> Live:
            if if_match is not None and if_match != self.live.generation:
                raise Refused(412, f"The live state has generation {self.live.generation}, not {if_match}")
            return await self._commit(step(self.live))

        return await self._turns.take(attempt)

    async def reload(self, *, actor: str = "", reason: str = "") -> list[str]:
        """Read the file again; returns a sentence for each part of it that needs a restart or should be different.

        `actor` and `reason` are who wants it and why, where that is known.

        Raises:
            ConfigError: it cannot be used, and nothing has changed.
            Refused: as for `change`.
        """

        async def attempt() -> Live:
            config = await asyncio.to_thread(load, self._config_path)
            for sentence in forgotten(config, overlay(self.live)):
                _log.warning("%s", sentence)
            listeners = listeners_of(self._at_start.listen, config)
            material = await asyncio.to_thread(material_of, self._config_path, listeners, config, self.material)
            change = Change("reload", reason or str(self._config_path), time.time(), actor=actor)
            return await self._commit(reconfigure(self.live, config, change, new_salts(config)), material)

        if not self.succession.alone.is_set():
            raise _handing_over()
        try:
            live = await self._turns.take(attempt)
        except Exception:
            self._count_reload("failed")
            raise
        self._count_reload("ok")
        notices = [*needs_restart(self._at_start, live.config), *config_notices(live.config)]
        self.events.publish("reload", generation=live.generation, notices=notices)
        return notices

    @property
    def material(self) -> Material:
        """What TLS is made of."""
        return self._dispatch.material

    @property
    def tls_files(self) -> tuple[Sequence[Listener], Config]:
        """Where the files of it are named."""
        return listeners_of(self._at_start.listen, self.live.config), self.live.config

    def tls_of(self, service: str, version: str) -> ClientTls | None:
        """How the endpoints of a version are spoken to; None: without TLS."""
        return self._dispatch.tls_of(service, version)

    async def renew(self, material: Material) -> None:
        """Let the workers use these certificates from now on; what a worker refuses, none keeps."""

        async def attempt() -> Live:
            old, self._dispatch.material = self.material, material
            try:
                await self._confirm(self._dispatch.adopt(self.live))
            except Rejected as exc:
                _log.error("certificates are not renewed, the old ones stay: %s", exc)
                self._dispatch.material = old
                await self._confirm(self._dispatch.adopt(self.live))
            else:
                names = sorted({name for each in material.certificates for name in each.names})
                self.events.publish("certificates", names=names)
                _log.info("certificates were read again: %s", ", ".join(names) or "none has a name")
            return self.live

        is_over = False
        while not is_over:
            await self.succession.alone.wait()  # else whoever serves next has read them
            try:
                await self._turns.take(attempt)
                is_over = True
            except Unconfirmed:  # a worker that is not ready gets them when it is
                is_over = True
            except Refused as refused:
                is_over = not refused.retry_after

    def reopen_logs(self) -> None:
        """Let every worker open its access log again."""
        if self._crew is not None:
            self._crew.send("reopen_logs")

    async def drain(self, seconds: float) -> int:
        """Take nothing new and let the workers finish and end; returns how many had to be killed."""
        if self.succession.phase != "handed_over":  # then others are ready, and take changes
            self.draining = True
            self._turns.refuse(_not_running)
        self.events.publish("drain", seconds=seconds)
        if self._crew is None:
            return 0
        # Here first, so that the workers hold the last copies: they take what waits in the queues before they close
        # theirs, and whoever connects later is refused. With a copy left here, clients would wait and then be reset.
        self.listening.close()
        return await self._crew.drain(seconds)

    async def stop(self) -> None:
        """End everything that is left, at once."""
        self.draining = True
        self._turns.refuse(_not_running)
        if self._crew is not None:
            await self._crew.kill()
        await self._turns.settled()
        self.listening.close()
        self.events.close()
        self._dispatch.close()
        self._state.close()

    def _count_reload(self, result: Literal["ok", "failed"]) -> None:
        self.reloads[result] += 1
        self.last_reload_failed = result == "failed"

    async def _commit(self, new: Live, material: Material | None = None) -> Live:
        old, old_material = self.live, self.material
        try:
            self._dispatch.make_room(new)
            await self._save(new)
        except OutOfSlots as exc:
            raise Refused(507, "There is no room for the change, so it was not made", (Problem("", str(exc)),)) from exc
        except OSError as exc:
            status = 507 if exc.errno in _FULL_DISK else 500
            problem = Problem("", f"{self._state.path} cannot be written: {exc.strerror or exc}")
            raise Refused(status, "The change cannot be kept, so it was not made", (problem,)) from exc
        try:
            self._dispatch.material = material or old_material
            await self._confirm(self._serve(new))
        except Rejected as exc:
            self._dispatch.material = old_material
            await self._undo(old)
            title = "Not every worker can serve the change, so it was undone"
            raise Refused(500, title, (Problem("", str(exc)),)) from exc
        except Unconfirmed as exc:
            title = "The change is in force, but not every worker is ready to serve it"
            raise Refused(503, title, (Problem("", str(exc)),)) from exc
        return new

    async def _undo(self, old: Live) -> None:
        """Go back to what was served before, as the next generation; who cannot even do that is replaced."""
        assert self._crew is not None
        again = replace(old, generation=self.live.generation + 1)
        self._dispatch.make_room(again)
        try:
            await self._save(again)
        except OSError as exc:
            _log.error("%s holds a change that was undone and cannot be written: %s", self._state.path, exc)
        sent = self._serve(again)
        try:
            await self._confirm(sent)
        except Rejected as exc:
            _log.error("a change could not be undone: %s; replacing", exc)
            self._crew.replace(exc.workers)
            with suppress(Rejected, Unconfirmed):  # the workers that are left serve it
                await self._confirm(sent)
        except Unconfirmed as exc:
            _log.error("a change is not undone everywhere: %s", exc)

    def _serve(self, live: Live) -> list[int]:
        """Take up a live state and send it; returns the numbers of the messages."""
        sent = self._dispatch.adopt(live)
        changes = {name: asdict(change) for name, change in change_of(live).items()}
        self.events.publish("change", generation=live.generation, services=changes)
        return sent

    async def _confirm(self, sent: Sequence[int]) -> None:
        assert self._crew is not None
        for seq in sent:
            await self._crew.confirmed(seq)

    async def _begin(self) -> None:
        """Save what is served from the beginning."""
        try:
            await self._save(self.live)
        except OSError as exc:
            _log.warning("%s cannot be written (%s): no change will be possible until it can", self._state.path, exc)

    async def _save(self, live: Live) -> None:
        await asyncio.to_thread(self._state.save, self._saved(live))

    def _saved(self, live: Live) -> Saved:
        salts = {name: service.salt for name, service in live.services.items()}
        return Saved(live.generation, time.time(), self._cookie_secret, salts, overlay(live))


def _not_running() -> Refused:
    return Refused(503, "This proxy is not running")


def _handing_over() -> Refused:
    return Refused(503, "This proxy is being handed over to the next version: try again in a second", retry_after=1)
