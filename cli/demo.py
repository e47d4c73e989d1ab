"""The command `demo`: the stage of `loadtests.demo` with traffic, and a view of it.

Owns the order of things: stage, traffic, view, summary, and the exit code. What is shown is up to `cli.demo_view`.

1. However it ends, no child is left; a second Ctrl-C does not wait for requests in flight.
2. Ctrl-C and SIGTERM are the normal end of a demonstration: exit code 0. With `--seconds` it is a check: 1 when a
   request failed. A child that ends by itself ends everything, with 1.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from cli.client import AdminClient
from cli.faults import Fault, Unreachable
from cli.output import Output, json_option

if TYPE_CHECKING:
    from cli.demo_view import View
    from loadtests.demo.stage import Stage
    from loadtests.demo.traffic import Traffic

_FINISH_SECONDS: Final = 3.0  # for the requests in flight at the end


class DemoFailed(Fault):
    """The demonstration could not go on."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How the demonstration should be."""

    rate: float
    seconds: float | None
    workers: int | None


@click.command()
@click.option("--rate", type=click.FloatRange(0, 5000), default=200, show_default=True, help="Requests per second.")
@click.option("--seconds", type=click.FloatRange(0.1), help="End after this time; exit code 1 when a request failed.")
@click.option("--workers", type=click.IntRange(1, 256), help="Workers of the proxy. Default: one per core.")
@json_option
def demo(rate: float, seconds: float | None, workers: int | None, as_json: bool) -> None:
    """Show the proxy at work: two versions, traffic, live view.

    Starts all of it, and leaves nothing behind. Change the split from a second terminal while it runs.
    """
    import uvloop

    from cli.demo_view import choose_view

    output = Output(as_json)
    with output.reporting():
        sys.exit(uvloop.run(_until_stopped(Wish(rate, seconds, workers), choose_view(output))))


async def _until_stopped(wish: Wish, view: "type[View]") -> int:
    """Run the demonstration in a task that signals cancel; gives the exit code."""
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(_run(wish, view))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        return 0  # stopped before there was anything to see, or told twice to stop


async def _run(wish: Wish, view: "type[View]") -> int:
    from loadtests.demo.stage import Stage, StageFault
    from loadtests.demo.traffic import Traffic

    try:
        async with Stage.set_up(workers="auto" if wish.workers is None else str(wish.workers)) as stage:
            traffic = Traffic(stage.url("proxy"), wish.rate)
            shown = view(stage)
            try:
                is_complete = await _play(stage, traffic, shown, wish.seconds)
            finally:
                shown.end(traffic.tally)
    except StageFault as exc:
        raise DemoFailed(str(exc)) from exc
    return 1 if is_complete and traffic.tally.failed else 0


async def _play(stage: "Stage", traffic: "Traffic", view: "View", seconds: float | None) -> bool:
    """Show traffic until the time is over (true) or we are asked to stop (false).

    Raises:
        StageFault: a child ended.
    """
    requests = asyncio.ensure_future(traffic.run())
    death = asyncio.ensure_future(stage.wait_for_death())
    drawing = asyncio.ensure_future(_draw(stage, traffic, view))
    try:
        await asyncio.wait({requests, death, drawing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if death.done():
            raise death.result()
        for task in (requests, drawing):
            if task.done():
                task.result()  # raises: neither ends by itself
    except asyncio.CancelledError:
        return False
    finally:
        death.cancel()
        drawing.cancel()
        requests.cancel()
        await asyncio.wait({requests}, timeout=_FINISH_SECONDS)
    return True


async def _draw(stage: "Stage", traffic: "Traffic", view: "View") -> None:
    admin = AdminClient(stage.url("admin"))
    while True:
        with suppress(Unreachable):  # a proxy that is gone is told by `wait_for_death`
            view.show(await asyncio.to_thread(admin.service, "shop"), traffic.tally)
        await asyncio.sleep(view.interval)
