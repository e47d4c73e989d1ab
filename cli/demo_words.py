"""What `serinus demo` says, in words: what runs where, what to try, what has happened, how it ended.

Pure, but for how this program is called. Must not print.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cli.controller import DEFAULT_CONTROLLER, DecisionStatus, Verdict
from cli.words import duration
from loadtests.demo.configuration import ENDPOINTS, NEW, OLD, SERVICE
from loadtests.demo.stage import Stage

#: Events that say nothing to who watches.
_MACHINERY: Final = frozenset({"created", "began", "applied", "moved", "missed", "slipped", "sealed"})
#: Events that raise the weight, and others that are not put as the journal puts them.
_STEPS: Final = {
    "prepared": f"{{weight:g}} % to {NEW}",
    "advanced": f"{{weight:g}} % to {NEW}",
    "concluded": f"everything to {NEW}",
}
_WORDS: Final = {
    "completed": "promoted",
    "turned_back": "rolls back",
    "aborted": "aborted, rolls back",
    "restored": f"rolled back: {OLD} has everything again",
    "froze": "promotion is frozen",
    "thawed": "goes on",
    "retreated": f"{NEW} gets nothing meanwhile",
}


def words_of(decision: DecisionStatus, weight: float, said: str = "") -> str:
    """What a decision means, with the weight of its step; empty for what is of no interest.

    A sentence that was `said` just before is not said again.
    """
    event, sentence = decision["event"], decision["sentence"]
    if event is None or event in _MACHINERY:
        return ""
    by = f" by {decision['by']}" if decision["by"] else ""
    if event in _STEPS:
        because = "" if event == "prepared" else f": {_found(decision['verdicts']) or sentence}"
        return f"{_STEPS[event].format(weight=weight)}{by}{because}"
    words = _WORDS.get(event, event.replace("_", " "))
    return f"{words}{by}" + (f": {sentence}" if sentence and sentence != said else "")


def _found(verdicts: Sequence[Verdict]) -> str:
    """What a step was taken on, in short; `serinus rollout why` has it all. Empty without anything to compare."""
    numbers = next((verdict["numbers"] for verdict in verdicts if {"new", "old"} <= verdict["numbers"].keys()), None)
    if numbers is None:
        return ""
    return "; ".join(
        f"{version} failed {each['errors']:,} of {each['requests']:,}, p99 {duration(each['p99'])}"
        for version, each in ((NEW, numbers["new"]), (OLD, numbers["old"]))
    )


def places(stage: Stage) -> Iterator[tuple[str, str, str]]:
    """What runs: its name, its address, and what it is for."""
    yield SERVICE, stage.url("proxy"), "what users call: the proxy"
    for version, endpoints in ENDPOINTS.items():
        yield f"  {version}", " ".join(stage.url(name).removeprefix("http://") for name, _ in endpoints), ""
    yield "admin API", stage.url("admin"), "the proxy: splits, endpoints, metrics"
    yield "controller", stage.url("controller"), "rollouts"


def moved(stage: Stage) -> Iterator[str]:
    """Why something is not where it usually is."""
    if ports := sorted(stage.moved_ports().values()):
        yield f"Ports that were taken, and replaced by free ones: {', '.join(map(str, ports))}."


def things_to_try(stage: Stage) -> Iterator[tuple[str, str]]:
    """Commands for a second terminal, each with what it is for."""
    command = own_command()
    controller = _option("controller", stage.url("controller"), DEFAULT_CONTROLLER)
    canary = stage.url(ENDPOINTS[NEW][0][0])
    yield f"{command} rollout why {SERVICE}{controller}", "every decision, with its numbers"
    yield f"""curl -X PUT {canary}/knobs -d '{{"error_rate": 0.3}}'""", f"make {NEW} bad yourself"
    yield f"{command} rollout abort {SERVICE}{controller}", "roll back"


def own_command() -> str:
    """How to call this program from the same folder: by name when it is on the PATH, else by its place."""
    if shutil.which("serinus"):
        return "serinus"
    place = Path(sys.executable).with_name("serinus")
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


def _option(name: str, url: str, default: str) -> str:
    address = url.removeprefix("http://")
    return "" if address == default else f" --{name} {address}"
