"""Drawing: frames, axes, lines, bands and marks as SVG.

Owns geometry. Must not know what a value means. Colours and dashes are classes of the style sheet; nothing here is told
apart by its colour alone.

Units: instants in seconds since the beginning of the time axis, everything drawn in CSS pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from controller.report.markup import Markup, el, joined, number
from controller.report.scales import Scale, time_ticks

Value = float | None

#: From one marker on a line to the next, pixels.
_MARKER_GAP: Final = 56.0
_TICK_ROOM: Final = 26.0
_TOP: Final = 8.0


@dataclass(frozen=True, slots=True)
class Frame:
    """The time axis that all panels share."""

    width: float
    left: float
    right: float
    end: float

    def x(self, at: float) -> float:
        """Where an instant lies; what is outside lies on the edge."""
        return self.left + (self.width - self.left - self.right) * min(max(at / self.end, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment at which something was decided."""

    at: float
    label: str
    kind: Literal["step", "person", "failure", "end"]
    title: str
    target: str
    """The id of the row that tells more."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points in time; None is a gap. `style` are classes."""

    points: Sequence[tuple[float, Value]]
    style: str
    marker: Literal["circle", "square", ""] = ""
    is_stepped: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """What lies between two values over time."""

    points: Sequence[tuple[float, float, float]]
    style: str


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time, over the whole height of a panel, with words for who asks."""

    begin: float
    end: float
    words: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A line across a panel, with a word on it."""

    value: float
    words: str


Layer: TypeAlias = Line | Area | Band | Limit


def panel(
    frame: Frame, height: float, scale: Scale, layers: Sequence[Layer], marks: Sequence[Mark], words: str
) -> Markup:
    """One plot."""
    plot = _Plot(frame, _TOP, height - _TOP, scale)
    return el(
        "svg",
        _grid(plot),
        *(_layer(plot, layer) for layer in layers),
        *(_rule(frame, mark, 0, height) for mark in marks),
        viewBox=f"0 0 {number(frame.width)} {number(height)}",
        role="img",
        aria_label=words,
        class_="panel",
        data_low=repr(scale.low),
        data_high=repr(scale.high),
        data_log="1" if scale.is_log else None,
        data_top=_TOP,
        data_foot=height - _TOP,
    )


def rail(frame: Frame, marks: Sequence[Mark]) -> Markup:
    """The marks with their labels; those that would lie on each other are put together."""
    height = 30.0
    return el(
        "svg",
        *(_flag(frame, group, height) for group in _grouped(frame, marks)),
        viewBox=f"0 0 {number(frame.width)} {number(height)}",
        class_="rail",
        role="img",
        aria_label="Decisions in time",
    )


