"""Many simulated rollouts at once, in several processes.

Owns the division of work and the seeds. Must not print anything.

1. The same seed gives the same numbers, however many processes there are.
2. All rules meet the same world with the same seed. What the new version is sent depends on the rule, so the requests
   themselves differ.
"""

from __future__ import annotations

import functools
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from config.load import load
from config.model import CanaryRollout
from controller.core.terms import Terms
from loadtests.decisions.rollouts import Outcome, Rule
from loadtests.decisions.rules.argo import Argo
from loadtests.decisions.rules.flagger import Flagger
from loadtests.decisions.rules.policy import Policy
from loadtests.decisions.worlds import Case
from loadtests.simulate.scenarios import Change, Traffic, case_of
from loadtests.simulate.summary import Cell, summed

OURS: Final = "this policy"
#: Of the usual scenarios, those that take a whole rollout.
_WHOLE: Final = 4
#: Simulated seconds that two cores get through in half a minute or so.
_AFFORDABLE: Final = 120_000
_BATCH_SECONDS: Final = 6000  # of one piece of work, so that the progress moves

Progress = Callable[[int, int], None]
Table = Mapping[str, Mapping[str, Cell]]
"""By scenario and by rule."""


@dataclass(frozen=True)
class Task:
    """What is simulated. Plain values: they go to other processes."""

    path: str
    service: str
    traffic: Traffic
    changes: tuple[Change, ...]
    runs: int
    seed: int
    same_steps: bool

    def policy(self) -> Policy:
        """Our rule."""
        return _policy(self.path, self.service)

    def case(self, place: int) -> Case:
        """The world of a scenario."""
        rollout = self.policy().created().policy
        return case_of(self.traffic, self.changes[place], Terms.of(rollout.checks, rollout.alpha, rollout.warm_up))

    def rules(self) -> list[Rule]:
        """Ours, and those of others on their own steps or on ours."""
        rollout = self.policy().created().policy
        more: dict[str, Any] = {}
        if self.same_steps and isinstance(rollout, CanaryRollout):
            more = {"steps": tuple(step.weight / 100 for step in rollout.steps)}
        return [
            self.policy(),
            Flagger("Flagger, threshold 5", 5, **more),
            Flagger("Flagger, default", 1, **more),
            Argo("Argo, documented", 300, 0.95, 3, **more),
            Argo("Argo, strict", 60, 0.99, 0, **more),
        ]


def affordable_runs(policy: Policy) -> int:
    """How many rollouts of each scenario half a minute is enough for."""
    return min(max(_AFFORDABLE // (_WHOLE * max(policy.shortest, 1)), 10), 200)


def simulate(task: Task, processes: int, progress: Progress) -> Table:
    """Run everything; `progress` is told how many pieces of how many are done."""
    work = list(_divided(task))
    outcomes: dict[tuple[int, int], dict[int, Sequence[Outcome]]] = {}
    for done, (piece, ended) in enumerate(_performed(task, work, processes), 1):
        outcomes.setdefault((piece.place, piece.rule), {})[piece.runs.start] = ended
        progress(done, len(work))
    rules = task.rules()
    return {
        change.name: {
            rule.name: summed(task.case(place), _in_order(outcomes[place, number])) for number, rule in enumerate(rules)
        }
        for place, change in enumerate(task.changes)
    }


class _Piece(NamedTuple):
    """What one process does at once."""

    place: int
    rule: int
    runs: range


def _performed(task: Task, work: Sequence[_Piece], processes: int) -> Iterator[tuple[_Piece, list[Outcome]]]:
    if processes == 1:
        yield from ((piece, _run(task, piece)) for piece in work)
        return
    # Not forked from here: the terminal's progress bar has a thread.
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("forkserver"))
    try:
        waiting: dict[Future[list[Outcome]], _Piece] = {pool.submit(_run, task, piece): piece for piece in work}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _divided(task: Task) -> Iterator[_Piece]:
    batch = max(1, _BATCH_SECONDS // max(task.policy().shortest, 1))
    for place in range(len(task.changes)):
        for rule in range(len(task.rules())):
            size = batch if rule == 0 else task.runs
            for begin in range(0, task.runs, size):
                yield _Piece(place, rule, range(begin, min(begin + size, task.runs)))


def _run(task: Task, piece: _Piece) -> list[Outcome]:
    case, chosen = task.case(piece.place), task.rules()[piece.rule]
    seed = zlib.crc32(case.name.encode())
    return [chosen.run(case, np.random.default_rng([task.seed, seed, run])) for run in piece.runs]


def _in_order(pieces: Mapping[int, Sequence[Outcome]]) -> list[Outcome]:
    return [outcome for begin in sorted(pieces) for outcome in pieces[begin]]


@functools.lru_cache(maxsize=1)
def _policy(path: str, service: str) -> Policy:
    return Policy(load(path), service, OURS)
