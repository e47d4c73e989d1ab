"""The command: `python -m loadtests.bench`.

Owns: options, the order of works and peers, exit codes (0 measured, 1 something failed, 2 usage).
A missed goal is a result, not a failure: no exit code depends on a time.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TypeAlias

from rich.console import Console

from loadtests.bench.builds import Compiled, Surroundings, find_first
from loadtests.bench.certificate import write_certificate
from loadtests.bench.changes import CHANGES_UNDER_LOAD
from loadtests.bench.children import Cores, pinned
from loadtests.bench.faults import BenchFault, Invalid, Missing
from loadtests.bench.figures import Figure, Findings
from loadtests.bench.figures import as_json as figure_as_json
from loadtests.bench.idle import IDLE
from loadtests.bench.latency import LATENCY
from loadtests.bench.load import backend_running, find_generator
from loadtests.bench.machine import surroundings
from loadtests.bench.markdown import document
from loadtests.bench.measure import Contender, Rig, compare
from loadtests.bench.peers import OURS, PEERS, Peer
from loadtests.bench.results import Comparison, Report, as_json
from loadtests.bench.scrape import SCRAPE
from loadtests.bench.show import Progress, check_plot, show_figure, show_report, write_plot
from loadtests.bench.work import WORKS, Work

_PEERS = {peer.name: peer for peer in PEERS}
_CONTENDERS = {OURS.name: OURS, **_PEERS}
_WORKS = {work.name: work for work in WORKS}
_FIGURES = {figure.name: figure for figure in (IDLE, CHANGES_UNDER_LOAD, SCRAPE, LATENCY)}
_LINES = {**_WORKS, **_FIGURES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; gives the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        if options.plot:
            check_plot(options.plot)
        reports, found = _run(options)
        _publish(reports, found, options)
    except BenchFault as exc:
        _say(str(exc))
        return 1
    except KeyboardInterrupt:
        _say("stopped, no result")
        return 1
    failed = any(report.invalid for report in reports) or any(isinstance(each, Invalid) for each in found.values())
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench",
        description="Processor time per request of Serinus and of other proxies, measured in turn on the same core.",
    )
    parser.add_argument("--only", type=_names_of(_LINES), default=list(_LINES), metavar="LINE,…",
                        help=f"which lines of the table to measure: {', '.join(_LINES)} (default: all)")  # fmt: skip
    parser.add_argument("--peers", type=_names_of(_PEERS), default=list(_PEERS), metavar="PEER,…",
                        help=f"against whom: {', '.join(_PEERS)} (default: all that can be had)")  # fmt: skip
    parser.add_argument("--ours", choices=_CONTENDERS, default=OURS.name, metavar="PROXY",
                        help="measure another proxy in our place, for instance to see the noise: "
                             "--ours floor --peers floor")  # fmt: skip
    parser.add_argument("--pairs", type=_at_least(1, int), default=5, help="pairs per peer (default: 5)")
    parser.add_argument("--seconds", type=_at_least(0.1, float), default=2.0,
                        help="length of one measurement (default: 2)")  # fmt: skip
    parser.add_argument(
        "--no-fetch", action="store_true", help="leave out peers that PyPI has and this machine has not"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number to this file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write tables as docs/performance.md has them")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a plot (.png, .svg, .pdf; needs matplotlib)")
    return parser


def _names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return names

    return read


def _at_least(lowest: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{text} is less than {lowest}")
        return value

    return read


#: What came of each figure, or why there is none.
Found: TypeAlias = dict[str, Findings | Invalid]


def _run(options: argparse.Namespace) -> tuple[list[Report], Found]:
    cores = Cores.available()
    generator = find_generator()
    with TemporaryDirectory(prefix="serinus-bench-") as name, pinned(cores.load):
        folder = Path(name)
        folder.chmod(0o755)  # nginx serves as another user when started by root
        surrounded = Surroundings(folder, may_fetch=not options.no_fetch, announce=_say)
        backend, open_loop = (find_first([Compiled(source)], surrounded) for source in ("backend.c", "openloop.c"))
        ours = Contender(_CONTENDERS[options.ours], find_first(_CONTENDERS[options.ours].sources, surrounded))
        rivals, missing = _find([_PEERS[name] for name in options.peers], surrounded)
        works = [_WORKS[name] for name in options.only if name in _WORKS]
        figures = [_FIGURES[name] for name in options.only if name in _FIGURES]
        progress = Progress(sys.stderr, sum(len(_against(work, rivals)) for work in works) * options.pairs * 2)
        write_certificate(folder)

        @contextmanager
        def rig(work: Work) -> Iterator[Rig]:
            with backend_running(backend, work, cores, folder) as serving:
                yield Rig(work, cores, generator, serving, folder, options.seconds, open_loop)

        reports, found = [], {}
        try:
            for work in works:
                with rig(work) as ready:
                    comparisons, invalid = _compare_all(ready, ours, _against(work, rivals), options.pairs, progress)
                place = surroundings(cores)
                reports.append(Report(work, place, ours.peer.title, ours.build, comparisons, missing, invalid))
            for figure in figures:
                with rig(figure.work) as ready:
                    found[figure.name] = _measured(figure, ready, ours, rivals, progress.say)
        finally:
            progress.end()
        return reports, found


def _measured(
    figure: Figure, rig: Rig, ours: Contender, rivals: Sequence[Contender], announce: Callable[[str], None]
) -> Findings | Invalid:
    others = [rival for rival in rivals if rival.peer.name in figure.work.against]
    try:
        return figure.measure(rig, ours, others, announce)
    except Invalid as exc:
        return exc


def _against(work: Work, rivals: Sequence[Contender]) -> list[Contender]:
    """Those of the rivals that take part in a work."""
    return [rival for rival in rivals if rival.peer.name in work.against and rival.peer.can(work.features)]


def _find(peers: Sequence[Peer], found: Surroundings) -> tuple[list[Contender], dict[str, str]]:
    """The peers that can be had, and why the others cannot."""
    rivals, missing = [], {}
    for peer in peers:
        try:
            rivals.append(Contender(peer, find_first(peer.sources, found)))
        except Missing as exc:
            missing[peer.title] = str(exc)
    return rivals, missing


def _compare_all(
    rig: Rig, ours: Contender, rivals: Sequence[Contender], pairs: int, progress: Progress
) -> tuple[list[Comparison], dict[str, str]]:
    """All comparisons that are valid, and why the others are not."""
    comparisons, invalid = [], {}
    for rival in rivals:
        try:
            comparisons.append(compare(rig, ours, rival, pairs, progress))
        except Invalid as exc:
            invalid[rival.peer.title] = str(exc)
    return comparisons, invalid


def _publish(reports: Sequence[Report], found: Found, options: argparse.Namespace) -> None:
    console = Console()
    for report in reports:
        show_report(report, console)
    for name, findings in found.items():
        show_figure(_FIGURES[name].title, findings, console)
    if options.json:
        measured = {name: each for name, each in found.items() if isinstance(each, Findings)}
        lines = [as_json(report) for report in reports]
        lines += [figure_as_json(_FIGURES[name], each) for name, each in measured.items()]
        options.json.write_text(json.dumps(lines, indent=2) + "\n")
    if options.markdown:
        titled = {_FIGURES[name].title: each for name, each in found.items()}
        options.markdown.write_text(document(reports, titled), encoding="utf-8")
    if options.plot and reports:
        write_plot(reports, options.plot)


def _say(text: str) -> None:
    print(f"benchmark: {text}", file=sys.stderr)


def _stop(signum: int, frame: FrameType | None) -> None:
    """On SIGTERM: leave through every `with` block, so that each ends its program."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
