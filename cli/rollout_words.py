"""Rollouts in words: one line for where each is, and the reasons of its decisions.

Pure: no printing, no clock.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cli.controller import DecisionStatus, Reasons, Rollouts, RolloutStatus
from config.who import Who


def place_in_words(rollout: RolloutStatus) -> str:
    """`step 2 of 4`, `holding`, `rolling back`."""
    if rollout["phase"] == "step":
        return f"step {rollout['step'] + 1} of {rollout['steps']}"
    return rollout["phase"].replace("_", " ")


def weights_in_words(rollout: RolloutStatus) -> str:
    """`stable 90 %, canary 10 %`."""
    total = sum(rollout["weights"].values()) or 1.0
    shares = {name: 100 * weight / total for name, weight in rollout["weights"].items()}
    return ", ".join(f"{name} {round(share, 2):g} %" for name, share in shares.items())


def line_of(rollout: RolloutStatus) -> str:
    """One line: where it is, what it wants, and what it waits for or why it ended there."""
    reason = rollout["waits"] or rollout["why"]
    return f"{rollout['id']}: {place_in_words(rollout)} ({weights_in_words(rollout)})" + (
        f": {reason}" if reason else ""
    )


def one_in_words(rollout: RolloutStatus) -> str:
    """Where it is, what a person has wanted of it last, and which proxies it misses."""
    lines, ordered = [line_of(rollout)], rollout["ordered"]
    if ordered is not None:
        reason = f": {ordered['reason']}" if ordered["reason"] else ""
        lines.append(f"last order: {ordered['event']} by {Who(ordered['by'], ordered['actor'])}{reason}")
    return "\n".join([*lines, *_lost_in_words([rollout])])


def _lost_in_words(rollouts: Sequence[RolloutStatus]) -> Iterator[str]:
    """The proxies that do not answer, each once however many rollouts miss it, and what can be done."""
    lost = {each["address"]: each for rollout in rollouts for each in rollout["lost"]}
    for proxy in lost.values():
        since = datetime.fromtimestamp(proxy["since"])
        yield f"{proxy['address']} does not answer since {since:%Y-%m-%d %H:%M:%S}: {proxy['why']}"
    if lost:
        yield (
            "Bring it back. If it is gone for good, take its address out of controller.proxies in the file and restart "
            "the controller: rollouts go on where they are."
        )


def all_in_words(rollouts: Rollouts) -> str:
    """All rollouts, the newest first, and what holds all of them."""
    lines = [line_of(rollout) for rollout in reversed(rollouts["rollouts"])] or ["there are no rollouts"]
    if rollouts["stopped"] is not None:
        lines.append(f"the line is stopped: {rollouts['stopped']}")
    lines += [sentence for sentence in (rollouts["frozen"], rollouts["trouble"]) if sentence]
    lines += _lost_in_words(rollouts["rollouts"])
    return "\n".join(lines)


def reasons_in_words(reasons: Reasons) -> str:
    """What is decided now, and every decision before, the newest last."""
    rollout = reasons["rollout"]
    lines = [
        f"{rollout['id']}: {rollout['strategy']} of {rollout['service']} to {rollout['to']}",
        _outcome(reasons),
        "",
    ]
    for decision in reasons["decisions"]:
        if not decision["minor"]:
            lines += _decision_lines(decision)
    lines += ["", f"now: {place_in_words(rollout)} ({weights_in_words(rollout)})", *_now_lines(reasons["now"])]
    return "\n".join(lines)


def _outcome(reasons: Reasons) -> str:
    why = reasons["rollout"]["why"]
    return reasons["outcome"] + (f": {why}" if why else "")


def _decision_lines(decision: DecisionStatus) -> Iterator[str]:
    when = datetime.fromtimestamp(decision["wall"])
    event = (decision["event"] or "").replace("_", " ")
    yield f"{when:%Y-%m-%d %H:%M:%S}  {event}" + (f": {decision['sentence']}" if decision["sentence"] else "")
    yield from _verdict_lines(decision)
    served = [f"generation {number} at {name}" for name, number in decision["generations"].items()]
    if served:
        yield f"    {', '.join(served)}, acknowledged after {decision['acknowledged'] or 0.0:.2g} s"


def _now_lines(decision: DecisionStatus) -> Iterator[str]:
    if decision["sentence"]:
        yield f"  {decision['sentence']}"
    yield from _verdict_lines(decision)


def _verdict_lines(decision: DecisionStatus) -> Iterator[str]:
    for verdict in decision["verdicts"]:
        yield f"    {verdict['check']} {verdict['value']}: {verdict['reason']}"
