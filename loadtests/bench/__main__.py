"""The command: `python -m loadtests.bench`.

Owns: options, the order of works and peers, exit codes (0 measured, 1 something failed, 2 usage).
A missed goal is a result, not a failure: no exit code depends on a time.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from rich.console import Console

from loadtests.bench.builds import Compiled, Surroundings, find_first
from loadtests.bench.certificate import write_certificate
from loadtests.bench.children import Cores, pinned
from loadtests.bench.faults import BenchFault, Invalid, Missing
from loadtests.bench.load import backend_running, find_generator
from loadtests.bench.machine import surroundings
from loadtests.bench.measure import Contender, Rig, compare
from loadtests.bench.peers import OURS, PEERS, Peer
from loadtests.bench.results import Comparison, Report, as_json
from loadtests.bench.show import Progress, check_plot, show_report, write_plot
from loadtests.bench.work import WORKS, Work

_PEERS = {peer.name: peer for peer in PEERS}
_CONTENDERS = {OURS.name: OURS, **_PEERS}
_WORKS = {work.name: work for work in WORKS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; gives the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        if options.plot:
            check_plot(options.plot)
        reports = _run(options)
        _publish(reports, options)
    except BenchFault as exc:
        _say(str(exc))
        return 1
    except KeyboardInterrupt:
        _say("stopped, no result")
        return 1
    return 1 if any(report.invalid for report in reports) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench",
        description="Processor time per request of Serinus and of other proxies, measured in turn on the same core.",
    )
    parser.add_argument("--only", type=_names_of(_WORKS), default=list(_WORKS), metavar="WORK,…",
                        help=f"which lines of the table to measure: {', '.join(_WORKS)} (default: all)")  # fmt: skip
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


def _run(options: argparse.Namespace) -> list[Report]:
    cores = Cores.available()
    generator = find_generator()
    with TemporaryDirectory(prefix="serinus-bench-") as name, pinned(cores.load):
        folder = Path(name)
        folder.chmod(0o755)  # nginx serves as another user when started by root
        found = Surroundings(folder, may_fetch=not options.no_fetch, announce=_say)
        backend = find_first([Compiled("backend.c")], found)
        ours = Contender(_CONTENDERS[options.ours], find_first(_CONTENDERS[options.ours].sources, found))
        rivals, missing = _find([_PEERS[name] for name in options.peers], found)
        works = [_WORKS[name] for name in options.only]
        total = sum(len(_against(work, rivals)) for work in works) * options.pairs * 2
        progress = Progress(sys.stderr, total)
        write_certificate(folder)
        reports = []
        try:
            for work in works:
                against = _against(work, rivals)
                with backend_running(backend, work, cores, folder) as serving:
                    rig = Rig(work, cores, generator, serving, folder, options.seconds)
                    comparisons, invalid = _compare_all(rig, ours, against, options.pairs, progress)
                place = surroundings(cores)
                reports.append(Report(work, place, ours.peer.title, ours.build, comparisons, missing, invalid))
        finally:
            progress.end()
        return reports


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


def _publish(reports: Sequence[Report], options: argparse.Namespace) -> None:
    console = Console()
    for report in reports:
        show_report(report, console)
    if options.json:
        options.json.write_text(json.dumps([as_json(report) for report in reports], indent=2) + "\n")
    if options.plot:
        write_plot(reports, options.plot)


def _say(text: str) -> None:
    print(f"benchmark: {text}", file=sys.stderr)


def _stop(signum: int, frame: FrameType | None) -> None:
    """On SIGTERM: leave through every `with` block, so that each ends its program."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
