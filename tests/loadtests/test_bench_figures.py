"""What the benchmark measures beside processor time: its arithmetic, and a very short run. No time is asserted."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from loadtests.bench import __main__ as main
from loadtests.bench import (
    builds,
    changes,
    children,
    figures,
    idle,
    latency,
    load,
    markdown,
    measure,
    peers,
    results,
    show,
    work,
)
from loadtests.bench.certificate import write_certificate
from loadtests.bench.faults import Invalid

T = TypeVar("T")


def test_a_percentile_is_the_nearest_rank():
    assert [figures.percentile(range(1000), share) for share in (0.0, 0.5, 0.999, 1.0)] == [0, 500, 999, 999]


def test_a_figure_is_shown_with_its_goals_its_notes_and_gaps_where_there_is_nothing():
    row = figures.Row("[us]", [1234.5, 0.04567, None])
    findings = figures.Findings(["a", "b", "c"], [row], [figures.Goal("a ≤ 1", False)], ["a note"])
    text = StringIO()
    show.show_figure("the title", findings, Console(file=text))
    for part in ("the title", "1,234", "0.0457", "goal MISSED: a ≤ 1", "a note"):
        assert part in text.getvalue()
    assert json.loads(json.dumps(figures.as_json(latency.LATENCY, findings)))["rows"][0]["values"] == [
        *(1234.5, 0.04567, None)
    ]


def test_a_figure_that_failed_says_why():
    text = StringIO()
    show.show_figure("the title", Invalid("it [ended]"), Console(file=text))
    assert "invalid it [ended]" in text.getvalue()


def test_results_as_markdown_have_one_row_for_each_work_and_a_table_for_each_figure():
    build = builds.Build(Path("/usr/sbin/x"), "1.2.3", "Debian")
    place = {"processor": "CPU", "kernel": "Linux", "date": "today", "commit": "abc"}
    times = [results.Measurement(cpu_ns=ns * 1000, requests=1000, seconds=1.0) for ns in (15_000, 10_000)]
    against = [
        results.Comparison(name, title, build, [results.Pair(*times)], goal)
        for name, title, goal in (("nginx", "nginx", 1.0), ("plain", "Serinus without", None))
    ]
    works = {each.name: each for each in work.WORKS}
    reports = [
        results.Report(works[name], place, "Serinus", build, [each], {}, {})
        for name, each in zip(("small", "sticky"), against, strict=True)
    ]
    findings = figures.Findings(["a"], [figures.Row("x", [None])], [figures.Goal("a ≤ 1", False)], ["a note"])
    assert markdown.document(reports, {"the figure": findings, "another": Invalid("it ended")}).splitlines() == [
        "CPU, Linux, today, commit abc.",
        "",
        "Builds: nginx 1.2.3 (Debian); Serinus without 1.2.3 (Debian).",
        "",
        "| work | ours, µs | ÷ nginx | wanted |",
        "| --- | --- | --- | --- |",
        "| 56-byte response, keep-alive | 15 | 1.50 (1.50–1.50) | ≤ 1.0 × nginx: **missed** |",
        "",
        "| with | µs with | µs without | ratio (range) | wanted |",
        "| --- | --- | --- | --- | --- |",
        "| sticky by cookie | 15 | 10 | 1.50 (1.50–1.50) |  |",
        "",
        "**the figure**",
        "",
        "|  | a |",
        "| --- | --- |",
        "| x |  |",
        "",
        "**missed**: a ≤ 1. a note.",
        "",
        "**another**",
        "",
        "invalid: it ended",
    ]


def test_each_line_has_its_own_name():
    assert len({*main._WORKS} & {*main._FIGURES}) == 0
    assert {figure.work.name for figure in main._FIGURES.values()} == {*main._FIGURES}


def test_one_short_run_of_each_figure(require_tool: Callable[[str, str], str], tmp_path: Path):
    """Of ourselves and nginx, with so few rounds that only the way is shown and no number means anything."""
    for tool, package in (("wrk", "wrk"), ("cc", "gcc"), ("nginx", "nginx-light")):
        require_tool(tool, package)
    found = builds.Surroundings(tmp_path, may_fetch=False, announce=print)
    tmp_path.chmod(0o755)
    write_certificate(tmp_path)
    ours, nginx = (
        measure.Contender(peer, builds.find_first(peer.sources, found))
        for peer in (peers.OURS, *peers.PEERS)
        if peer.name in ("serinus", "nginx")
    )
    backend, open_loop = (builds.find_first([builds.Compiled(file)], found) for file in ("backend.c", "openloop.c"))
    cores, generator = children.Cores.available(), load.find_generator()

    def ran(figure: figures.Figure, run: Callable[[measure.Rig], T]) -> T:
        with load.backend_running(backend, figure.work, cores, tmp_path) as serving:
            return run(measure.Rig(figure.work, cores, generator, serving, tmp_path, 0.3, open_loop))

    def says(what: str) -> None:
        assert what

    held = ran(idle.IDLE, lambda rig: idle.measure_idle(rig, ours, [nginx], says, 50))
    assert [row.title for row in held.rows] == ["Serinus", "nginx"]
    slow = ran(latency.LATENCY, lambda rig: latency.measure_latency(rig, ours, [], says, 1))
    for row in slow.rows:
        assert list(row.values[1:]) == sorted(number for number in row.values[1:] if number)
    assert len(slow.rows) == len(latency.PARTS)
    changed = ran(changes.CHANGES_UNDER_LOAD, lambda rig: changes.times(rig, ours, 5))
    assert len(changed) == 5
