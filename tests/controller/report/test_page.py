"""The page of a rollout: well-formed, of one piece, true to the series, and safe from names and reasons."""

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from controller.core.account import Account
from controller.core.buckets import Bucket
from controller.core.events import Event
from controller.core.series import CheckSaid, Odds, Row
from controller.report.page import CONTENT_SECURITY_POLICY, render
from tests.controller.core.test_account import SHORT, told_of
from tests.support.rollout_world import BLUE_GREEN, CANARY, ROLLING, World
from tests.support.tags import tags_in

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;]]>--><!-- \u202e\x07 é"


def an_account(settings: str = SHORT, phase: str = "promoted") -> Account:
    world = World(settings)
    world.until("step")
    if phase == "rolled_back":
        world.tick(3.0)
        world.verdicts["latency"] = "FAIL"
    world.until(phase)  # type: ignore[arg-type]
    return told_of(world.events)


def rows(number: int, first: int = 0) -> list[Row]:
    """Seconds of which each is another."""
    return [
        Row(
            *(at, at + 1),
            Bucket(80 + at % 5, at % 3, 0, {-60: 40, -30: 40}),
            Bucket(20, at % 4, 0, {-58: 18, -25: 2}),
            1,
            Odds(1.05 ** (at % 100), 1.05 ** (at % 100)),
            {
                "error-rate": CheckSaid("PASS", Odds(1.1 ** (at % 100), 1.1 ** (at % 100))),
                "tickets": CheckSaid("NO_DATA"),
            },
        )
        for at in range(first, first + number)
    ]


def parsed(page: str) -> ET.Element:
    """The page as XML; what XML does not know is the line before it."""
    assert page.startswith("<!doctype html>\n<html")
    return ET.fromstring(page.removeprefix("<!doctype html>\n"))


def words(element: ET.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def the(root: ET.Element, path: str) -> ET.Element:
    """The one element there."""
    (found,) = root.iterfind(path)
    return found


def values(root: ET.Element) -> dict[str, list[float | None]]:
    (kept,) = (each for each in root.iter("script") if each.get("id") == "values")
    found: dict[str, list[float | None]] = json.loads(kept.text or "")
    return found


def drawn(root: ET.Element, title: str, line: str, side: str = "wide") -> list[tuple[float, float]]:
    """The points of a line, read back from its path and its axes."""
    (figure,) = (each for each in root.iter("figure") if (each.findtext("figcaption/span/b") or "") == title)
    (box,) = (each for each in figure.iter("div") if each.get("class") == side)
    (panel,) = box.iter("svg")
    (path,) = (each for each in panel.iter("path") if each.get("class") == f"line {line}")
    (section,) = (each for each in root.iter("section") if each.get("class") == "plots")
    left, right, width = (
        float(box.attrib["data-left"]),
        float(box.attrib["data-right"]),
        960 if side == "wide" else 360,
    )
    low, high = float(panel.attrib["data-low"]), float(panel.attrib["data-high"])
    top, foot, end = (
        float(panel.attrib["data-top"]),
        float(panel.attrib["data-foot"]),
        float(section.attrib["data-end"]),
    )
    points = []
    for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.attrib["d"]):
        share = (foot - float(y)) / (foot - top)
        value = low * (high / low) ** share if panel.get("data-log") else low + (high - low) * share
        points.append(((float(x) - left) / (width - left - right) * end, value))
    return points


@pytest.mark.parametrize("settings", [SHORT, CANARY, BLUE_GREEN, ROLLING])
@pytest.mark.parametrize("phase", ["promoted", "rolled_back"])
def test_the_page_is_well_formed_and_of_one_piece(settings: str, phase: str):
    account = an_account(settings, phase)
    page = render(account, rows(300, int(account.began)), account.end(0))
    root = parsed(page)
    assert [each.tag for each in root] == ["head", "body"]
    assert words(the(root, ".//h1")) == f"{account.outcome(0)}."
    assert "http:" not in page
    assert "https:" not in page
    assert not any(each.get("src") or each.get("style") for each in root.iter())
    assert not any(name.startswith("on") for each in root.iter() for name in each.attrib)
    assert all(each.get("href", "#").startswith("#") for each in root.iter())
    assert not {each.tag for each in root.iter()} & {"link", "img", "iframe", "object", "image", "use", "base"}
    assert "@import" not in page
    assert "url(" not in page
    ids = [each.attrib["id"] for each in root.iter() if each.get("id")]
    assert len(set(ids)) == len(ids)
    assert {each.attrib["href"][1:] for each in root.iter("a")} <= set(ids)


