"""Results as Markdown, for docs/performance.md: one table of ratios, one of costs, and one for each figure.

Owns: the shape of the text. Must not: compute anything that `results` could.
"""

from collections.abc import Iterator, Mapping, Sequence

from loadtests.bench.faults import Invalid
from loadtests.bench.figures import Findings
from loadtests.bench.results import Comparison, Report, median_ns
from loadtests.bench.work import PLAIN


def document(reports: Sequence[Report], found: Mapping[str, Findings | Invalid]) -> str:
    """Everything that was measured. `found` maps the title of a figure to what came of it."""
    parts = []
    if reports:
        place = reports[0].surroundings
        builds = {each.title: each.build for report in reports for each in report.comparisons}
        parts.append(f"{place['processor']}, {place['kernel']}, {place['date']}, commit {place['commit']}.")
        parts.append("Builds: " + "; ".join(f"{title} {build}" for title, build in builds.items()) + ".")
    others = [report for report in reports if any(each.name != PLAIN for each in report.comparisons)]
    alone = [report for report in reports if any(each.name == PLAIN for each in report.comparisons)]
    if others:
        parts.append("\n".join(_ratios(others)))
    if alone:
        parts.append("\n".join(_costs(alone)))
    for title, findings in found.items():
        parts.append(f"**{title}**")
        parts.append(f"invalid: {findings}" if isinstance(findings, Invalid) else "\n".join(_figure(findings)))
    return "\n\n".join(parts) + "\n"


def _ratios(reports: Sequence[Report]) -> Iterator[str]:
    peers = {each.name: each.title for report in reports for each in report.comparisons if each.name != PLAIN}
    yield _line(["work", "ours, µs", *(f"÷ {title}" for title in peers.values()), "wanted"])
    yield _line(["---"] * (len(peers) + 3))
    for report in reports:
        by_name = {each.name: each for each in report.comparisons}
        ours = sorted(median_ns(each.ours) for each in report.comparisons)
        ratios = [_ratio(by_name[name]) if name in by_name else "" for name in peers]
        yield _line([report.work.title, _micros(ours[len(ours) // 2]), *ratios, _wanted(report)])


def _costs(reports: Sequence[Report]) -> Iterator[str]:
    yield _line(["with", "µs with", "µs without", "ratio (range)", "wanted"])
    yield _line(["---"] * 5)
    for report in reports:
        each = next(each for each in report.comparisons if each.name == PLAIN)
        values = [_micros(median_ns(each.ours)), _micros(median_ns(each.peers))]
        yield _line([report.work.title, *values, _ratio(each), _wanted(report)])


def _figure(findings: Findings) -> Iterator[str]:
    yield _line(["", *findings.columns])
    yield _line(["---"] * (len(findings.columns) + 1))
    for row in findings.rows:
        yield _line([row.title, *("" if value is None else _number(value) for value in row.values)])
    yield ""
    yield " ".join(
        [*(f"{_met(goal.is_met)}: {goal.text}." for goal in findings.goals), *(f"{n}." for n in findings.notes)]
    )


def _wanted(report: Report) -> str:
    goals = [each for each in report.comparisons if each.goal is not None]
    return ", ".join(f"≤ {each.goal} × {each.title}: {_met(each.is_goal_met)}" for each in goals)


def _met(is_met: bool | None) -> str:
    return "reached" if is_met else "**missed**"


def _ratio(comparison: Comparison) -> str:
    ratios = comparison.ratios
    return f"{comparison.ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def _micros(nanoseconds: float) -> str:
    return _number(nanoseconds / 1000)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
