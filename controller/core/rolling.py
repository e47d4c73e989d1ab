"""Rolling: endpoint by endpoint, drain, deploy, wait until it is well, judge, next; and the same way back.

Owns when endpoints move and where each of them belongs. Rules: see `controller.core.strategy`.

1. At most `max_unavailable` endpoints are out at the same time, and none is taken out while others are unwell, unless
   it is unwell itself.
2. Nothing is deployed on an endpoint before every proxy has confirmed that it takes nothing new and has nothing left.
3. Weights are numbers of endpoints, so each endpoint keeps its part of the requests.
4. On the way back the new version gets nothing more as soon as the rest can do without its endpoints (rule 1).
5. Without a hook, somebody else puts the version on a drained endpoint: it is seen going down and coming up, or a
   person says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from config.model import RollingRollout
from controller.core.actions import Action, EnsureEndpoint, RemoveEndpoint, RunDeploy, SetSplit
from controller.core.events import Event
from controller.core.model import Rollout, Split, Stage, Unit
from controller.core.observed import DEPLOY, Seen
from controller.core.units import batch

if TYPE_CHECKING:
    from controller.core.strategy import Need

#: From one try of a hook that has failed on the way back to the next, seconds.
RETRY_PAUSE: Final = 60.0
#: For an endpoint to become well where no hook says how long a deployment may take, seconds.
READY_TIMEOUT: Final = 600.0

_FORWARD: Final[frozenset[Stage]] = frozenset({"draining", "deploying", "changing", "joining"})
_BACK: Final[frozenset[Stage]] = frozenset({"leaving", "reverting", "changing_back", "returning"})


class Rolling:
    """The strategy for a rolling policy."""

    def __init__(self, policy: RollingRollout) -> None:
        self._policy = policy

    def last_step(self, rollout: Rollout) -> int:
        """The index of the last step."""
        return -(-len(rollout.units) // self._policy.max_unavailable) - 1

    def bake(self, step: int) -> float:
        """How long the new version is judged after each step, seconds."""
        return self._policy.settle

    def longest(self, step: int) -> float:
        """How long a step waits for traffic, seconds."""
        return 3 * self._policy.settle or READY_TIMEOUT

    def need(self, step: int) -> Need:
        """Traffic without a failure: an endpoint is too little to wait for evidence, which goes on all the time."""
        return "traffic"

    def next_share(self, rollout: Rollout) -> float | None:
        """None: going on needs no evidence."""
        return None

    def retreats(self) -> bool:
        """It does not: there is nowhere to go."""
        return False

    def turns_back_by_itself(self, rollout: Rollout) -> bool:
        """With a hook, or while nothing has been deployed."""
        return self._policy.deploy is not None or all(unit.stage in ("old", "draining") for unit in rollout.units)

    def split(self, rollout: Rollout) -> Split:
        """As many parts for each version as it has endpoints that take requests."""
        old, new = _count(rollout, "old"), _count(rollout, "new")
        if not rollout.units:
            old = 1
        elif rollout.phase == "rolling_back" and len(rollout.units) - old <= self._policy.max_unavailable:
            new = 0
        return Split({rollout.old: float(old), rollout.new: float(new)})

    def actions(self, rollout: Rollout, seen: Seen) -> Sequence[Action]:
        """Endpoints where they belong, and the split: before they move, for those that leave, and after it, for those
        that join. The last one confirms all of it.
        """
        split = SetSplit(self.split(rollout))
        moves = [action for unit in rollout.units for action in _placement(rollout, unit, seen)]
        return [split, *moves, split] if moves else [split]

    def runs(self, rollout: Rollout, seen: Seen) -> Sequence[RunDeploy]:
        """The runs of the hook that have not ended."""
        versions = {"deploying": (rollout.new, rollout.old), "reverting": (rollout.old, rollout.new)}
        if self._policy.deploy is None:
            return ()
        return [
            RunDeploy(unit.run, unit.address, *versions[unit.stage])
            for unit in rollout.units
            if unit.stage in versions and unit.run not in seen.run_ends
        ]

    def obstacle(self, rollout: Rollout, seen: Seen) -> str:
        """Why it cannot begin."""
        total = len(self.addresses(rollout, seen))
        if total <= self._policy.max_unavailable:
            return (
                f"{rollout.old} has {total} endpoints: with max_unavailable {self._policy.max_unavailable}, "
                "none would be left"
            )
        return ""

    def addresses(self, rollout: Rollout, seen: Seen) -> tuple[str, ...]:
        """The endpoints of the old version that nobody has taken out, in the order of the proxy."""
        first = next(iter(seen.proxies.values()), None)
        endpoints = first.endpoints.get(rollout.old, {}) if first else {}
        return tuple(address for address, endpoint in endpoints.items() if endpoint.state == "up")

    def progress(self, rollout: Rollout, seen: Seen, now: float) -> Event | str:
        """The next move."""
        if not rollout.is_applied:
            return ""
        if rollout.phase == "rolling_back":
            return self._progress_back(rollout, seen, now)
        waits = ""
        for unit in batch(rollout):
            found = self._forward(rollout, unit, seen, now)
            if isinstance(found, Event):
                return found
            waits = waits or found
        return waits

    def is_restored(self, rollout: Rollout) -> bool:
        """When every endpoint is where it was."""
        return all(unit.stage == "old" for unit in rollout.units)

    def _forward(self, rollout: Rollout, unit: Unit, seen: Seen, now: float) -> Event | str:
        match unit.stage:
            case "old" if rollout.phase == "step":
                return seen.blocked or self._too_few(rollout, unit, seen) or _move(unit, "draining", now)
            case "draining":
                return _busy(rollout.old, unit, seen) or _move(unit, "deploying", now)
            case "deploying" | "changing":
                return self._deployed(rollout, unit, seen, now)
            case "joining":
                return self._joined(rollout, unit, seen, now)
            case _:
                return ""

    def _deployed(self, rollout: Rollout, unit: Unit, seen: Seen, now: float) -> Event | str:
        """Wait for the new version on an endpoint that has been drained."""
        if self._policy.deploy is None:
            return _changed(rollout, unit, seen, now, then="joining")
        end = seen.run_ends.get(unit.run)
        if end is None:
            return f"deploying {rollout.new} on {unit.address}"
        if end.ok:
            return _move(unit, "joining", now)
        return self._failure(rollout, f"{rollout.new} could not be deployed on {unit.address}: {end.detail}", now)

    def _joined(self, rollout: Rollout, unit: Unit, seen: Seen, now: float) -> Event | str:
        """Wait until an endpoint is well with the new version."""
        if _is_well(rollout.new, unit, seen):
            return _move(unit, "new", now)
        waited = now - unit.since
        if waited <= (self._policy.deploy.timeout if self._policy.deploy else READY_TIMEOUT):
            return f"waits until {unit.address} is well with {rollout.new}"
        return self._failure(rollout, f"{unit.address} is not well with {rollout.new} after {waited:.0f} s", now)

    def _failure(self, rollout: Rollout, why: str, now: float) -> Event | str:
        """A failure once, words afterwards."""
        return why if DEPLOY in rollout.failed else Event("failed", now, why, check=DEPLOY)

    def _too_few(self, rollout: Rollout, unit: Unit, seen: Seen) -> str:
        """Rule 1."""
        if not _is_well(rollout.old, unit, seen):
            return ""
        others = [other for other in rollout.units if other is not unit]
        missing = len(others) - sum(_serves(rollout, other, seen) for other in others)
        if missing >= self._policy.max_unavailable:
            return f"waits: {missing} other endpoints of {len(others)} are not well, so {unit.address} has to stay"
        return ""

    def _progress_back(self, rollout: Rollout, seen: Seen, now: float) -> Event | str:
        """Let the endpoints go back, the last ones first."""
        waits = ""
        places = self._policy.max_unavailable - sum(unit.stage in _BACK for unit in rollout.units)
        for unit in reversed(rollout.units):
            found = self._backward(rollout, unit, seen, now, may_begin=places > 0)
            if isinstance(found, Event):
                return found
            waits = waits or found
        return waits

    def _backward(self, rollout: Rollout, unit: Unit, seen: Seen, now: float, *, may_begin: bool) -> Event | str:
        match unit.stage:
            case "draining":
                return _move(unit, "returning", now)  # nothing has been deployed on it yet
            case "deploying" | "changing":
                is_running = self._policy.deploy is not None and unit.run not in seen.run_ends
                return f"waits for the hook on {unit.address}" if is_running else _move(unit, "reverting", now)
            case "joining" | "new" if may_begin:
                return _move(unit, "leaving", now)
            case "leaving":
                return _busy(rollout.new, unit, seen) or _move(unit, "reverting", now)
            case "reverting" | "changing_back":
                return self._reverted(rollout, unit, seen, now)
            case "returning":
                well = _is_well(rollout.old, unit, seen)
                return _move(unit, "old", now) if well else f"waits until {unit.address} is well with {rollout.old}"
            case _:
                return ""

    def _reverted(self, rollout: Rollout, unit: Unit, seen: Seen, now: float) -> Event | str:
        """Wait for the old version on an endpoint; a hook that fails is tried for ever."""
        if self._policy.deploy is None:
            return _changed(rollout, unit, seen, now, then="returning")
        end = seen.run_ends.get(unit.run)
        if end is None:
            return f"deploying {rollout.old} on {unit.address}"
        if end.ok:
            return _move(unit, "returning", now)
        if now - unit.since >= RETRY_PAUSE:
            return _move(unit, "reverting", now, f"{rollout.old} could not be deployed on {unit.address}: trying again")
        return f"{rollout.old} could not be deployed on {unit.address} ({end.detail}): will be tried again"


def _count(rollout: Rollout, stage: Stage) -> int:
    return sum(unit.stage == stage for unit in rollout.units)


def _move(unit: Unit, stage: Stage, now: float, why: str = "") -> Event:
    return Event("moved", now, why, addresses=(unit.address,), stage=stage)


def _is_well(version: str, unit: Unit, seen: Seen) -> bool:
    found = seen.every_endpoint(version, unit.address)
    return bool(found) and all(endpoint is not None and endpoint.healthy for endpoint in found)


def _serves(rollout: Rollout, unit: Unit, seen: Seen) -> bool:
    """Whether an endpoint takes requests and is well."""
    version = {"old": rollout.old, "new": rollout.new}.get(unit.stage)
    return version is not None and _is_well(version, unit, seen)


def _busy(version: str, unit: Unit, seen: Seen) -> str:
    """What an endpoint that takes nothing new still has to finish."""
    if not seen.is_complete:
        return f"waits for every proxy to say what {unit.address} has in flight"
    in_flight = sum(endpoint.in_flight for endpoint in seen.every_endpoint(version, unit.address) if endpoint)
    return f"waits for {unit.address}: {in_flight} in flight" if in_flight else ""


def _changed(rollout: Rollout, unit: Unit, seen: Seen, now: float, then: Stage) -> Event | str:
    """Rule 5."""
    version = rollout.new if then == "joining" else rollout.old
    down: Stage = "changing" if then == "joining" else "changing_back"
    here = rollout.old if seen.every_endpoint(rollout.old, unit.address) != [None] * len(seen.proxies) else rollout.new
    is_well = _is_well(here, unit, seen)
    if unit.stage != down:
        if not is_well:
            return _move(unit, down, now)
        return f"waits until somebody puts {version} on {unit.address}; `promote` says that it is there"
    return _move(unit, then, now) if is_well else f"waits until {unit.address} is well with {version}"


def _placement(rollout: Rollout, unit: Unit, seen: Seen) -> list[Action]:
    """Put an endpoint where its stage says, as far as it is not there; one that is being deployed on stays."""
    if unit.stage in ("deploying", "changing", "reverting", "changing_back"):
        return []
    is_new = unit.stage in ("joining", "new", "leaving")
    version, other = (rollout.new, rollout.old) if is_new else (rollout.old, rollout.new)
    state: Literal["up", "drain"] = "drain" if unit.stage in ("draining", "leaving") else "up"
    actions: list[Action] = []
    if any(seen.every_endpoint(other, unit.address)):
        actions.append(RemoveEndpoint(other, unit.address))
    if any(found is None or found.state != state for found in seen.every_endpoint(version, unit.address)):
        actions.append(EnsureEndpoint(version, unit.address, state))
    return actions
