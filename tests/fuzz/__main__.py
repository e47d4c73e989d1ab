"""Fuzzes the data path and parts of it and says what came of it: `make fuzz SECONDS=60`.

Owns the build, the seeds, the runs one after the other, and the exit code: 0 nothing found, 1 something found (it is in
build/fuzz/findings, with what was the matter), 2 cannot be done here.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.build import ROOT, TREE, build, environment, missing
from tests.fuzz.seeds import sow

#: Both sides of the data path whole, then the scanner and the delimiter of chunked bodies by themselves.
SIDES = ("requests", "responses", "heads", "chunks")
DICTIONARY = "tests/fuzz/http.dict"
#: The limits are small in the runs (requests.py): longer inputs show nothing more.
LONGEST = 1400
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")
_EDGES = re.compile(r" cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(frozen=True)
class Run:
    """What came of one side. `edges` and `features` are libFuzzer's counts, `kept` the inputs that reach them all."""

    side: str
    inputs: int
    seconds: float
    edges: int
    features: int
    kept: int
    findings: tuple[str, ...]


def fuzz(side: str, seconds: float, runs: int) -> Run:
    """One run of libFuzzer; `runs` ends it before its time, -1: does not."""
    corpus, findings = TREE / "corpus" / side, TREE / "findings" / side
    findings.mkdir(parents=True, exist_ok=True)
    for old in findings.iterdir():
        old.unlink()
    sow(side, ROOT / "tests/corpus/http1", corpus)
    limits = [f"-max_total_time={seconds:.0f}", f"-runs={runs}", f"-max_len={LONGEST}", f"-dict={DICTIONARY}"]
    command = [sys.executable, "-m", "tests.fuzz.target", side, str(findings), *limits, "-print_final_stats=1"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, f"-artifact_prefix={findings}/", str(corpus)],
        cwd=TREE,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    (findings / "log").write_text(said)
    executed, reached = _EXECUTED.findall(said), _EDGES.findall(said)
    edges, features, kept = map(int, reached[-1]) if reached else (0, 0, 0)
    return Run(
        side,
        int(executed[-1]) if executed else 0,
        round(time.monotonic() - began, 1),
        edges,
        features,
        kept,
        tuple(_found(findings, done.returncode)),
    )


def _found(findings: Path, code: int) -> Iterator[str]:
    """One line for each input for which something did not hold, and one when libFuzzer itself ended badly."""
    for path in sorted(findings.glob("*.txt")):
        text, *_, why = path.read_text().strip().splitlines()
        yield f"{path.stem}: {why} {text[:200]}"
    if code:
        yield f"it ended with {code}: see {findings / 'log'}"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all sides together (default: 60)")
    parser.add_argument("--runs", type=int, default=-1, help="end a side after so many inputs")
    parser.add_argument("--side", choices=SIDES, action="append", help="only this one")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run as a program."""
    options = parse(arguments)
    if lack := missing():
        print(f"no fuzzing here: {lack}", file=sys.stderr)
        return 1 if os.environ.get("SERINUS_REQUIRE_ALL") == "1" else 2
    build()
    sides = options.side or SIDES
    runs = [fuzz(side, options.seconds / len(sides), options.runs) for side in sides]
    if options.json:
        print(json.dumps([asdict(run) for run in runs]))
    else:
        for run in runs:
            print(
                f"{run.side}: {run.inputs:,} inputs in {run.seconds:,.0f} s, {run.edges:,} edges, "
                f"{run.kept:,} inputs kept, {len(run.findings)} findings"
            )
            print(*(f"  {finding}" for finding in run.findings), sep="\n", end="\n" if run.findings else "")
    return 1 if any(run.findings or not run.inputs for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
