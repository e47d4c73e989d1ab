"""Locust against the demo, without its web page, and a verdict: `make load`, or `python -m loadtests.run`.

Owns what is put under load and with which options. Exit codes: 0 good, 1 not good, 2 usage. The load is judged by
`loadtests.referee`, in Locust, which is a program of its own because it patches the interpreter that it runs in.

The demo has a rollout under way meanwhile: in a step that outlasts the load, or, with `--shape canary-walk`, through
all its steps to its end.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from loadtests.courses import CANARY_WALK, CANARY_WALK_SECONDS, COURSES
from loadtests.demo.configuration import SERVICE, Walk
from loadtests.demo.stage import Stage, StageFault

_FILES: Final = ",".join(str(Path(__file__).with_name(name)) for name in ("locustfile.py", "shapes.py"))
_SECONDS: Final = 5  # without a shape
_STOP_SECONDS: Final = 10
_BEGIN_SECONDS: Final = 30.0  # of a rollout
_POLL_SECONDS: Final = 0.1
_STAY: Final = Walk(weights=(10,), bake=600.0)  # it stays at this weight, however the versions do
_WALK: Final = Walk(weights=(10, 50, 100), bake=5.0)
#: Those that need nothing of the service but a route for PreviewUser.
_FOR_ANY_SERVICE: Final = ("SteadyUser", "StickyUser", "PreviewUser")


@dataclass(frozen=True, slots=True)
class Target:
    """What is put under load, and where its proxy and its controller are asked."""

    host: str
    admin: str
    controller: str = ""


async def main(arguments: Sequence[str] | None = None) -> int:
    """Put something under load and have it judged; gives the exit code."""
    options = _parser().parse_args(arguments)
    try:
        async with _target(options) as target:
            return await _locust(command(options, target))
    except (StageFault, aiohttp.ClientError) as exc:
        print(f"load test: {exc}", file=sys.stderr)
        return 1


def command(options: argparse.Namespace, target: Target) -> list[str]:
    """How Locust is started."""
    seconds = options.seconds
    if seconds is None and not options.shape:
        seconds = _SECONDS
    words = [sys.executable, "-P", "-m", "locust", "-f", _FILES, "--headless", "--only-summary"]
    words += ["--host", target.host, "--admin", target.admin, "--controller", target.controller]
    words += ["--service", options.service, "--error-budget", f"{options.budget:g}", "--shape", options.shape]
    words += ["--users", str(options.users), "--spawn-rate", str(min(options.users, 100))]
    words += ["--run-time", f"{seconds}s"] if seconds else []
    words += ["--stop-timeout", str(_STOP_SECONDS)]
    words += ["--not-alone"] if options.not_alone else []
    classes = options.classes.split(",") if options.classes else _FOR_ANY_SERVICE if options.host else ()
    return [*words, *options.locust, *classes]


def _parser() -> argparse.ArgumentParser:
    lengths = ", ".join(f"{name} {course.seconds:g}" for name, course in COURSES.items())
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.run",
        description="Locust against the demo, judged.",
        epilog="What is behind -- goes to Locust: -- --processes 2, or -- --master --expect-workers 2",
    )
    parser.add_argument("--shape", choices=[*COURSES, CANARY_WALK], default="", help="how the number of users changes")
    parser.add_argument(
        "--seconds",
        type=int,
        help=f"for how long (default: {_SECONDS}; {lengths}; {CANARY_WALK} up to {CANARY_WALK_SECONDS:g})",
    )
    parser.add_argument("--users", type=int, default=20, help="how many at the same time, at most (default: 20)")
    parser.add_argument(
        "--classes", default="", help="which users, separated by commas (default: all that the host serves)"
    )
    parser.add_argument("--budget", type=float, default=0.0, help="the share of requests that may fail (default: 0)")
    parser.add_argument("--workers", default="auto", help="workers of the demo's proxy (default: auto)")
    parser.add_argument("--host", help="put this under load instead of the demo: http://shop.example.com")
    parser.add_argument("--admin", default="http://127.0.0.1:9900", help="with --host: the admin API of its proxy")
    parser.add_argument("--controller", default="", help="with --host: the controller, if its rollout is to be judged")
    parser.add_argument("--service", default=SERVICE, help=f"with --host: the service to judge (default: {SERVICE})")
    parser.add_argument("--not-alone", action="store_true", help="with --host: others send requests to the service too")
    parser.add_argument("locust", nargs="*", metavar="-- OPTION", help="more options for Locust")
    return parser


@asynccontextmanager
async def _target(options: argparse.Namespace) -> AsyncIterator[Target]:
    if options.host:
        yield Target(options.host, options.admin, options.controller)
        return
    async with Stage.set_up(options.workers, _WALK if options.shape == CANARY_WALK else _STAY) as stage:
        await _begin_rollout(stage.url("controller"))
        yield Target(stage.url("proxy"), stage.url("admin"), stage.url("controller"))


async def _begin_rollout(controller: str) -> None:
    """Start the rollout and wait until it is in its first step.

    Raises:
        StageFault: it does not get there.
    """
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.post(f"{controller}/v1/rollouts", json={"service": SERVICE}) as response:
            rollout = await response.json()
        url = f"{controller}/v1/rollouts/{rollout['id']}"
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                while rollout["phase"] != "step" or not rollout["applied"]:
                    await asyncio.sleep(_POLL_SECONDS)
                    async with session.get(url) as response:
                        rollout = await response.json()
        except TimeoutError as exc:
            raise StageFault(f"rollout {rollout['id']} does not begin: {rollout['waits']}") from exc


async def _locust(words: Sequence[str]) -> int:
    """Run Locust, its output going where ours goes; gives 0 when it was good and 1 when not.

    Raises:
        StageFault: it did not run to its end.
    """
    locust = await asyncio.create_subprocess_exec(*words)
    try:
        code = await locust.wait()
    finally:
        if locust.returncode is None:
            locust.terminate()
            await locust.wait()
    if code not in (0, 1):
        raise StageFault(f"Locust ended with exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
