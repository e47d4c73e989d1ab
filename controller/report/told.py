"""The decisions of a rollout, written down: a table for people, and the marks that stand for its rows in the plots.

Owns the words of the table. Sentences are those of the journal, as `why` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from config.who import Who
from controller.core.account import Account, Told, spoken
from controller.core.events import Event, Kind
from controller.core.verdict import percent, points, seconds, times
from controller.report.chart import Mark
from controller.report.markup import Markup, el

#: An acknowledgement is told with what was acknowledged.
_WITHIN_ANOTHER: Final = frozenset({"applied"})
#: The numbers of a verdict that all checks of the judge have in common.
_SHARED: Final = ("evidence", "needed", "new", "old")
_FAILURES: Final[frozenset[Kind]] = frozenset({"failed", "turned_back", "held", "froze", "retreated"})
_ENDS: Final[frozenset[Kind]] = frozenset({"completed", "restored"})


def rows_of(account: Account) -> list[tuple[str, Told]]:
    """What has a row in the table, with its number there."""
    shown = [told for told in account.told if told.event.kind not in _WITHIN_ANOTHER]
    return [(str(place), told) for place, told in enumerate(shown, start=1)]


def marks(account: Account) -> list[Mark]:
    """The moments to mark in the plots: what is of note and not before the time axis begins."""
    return [
        Mark(max(told.event.at - account.began, 0.0), label, _kind(told), f"{label}: {told.words}", f"d{label}")
        for label, told in rows_of(account)
        if not told.is_minor and told.event.at >= account.began
    ]


def table(account: Account) -> Markup:
    """All decisions, the first one first."""
    heads = [el("th", words, scope="col") for words in ("", "When", "What and why", "By", "Share, generation")]
    rows = rows_of(account)
    before = [("", None), *((label, told.event) for label, told in rows)]
    body = [
        _row(account, label, told, last if event and event.evidence == told.event.evidence else "")
        for (label, told), (last, event) in zip(rows, before, strict=False)
    ]
    return el("table", el("thead", el("tr", *heads)), el("tbody", *body), class_="decisions")


def clock_time(wall: float, form: str = "%H:%M:%S") -> str:
    """A time of day, UTC."""
    return datetime.fromtimestamp(wall, UTC).strftime(form)


def _whose(event: Event) -> Markup:
    if event.by:
        return el("b", str(Who(event.by, event.actor)), class_="person")
    return el("span", "Serinus", class_="quiet")


def _kind(told: Told) -> Literal["step", "person", "failure", "end"]:
    if told.event.by:
        return "person"
    if told.event.kind in _FAILURES:
        return "failure"
    return "end" if told.event.kind in _ENDS else "step"


def _row(account: Account, label: str, told: Told, same_as: str) -> Markup:
    """One row; `same_as` is the row before, if that was decided on the same numbers."""
    event = told.event
    since = event.at - account.began
    when = el("time", clock_time(told.wall), datetime=clock_time(told.wall, "%Y-%m-%dT%H:%M:%SZ"))
    after = el("span", f"+{spoken(since)}" if since >= 0 else "before", class_="after")
    sentence = [el("p", event.why, class_="sentence")] if event.why else []
    checks = _checks(account, event.evidence, event.why)
    if same_as and event.evidence:
        checks = iter((el("p", f"on the same numbers as {same_as}", class_="numbers"),))
    return el(
        "tr",
        el("td", el("span", label, class_=f"number {_kind(told)}")),
        el("td", when, after, class_="when"),
        el("td", el("strong", told.words), *sentence, *checks, class_="what"),
        el("td", _whose(event), class_="by"),
        el("td", *_effect(told), class_="effect"),
        id=f"d{label}",
        class_="minor" if told.is_minor else None,
    )


def _effect(told: Told) -> Iterator[Markup]:
    if told.waited is None and not told.generations:
        return
    yield el("span", f"{round(100 * told.share, 2):g} %", class_="share")
    for name, generation in told.generations.items():
        of = f" at {name}" if len(told.generations) > 1 else ""
        yield el("span", f"generation {generation}{of}", class_="generation")
    if told.waited is not None:
        yield el("span", f"acknowledged after {seconds(told.waited)}", class_="quiet")


def _checks(account: Account, verdicts: Sequence[Mapping[str, Any]], sentence: str) -> Iterator[Markup]:
    """The verdicts that were decided on, each with its numbers and what they were held against.

    Checks of the judge look at the same requests, so these are told once; and so is a reason that `sentence` has given.
    """
    if not verdicts:
        return
    shared = [{key: found[key] for key in _SHARED if key in found} for found in map(_numbers_of, verdicts)]
    compared = [found for found in shared if found]
    common = compared[0] if compared and all(found == compared[0] for found in compared) else {}
    items = [_verdict(account, verdict, sentence, without=frozenset(common)) for verdict in verdicts]
    yield el("ul", *items, class_="verdicts")
    if common:
        yield el("p", " · ".join(_facts(account, common)), class_="numbers")


def _verdict(account: Account, verdict: Mapping[str, Any], sentence: str, without: frozenset[str]) -> Markup:
    value = str(verdict["value"])
    head = el("span", value.replace("_", " "), class_=f"value {value.lower().replace('_', '-')}")
    said = str(verdict["reason"])
    reason = [] if said in sentence else [el("span", said, class_="reason")]
    own = {key: found for key, found in _numbers_of(verdict).items() if key not in without}
    if own.get("bound") is not None and points(own["bound"]) in said:
        own.pop("bound")  # it is said already
    written = " · ".join(_facts(account, own))
    facts = [el("span", written, class_="numbers")] if written else []
    return el("li", head, el("b", str(verdict["check"])), *reason, *facts)


def _numbers_of(verdict: Mapping[str, Any]) -> Mapping[str, Any]:
    return verdict.get("numbers") or {}


def _facts(account: Account, numbers: Mapping[str, Any]) -> Iterator[str]:
    rest = dict(numbers)
    evidence, needed = rest.pop("evidence", None), rest.pop("needed", None)
    for side, name in (("new", account.rollout.new), ("old", account.rollout.old)):
        if isinstance(found := rest.pop(side, None), Mapping):
            yield f"{name}: {_side(found)}"
    if evidence is not None and needed is not None:
        yield f"odds {_odds(evidence)}, threshold {times(needed)} : 1"
    bound, limit = rest.pop("bound", None), rest.pop("limit", None)  # of the error rate, in `judgement`
    if bound is not None and limit is not None and bound < 1:
        yield f"surely at most {points(bound)} more, allowed {points(limit)}"
    yield from (f"{name.replace('_', ' ')} {_plain(value)}" for name, value in rest.items() if value is not None)


def _side(found: Mapping[str, Any]) -> str:
    requests, errors = found.get("requests", 0), found.get("errors", 0)
    words = f"{errors:,} of {requests:,} failed ({percent(errors / requests) if requests else '–'})"
    if found.get("p50") is not None:
        words += f", p50 {seconds(found['p50'])}, p99 {seconds(found['p99'])}"
    return words


def _odds(evidence: float) -> str:
    return f"{times(evidence)} : 1" if evidence >= 1 else f"1 : {times(1 / max(evidence, 1e-12))}"


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
