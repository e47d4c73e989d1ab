"""Checks that ask somebody: an HTTP server, a command, a Prometheus-compatible server; and signals from outside.

Owns when each is asked and what its answer means. Must not decide what follows from a verdict.

1. A check that could not be made is ERROR, never FAIL: the one that was asked is at fault, or we are.
2. Each check is asked by a task of its own; a slow one holds up nobody. A task ends with its rollout.
3. A check that must pass first is asked again until it passes or fails.
"""

from __future__ import annotations

import asyncio
import json
import math
import operator
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp

from config.check import Check, Comparison, ExecCheck, HttpCheck, PrometheusCheck, SignalCheck
from config.who import Who
from controller.core.book import SignalRaised
from controller.core.model import Policy, Rollout
from controller.core.observed import SIGNAL
from controller.core.situation import checks_before, checks_during
from controller.core.verdict import Value, Verdict
from controller.programs import run, words_of

_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_MAX_ANSWER: Final = 1024 * 1024

Ask = Callable[[Any], Coroutine[Any, Any, Verdict]]


class Checks:
    """The checks of one rollout that ask somebody. `session` belongs to whoever made it."""

    def __init__(self, rollout: Rollout, session: aiohttp.ClientSession) -> None:
        self._values = {"service": rollout.service, "version": rollout.new, "previous": rollout.old}
        self._session = session
        self._policy: Final[Policy] = rollout.policy
        self._found: dict[str, Verdict] = {}
        self._failures: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self, rollout: Rollout) -> None:
        """Ask what the phase of the rollout needs, and nothing else."""
        wanted: dict[str, Check] = {}
        if rollout.phase == "preparing":
            wanted = {check.name: check for check in checks_before(self._policy)}
        elif not rollout.has_ended and rollout.phase not in ("pending", "rolling_back"):
            wanted = {check.name: check for check in checks_during(self._policy)}
        asked = {name: ask for name, check in wanted.items() if (ask := self._asking(check)) is not None}
        for name in self._tasks.keys() - asked.keys():
            self._tasks.pop(name).cancel()
            self._found.pop(name, None)
        for name in asked.keys() - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._repeat(wanted[name], asked[name]), name=f"check {name}")

    def before(self) -> tuple[Verdict, ...]:
        """What the checks that must pass first say."""
        return self._said(checks_before(self._policy))

    def during(self) -> tuple[Verdict, ...]:
        """What the others say."""
        return self._said(checks_during(self._policy))

    async def close(self) -> None:
        """Ask nothing more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _said(self, checks: Iterable[Check]) -> tuple[Verdict, ...]:
        return tuple(self._found[check.name] for check in checks if check.name in self._found)

    def _asking(self, check: Check) -> Ask | None:
        if isinstance(check, HttpCheck):
            return self._ask_http
        if isinstance(check, ExecCheck):
            return self._ask_command
        return self._ask_prometheus if isinstance(check, PrometheusCheck) else None

    async def _repeat(self, check: Any, ask: Ask) -> None:
        while True:
            verdict = await ask(check)
            self._found[check.name] = verdict
            if getattr(check, "at", "during") == "before" and verdict.value in ("PASS", "FAIL"):
                return
            await asyncio.sleep(check.interval)

    async def _ask_http(self, check: HttpCheck) -> Verdict:
        trouble = await self._http_trouble(check)
        if not trouble:
            self._failures[check.name] = 0
            return Verdict(check.name, "PASS", f"{check.url} answers as expected")
        failures = self._failures[check.name] = self._failures.get(check.name, 0) + 1
        value: Value = "FAIL" if failures >= check.attempts else "INCONCLUSIVE"
        reason = f"{check.url}: {trouble} ({failures} of {check.attempts} failures in a row)"
        return Verdict(check.name, value, reason, {"failures": failures, "attempts": check.attempts})

    async def _http_trouble(self, check: HttpCheck) -> str:
        """What is wrong with the answer; a server that does not answer is what such a check looks for."""
        timeout = aiohttp.ClientTimeout(total=check.timeout)
        try:
            async with self._session.request(
                check.method, check.url, headers=dict(check.headers), timeout=timeout, allow_redirects=False
            ) as response:
                status = response.status
        except TimeoutError:
            return f"no answer within {check.timeout:g} s"
        except (aiohttp.ClientError, OSError) as exc:
            return str(exc) or type(exc).__name__
        return "" if any(status in statuses for statuses in check.expect) else f"status {status}"

    async def _ask_command(self, check: ExecCheck) -> Verdict:
        ended = await run(words_of(check.command, self._values), check.timeout)
        value: Value = "ERROR" if ended.status is None else "PASS" if ended.status == 0 else "FAIL"
        return Verdict(check.name, value, ended.words, {"status": ended.status, "output": ended.output})

    async def _ask_prometheus(self, check: PrometheusCheck) -> Verdict:
        timeout = aiohttp.ClientTimeout(total=check.timeout)
        url = f"{check.url.rstrip('/')}/api/v1/query"
        try:
            async with self._session.get(url, params={"query": check.query}, timeout=timeout) as response:
                answer = await response.content.read(_MAX_ANSWER)
                status = response.status
        except TimeoutError:
            return Verdict(check.name, "ERROR", f"{check.url} did not answer within {check.timeout:g} s")
        except (aiohttp.ClientError, OSError) as exc:
            return Verdict(check.name, "ERROR", f"{check.url}: {str(exc) or type(exc).__name__}")
        return judge_prometheus(check.name, check.fail_if, status, answer)


def judge_prometheus(name: str, fail_if: Comparison, status: int, answer: bytes) -> Verdict:
    """What an answer to an instant query says. No sample and NaN are no data: a division of nothing by nothing."""
    content: Any = None
    with suppress(ValueError):
        content = json.loads(answer)
    if status != 200 or not isinstance(content, dict) or content.get("status") != "success":
        error = content.get("error") if isinstance(content, dict) else None
        return Verdict(name, "ERROR", f"the query failed: {error or f'status {status}'}")
    try:
        samples = _samples(content["data"])
    except (KeyError, IndexError, TypeError, ValueError) as exc:
        return Verdict(name, "ERROR", f"the answer is of another shape than Prometheus gives ({exc!r})")
    if len(samples) > 1:
        return Verdict(name, "ERROR", f"the query gives {len(samples)} numbers; it must give one")
    if not samples or math.isnan(samples[0]):
        return Verdict(name, "NO_DATA", "the query gives no number now")
    number, limit = samples[0], f"fails if {fail_if}"
    value: Value = "FAIL" if _OPERATORS[fail_if.operator](number, fail_if.limit) else "PASS"
    return Verdict(name, value, f"{number:g}, {limit}", {"value": number, "fail_if": str(fail_if)})


def _samples(result: Mapping[str, Any]) -> list[float]:
    kind, found = result["resultType"], result["result"]
    if kind in ("scalar", "string"):
        return [float(found[1])]
    return [float(each["value"][1]) for each in found]


def judge_signals(policy: Policy, bad: Mapping[str, SignalRaised]) -> list[Verdict]:
    """What the signals about a service say; one that no check listens to is heard all the same."""
    names = [check.name for check in policy.checks if isinstance(check, SignalCheck)]
    unheard = [SIGNAL] if SIGNAL in bad and SIGNAL not in names else []
    return [_signal(name, bad.get(name)) for name in (*names, *unheard)]


def _signal(name: str, signal: SignalRaised | None) -> Verdict:
    if signal is None:
        return Verdict(name, "PASS", "nobody complains")
    message = f": {signal.message}" if signal.message else ""
    return Verdict(name, "FAIL", f"{Who(signal.by, signal.actor)} says that something is wrong{message}")
