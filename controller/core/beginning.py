"""Whether a rollout can begin: what it needs of the services as they are.

Owns the conditions. Must not know of other rollouts (`controller.core.book`).

1. The old version has requests, and no third one has: what the weights of a rollout add up to is all of the traffic.
2. All problems are told at once, with the path of the field that names what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from config.model import RollingRollout
from config.problems import Problem, nearest
from controller.core.model import Rollout
from controller.core.observed import Seen, SeenService


def why_not(rollout: Rollout, seen: Seen) -> list[Problem]:
    """Everything that keeps a rollout from beginning, each thing once however many proxies have it."""
    problems = [problem for proxy in seen.proxies.values() for problem in _problems(rollout, proxy)]
    return list(dict.fromkeys(problems))


def _problems(rollout: Rollout, proxy: SeenService) -> Iterator[Problem]:
    weights = proxy.split.weights
    for field, version in (("from", rollout.old), ("to", rollout.new)):
        if version not in weights:
            message = f"{rollout.service} has no version {version!r}"
            yield Problem(field, message, suggestion=nearest(version, weights))
    if rollout.old not in weights or rollout.new not in weights:
        return
    if not weights[rollout.old]:
        yield Problem("from", f"{rollout.old} gets no requests now, so there is nothing to roll out from")
    for version, weight in weights.items():
        if weight and version not in (rollout.old, rollout.new):
            yield Problem("from", f"{version} gets requests too; give its weight to {rollout.old} first")
    if isinstance(rollout.policy, RollingRollout):
        yield from _problems_of_endpoints(rollout, rollout.policy, proxy)


def _problems_of_endpoints(rollout: Rollout, policy: RollingRollout, proxy: SeenService) -> Iterator[Problem]:
    up = [address for address, found in proxy.endpoints.get(rollout.old, {}).items() if found.state == "up"]
    if len(up) <= policy.max_unavailable:
        message = f"{rollout.old} has {len(up)} endpoints that are up; with max_unavailable {policy.max_unavailable}"
        yield Problem("from", f"{message} none would be left")
    if proxy.endpoints.get(rollout.new):
        yield Problem(
            "to", f"{rollout.new} has endpoints already; a rolling rollout moves those of {rollout.old} to it"
        )
