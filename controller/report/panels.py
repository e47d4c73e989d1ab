"""What is drawn of a rollout: shares, requests, errors, latencies and evidence, all over the same time.

Owns the values, their axes and their words. Must not know pixels (`controller.report.chart`).

1. The new version is a line with circles, the old one a line with squares; a tail and what was wanted are dashed.
2. Every line is named beside the panel, with its number over the whole rollout.

Units: those of `controller.report.picture`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from controller.core.series import Row
from controller.core.verdict import Value as CheckValue
from controller.core.verdict import percent, seconds, times
from controller.report.chart import Area, Limit, Line, Segment
from controller.report.picture import Picture, Reading, Value, errors, latency, rate, share_of
from controller.report.scales import Scale, linear, logarithmic

#: Odds beyond these are drawn at the edge.
_LEAST_ODDS: Final = 1e-3
_MOST_ODDS: Final = 1e6
#: Latencies that differ by more than this are drawn on a logarithmic axis.
_WIDE: Final = 12.0

Form = Literal["share", "rate", "seconds", "odds"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line with its name, its number over all, and how its values are read and written. `key` is unique."""

    key: str
    line: Line
    name: str
    total: str
    reading: Reading
    form: Form


@dataclass(frozen=True, slots=True)
class Plot:
    """One panel."""

    title: str
    unit: str
    scale: Scale
    entries: Sequence[Entry]
    behind: Sequence[Area | Limit] = ()
    note: str = ""
    height: float = 132.0


def plots(picture: Picture) -> Iterator[Plot]:
    """All panels, from the top down."""
    yield _shares(picture)
    yield _rates(picture)
    yield _errors(picture)
    yield _latencies(picture)
    yield _evidence(picture)


def values(picture: Picture, drawn: Sequence[Plot]) -> dict[str, list[Value]]:
    """Every value that is drawn, by the key of its line; `t` is where the rows stand."""
    found: dict[str, list[Value]] = {"t": [round(picture.middle(row), 3) for row in picture.rows]}
    for plot in drawn:
        for entry in plot.entries:
            read = [entry.reading(row) for row in picture.rows]
            found[entry.key] = [value if value is None else float(f"{value:.4g}") for value in read]
    return found


def segments(picture: Picture, check: str) -> list[Segment]:
    """What a check said over time, as stretches."""
    began, found = picture.account.began, list[Segment]()
    said = [(row, row.checks[check].value) for row in picture.rows if check in row.checks]
    for value, group in groupby(said, key=lambda each: each[1]):
        rows = [row for row, _ in group]
        found.append(Segment(rows[0].at - began, rows[-1].end - began, _SAID[value], value.lower().replace("_", "-")))
    return [
        Segment(each.begin, after.begin, each.words, each.style) if after else each
        for each, after in zip(found, [*found[1:], None], strict=True)
    ]


_SAID: Final[dict[CheckValue, str]] = {
    "PASS": "pass",
    "FAIL": "fail",
    "INCONCLUSIVE": "not sure yet",
    "NO_DATA": "no data",
    "ERROR": "error",
}


def _shares(picture: Picture) -> Plot:
    had = picture.new.requests
    total = had + picture.old.requests
    wanted = Line(picture.wanted(), "new wanted", is_stepped=True)
    last = picture.account.shares[-1][1]
    entries = (
        Entry("wanted", wanted, "wanted", percent(last), picture.wanted_at, "share"),
        _entry(picture, "actual", "new", "actual", share_of, percent(had / total) if total else "–", "share"),
    )
    return Plot("Share of the requests", f"% to {picture.new_name}", linear(1.0, _percents), entries, height=112.0)


def _rates(picture: Picture) -> Plot:
    spent = sum(row.seconds for row in picture.rows) or 1
    new, old = (f"{total.requests / spent:.3g}/s" for total in (picture.new, picture.old))
    entries = (
        _entry(picture, "rate-old", "old", "", lambda row: rate(row.old, row), old, "rate"),
        _entry(picture, "rate-new", "new", "", lambda row: rate(row.new, row), new, "rate"),
    )
    return Plot("Requests", "per second", linear(_most(picture, entries) or 1.0, _plain), entries)


def _errors(picture: Picture) -> Plot:
    new, old = (f"{total.errors:,} of {total.requests:,}" for total in (picture.new, picture.old))
    entries = (
        _entry(picture, "errors-old", "old", "", lambda row: errors(row.old), old, "share"),
        _entry(picture, "errors-new", "new", "", lambda row: errors(row.new), new, "share"),
    )
    most = min(max(_most(picture, entries) or 0.0, 0.01), 1.0)
    return Plot("Failed requests", "% of each version's", linear(most, _percents), entries)


