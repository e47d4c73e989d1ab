"""The server under an application: what both APIs want of aiohttp's.

Owns how it is made. Must not listen.

What is not HTTP gets its 400 and no line in the log: anybody who reaches the port can send it, without a token and as
fast as they like, and aiohttp would write a traceback for each, with bytes of the client in it.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from webapi.problem import escaped

SHUTDOWN_SECONDS: Final = 1.0
"""What answers that are under way get when the server ends."""


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """The log of aiohttp's server: what clients do wrong is for those who look for it, on one line."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        if isinstance(exc_info, HttpProcessingError):
            self.debug("what is not HTTP: %s", escaped(exc_info.message))
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)


def runner_of(app: web.Application) -> web.AppRunner:
    """What runs the application, before it has an address."""
    log = _Quiet(logging.getLogger("serinus.api"), {})
    return web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS, logger=log)
