"""The command: `python -m loadtests.smuggling`.

Owns: options and exit codes (0 nothing was smuggled, 1 something was or the run failed, 2 usage).
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from rich.console import Console

from loadtests.bench.faults import BenchFault, Missing
from loadtests.smuggling.matrix import run
from loadtests.smuggling.show import as_json, show_matrix
from loadtests.smuggling.techniques import TECHNIQUES
from loadtests.smuggling.upstreams import UPSTREAMS, Upstream

_TITLES = {upstream.title.lower(): upstream for upstream in UPSTREAMS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the matrix; gives the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    chosen = [_TITLES[title] for title in options.only]
    techniques = [each for each in TECHNIQUES if not options.family or each.family in options.family]
    present, missing = _present(chosen)
    if not present:
        print("no server is there; see `python -m loadtests.smuggling --help`", file=sys.stderr)
        return 1
    print(f"sending {len(techniques)} techniques to {len(present)} servers", file=sys.stderr)
    with TemporaryDirectory(prefix="serinus-smuggling-") as folder:
        try:
            columns = run(techniques, present, Path(folder), tick=lambda: None)
        except BenchFault as fault:
            print(fault, file=sys.stderr)
            return 1
    if options.json:
        print(as_json(techniques, columns, missing))
    else:
        show_matrix(techniques, columns, missing, Console(), is_brief=options.brief)
    return int(any(cell.is_smuggled for column in columns for cell in column.cells))


def _present(chosen: Sequence[Upstream]) -> tuple[list[Upstream], dict[str, str]]:
    present, missing = [], {}
    for upstream in chosen:
        try:
            upstream.find()
        except Missing as reason:
            missing[upstream.title] = str(reason)
        else:
            present.append(upstream)
    return present, missing


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.smuggling",
        description="Send every known technique of request smuggling through Serinus to real servers.",
    )
    parser.add_argument(
        "--only", nargs="+", choices=sorted(_TITLES), default=list(_TITLES), metavar="SERVER",
        help=f"servers, of {', '.join(_TITLES)}; default: all that are installed",
    )  # fmt: skip
    families = sorted({technique.family for technique in TECHNIQUES})
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
