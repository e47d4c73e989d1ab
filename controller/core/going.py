"""Rules that go on: begin, prepare, acknowledge, advance, finish, restore.

Owns when a rollout takes its next step. The rules that stop it are in `controller.core.watching`.

1. Nothing is timed before every proxy has acknowledged what is wanted.
2. Nothing moves forward while something is blocked, or while a proxy does not answer.
3. A step ends when its bake is over and everything that it needs is there; without that, it holds when it has taken
   its longest.
"""

from __future__ import annotations

from controller.core.beginning import why_not
from controller.core.events import Event
from controller.core.exposure import SPLIT
from controller.core.situation import Reaction, Situation, checks_before, in_words, strictest
from controller.core.strategy import Need
from controller.core.verdict import Verdict
from controller.core.watching import hold, turn_back


def begin(s: Situation) -> Event | str:
    """Begin when it is this rollout's turn; one that cannot begin any more ends here."""
    if s.seen.blocked or not s.seen.is_complete:
        return s.seen.blocked or s.lost
    problems = why_not(s.rollout, s.seen)
    if problems:
        return s.event("turned_back", "; ".join(problem.message for problem in problems))
    return s.event("began", "its turn has come")


def acknowledge(s: Situation) -> Event | str:
    """Note that every proxy serves what is wanted."""
    if not s.rollout.is_applied and s.seen.acknowledged == s.rollout.intent:
        generations = {name: proxy.generation for name, proxy in s.seen.proxies.items()}
        return s.event("applied", generations=generations)
    return ""


def prepare(s: Situation) -> Event | str:
    """Go to the first step when everything is ready for it."""
    waits = _unprepared(s)
    if not waits:
        return s.event("prepared", "everything is ready", addresses=s.strategy.addresses(s.rollout, s.seen))
    limit = s.policy.hold.investigate
    if s.now - s.rollout.entered_at > limit and not s.seen.blocked:
        return s.event("turned_back", f"was not ready within {in_words(limit)}: {waits}")
    return waits


def _unprepared(s: Situation) -> str:
    if not s.rollout.is_applied:
        return f"waits until every proxy gives {s.rollout.old} everything"
    if s.seen.blocked or not s.seen.is_complete:
        return s.seen.blocked or s.lost
    known = {verdict.check: verdict for verdict in s.seen.before}
    for check in checks_before(s.policy):
        verdict = known.get(check.name)
        if verdict is None or verdict.value != "PASS":
            return f"waits for {check.name}" + (f": {verdict.reason}" if verdict else "")
    return s.strategy.obstacle(s.rollout, s.seen)


def progress(s: Situation) -> Event | str:
    """Let the endpoints of a rolling rollout get further."""
    return s.strategy.progress(s.rollout, s.seen, s.now)


def advance(s: Situation) -> Event | str:
    """Take the next step, or say what is missing."""
    rollout, strategy = s.rollout, s.strategy
    if rollout.runs_since is None:
        return "" if rollout.is_applied else "waits until every proxy serves the split of this step"
    elapsed, bake = rollout.elapsed(s.now), strategy.bake(rollout.step)
    if elapsed < bake:
        return f"bakes: {in_words(elapsed)} of {in_words(bake)}"
    need = strategy.need(rollout.step)
    if need == "person":
        return "waits for a person: `promote`"
    reaction, why = _readiness(s, need)
    if reaction == "extend" and elapsed >= strategy.longest(rollout.step):
        reaction, why = "hold", f"not enough is known after {in_words(elapsed)}: {why}"
    return _react(s, reaction, why)


def _react(s: Situation, reaction: Reaction, why: str) -> Event | str:
    match reaction:
        case "advance":
            if s.seen.blocked or not s.seen.is_complete:
                return s.seen.blocked or s.lost
            is_last = s.rollout.step >= s.strategy.last_step(s.rollout)
            return s.event("concluded" if is_last else "advanced", why or "the checks pass")
        case "extend":
            return f"waits: {why}"
        case "hold":
            return hold(s, why)
        case "rollback":
            return turn_back(s, why)


def _readiness(s: Situation, need: Need) -> tuple[Reaction, str]:
    """The strictest reaction to what the checks say, with its reason."""
    latched: list[tuple[Reaction, str]] = [("extend", f"{check} has failed") for check in s.rollout.failed]
    return strictest([*latched, *((_reaction(s, verdict, need), str(verdict)) for verdict in s.verdicts())])


def _reaction(s: Situation, verdict: Verdict, need: Need) -> Reaction:
    on = s.policy.on
    if verdict.check == SPLIT:
        return "extend"  # it says nothing of the version: it only has to be cleared up
    match verdict.value:
        case "ERROR":
            return "advance" if on.error == "advance" else "extend"  # `notice_errors` does what is stricter
        case "NO_DATA" if need != "time":
            return on.no_data
        case "INCONCLUSIVE" if need == "evidence":
            return on.inconclusive
        case _:
            return "advance"


def pause(s: Situation) -> Event | str:
    """Say why nothing moves."""
    return f"paused: {s.rollout.why}"


def complete(s: Situation) -> Event | str:
    """End well."""
    if s.rollout.is_applied:
        return s.event("completed", f"{s.rollout.new} has everything")
    return f"waits until every proxy gives {s.rollout.new} everything"


def seal(s: Situation) -> Event | str:
    """Close the way back when its time is over."""
    if not s.rollout.sealed and s.now - s.rollout.entered_at >= s.policy.keep_old:
        return s.event("sealed")
    return ""


def restore(s: Situation) -> Event | str:
    """End where everything was before."""
    if not s.rollout.is_applied:
        waiting = in_words(s.now - s.rollout.entered_at)
        lost = f" ({s.lost})" if s.seen.lost else ""
        return f"rolling back for {waiting}: waits until every proxy gives {s.rollout.old} everything{lost}"
    if s.strategy.is_restored(s.rollout):
        return s.event("restored")
    return ""
