"""How `serinus demo` ended: the exit code, and the summary in plain words.

Pure. Must not print.

The exit code is what a pipeline would get: 0 promoted, 1 rolled back or not over in time; of a demonstration that was
stopped before the rollout ended, 128 and the number of the signal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cli.demo_story import Damage, Scene
from cli.rollout_words import place_in_words, weights_in_words
from loadtests.demo.configuration import NEW, OLD

_FAILED = 1
_BY_SIGNAL = 128


@dataclass(frozen=True, slots=True)
class Ending:
    """The last scene, when the rollout started (seconds), and the signal that ended it (0: none)."""

    scene: Scene
    started_at: float | None
    signal: int = 0

    @property
    def result(self) -> str:
        """The phase of the rollout if it has ended, else `stopped` or `late`."""
        rollout = self.scene.rollout
        if rollout is not None and rollout["phase"] in ("promoted", "rolled_back"):
            return rollout["phase"]
        return "stopped" if self.signal else "late"

    @property
    def exit_code(self) -> int:
        """What a pipeline gets."""
        match self.result:
            case "promoted":
                return 0
            case "stopped":
                return _BY_SIGNAL + self.signal
            case _:
                return _FAILED

    def as_json(self) -> dict[str, Any]:
        """The summary for programs."""
        scene, tally = self.scene, self.scene.tally
        rollout = scene.rollout
        return {
            "result": self.result,
            "exit_code": self.exit_code,
            "seconds": round(scene.seconds, 1),
            "requests": tally.requests,
            "failed": tally.failed,
            "last_failure": tally.last_failure,
            "answered": dict(tally.answered),
            "rollout": rollout["id"] if rollout else None,
            "why": rollout["why"] if rollout else "",
            "break": _damage_as_json(scene.damage, scene) if scene.damage else None,
        }

    def sentences(self) -> Iterator[str]:
        """The summary for people."""
        yield from self._result()
        yield from self._requests()
        yield f"Exit code {self.exit_code}, as a pipeline would get it."

    def _result(self) -> Iterator[str]:
        scene, rollout = self.scene, self.scene.rollout
        took = scene.seconds - (self.started_at or 0.0)
        place = f"{place_in_words(rollout)} ({weights_in_words(rollout)})" if rollout else "it had not started"
        match self.result:
            case "promoted":
                yield f"Promoted after {_ended_after(scene, took):.0f} s: {NEW} has everything."
            case "rolled_back":
                damage = scene.damage
                if damage is not None and damage.taken_out is not None:
                    yield f"Rolled back: {NEW} got no requests any more {damage.taken_out:.1f} s after it broke."
                else:
                    yield f"Rolled back: {OLD} has everything again."
                yield f"Why: {rollout['why'] if rollout else ''}"
            case "stopped":
                yield f"Stopped before the rollout ended: {place}."
            case _:
                yield f"Not over after {scene.seconds:.0f} s: {place}."

    def _requests(self) -> Iterator[str]:
        scene, tally = self.scene, self.scene.tally
        answered = ", ".join(f"{version} answered {count:,}" for version, count in sorted(tally.answered.items()))
        last = f" (the last one: {tally.last_failure})" if tally.failed else ""
        yield f"Clients made {tally.requests:,} requests, {tally.failed:,} failed{last}; {answered or 'none answered'}."
        if scene.damage is not None:
            yield _damage_in_words(scene.damage, scene, is_promoted=self.result == "promoted")


def _ended_after(scene: Scene, otherwise: float) -> float:
    """From the start of the rollout to its end, as far as that was seen."""
    at = {event.kind: event.at for event in scene.events}
    return at["completed"] - at["started"] if {"completed", "started"} <= at.keys() else otherwise


def _damage_in_words(damage: Damage, scene: Scene, *, is_promoted: bool) -> str:
    failed, hit = damage.failed(scene.tally), damage.hit(scene.tally)
    if damage.kind.hurts == "slow":
        return f"Since the break, {hit:,} were answered slowly, by {NEW}, and {failed:,} failed."
    if not failed:
        return f"Since the break, none failed: what {NEW} could not answer, {OLD} did."
    words = f"Since the break, {failed:,} failed."
    if is_promoted and any(event.kind == "froze" for event in scene.events):
        words += " Nothing was rolled back for it: promotion froze, and went on afterwards."
    return words


def _damage_as_json(damage: Damage, scene: Scene) -> dict[str, Any]:
    return {
        "name": damage.name,
        "seconds_until_out": damage.taken_out,
        "failed": damage.failed(scene.tally),
        "answered_by_new": damage.hit(scene.tally),
    }