def test_the_policy_of_the_page_allows_its_own_style_and_script_only():
    page = render(an_account(), rows(5), 1000.0)
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert f'content="{CONTENT_SECURITY_POLICY}"' in page


def test_plots_show_what_the_series_says():
    account = an_account()
    series = rows(200, int(account.began))
    root = parsed(render(account, series, account.end(0)))
    kept = values(root)
    assert kept["t"] == [row.at + 0.5 - account.began for row in series]
    assert kept["rate-new"] == [20] * 200
    assert kept["errors-new"] == pytest.approx([row.new.errors / 20 for row in series], rel=1e-3)
    assert kept["odds"] == pytest.approx([row.odds.high for row in series if row.odds], rel=1e-3)
    for title, line, key in (
        *(("Requests", "old", "rate-old"), ("Requests", "new", "rate-new"), ("Failed requests", "new", "errors-new")),
        *(
            ("Failed requests", "old", "errors-old"),
            ("Latency", "new", "p50-new"),
            ("Latency", "old dashed", "p99-old"),
        ),
        *(("Evidence", "whole", "odds"), ("Evidence", "part-0", "odds-0")),
    ):
        for side in ("wide", "narrow"):
            points = drawn(root, title, line, side)
            assert [at for at, _ in points] == pytest.approx([at for at in kept["t"] if at is not None], abs=0.2)
            read = [value for value in kept[key] if value is not None]
            if title == "Evidence":  # a tenth of a pixel of many decades
                assert [math.log10(value) for _, value in points] == pytest.approx(
                    [math.log10(value) for value in read], abs=0.01
                )
            else:
                assert [value for _, value in points] == pytest.approx(read, rel=0.02, abs=max(read) / 500)


def test_the_table_holds_every_decision_with_its_numbers_and_who_made_it():
    world = World(SHORT)
    world.until("step")
    world.order("pause", "lunch")
    world.tick()
    account = told_of(world.events)
    evidence = {"evidence": 43.0, "needed": 100.0, "bound": 0.01, "limit": 0.02}
    sides = {"new": {"requests": 50, "errors": 3, "p50": 0.004, "p99": 0.02}, "old": {"requests": 0, "errors": 0}}
    verdict = {"check": "error-rate", "value": "INCONCLUSIVE", "reason": "too little", "numbers": {**evidence, **sides}}
    event = Event("held", world.now, "not enough is known", evidence=(verdict,))
    account = told_of([*world.events, event])
    root = parsed(render(account, rows(3), world.now))
    text = [words(each) for each in root.iterfind(".//tbody/tr")]
    assert [line.split()[0] for line in text] == [str(place + 1) for place in range(len(text))]
    assert "lunch" in text[-2]
    assert " bob" in text[-2]
    for part in (
        *("not enough is known", "INCONCLUSIVE", "error-rate", "too little", "canary: 3 of 50 failed (6%)"),
        *("p50 4 ms, p99 20 ms", "stable: 0 of 0 failed (–)", "odds 43 : 1, threshold 100 : 1"),
        "surely at most 1 points more, allowed 2 points",
    ):
        assert part in text[-1]
    assert any("generation" in line and "acknowledged after" in line for line in text)


def test_nothing_that_comes_from_a_name_or_a_reason_becomes_markup():
    account = an_account(phase="rolled_back")
    policy = account.rollout.policy.model_copy(update={"from_": f"old{HOSTILE}", "to": f"new{HOSTILE}"})
    rollout = replace(account.rollout, policy=policy, why=f"why{HOSTILE}", service=f"shop{HOSTILE}")
    verdict = {"check": f"check{HOSTILE}", "value": "FAIL", "reason": HOSTILE, "numbers": {HOSTILE: HOSTILE}}
    told = [
        replace(
            each,
            event=replace(each.event, why=HOSTILE, by=f"by{HOSTILE}", evidence=(verdict,)),
            generations={HOSTILE: 1, "p": 2},
        )
        for each in account.told
    ]
    account = replace(account, rollout=rollout, told=tuple(told), shares=((0.0, 0.0),))
    series = [replace(row, checks={HOSTILE: CheckSaid("FAIL", Odds(1, 2))}) for row in rows(9)]
    page = render(account, series, 1000.0)
    harmless = parsed(render(an_account(phase="rolled_back"), rows(9), 1000.0))
    root = parsed(page)
    assert {each.tag for each in root.iter()} <= {each.tag for each in harmless.iter()} | {"output"}
    assert len(list(root.iter("script"))) == 2
    tags = tags_in(page)
    assert "img" not in tags
    assert tags.count("script") == 2
    assert "\x07" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_rollout_with_hardly_any_rows_has_a_page(number: int):
    account = an_account(phase="rolled_back")
    root = parsed(render(account, rows(number, int(account.began)), account.end(0)))
    figures = list(root.iter("figure"))
    assert len(figures) == (6 if number else 0)
    assert ("there is nothing to draw" in words(root)) == (number == 0)