def foot(frame: Frame) -> Markup:
    """The labels of the time axis."""
    ticks, unit = time_ticks(frame.end, 8 if frame.width > 500 else 4)
    labels = [
        el("text", label, x=frame.x(at), y=14.0, class_="tick", text_anchor="middle" if at else "start")
        for at, label in ticks
        if frame.x(at) < frame.width - frame.right - 40 or not at
    ]
    caption = el("text", unit, x=frame.width - frame.right, y=14.0, class_="tick unit", text_anchor="end")
    return el("svg", *labels, caption, viewBox=f"0 0 {number(frame.width)} 20", class_="foot", aria_hidden="true")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time with a word."""

    begin: float
    end: float
    words: str
    style: str


def lanes(frame: Frame, named: Sequence[tuple[str, Sequence[Segment]]], marks: Sequence[Mark], words: str) -> Markup:
    """Stretches of time, a lane for each name."""
    pitch, tall = 34.0, 16.0
    height = pitch * len(named) + 4
    drawn: list[str] = []
    for place, (name, segments) in enumerate(named):
        y = place * pitch + 14
        drawn.append(el("text", name, x=frame.left, y=y - 3, class_="lane"))
        drawn += [_segment(frame, each, y, tall) for each in segments]
    rules = [_rule(frame, mark, 0, height) for mark in marks]
    box = f"0 0 {number(frame.width)} {number(height)}"
    return el("svg", *rules, *drawn, viewBox=box, role="img", aria_label=words, class_="lanes")


def swatch(line: Line) -> Markup:
    """What a line looks like, for a legend."""
    shape = [_marker(13.0, 6.0, line)] if line.marker else []
    stroke = el("path", d="M1 6H25", class_=f"line {line.style}")
    return el("svg", stroke, *shape, viewBox="0 0 26 12", class_="swatch", aria_hidden="true")


@dataclass(frozen=True, slots=True)
class _Plot:
    frame: Frame
    top: float
    foot: float
    scale: Scale

    def y(self, value: float) -> float:
        return self.foot - (self.foot - self.top) * self.scale.place(value)


def _grid(plot: _Plot) -> Markup:
    frame, drawn = plot.frame, list[str]()
    for value, label in plot.scale.ticks:
        y = plot.y(value)
        is_foot = value == plot.scale.low
        drawn.append(
            el("path", d=f"M{number(frame.left)} {number(y)}H{number(frame.width - frame.right)}",
               class_="axis" if is_foot else "grid")
        )  # fmt: skip
        drawn.append(el("text", label, x=frame.left - 8, y=y + 4, class_="tick", text_anchor="end"))
    for at, _ in time_ticks(frame.end, 8 if frame.width > 500 else 4)[0]:
        x = number(frame.x(at))
        drawn.append(el("path", d=f"M{x} {number(plot.foot)}v4", class_="axis"))
    return el("g", *drawn)


def _layer(plot: _Plot, layer: Layer) -> Markup:
    match layer:
        case Band():
            x, right = plot.frame.x(layer.begin), plot.frame.x(layer.end)
            box = {"x": x, "y": plot.top, "width": max(right - x, 1.0), "height": plot.foot - plot.top}
            return el("rect", el("title", layer.words), class_="halt", **box)
        case Limit():
            y, right = plot.y(layer.value), plot.frame.width - plot.frame.right
            rule = el("path", d=f"M{number(plot.frame.left)} {number(y)}H{number(right)}", class_="limit")
            return joined(rule, el("text", layer.words, x=plot.frame.left + 6, y=y - 5, class_="limit-words"))
        case Area():
            return _area(plot, layer)
        case Line():
            return _line(plot, layer)


def _line(plot: _Plot, line: Line) -> Markup:
    runs, markers, last = [], list[str](), -_MARKER_GAP / 2
    for run in _runs(line.points):
        places = [(plot.frame.x(at), plot.y(value)) for at, value in run]
        runs.append(_path(places, line.is_stepped))
        for x, y in places:
            if line.marker and (x - last >= _MARKER_GAP or len(run) == 1):
                markers.append(_marker(x, y, line))
                last = x
    return el("g", el("path", d="".join(runs) or None, class_=f"line {line.style}"), *markers)


def _path(places: list[tuple[float, float]], is_stepped: bool) -> str:
    (x, y), *rest = places
    written = [f"M{number(x)} {number(y)}"]
    if not rest:
        written.append("h.1")  # one point is seen as a dot
    for x, y in rest:
        written.append(f"H{number(x)}V{number(y)}" if is_stepped else f"L{number(x)} {number(y)}")
    return "".join(written)


def _area(plot: _Plot, area: Area) -> Markup:
    if not area.points:
        return Markup()
    upper = [f"{number(plot.frame.x(at))} {number(plot.y(high))}" for at, _, high in area.points]
    lower = [f"{number(plot.frame.x(at))} {number(plot.y(low))}" for at, low, _ in reversed(area.points)]
    return el("path", d=f"M{'L'.join([*upper, *lower])}Z", class_=f"area {area.style}")


def _marker(x: float, y: float, line: Line) -> Markup:
    if line.marker == "circle":
        return el("circle", cx=x, cy=y, r=3.0, class_=f"marker {line.style}")
    return el("rect", x=x - 2.7, y=y - 2.7, width=5.4, height=5.4, class_=f"marker {line.style}")


def _rule(frame: Frame, mark: Mark, top: float, foot: float) -> Markup:
    return el("path", d=f"M{number(frame.x(mark.at))} {number(top)}V{number(foot)}", class_=f"rule {mark.kind}")


def _grouped(frame: Frame, marks: Sequence[Mark]) -> list[list[Mark]]:
    groups: list[list[Mark]] = []
    for mark in marks:
        if groups and frame.x(mark.at) - frame.x(groups[-1][0].at) < 30:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return groups


def _flag(frame: Frame, group: Sequence[Mark], height: float) -> Markup:
    first, last = group[0], group[-1]
    label = first.label if first is last else f"{first.label}–{last.label}"
    kinds = [mark.kind for mark in group]
    kind = next(kind for kind in ("failure", "person", "end", "step") if kind in kinds)
    wide = 11.0 + 6.5 * len(label)
    x = min(max(frame.x(first.at), frame.left + wide / 2 - 8), frame.width - wide / 2)
    shape = el("rect", x=x - wide / 2, y=3.0, width=wide, height=20.0, rx=0.0 if kind == "person" else 10.0)
    text = el("text", label, x=x, y=17.0, text_anchor="middle")
    stem = el("path", d=f"M{number(frame.x(first.at))} 23V{number(height)}", class_=f"rule {kind}")
    title = el("title", "; ".join(mark.title for mark in group))
    return el("a", title, stem, shape, text, href=f"#{first.target}", class_=f"flag {kind}")


def _segment(frame: Frame, segment: Segment, y: float, tall: float) -> Markup:
    x, right = frame.x(segment.begin), frame.x(segment.end)
    wide = max(right - x, 1.0)
    box = el("rect", x=x, y=y, width=wide, height=tall, class_="segment")
    fits = wide > 7.2 * len(segment.words) + 8
    text = [el("text", segment.words, x=x + 5, y=y + 12, class_="segment-words")] if fits else []
    return el("g", el("title", segment.words), box, *text, class_=segment.style)


def _runs(points: Iterable[tuple[float, Value]]) -> list[list[tuple[float, float]]]:
    """The points between gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is not None:
            runs[-1].append((at, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
