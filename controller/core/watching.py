"""Rules that watch: for failures, for what cannot be judged, for outages and for the hands of others.

Owns when a rollout stops going forward. The rules that go forward are in `controller.core.going`.

1. A failure is noted first, as an event of its own, and stays. What follows from it comes next.
2. What takes traffic from the new version is never blocked: by no window, no missing proxy and no error.
3. Unknown is not bad: a check that cannot be made has `PATIENCE` seconds before anything follows.
4. A split that a person has changed is theirs: the rollout pauses. One that a restart or a reload of a proxy has put
   back is set again.
"""

from __future__ import annotations

from typing import Final

from config.who import Who
from controller.core.events import Event
from controller.core.observed import BREAKER, LOSS, actor
from controller.core.situation import Situation, checks_before, in_words, reaction_to_failure, strictest

#: How long a check may be impossible, or a proxy silent, seconds: a restart or an upgrade takes that.
PATIENCE: Final = 30.0
#: Who has changed a split when a proxy has: the check that fails by it, and what it has done.
_BY_ITSELF: Final = {"breaker": (BREAKER, "taken {} out"), "lease": (LOSS, "taken {} out by itself")}
#: A longer time without a look does not count for the clock of a step, seconds.
MAX_GAP: Final = 10.0


def miss(s: Situation) -> Event | str:
    """Take time off the clock in which nobody watched; say so when it was long enough for a lease to run out."""
    gap = s.now - max(s.seen.previous_at, s.rollout.at) if s.seen.previous_at is not None else 0.0
    missed = gap if gap > MAX_GAP else 0.0
    for name, proxy in s.seen.proxies.items():
        # What ran out before the last event is in the journal already.
        if proxy.lease is not None and proxy.lease.held and proxy.lease.seconds_ago < s.now - s.rollout.at:
            return s.event("missed", f"{name} has held the split: {proxy.lease.ran_out}", seconds=missed)
    return s.event("missed", seconds=missed) if missed and s.rollout.runs_since is not None else ""


def notice_proxy(s: Situation) -> Event | str:
    """What a proxy has done by itself, by its breaker or without a controller, is a failure with its own words."""
    for name, proxy in s.seen.proxies.items():
        check, done = _BY_ITSELF.get(proxy.changed_by, ("", ""))
        if check and check not in s.rollout.failed:
            did = done.format(s.rollout.new)
            return s.event("failed", f"{name} has {did}: {proxy.change_reason}", check=check)
    return ""


def note_failure(s: Situation) -> Event | str:
    """Latch a failed check."""
    for verdict in s.verdicts():
        if verdict.value == "FAIL" and verdict.check not in s.rollout.failed:
            return s.event("failed", f"{verdict.check}: {verdict.reason}", check=verdict.check)
    return ""


def note_failure_before(s: Situation) -> Event | str:
    """Latch a check that had to pass first; then nothing moves."""
    known = {verdict.check: verdict for verdict in s.seen.before}
    for check in checks_before(s.policy):
        verdict = known.get(check.name)
        if verdict is not None and verdict.value == "FAIL" and check.name not in s.rollout.failed:
            return s.event("failed", f"{check.name}: {verdict.reason}", check=check.name)
    return s.event("turned_back", s.rollout.why) if s.rollout.failed else ""


def react(s: Situation) -> Event | str:
    """Do what follows from the failures. What can only wait for longer is for `advance` to say."""
    failed = [(reaction_to_failure(s.policy, check), check) for check in s.rollout.failed]
    reaction, check = strictest([(reaction, check) for reaction, check in failed])
    why = s.rollout.why or f"{check} has failed"
    if reaction == "rollback":
        return turn_back(s, why)
    return hold(s, why) if reaction == "hold" else ""


def turn_back(s: Situation, why: str) -> Event | str:
    """Roll back, or hold where that needs somebody's hands."""
    if s.strategy.turns_back_by_itself(s.rollout):
        return s.event("turned_back", why)
    return hold(s, f"{why}; no deploy hook can put {s.rollout.old} back")


def hold(s: Situation, why: str) -> Event | str:
    """Hold, once."""
    return s.event("held", why) if s.rollout.phase != "holding" else ""


def notice_hand(s: Situation) -> Event | str:
    """See whether the proxies still serve what they have confirmed."""
    if not s.rollout.is_applied:
        return ""
    wanted = s.strategy.split(s.rollout)
    for name, proxy in s.seen.proxies.items():
        if wanted.equals(proxy.split):
            continue
        if proxy.changed_by in ("file", "reload") or actor(s.rollout.id) in (proxy.changed_by, proxy.changed_for):
            return s.event("slipped", f"{name} has lost the split and gets it again")
        reason = f": {proxy.change_reason}" if proxy.change_reason else ""
        who = Who(proxy.changed_by or "somebody", proxy.changed_for)
        return s.event("paused", f"{who} changed the split at {name}{reason}")
    return ""


def notice_outage(s: Situation) -> Event | str:
    """Both versions fail: that is nobody's fault that a comparison could see."""
    outage = s.seen.outage
    if outage is None or outage.new_is_better:
        return ""
    why = f"{s.rollout.old} fails as well: {100 * outage.error_rate:.2g} % of its requests"
    match s.policy.on.stable_failing:
        case "freeze":
            return s.event("froze", why)
        case "hold":
            return hold(s, why)
        case "rollback":
            return turn_back(s, why)


def thaw(s: Situation) -> Event | str:
    """Wait for the end of an outage; take the new version out when it may be the cause."""
    outage = s.seen.outage
    if outage is None and not s.seen.is_complete:
        return s.lost  # nobody knows
    if outage is None or outage.new_is_better:
        return (s.rollout.retreated and s.seen.blocked) or s.event("thawed", f"{s.rollout.old} is well again")
    if outage.asks_for_retreat and s.strategy.retreats() and not s.rollout.retreated:
        if s.rollout.retreats:
            return hold(s, f"{s.rollout.old} failed again when {s.rollout.new} got traffic")
        cause = "it began after a raise" if outage.after_increase else "it lasts"
        return s.event("retreated", f"{s.rollout.new} may be the cause of the outage: {cause}")
    return f"frozen: {s.rollout.why}"


def notice_errors(s: Situation) -> Event | str:
    """React to what cannot be judged, when that lasts."""
    since = s.seen.errors_since
    if since is None or s.policy.on.error in ("extend", "advance"):
        return ""
    reasons = [f"{verdict.check}: {verdict.reason}" for verdict in s.verdicts() if verdict.value == "ERROR"]
    why = "; ".join([*reasons, *([s.lost] if s.seen.lost else [])])
    if s.now - since < PATIENCE:
        return f"cannot judge: {why}"
    why = f"could not judge for {in_words(s.now - since)}: {why}"
    return turn_back(s, why) if s.policy.on.error == "rollback" else hold(s, why)


def overstay(s: Situation) -> Event | str:
    """End a hold that nobody has decided on."""
    deadline = s.rollout.deadline
    if deadline is None:
        return f"holds until somebody decides: {s.rollout.why}"
    if s.now < deadline:
        return f"holds for another {in_words(deadline - s.now)}: {s.rollout.why}"
    why = f"nobody has decided within {in_words(s.policy.hold.investigate)}: {s.rollout.why}"
    found = turn_back(s, why) if s.policy.hold.then == "rollback" else ""
    return found or s.event("overstayed", why)
