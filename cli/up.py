"""`serinus up`: the proxy and the controller of one file, as two children of one program.

Owns their beginning and end, and which signals reach whom. Must not do anything of theirs.

1. Each child has a session of its own, so that Ctrl-C reaches this program alone, which passes it on once.
2. It ends with the proxy, with its exit code. The controller is ended then; the data path never waits for it.
3. A controller that ends by itself is started again, later each time.
4. A child whose parent was killed is asked to stop by the kernel (Linux).
5. Sockets that systemd has passed belong to the proxy.
6. The proxy is not handed over to a next version (SIGUSR2): that would be no child of this program.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import click

#: What is passed on to both, and what to the proxy alone.
_TO_BOTH: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_TO_PROXY: Final = (signal.SIGUSR1,)
_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
_LONGEST_PAUSE: Final = 30.0
_FIRST_PASSED: Final = 3  # sd_listen_fds(3)


def run(path: str) -> int:
    """Run both until a signal ends them; returns the exit code.

    Raises:
        ConfigError: the file cannot be used; nothing was started.
    """
    from config.controller import led_proxies
    from config.load import load
    from config.problems import ConfigError, Problem

    config = load(path)
    try:
        led_proxies(config.controller, config.admin)
    except ValueError as exc:
        raise ConfigError(path, [Problem("controller.proxies", str(exc))]) from exc
    return asyncio.run(_Pair(path).run())


class _Pair:
    """The two children."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._ending = asyncio.Event()
        self._proxy: Process | None = None
        self._controller: Process | None = None

    async def run(self) -> int:
        """Start them, and wait for the end of the proxy; gives its exit code."""
        loop = asyncio.get_running_loop()
        for number in (*_TO_BOTH, *_TO_PROXY):
            loop.add_signal_handler(number, self._pass_on, number)
        loop.add_signal_handler(signal.SIGUSR2, self._decline)
        proxy = self._proxy = await self._start("proxy", _passed())
        keeping = asyncio.create_task(self._keep_controller())
        try:
            code = await proxy.wait()
        finally:
            self._ending.set()
            keeping.cancel()
            await asyncio.wait({keeping})
            await _end(self._controller)
        return code if code >= 0 else 128 - code

    async def _keep_controller(self) -> None:
        """Have a controller, again and again."""
        pause = 1.0
        while True:
            self._controller = await self._start("controller", 0)
            began = asyncio.get_running_loop().time()
            code = await self._controller.wait()
            if self._ending.is_set():
                return
            lived = asyncio.get_running_loop().time() - began
            pause = 1.0 if lived > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
            click.echo(f"serinus: the controller ended with {code}; starting it again in {pause:g} s", err=True)
            await asyncio.sleep(pause)

    async def _start(self, name: str, passed: int) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "cli", name, "-c", self._path),
            start_new_session=True,
            pass_fds=range(_FIRST_PASSED, _FIRST_PASSED + passed),
            preexec_fn=_preparation(passed),
        )

    def _decline(self) -> None:
        click.echo("serinus: SIGUSR2 is for `serinus proxy`; run it and `serinus controller` by themselves", err=True)

    def _pass_on(self, number: signal.Signals) -> None:
        if number in _ENDING:
            self._ending.set()
        for child in (self._proxy, self._controller if number in _TO_BOTH else None):
            if child is not None and child.returncode is None:
                with suppress(ProcessLookupError):
                    child.send_signal(number)


def _passed() -> int:
    """How many sockets systemd has passed to us."""
    is_ours = os.environ.get("LISTEN_PID") == str(os.getpid())
    return int(os.environ["LISTEN_FDS"]) if is_ours and os.environ.get("LISTEN_FDS", "").isdigit() else 0


def _preparation(passed: int) -> Callable[[], None]:
    """What a child does before it starts."""
    from loadtests.demo.children import stop_with_parent

    stop = stop_with_parent()

    def prepare() -> None:
        if stop is not None:
            stop()
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if passed:
            os.environ["LISTEN_PID"] = str(os.getpid())  # the sockets are for whoever has this pid

    return prepare


async def _end(child: Process | None) -> None:
    if child is not None and child.returncode is None:
        with suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
