"""The command: `python -m loadtests.smuggling`.

Owns: options and exit codes (0 nothing was smuggled, 1 something was or the run failed, 2 usage).
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from rich.console import Console

from loadtests.bench.faults import BenchFault, Missing
from loadtests.smuggling.answers.clients import CLIENTS
from loadtests.smuggling.answers.matrix import run_answers
from loadtests.smuggling.answers.techniques import ANSWERS
from loadtests.smuggling.matrix import run
from loadtests.smuggling.show import ANSWERS_LEGEND, ANSWERS_TITLE, Named, Shown, as_tree, show_matrix
from loadtests.smuggling.techniques import TECHNIQUES
from loadtests.smuggling.upstreams import UPSTREAMS

_TITLES = sorted({each.title.lower() for each in UPSTREAMS} | {each.title.lower() for each in CLIENTS})


@dataclass(frozen=True, slots=True)
class _Run:
    """One direction, played."""

    name: str
    techniques: Sequence[Named]
    columns: Sequence[Shown]
    missing: Mapping[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both matrices; gives the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        runs = [each for each in (_requests(options), _answers(options)) if each is not None]
    except BenchFault as fault:
        print(fault, file=sys.stderr)
        return 1
    if not runs:
        print("nothing to do: no server or client is there, or none has these techniques; see --help", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({each.name: as_tree(each.techniques, each.columns, each.missing) for each in runs}, indent=2))
    for each in () if options.json else runs:
        words = {} if each.name == "requests" else {"title": ANSWERS_TITLE, "legend": ANSWERS_LEGEND}
        show_matrix(each.techniques, each.columns, each.missing, Console(), is_brief=options.brief, **words)
    return int(any(cell.is_smuggled for each in runs for column in each.columns for cell in column.cells))


def _requests(options: argparse.Namespace) -> _Run | None:
    """Requests to servers, of those that were picked."""
    techniques = [each for each in TECHNIQUES if not options.family or each.family in options.family]
    chosen = [each for each in UPSTREAMS if each.title.lower() in options.only]
    missing = {each.title: why for each in chosen if (why := _why_missing(each.find))}
    present = [each for each in chosen if each.title not in missing]
    if not techniques or not present:
        return None
    print(f"sending {len(techniques)} techniques to {len(present)} servers", file=sys.stderr)
    with TemporaryDirectory(prefix="serinus-smuggling-") as folder:
        return _Run("requests", techniques, run(techniques, present, Path(folder), tick=lambda: None), missing)


def _answers(options: argparse.Namespace) -> _Run | None:
    """Answers to clients, of those that were picked."""
    techniques = [each for each in ANSWERS if not options.family or each.family in options.family]
    chosen = [each for each in CLIENTS if each.title.lower() in options.only]
    missing = {each.title: why for each in chosen if (why := _why_missing(each.find))}
    present = [each for each in chosen if each.title not in missing]
    if not techniques or not present:
        return None
    print(f"answering {len(present)} clients by {len(techniques)} techniques", file=sys.stderr)
    with TemporaryDirectory(prefix="serinus-answers-") as folder:
        return _Run("answers", techniques, run_answers(techniques, present, Path(folder)), missing)


def _why_missing(find: Callable[[], object]) -> str:
    """Why a server or a client is not there; empty when it is."""
    try:
        find()
    except Missing as reason:
        return str(reason)
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.smuggling",
        description="Send requests hidden in requests through Serinus to real servers, and answers to clients.",
    )
    parser.add_argument(
        "--only", nargs="+", choices=_TITLES, default=_TITLES, metavar="NAME",
        help=f"servers and clients, of {', '.join(_TITLES)}; default: all that are installed",
    )  # fmt: skip
    families = sorted({each.family for each in TECHNIQUES} | {each.family for each in ANSWERS})
    parser.add_argument(
        "--family", nargs="+", choices=families, metavar="FAMILY",
        help=f"techniques, of {', '.join(families)}; default: all",
    )  # fmt: skip
    parser.add_argument("--brief", action="store_true", help="one row per family, with counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # unwinds, so that every program is ended


if __name__ == "__main__":
    sys.exit(main())
