"""The command: `python -m loadtests.decisions [--short]`.

Owns options, the division of work among processes, exit codes (0 measured, 2 usage). A missed target is a result, not
a failure. Seeds are fixed: the same number of runs gives the same numbers.
"""

from __future__ import annotations

import argparse
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from controller.core.terms import Terms
from loadtests.decisions.efficiency import Efficiency, Race, error_races, latency_races, measure
from loadtests.decisions.results import BARE, OURS, WARM, summed, targets
from loadtests.decisions.rollouts import SAME_STEPS, Outcome, Rule
from loadtests.decisions.rules.argo import Argo
from loadtests.decisions.rules.flagger import Flagger
from loadtests.decisions.rules.kayenta import Kayenta
from loadtests.decisions.rules.oracle import Oracle
from loadtests.decisions.rules.serinus import Serinus
from loadtests.decisions.show import Progress, show_efficiency, show_rollouts, show_targets, write_plots
from loadtests.decisions.worlds import Case, bad_cases, good_cases

_BATCH: Final = 20  # runs that a process does at once


@dataclass(frozen=True)
class Amount:
    """How many runs: of Serinus in good and in bad worlds, of what it is compared with, and on one weight.

    In bad worlds, Serinus is run as often without its warm-up, and bare.
    """

    good: int
    bad: int
    others: int
    races: int

    def of(self, rule: Rule, case: Case) -> int:
        """Of one rule in one world."""
        if rule.name == OURS and case.is_good:
            return self.good
        return self.bad if rule.name in (OURS, WARM, BARE) and not case.is_good else self.others


#: Each can be set alone.
COUNTS: Final = {
    "good": "rollouts of each good version by Serinus",
    "bad": "rollouts of each bad version by Serinus",
    "others": "rollouts of each version by what it is compared with",
    "races": "decisions on each one weight",
}
SHORT: Final = Amount(good=40, bad=20, others=10, races=100)
LONG: Final = Amount(good=2000, bad=400, others=200, races=1000)


def rules(*, same_steps: bool) -> list[Rule]:
    """All rules, on the steps of their documentation or on ours."""
    steps: dict[str, Any] = {"steps": SAME_STEPS} if same_steps else {}
    return [
        Serinus(OURS),
        Serinus(WARM, terms=Terms(warm_up=0)),
        Serinus(BARE, terms=Terms(latency=None, warm_up=0, bad_seconds=0)),
        Flagger("Flagger (5)", 5, **steps),
        Flagger("Flagger (1)", 1, **steps),
        Argo("Argo docs", 300, 0.95, 3, **steps),
        Argo("Argo strict", 60, 0.99, 0, **steps),
        Kayenta(),
        Oracle(),
    ]


@dataclass
class _Work:
    """What one process does at once, and where the result belongs."""

    name: str
    run: Callable[[], Any]
    keep: Callable[[Any], None] = field(repr=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; gives the exit code."""
    options = _parser().parse_args(arguments)
    named = {name: getattr(options, name) for name in COUNTS if getattr(options, name) is not None}
    amount = replace(SHORT if options.short else LONG, **named)
    cases, contenders = [*good_cases(), *bad_cases()], rules(same_steps=options.same_steps)
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    measured: dict[str, Efficiency] = {}
    work = [*_races(amount, measured), *_rollouts(amount, cases, contenders, outcomes)]
    _perform(work, options.processes)

    table = {
        case.name: {
            rule.name: summed(case, outcomes[case.name, rule.name])
            for rule in contenders
            if (case.name, rule.name) in outcomes
        }
        for case in cases
    }
    errors, latency = ([measured[race.name] for race in races()] for races in (error_races, latency_races))
    console = Console()
    show_rollouts(console, cases, [rule.name for rule in contenders], table)
    show_efficiency(console, "Requests of the new version until the decision: errors", errors)
    show_efficiency(console, "The same: latency", latency)
    show_targets(console, targets(cases, table, errors, latency))
    if options.plot:
        write_plots(options.plot, cases, [rule.name for rule in contenders], table)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.decisions",
        description="How often and how fast rules roll back good and bad versions, on the same simulated traffic.",
    )
    parser.add_argument("--short", action="store_true", help="fewer runs: about two minutes on two cores")
    for name, what in COUNTS.items():
        parser.add_argument(f"--{name}", type=_count, metavar="RUNS", help=what)
    parser.add_argument("--same-steps", action="store_true", help="all rules on our weights, not on their own")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one per core")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a plot (.png, .svg, .pdf)")
    return parser


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least one run")
    return count


def _races(amount: Amount, measured: dict[str, Efficiency]) -> Iterator[_Work]:
    for is_latency, races in ((False, error_races()), (True, latency_races())):
        for place, race in enumerate(races):
            run = partial(_race, is_latency, place, amount.races)
            yield _Work(race.name, run, partial(measured.__setitem__, race.name))


def _race(is_latency: bool, place: int, runs: int) -> Efficiency:
    races: list[Race] = latency_races() if is_latency else error_races()
    return measure(races[place], runs, seed=_seed(races[place].name))


def _rollouts(
    amount: Amount, cases: Sequence[Case], contenders: Sequence[Rule], outcomes: dict[tuple[str, str], list[Outcome]]
) -> Iterator[_Work]:
    for place, case in enumerate(cases):
        for rule in contenders:
            if not _is_run(rule, case):
                continue
            runs = amount.of(rule, case)
            kept = outcomes.setdefault((case.name, rule.name), [])
            for begin in range(0, runs, _BATCH):
                batch = range(begin, min(begin + _BATCH, runs))
                yield _Work(f"{rule.name}: {case.name}", partial(_run, place, rule, batch), kept.extend)


def _is_run(rule: Rule, case: Case) -> bool:
    if isinstance(rule, Oracle):
        return not case.is_good  # it tests against what is bad about a version
    return rule.name != BARE or (not case.is_good and case.metric == "errors")


def _run(place: int, rule: Rule, batch: range) -> list[Outcome]:
    # Worlds hold functions, which do not go from process to process: their place in the list does.
    case = [*good_cases(), *bad_cases()][place]
    return [rule.run(case, np.random.default_rng([_seed(case.name), run])) for run in batch]


def _seed(name: str) -> int:
    return zlib.crc32(name.encode())


def _perform(work: Sequence[_Work], processes: int) -> None:
    progress = Progress(sys.stderr, len(work))
    with ProcessPoolExecutor(processes) as pool:
        waiting: dict[Future[Any], _Work] = {pool.submit(each.run): each for each in work}
        for done in as_completed(waiting):
            waiting[done].keep(done.result())
            progress(waiting[done].name)
    progress.end()


if __name__ == "__main__":
    sys.exit(main())
