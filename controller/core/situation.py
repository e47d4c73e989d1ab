"""One rollout, what is seen of the world, and the time: what every rule of the decision looks at.

Owns the value and the questions that several rules ask. Must not decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from config.check import Check
from config.model import BlueGreenRollout
from config.units import render_duration
from controller.core.events import Event, Kind
from controller.core.model import Policy, Rollout
from controller.core.observed import BREAKER, LOSS, SIGNAL, Seen
from controller.core.strategy import Strategy, strategy_of
from controller.core.verdict import Verdict

Reaction = Literal["advance", "extend", "hold", "rollback"]
#: From the mildest to the strictest.
REACTIONS: Final[tuple[Reaction, ...]] = ("advance", "extend", "hold", "rollback")


@dataclass(frozen=True, slots=True)
class Situation:
    """What is decided on."""

    rollout: Rollout
    seen: Seen
    now: float

    @property
    def strategy(self) -> Strategy:
        """The strategy of the rollout."""
        return strategy_of(self.rollout.policy)

    @property
    def policy(self) -> Policy:
        """What the rollout was asked to be."""
        return self.rollout.policy

    def event(self, kind: Kind, why: str = "", **fields: Any) -> Event:
        """An event of now, with the verdicts of now when there is a reason to give."""
        evidence = tuple(verdict_to_json(verdict) for verdict in self.seen.verdicts) if why else ()
        return Event(kind, self.now, why, evidence=evidence, **fields)

    def verdicts(self) -> Iterator[Verdict]:
        """What each check says; one that has said nothing yet has no data."""
        found = {verdict.check: verdict for verdict in self.seen.verdicts}
        for check in checks_during(self.policy):
            yield found.pop(check.name, Verdict(check.name, "NO_DATA", "nothing has been judged yet"))
        yield from found.values()

    @property
    def lost(self) -> str:
        """Which proxies do not answer, and for how long."""
        if not (self.seen.proxies or self.seen.lost):
            return "no proxy has been asked yet"
        return "; ".join(f"{name} does not answer{self._how_long(name)}: {why}" for name, why in self.seen.lost.items())

    def _how_long(self, proxy: str) -> str:
        silent = self.now - self.seen.lost_since.get(proxy, self.now)
        return f", for {in_words(silent)} now" if silent >= 1 else ""


Rule: TypeAlias = Callable[[Situation], Event | str]
"""What a rule says: an event, or what is waited for, or the empty text when it has nothing to say."""


def checks_during(policy: Policy) -> tuple[Check, ...]:
    """The checks that watch a rollout while it goes on."""
    return tuple(check for check in policy.checks if getattr(check, "at", "during") == "during")


def checks_before(policy: Policy) -> tuple[Check, ...]:
    """The checks that must pass before anything moves."""
    before = tuple(check for check in policy.checks if getattr(check, "at", "during") == "before")
    return (*before, *policy.before) if isinstance(policy, BlueGreenRollout) else before


def reaction_to_failure(policy: Policy, check: str) -> Reaction:
    """What follows when a check fails."""
    if check in (BREAKER, LOSS):
        return "rollback"  # the proxy has done it already
    if check == SIGNAL and all(each.name != check for each in policy.checks):
        return "hold"
    own = next((each.on_fail for each in policy.checks if each.name == check), None)
    return own or policy.on.fail


def strictest(reactions: list[tuple[Reaction, str]]) -> tuple[Reaction, str]:
    """The strictest reaction with its reason, the first one of equals; advance without any."""
    return max(reactions, key=lambda each: REACTIONS.index(each[0]), default=("advance", ""))


def in_words(seconds: float) -> str:
    """A duration in whole seconds."""
    return render_duration(float(round(seconds)))


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain JSON."""
    return {**asdict(verdict), "numbers": dict(verdict.numbers)}