def _latencies(picture: Picture) -> Plot:
    entries = tuple(
        _entry(picture, f"{name}-{side}", side, name, _quantile(side, share), _total(picture, side, share), "seconds")
        for side in ("old", "new")
        for name, share in (("p50", 0.5), ("p99", 0.99))
    )
    known = [value for entry in entries for value in map(entry.reading, picture.rows) if value]
    if known and max(known) > _WIDE * min(known):
        return Plot("Latency", "log scale", logarithmic(known, seconds, (1, 2, 5)), entries)
    return Plot("Latency", "", linear(max(known, default=0.1), _seconds), entries)


def _evidence(picture: Picture) -> Plot:
    needed = picture.needed
    highest = f"{times(picture.highest)} : 1 at most" if picture.highest is not None else "not judged yet"
    judged = [name for name in picture.checks if any(_odds(name, row) is not None for row in picture.rows)]
    parts = [
        _entry(picture, f"odds-{place}", f"part-{min(place, 2)}", name, _reading_of(name), "", "odds", marker=False)
        for place, name in enumerate(judged)
    ]
    whole = _entry(picture, "odds", "whole", "all checks together", _combined, highest, "odds", marker=False)
    known = [value for entry in (whole, *parts) for value in map(entry.reading, picture.rows) if value]
    bounds = (min([*known, 0.5]), max([*known, 2 * needed]))
    scale = logarithmic([min(max(each, _LEAST_ODDS), _MOST_ODDS) for each in bounds], _as_odds)
    behind = (
        Area([(0.0, needed, scale.high), (picture.end, needed, scale.high)], "beyond"),
        Limit(needed, f"rolls back at {times(needed)} : 1"),
    )
    note = (
        "Odds of a bet that the new version is worse, on all requests so far. One that is not worse ever reaches "
        f"{times(needed)} : 1 "
        f"with a probability of at most {100 / needed:g} %. All checks together are their weighted mean."
        f"{_apart(picture, judged)}"
    )
    return Plot("Evidence", "odds against, log scale", scale, (*parts, whole), behind, note, 168.0)


def _apart(picture: Picture, judged: Sequence[str]) -> str:
    """A sentence about the checks that are no part of the mean, and those that do not roll back."""
    kinds = {check.name: check.kind for check in picture.account.rollout.policy.checks}
    alone = [name for name in judged if kinds.get(name) == "client_errors"]
    holding = [name for name in judged if not picture.rolls_back(name)]
    words = f" Not in that mean: {', '.join(alone)}." if alone else ""
    return words + (f" Only holds at that limit, and rolls nothing back: {', '.join(holding)}." if holding else "")


def _entry(
    picture: Picture, key: str, style: str, what: str, reading: Reading, total: str, form: Form, *, marker: bool = True
) -> Entry:
    """An entry with the line that its reading makes; `what` is said of the version that `style` names."""
    version = {"old": picture.old_name, "new": picture.new_name}.get(style, "") if what != "actual" else ""
    is_dashed = what == "p99"
    shape: Literal["circle", "square", ""] = "" if not marker or is_dashed else "circle" if style == "new" else "square"
    line = Line(picture.points(reading), f"{style} dashed" if is_dashed else style, shape)
    return Entry(key, line, ", ".join(word for word in (version, what) if word), total, reading, form)


def _quantile(side: str, share: float) -> Reading:
    return lambda row: latency(row.new if side == "new" else row.old, share)


def _total(picture: Picture, side: str, share: float) -> str:
    found = latency(picture.new if side == "new" else picture.old, share)
    return seconds(found) if found is not None else "–"


def _reading_of(check: str) -> Reading:
    return lambda row: _odds(check, row)


def _odds(check: str, row: Row) -> Value:
    said = row.checks.get(check)
    return said.odds.high if said is not None and said.odds is not None else None


def _combined(row: Row) -> Value:
    return row.odds.high if row.odds else None


def _most(picture: Picture, entries: Sequence[Entry]) -> float | None:
    return max((value for entry in entries for value in map(entry.reading, picture.rows) if value), default=None)


def _percents(share: float) -> str:
    return f"{round(100 * share, 3):g}"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def _seconds(value: float) -> str:
    return seconds(value) if value else "0"


def _as_odds(evidence: float) -> str:
    return f"{evidence:,.0f} : 1" if evidence >= 1 else f"1 : {1 / evidence:,.0f}"
