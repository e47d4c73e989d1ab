"""Locust against the demo, without its web page, and a verdict: `make load`, or `python -m loadtests.run`.

Owns the order of things and the judgement: the error budget and, for each version, the share that the proxy says it got
against the one that it should have. Exit codes: 0 good, 1 not good, 2 usage.

The demo has a rollout under way meanwhile, in a step that outlasts the load: it must still be in it afterwards.

Locust runs as a program of its own, because it patches the interpreter that it runs in.
"""

import argparse
import asyncio
import json
import math
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from loadtests.demo.configuration import SERVICE, Walk
from loadtests.demo.stage import Stage, StageFault

#: The environment variable that tells the locustfile where to write its counts, named there too.
COUNTS: Final = "SERINUS_LOAD_COUNTS"
_LOCUSTFILE: Final = Path(__file__).with_name("locustfile.py")
_IDENTITIES: Final = 1000  # StickyUser.identities; the file cannot be imported
_HARVEST_SECONDS: Final = 2.5  # the proxy gathers its counters once a second
_SIGMAS: Final = 5.0
_BEGIN_SECONDS: Final = 30.0  # of a rollout
_POLL_SECONDS: Final = 0.1
_WALK: Final = Walk(weights=(10,), bake=600.0)  # it stays at this weight, however the versions do
_SLACK: Final = 16  # requests: two per worker that splits, and those around the ends of the run


@dataclass(frozen=True, slots=True)
class Target:
    """What is put under load."""

    host: str
    admin: str
    rollout: str | None = None
    """Where the controller tells of the rollout that is under way, if there is one."""


@dataclass(frozen=True, slots=True)
class Load:
    """What Locust counted, by name of the request."""

    requests: Mapping[str, int]
    failures: int

    @classmethod
    def of(cls, counts: Mapping[str, Mapping[str, int]]) -> "Load":
        """Read what the locustfile wrote: requests and failures by name."""
        requests = {name: count["requests"] for name, count in counts.items()}
        return cls(requests, sum(count["failures"] for count in counts.values()))

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())


def complaints(load: Load, service: Mapping[str, Any], budget: float) -> Iterator[str]:
    """Everything that is not as it should be."""
    if not load.total:
        yield "no request was made"
        return
    if load.failures > budget * load.total:
        yield f"{load.failures} of {load.total} requests failed; the budget is {budget:.2%}"
    for name, version in service["versions"].items():
        target, actual = version["target"], version["actual"]
        allowed = tolerance(target, load.requests.get("steady", 0), load.requests.get("sticky", 0))
        if actual is None or abs(actual - target) > allowed:
            got = "no requests" if actual is None else f"{actual:.2%}"
            yield f"{name} got {got} where it should have {target:.2%} ± {allowed:.2%}"


def complaints_of_rollout(rollout: Mapping[str, Any] | None) -> Iterator[str]:
    """What is wrong with the rollout that was under way."""
    if rollout is not None and rollout["phase"] != "step":
        yield f"rollout {rollout['id']} is {rollout['phase'].replace('_', ' ')}: {rollout['why']}"


def tolerance(share: float, steady: int, sticky: int) -> float:
    """How far the actual share of a version may be from its target.

    Requests without a key are dealt exactly. Users with a key are hashed: n requests of N users have the variance
    p (1 - p) (1 / n + 1 / N). A share of 0 or 1 is exact for both.
    """
    total = steady + sticky
    if not total or share in (0.0, 1.0):
        return 0.0
    spread = math.sqrt(share * (1 - share) * (1 / sticky + 1 / _IDENTITIES)) if sticky else 0.0
    return _SIGMAS * spread * sticky / total + _SLACK / total


async def main(arguments: Sequence[str] | None = None) -> int:
    """Put something under load and judge it; gives the exit code."""
    options = _parser().parse_args(arguments)
    try:
        async with _target(options) as target:
            load = await _locust(options, target.host)
            await asyncio.sleep(_HARVEST_SECONDS)
            service = await _ask(f"{target.admin}/v1/services/{options.service}")
            rollout = await _ask(target.rollout) if target.rollout else None
    except (StageFault, aiohttp.ClientError) as exc:
        print(f"load test: {exc}", file=sys.stderr)
        return 1
    for name, version in service["versions"].items():
        actual = "no requests" if version["actual"] is None else f"{version['actual']:.2%}"
        print(f"{options.service}/{name}: {actual} of the requests, target {version['target']:.2%}")
    if rollout:
        print(f"rollout {rollout['id']}: {rollout['phase']}, {rollout['waits'] or rollout['why']}")
    found = [*complaints(load, service, options.budget), *complaints_of_rollout(rollout)]
    for complaint in found:
        print(f"load test: {complaint}", file=sys.stderr)
    print(f"{load.total} requests, {load.failures} failed: {'not good' if found else 'good'}")
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.run", description="Locust against the demo, judged.")
    parser.add_argument("--seconds", type=int, default=5, help="how long (default: 5)")
    parser.add_argument("--users", type=int, default=20, help="how many at the same time (default: 20)")
    parser.add_argument("--budget", type=float, default=0.0, help="the share of requests that may fail (default: 0)")
    parser.add_argument("--workers", default="auto", help="workers of the demo's proxy (default: auto)")
    parser.add_argument("--host", help="put this under load instead of the demo: http://shop.example.com")
    parser.add_argument("--admin", default="http://127.0.0.1:9900", help="with --host: the admin API of its proxy")
    parser.add_argument("--service", default=SERVICE, help=f"with --host: the service to judge (default: {SERVICE})")
    return parser


@asynccontextmanager
async def _target(options: argparse.Namespace) -> AsyncIterator[Target]:
    if options.host:
        yield Target(options.host, options.admin)
        return
    async with Stage.set_up(options.workers, _WALK) as stage:
        yield Target(stage.url("proxy"), stage.url("admin"), await _begin_rollout(stage.url("controller")))


async def _begin_rollout(controller: str) -> str:
    """Start the rollout and wait until it is in its step; gives its address.

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
    return url


async def _locust(options: argparse.Namespace, host: str) -> Load:
    """Run Locust, its output going where ours goes.

    Raises:
        StageFault: it did not run to its end.
    """
    with TemporaryDirectory(prefix="serinus-load-") as folder:
        counts = Path(folder) / "counts.json"
        command = [sys.executable, "-P", "-m", "locust", "-f", str(_LOCUSTFILE), "--host", host, "--headless"]
        command += ["--users", str(options.users), "--spawn-rate", str(options.users), "--only-summary"]
        command += ["--run-time", f"{options.seconds}s", "--stop-timeout", "10"]
        command += ["--exit-code-on-error", "0"]  # failures are judged here
        locust = await asyncio.create_subprocess_exec(*command, env={**os.environ, COUNTS: str(counts)})
        try:
            code = await locust.wait()
        finally:
            if locust.returncode is None:
                locust.terminate()
                await locust.wait()
        if code:
            raise StageFault(f"Locust ended with exit code {code}")
        return Load.of(json.loads(counts.read_text(encoding="utf-8")))


async def _ask(url: str) -> Mapping[str, Any]:
    token = os.environ.get("SERINUS_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url, raise_for_status=True) as response:
        found: Mapping[str, Any] = await response.json()
        return found


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