def test_a_rollout_without_any_request_has_a_page():
    account = an_account()
    begin = int(account.began)
    silent = [Row(at, at + 1, Bucket(), Bucket()) for at in range(begin, begin + 5)]
    root = parsed(render(account, silent, account.end(0)))
    assert values(root)["actual"] == [None] * 5
    assert "not judged yet" in words(root)


def test_a_long_rollout_has_a_page_of_bounded_size():
    account = an_account(CANARY)
    page = render(account, rows(1440, int(account.began)), account.end(0))
    assert len(page) < 600_000
    assert len(values(parsed(page))["t"]) <= 440


def test_time_that_nobody_observed_is_a_gap():
    account = an_account()
    begin = int(account.began)
    series = [*rows(20, begin), *rows(20, begin + 60)]
    root = parsed(render(account, series, account.end(0)))
    (path, *_) = (each for each in root.iter("path") if each.get("class") == "line new")
    assert "d" in path.attrib
    paths = [
        each.attrib["d"]
        for each in root.iter("path")
        if each.get("class") == "line new" and "M1 6" not in each.get("d", "")
    ]
    assert all(d.count("M") == 2 for d in paths)
    assert all(before <= after for before, after in pairwise(at for at, _ in drawn(root, "Requests", "new")))


def test_damaged_rows_are_told():
    account = an_account()
    assert "3 rows of the series are damaged on disk and left out." in words(parsed(render(account, rows(3), 0.0, 3)))
    assert "damaged" not in words(the(parsed(render(account, rows(3), 0.0)), "body"))


def test_a_rollout_under_way_has_a_page():
    world = World(SHORT)
    world.until("step")
    account = told_of(world.events)
    root = parsed(render(account, rows(3, int(account.began)), world.now + 30))
    assert words(the(root, ".//h1")) == "canary of shop is in step 1 of 3."
    assert "● step" in words(the(root, ".//header"))


@pytest.mark.parametrize("is_over", [True, False])
def test_time_in_which_no_step_went_on_is_shaded_in_every_plot(is_over: bool):
    world = World(SHORT)
    world.until("step")
    world.order("pause")
    world.tick(times=7)
    if is_over:
        world.order("resume")
        world.tick(times=3)
    account = told_of(world.events)
    begin = int(account.began)
    root = parsed(render(account, rows(5, begin), world.now))
    bands = [each for each in root.iter("rect") if each.get("class") == "halt"]
    assert len(bands) == 2 * 5
    lasted = 7 if is_over else world.now - account.halts[0].begin
    assert {words(each) for each in bands} == {f"paused for {lasted:.0f} s"}
    assert "Shaded: no step went on (paused)." in words(root)
    begins = (account.halts[0].begin - account.began) / float(
        the(root, ".//section[@class='plots']").attrib["data-end"]
    )
    assert {round(float(each.attrib["x"]), 1) for each in bands} == {
        round(left + (width - left - right) * begins, 1) for width, left, right in ((960, 68, 12), (360, 58, 6))
    }


def test_without_a_halt_nothing_is_shaded():
    account = an_account()
    assert "Shaded" not in words(parsed(render(account, rows(9, int(account.began)), account.end(0))))


@pytest.mark.parametrize(
    ("checks", "sentence"),
    [
        ("{kind: error_rate}", ""),
        ("{kind: error_rate, on_fail: hold}", "Only holds at that limit, and rolls nothing back: error-rate."),
        (
            "{kind: error_rate}, {kind: client_errors}",
            "Not in that mean: client-errors. Only holds at that limit, and rolls nothing back: client-errors.",
        ),
        ("{kind: error_rate}, {kind: client_errors, on_fail: rollback}", "Not in that mean: client-errors."),
    ],
)
def test_the_note_on_the_odds_says_which_checks_they_do_not_roll_back_by(checks: str, sentence: str):
    account = an_account(f"{SHORT}, checks: [{checks}]")
    names = [check.name for check in account.rollout.policy.checks]
    said = {name: CheckSaid("PASS", Odds(1, 2)) for name in names}
    series = [replace(row, checks=said) for row in rows(9, int(account.began))]
    text = words(parsed(render(account, series, account.end(0))))
    after = text.partition("All checks together are their weighted mean.")[2]
    assert after.strip().startswith(sentence)
    assert ("Not in that mean" in text, "Only holds" in text) == ("Not" in sentence, "Only" in sentence)
