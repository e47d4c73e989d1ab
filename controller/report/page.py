"""The page: what became of a rollout, its numbers, its steps, the plots, and every decision.

Owns the order of the page and what a browser may do with it: nothing but show it. It asks for nothing, from nobody.

1. Everything works without JavaScript; the script only shows the numbers under the pointer.
2. Every plot is drawn twice, for wide and for narrow screens, so that its words can be read on both.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Final

from controller.core.account import Account, Stretch, spoken
from controller.core.series import Row
from controller.core.verdict import percent, seconds, times
from controller.report.chart import Band, Frame, Mark, foot, lanes, panel, rail, swatch
from controller.report.markup import Markup, el, embedded
from controller.report.panels import Entry, Plot, plots, segments, values
from controller.report.picture import Picture, latency
from controller.report.told import clock_time, marks, table

_FILES: Final = files("controller.report")
_STYLE: Final = Markup(_FILES.joinpath("style.css").read_text(encoding="utf-8"))
_SCRIPT: Final = Markup(_FILES.joinpath("hover.js").read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


#: The style and the script of the page, known by their digests, and nothing else.
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; "
    "base-uri 'none'; form-action 'none'"
)

Draw = Callable[[Frame], Markup]

_WIDE: Final = (960.0, 68.0, 12.0)
_NARROW: Final = (360.0, 58.0, 6.0)
#: One row for every two pixels of the wide plots.
_MOST_ROWS: Final = 440
_ENDS: Final = {"promoted": ("good", "✓", "promoted"), "rolled_back": ("bad", "↩", "rolled back")}


def render(account: Account, rows: Iterable[Row], now: float, damaged: int = 0) -> str:
    """The page of a rollout; `now` by the rollout clock, `damaged` is how many rows were left out."""
    picture = Picture.of(account, rows, now, _MOST_ROWS)
    title = f"{account.rollout.id}: {account.outcome(now)}"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}" />'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("style", _STYLE),
    )
    body = el(
        "body",
        el(
            "main",
            _header(account, now),
            _tiles(picture, now),
            _steps(account, now),
            _pictures(picture),
            *_notes(picture, damaged),
            el("section", el("h2", "Every decision"), table(account), class_="told"),
            _footer(account),
        ),
        el("script", _SCRIPT),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _header(account: Account, now: float) -> Markup:
    rollout = account.rollout
    style, sign, words = _ENDS.get(rollout.phase, ("going", "●", rollout.phase.replace("_", " ")))
    reason = [el("p", f"{account.reason[:1].upper()}{account.reason[1:]}.", class_="lead")] if account.reason else []
    return el(
        "header",
        el(
            "p",
            el("span", "Serinus", class_="brand"),
            el("span", f"{rollout.policy.strategy} rollout {rollout.id}", class_="what"),
            el("span", el("span", sign, aria_hidden="true"), f" {words}", class_=f"badge {style}"),
            class_="eyebrow",
        ),
        el("h1", f"{account.outcome(now)}."),
        *reason,
    )


def _tiles(picture: Picture, now: float) -> Markup:
    account = picture.account
    begin, taken = account.began_wall, account.end(now) - account.began
    is_same_day = clock_time(begin, "%j%Y") == clock_time(begin + taken, "%j%Y")
    until = clock_time(begin + taken, "%H:%M:%S" if is_same_day else "%d %b, %H:%M:%S")
    old, new = picture.old, picture.new
    total = old.requests + new.requests
    tiles = [
        _tile("Duration", spoken(taken), f"{clock_time(begin, '%d %b %Y, %H:%M:%S')} – {until} UTC"),
        _tile("Requests", f"{total:,}", f"{new.requests:,} to {picture.new_name}" + _share(new.requests, total)),
        _tile(
            f"Bad requests of {picture.new_name}",
            f"{new.errors:,}",
            f"{percent(new.errors / new.requests) if new.requests else '–'} of its requests; "
            f"{picture.old_name}: {old.errors:,}" + _share(old.errors, old.requests),
        ),
        _tile(
            "Odds against it, at most",
            f"{times(picture.highest)} : 1" if picture.highest is not None else "–",
            f"rolls back at {times(picture.needed)} : 1",
        ),
        _last_tile(picture),
    ]
    return el("section", *tiles, class_="tiles", aria_label="Numbers")


def _last_tile(picture: Picture) -> Markup:
    """How fast the way back was, else how fast the new version is."""
    told = picture.account.told
    back = [each for each in told if each.event.kind in ("turned_back", "aborted") and each.waited is not None]
    if back and picture.account.rollout.phase == "rolled_back":
        return _tile(
            "Rolled back within", seconds(back[-1].waited or 0.0), "from the decision until every worker served it"
        )
    new, old = latency(picture.new, 0.99), latency(picture.old, 0.99)
    words = f"{picture.old_name}: {seconds(old)}" if old is not None else "no requests of the old version"
    return _tile(f"p99 latency of {picture.new_name}", seconds(new) if new is not None else "–", words)


def _tile(name: str, number: str, words: str) -> Markup:
    return el(
        "div", el("span", name, class_="name"), el("strong", number), el("span", words, class_="words"), class_="tile"
    )


def _share(part: int, total: int) -> str:
    return f" ({percent(part / total)})" if total else ""


def _steps(account: Account, now: float) -> Markup:
    rollout = account.rollout
    running = 0.0 if rollout.has_ended else max(now - rollout.at, 0.0)
    items = [_step(step, running if step.state == "now" else 0.0) for step in account.steps]
    style, sign, words = _ENDS.get(rollout.phase, ("ahead", "", "promoted"))
    items.append(el("li", el("b", f"{sign} {words}".strip()), el("span", ""), class_=f"end {style}"))
    return el("ol", *items, class_="steps", aria_label="Steps")


def _step(step: Stretch, running: float) -> Markup:
    words = {"done": "✓ ", "failed": "✗ ", "now": "● ", "ahead": ""}[step.state]
    taken = spoken(step.seconds + running) if step.state != "ahead" else "not reached"
    return el("li", el("b", f"{words}{step.label}"), el("span", taken), class_=step.state)


def _pictures(picture: Picture) -> Markup:
    drawn, decided = list(plots(picture)), marks(picture.account)
    figures = [_figure(picture, plot, decided) for plot in drawn]
    if picture.checks:
        figures.append(_checks(picture, decided))
    if not picture.rows:
        figures = [el("p", "No second of this rollout was recorded, so there is nothing to draw.", class_="empty")]
        return el("section", el("h2", "Over time"), *figures, class_="plots")
    kept = el("script", embedded(values(picture, drawn)), type="application/json", id="values")
    return el(
        "section",
        el("h2", "Over time"),
        el("div", *_both(picture, lambda frame: rail(frame, decided)), class_="rail-row"),
        *figures,
        el("div", *_both(picture, foot), class_="foot-row"),
        kept,
        class_="plots",
        data_end=repr(picture.end),
    )


def _figure(picture: Picture, plot: Plot, decided: Sequence[Mark]) -> Markup:
    halts = [Band(begin, end, f"{phase} for {spoken(end - begin)}") for begin, end, phase in picture.halts]
    layers = (*halts, *plot.behind, *(entry.line for entry in plot.entries))
    words = f"{plot.title}: " + ", ".join(f"{entry.name} {entry.total}" for entry in plot.entries)
    drawn = _both(picture, lambda frame: panel(frame, plot.height, plot.scale, layers, decided, words))
    title = el("span", el("b", plot.title), el("span", plot.unit, class_="unit"), class_="title")
    caption = el("figcaption", title, el("span", *map(_legend, plot.entries), class_="legend"))
    note = [el("p", plot.note, class_="note")] if plot.note else []
    return el("figure", caption, *note, *drawn)


def _legend(entry: Entry) -> Markup:
    number = el("output", entry.total, data_key=entry.key, data_form=entry.form)
    return el("span", swatch(entry.line), el("span", entry.name), number, class_="entry")


def _checks(picture: Picture, decided: Sequence[Mark]) -> Markup:
    named = [(check, segments(picture, check)) for check in picture.checks]
    words = "What the checks said: " + ", ".join(f"{name} {said[-1].words}" for name, said in named)
    caption = el(
        "figcaption", el("span", el("b", "Checks"), el("span", "what each said", class_="unit"), class_="title")
    )
    return el("figure", caption, *_both(picture, lambda frame: lanes(frame, named, decided, words)))


def _both(picture: Picture, draw: Draw) -> Iterator[Markup]:
    for style, (width, left, right) in (("wide", _WIDE), ("narrow", _NARROW)):
        yield el("div", draw(Frame(width, left, right, picture.end)), class_=style, data_left=left, data_right=right)


def _notes(picture: Picture, damaged: int) -> Iterator[Markup]:
    phases = sorted({phase for _, _, phase in picture.halts})
    if picture.rows and phases:
        yield el("p", f"Shaded: no step went on ({', '.join(phases)}).", class_="note")
    if picture.rows:
        yield el(
            "p",
            "A request counts for the version that was tried first, in the second in which it arrived. Where a retry "
            "or the other version answered it well, its client saw no error.",
            class_="note",
        )
    if damaged:
        yield el("p", f"{damaged:,} rows of the series are damaged on disk and left out.", class_="note warning")


def _footer(account: Account) -> Markup:
    policy = account.rollout.policy
    return el(
        "footer",
        f"{account.rollout.service}: {account.rollout.old} → {account.rollout.new}. "
        f"A good version is rolled back with a probability of at most {100 * policy.alpha:g} %. Times are UTC.",
    )
