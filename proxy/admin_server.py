"""The admin API on its sockets: from when they are open to its end.

Owns the server and its sockets. Must not answer (`proxy.admin` does).

1. Sockets are open before anybody is served from them: what cannot be listened on is known before it is too late.
2. Once it is given away, another process answers at the same place. Those who are connected here still get one answer,
   which ends their connection; who only waits is disconnected after FAREWELL seconds, and connects there.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from proxy.admin.app import create_app
from proxy.inheritance import Inheritance
from proxy.listening import Listening
from proxy.metrics import SerinusCollector
from proxy.observations import Observations
from proxy.supervisor import Supervisor
from webapi.serving import runner_of

FAREWELL: Final = 1.0


class AdminServer:
    """The admin API of a supervisor. Raises ListenError."""

    def __init__(self, supervisor: Supervisor, observations: Observations, inheritance: Inheritance) -> None:
        registry = CollectorRegistry()
        registry.register(SerinusCollector(supervisor, observations))
        app = create_app(supervisor, observations, registry)
        app.on_response_prepare.append(self._say_farewell)
        self._runner = runner_of(app)
        self._is_given_away = False
        self.listening: Final = Listening([supervisor.live.config.admin.address], inheritance)
        self.listening.open(1)

    async def start(self) -> None:
        """Answer."""
        await self._runner.setup()
        for listener in self.listening:
            for listening in listener.for_worker(0, 1):
                await web.SockSite(self._runner, listening).start()

    def give_away(self) -> None:
        """The sockets are another's from now on."""
        self._is_given_away = True
        self.listening.give_away()

    async def stop_listening(self) -> None:
        """Take no new connection, and soon have none left."""
        for site in self._runner.sites:
            await site.stop()
        await asyncio.sleep(FAREWELL)
        await self._runner.cleanup()

    async def close(self) -> None:
        """End all of it."""
        await self._runner.cleanup()
        self.listening.close()

    async def _say_farewell(self, _: web.Request, response: web.StreamResponse) -> None:
        if self._is_given_away:
            response.force_close()
            response.headers["Connection"] = "close"
