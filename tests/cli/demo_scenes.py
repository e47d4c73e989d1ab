"""Scenes of a demonstration that never ran: a rollout in its second step, and what may have come of it."""

from collections import Counter
from pathlib import Path
from typing import Any

from cli.controller import RolloutStatus
from cli.demo_story import Damage, Happening, Scene
from cli.shapes import ServiceStatus, VersionStatus
from loadtests.demo.configuration import SERVICE
from loadtests.demo.stage import USUAL_PORTS, Stage
from loadtests.demo.traffic import Recent, Tally


def stage(**ports: int) -> Stage:
    """A stage of which nothing runs."""
    return Stage(Path("serinus.yaml"), {**USUAL_PORTS, **ports}, [])


def rollout(**changes: Any) -> RolloutStatus:
    """A rollout in its second step."""
    found: dict[str, Any] = {
        "id": "shop-1", "service": SERVICE, "strategy": "canary", "from": "stable", "to": "canary", "phase": "step",
        "step": 1, "steps": 4, "attempt": 1, "weights": {"stable": 90.0, "canary": 10.0}, "active": None,
        "applied": True, "elapsed": 3.0, "bake": 5.0, "deadline": None, "failed": [], "why": "the checks pass",
        "by": "", "waits": "bakes: 3s of 5s", "sealed": False, "at": 50.0, **changes,
    }  # fmt: skip
    return found  # type: ignore[return-value]


def verdict(check: str, value: str, reason: str, evidence: float = 0.25) -> dict[str, Any]:
    return {"check": check, "value": value, "reason": reason, "numbers": {"evidence": evidence, "needed": 100.0}}


LONG = "0 of 180 requests (0%) failed, 0 of 1,619 requests (0%) of the old version, surely at most 5.8 points more"


def scene(
    phase: str = "step",
    *,
    failed: int = 0,
    damage: Damage | None = None,
    events: tuple[Happening, ...] = (),
    evidence: float = 0.25,
    waits: str = "bakes: 3s of 5s",
) -> Scene:
    """A scene after 62 seconds."""
    tally = Tally(12_474, Counter(stable=10_413, canary=2_061), failed, Counter(canary=failed))
    if failed:
        tally.last_failure = "500 Internal Server Error"
    version: dict[str, Any] = {"weight": 1.0, "actual": None, "endpoints": []}
    target = {"stable": 0.9, "canary": 0.1}
    versions: dict[str, VersionStatus] = {name: {**version, "target": target[name]} for name in target}  # type: ignore[typeddict-item]
    service: ServiceStatus = {"name": SERVICE, "generation": 7, "versions": versions}  # type: ignore[typeddict-item]
    verdicts = [verdict("error-rate", "PASS", LONG, evidence), verdict("latency", "INCONCLUSIVE", LONG, evidence)]
    now: Any = {"n": None, "wall": 0.0, "event": None, "sentence": "", "by": "", "verdicts": verdicts}
    recent = {"stable": Recent(900, 0, 0.04, 0.09), "canary": Recent(100, failed, 0.041, 0.1)}
    return Scene(62.4, tally, recent, service, rollout(phase=phase, waits=waits), now, damage, events)


def before_the_start() -> Scene:
    """A scene in which nothing is known yet."""
    return Scene(0.1, Tally(), {}, None, None, None, None, ())
