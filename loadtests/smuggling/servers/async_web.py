"""aiohttp's server: `python -m loadtests.smuggling.servers.async_web PORT`."""

import asyncio
import logging
import sys

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from loadtests.smuggling.servers import recording


async def answer(request: web.BaseRequest) -> web.Response:
    """Write the request down and say who it was."""
    body = None if "/early/" in request.raw_path else len(await request.read())
    fields = {name.lower(): value for name, value in request.headers.items()}
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return web.Response(body=recording.note(request.method, request.raw_path, fields, peer[1] if peer else 0, body))


async def main(port: int) -> None:
    """Serve until somebody ends us."""
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=256).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.getLogger("aiohttp.server").setLevel(logging.DEBUG)  # where it tells of a first request that is none
    recording.note_refusals("aiohttp.server", "Error handling request", BadHttpMessage)
    asyncio.run(main(int(sys.argv[1])))
