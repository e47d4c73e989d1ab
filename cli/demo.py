"""The command `demo`: the stage of `loadtests.demo` with traffic and a rollout, and a view of it.

Owns the order of things: stage, traffic, story, view, summary, and the exit code. What happens is up to
`cli.demo_story`, what is shown to `cli.demo_view`.

1. However it ends, no child and no file is left; a second Ctrl-C does not wait for requests in flight.
2. The exit code is that of the rollout (`cli.demo_ending`). A child that ends by itself ends everything, with 1.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import click

from cli.faults import Fault
from cli.output import Output, Progress, json_option

if TYPE_CHECKING:
    from cli.demo_story import Story
    from cli.demo_view import View
    from loadtests.demo.stage import Stage
    from loadtests.demo.traffic import Traffic

#: The keys of `loadtests.demo.breaks.BREAKS`, which `--help` should not have to import.
BREAK_NAMES: Final = ("errors", "latency", "outage", "crash", "slow-leak")
_FINISH_SECONDS: Final = 3.0  # for the requests in flight at the end


class DemoFailed(Fault):
    """The demonstration could not go on."""


@dataclass(slots=True)
class Wish:
    """How the demonstration should be, and the signal that ended it."""

    rate: float
    workers: int
    weights: tuple[float, ...]
    bake: float
    damage: str | None
    seconds: float | None
    stays: bool
    signal: int = field(default=0)


def _weights(context: click.Context, parameter: click.Parameter, text: str) -> tuple[float, ...]:
    """Read `1,10,50,100`."""
    try:
        weights = tuple(float(word.removesuffix("%")) for word in text.split(","))
    except ValueError as exc:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 1,10,50,100") from exc
    if not (weights[0] > 0 and weights[-1] <= 100 and list(weights) == sorted(set(weights))):  # NaN too
        raise click.BadParameter(f"{text!r} must ascend, from above 0 to at most 100")
    return weights


@click.command()
@click.option("--break", "damage", type=click.Choice(BREAK_NAMES), help="What is wrong with the new version.")
@click.option("--steps", "weights", callback=_weights, default="1,10,50,100", show_default=True, metavar="WEIGHTS",
              help="The per cent that the new version gets, step by step.")  # fmt: skip
@click.option("--bake", type=click.FloatRange(0.5, 3600), default=5, show_default=True, metavar="SECONDS",
              help="The shortest time of a step.")  # fmt: skip
@click.option("--rate", type=click.FloatRange(0, 5000), default=200, show_default=True, help="Requests per second.")
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Workers of the proxy.")
@click.option("--seconds", type=click.FloatRange(0.1), help="End after this time in any case.")
@click.option("--stay", "--hold", "stays", is_flag=True, help="Go on after the rollout has ended, until Ctrl-C.")
@json_option
def demo(
    damage: str | None,
    weights: tuple[float, ...],
    bake: float,
    rate: float,
    workers: int,
    seconds: float | None,
    stays: bool,
    as_json: bool,
) -> None:
    """Show a canary: a new version gets more and more traffic, while it is as good as the old one.

    Starts all of it on this machine: two versions of a service, the proxy, the controller, clients. Leaves nothing
    behind. With --break the new version turns out bad on the way, and is rolled back.

    Exit codes are those that a pipeline would get: 0 promoted, 1 rolled back.
    """
    import uvloop

    from cli.demo_view import choose_view

    output = Output(as_json)
    wish = Wish(rate, workers, weights, bake, damage, seconds, stays)
    with output.reporting():
        sys.exit(uvloop.run(_until_stopped(wish, choose_view(output))))


async def _until_stopped(wish: Wish, view: "type[View]") -> int:
    """Run the demonstration in a task that signals cancel; gives the exit code."""
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(_run(wish, view))

    def stop(number: signal.Signals) -> None:
        wish.signal = wish.signal or number
        running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        return await running
    except asyncio.CancelledError:
        return 128 + wish.signal  # stopped before there was anything to see, or told twice to stop


async def _run(wish: Wish, view: "type[View]") -> int:
    from cli.demo_ending import Ending
    from cli.demo_story import Story
    from loadtests.demo.configuration import Walk
    from loadtests.demo.stage import Stage, StageFault
    from loadtests.demo.traffic import Traffic

    progress = Progress()
    progress.say("starting two versions of a service, the proxy and the controller …")
    try:
        async with Stage.set_up(str(wish.workers), Walk(wish.weights, wish.bake)) as stage:
            progress.end()
            traffic, shown = Traffic(stage.url("proxy"), wish.rate), view(stage)
            story = Story(stage, traffic.tally, wish.damage, shown.tell)
            try:
                await _play(stage, traffic, story, shown, wish)
            finally:
                ending = Ending(story.scene(), story.started_at, wish.signal)
                shown.end(ending)
            progress.say("ending everything …")
    except StageFault as exc:
        raise DemoFailed(str(exc)) from exc
    finally:
        progress.end()
    return ending.exit_code


async def _play(stage: "Stage", traffic: "Traffic", story: "Story", view: "View", wish: Wish) -> None:
    """Show it until it is over, the time is over, or we are asked to stop.

    Raises:
        StageFault: a child ended.
        Fault: the story cannot go on.
    """
    requests = asyncio.ensure_future(traffic.run())
    death = asyncio.ensure_future(stage.wait_for_death())
    ends = [asyncio.create_task(each) for each in (story.run(), _draw(story, view))]
    over = asyncio.create_task((asyncio.Event() if wish.stays else story.is_over).wait())
    try:
        await asyncio.wait({requests, death, over, *ends}, timeout=wish.seconds, return_when=asyncio.FIRST_COMPLETED)
        if death.done():
            raise death.result()
        for task in (requests, *ends):
            if task.done():
                task.result()  # raises: none of them ends by itself
    except asyncio.CancelledError:
        pass  # what was seen so far is the result
    finally:
        for each in (death, over, requests, *ends):
            each.cancel()
        await asyncio.wait({requests, *ends}, timeout=_FINISH_SECONDS)
        with suppress(asyncio.CancelledError):
            view.show(story.scene())


async def _draw(story: "Story", view: "View") -> None:
    while True:
        view.show(story.scene())
        await asyncio.sleep(view.interval)
