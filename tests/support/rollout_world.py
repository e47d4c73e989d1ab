"""A small world for the pure part of the controller: proxies that do what they are told, checks that say what the test
wants, and a clock that the test moves.

Owns no decision: it performs actions and shows what came of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from config.model import Config
from controller.core.actions import Action, EndLease, EnsureEndpoint, RemoveEndpoint, RenewLease, RunDeploy, SetSplit
from controller.core.decide import Decision, decide
from controller.core.events import Event
from controller.core.model import Phase, Policy, Rollout, Split
from controller.core.observed import RunEnd, Seen, SeenEndpoint, SeenLease, SeenService, actor
from controller.core.orders import Order, Verb, obey
from controller.core.outage import Outage
from controller.core.situation import checks_before, checks_during
from controller.core.transitions import apply, create
from controller.core.verdict import Value, Verdict
from tests.config.loading import config_of

_FILE = """
listen: [{{address: 127.0.0.1:8080}}]
services:
  shop:
    versions:
      stable: {{endpoints: ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003", "127.0.0.1:9004"]}}
      canary: {{}}
    split: {{stable: 1}}
rollouts: {{shop: {{from: stable, to: canary, {settings}}}}}
"""

CANARY = "strategy: canary"
BLUE_GREEN = "strategy: blue-green"
ROLLING = "strategy: rolling, deploy: {exec: 'deploy {endpoint} {version}'}"


def policy_of(settings: str) -> Policy:
    """The policy of a rollout from stable to canary with these settings."""
    config: Config = config_of(_FILE.format(settings=settings))
    return config.rollouts["shop"]


def created(settings: str, at: float = 0.0) -> Event:
    """The event that such a rollout begins with."""
    return Event("created", at, "started by alice", "alice", policy=policy_of(settings), service="shop")


def a_service(canary: tuple[str, ...] = ("127.0.0.1:9005",), weights: Mapping[str, float] | None = None) -> SeenService:
    """The service as a proxy has it before a rollout."""
    stable = {f"127.0.0.1:{port}": SeenEndpoint() for port in range(9001, 9005)}
    return SeenService(
        generation=1,
        split=Split(weights or {"stable": 100.0, "canary": 0.0}),
        endpoints={"stable": stable, "canary": {address: SeenEndpoint() for address in canary}},
        changed_by="file",
    )


class World:
    """One rollout among proxies that obey. The fields that a test sets are read at the next tick."""

    def __init__(self, settings: str = CANARY, proxies: int = 1) -> None:
        self.now = 0.0
        self.created = created(settings)
        self.rollout = create("shop-1", self.created)
        is_rolling = self.rollout.policy.strategy == "rolling"
        self.proxies = {f"p{i}": a_service(() if is_rolling else ("127.0.0.1:9005",)) for i in range(proxies)}
        self.lost: set[str] = set()
        self.verdicts: dict[str, Value] = {check.name: "PASS" for check in checks_during(self.rollout.policy)}
        self.before: dict[str, Value] = {check.name: "PASS" for check in checks_before(self.rollout.policy)}
        self.outage: Outage | None = None
        self.blocked = ""
        self.deploys: Callable[[RunDeploy], RunEnd | None] = lambda run: RunEnd(True)
        self.run_ends: dict[int, RunEnd] = {}
        self.runs: list[RunDeploy] = []
        self.events: list[Event] = [self.created]
        self.splits: list[Split] = []
        self.decision: Decision | None = None
        self._acknowledged = 0
        self._errors_since: float | None = None
        self._lost_since: dict[str, float] = {}
        self._previous_at: float | None = None

    @property
    def kinds(self) -> list[str]:
        """What has happened, without what happens all the time."""
        return [event.kind for event in self.events if event.kind not in ("applied", "moved")]

    @property
    def sentence(self) -> str:
        """What the last decision said."""
        assert self.decision is not None
        return self.decision.sentence

    def share(self, version: str = "canary") -> float:
        """The share of a version at the first proxy, per cent."""
        return round(100 * self.proxies["p0"].split.share(version), 6)

    def seen(self) -> Seen:
        """What the controller sees now."""
        has_errors = bool(self.lost) or "ERROR" in self.verdicts.values()
        self._errors_since = (self.now if self._errors_since is None else self._errors_since) if has_errors else None
        self._lost_since = {name: self._lost_since.get(name, self.now) for name in self.lost}
        return Seen(
            proxies={name: proxy for name, proxy in self.proxies.items() if name not in self.lost},
            lost=dict.fromkeys(sorted(self.lost), "connection refused"),
            lost_since=self._lost_since,
            verdicts=tuple(Verdict(check, value, f"it is {value}") for check, value in self.verdicts.items()),
            before=tuple(Verdict(check, value, f"it is {value}") for check, value in self.before.items()),
            errors_since=self._errors_since,
            outage=self.outage,
            blocked=self.blocked,
            acknowledged=self._acknowledged,
            run_ends=dict(self.run_ends),
            previous_at=self._previous_at,
        )

    def tick(self, seconds: float = 1.0, times: int = 1) -> Decision:
        """Let time pass, decide and act; that many times."""
        for _ in range(times):
            self.now += seconds
            self._wear_leases(seconds)
            decision = decide(self.rollout, self.seen(), self.now)
            self._previous_at = self.now
            self._take(decision.events)
            assert decision.rollout == self.rollout
            self._perform(decision.actions)
            self.decision = decision
        return decision

    def until(self, phase: Phase, seconds: float = 1.0, most: int = 20_000) -> Decision:
        """Tick until the rollout is in a phase."""
        for _ in range(most):
            decision = self.tick(seconds)
            if self.rollout.phase == phase:
                return decision
        raise AssertionError(f"{self.rollout!r} did not become {phase} within {most} ticks: {decision.sentence}")

    def order(self, verb: Verb, reason: str = "", *, all_steps: bool = False) -> Event | None:
        """Give an order as bob. Raises Refused."""
        event = obey(self.rollout, Order(verb, "bob", reason, all_steps), self.now, self.blocked)
        self._take(() if event is None else (event,))
        return event

    def change_by_hand(self, weights: Mapping[str, float], by: str = "carol", reason: str = "") -> None:
        """Change the split at every proxy without the controller."""
        for name, proxy in self.proxies.items():
            split = Split(weights)
            self.proxies[name] = self._changed(proxy, split=split, changed_by=by, change_reason=reason)

    def lose_lease(self, name: str, lease: SeenLease | None) -> None:
        """Have another lease at a proxy, or none."""
        self.proxies[name] = replace(self.proxies[name], lease=lease)

    def set_endpoint(self, version: str, address: str, **changes: Any) -> None:
        """Change how an endpoint is at every proxy that has it; a rollout may have moved it to the other version."""
        for name, proxy in self.proxies.items():
            if address in proxy.endpoints[version]:
                found = proxy.endpoints[version][address]
                self.proxies[name] = _with_endpoint(proxy, version, address, replace(found, **changes))

    def _take(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self.events.append(event)
            self.rollout = apply(self.rollout, event)

    def _perform(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            if isinstance(action, RunDeploy):
                self._run(action)
                continue
            for name in self.proxies.keys() - self.lost:
                self.proxies[name] = self._done(self.proxies[name], action)
        if any(isinstance(action, SetSplit) for action in actions):
            self.splits += [action.split for action in actions if isinstance(action, SetSplit)]
            if not self.lost:
                self._acknowledged = self.rollout.intent

    def _wear_leases(self, seconds: float) -> None:
        """Let the time of the leases pass; none runs out unless the test says so."""
        for name, proxy in self.proxies.items():
            if proxy.lease is not None and proxy.lease.remaining is not None:
                remaining = max(0.0, proxy.lease.remaining - seconds)
                self.proxies[name] = replace(proxy, lease=replace(proxy.lease, remaining=remaining))

    def _run(self, run: RunDeploy) -> None:
        if run not in self.runs:
            self.runs.append(run)
        end = self.deploys(run)
        if end is not None:
            self.run_ends[run.run] = end

    def _done(self, proxy: SeenService, action: Action) -> SeenService:
        match action:
            case SetSplit(split=split):
                return self._changed(proxy, split=split, changed_by=actor(self.rollout.id), change_reason="")
            case EnsureEndpoint(version=version, address=address, state=state):
                return self._changed(_with_endpoint(proxy, version, address, SeenEndpoint(state)))
            case RemoveEndpoint(version=version, address=address):
                return self._changed(_with_endpoint(proxy, version, address, None))
            case RenewLease(terms=terms):
                return replace(proxy, lease=SeenLease(actor(self.rollout.id), terms, terms.seconds))
            case EndLease():
                return replace(proxy, lease=None)
            case _:
                raise AssertionError(action)

    def _changed(self, proxy: SeenService, **changes: Any) -> SeenService:
        return replace(proxy, generation=proxy.generation + 1, **changes)


def replayed(events: list[Event], identity: str = "shop-1") -> Rollout:
    """The rollout that a journal with these events would give."""
    rollout = create(identity, events[0])
    for event in events[1:]:
        rollout = apply(rollout, event)
    return rollout


def _with_endpoint(proxy: SeenService, version: str, address: str, endpoint: SeenEndpoint | None) -> SeenService:
    endpoints = {name: dict(places) for name, places in proxy.endpoints.items()}
    if endpoint is None:
        endpoints[version].pop(address, None)
    else:
        endpoints[version][address] = endpoint
    return replace(proxy, endpoints=endpoints)
