"""Answers that hide in answers: that the matrix finds what it looks for, and nothing behind Serinus."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.bench.faults import Missing
from loadtests.smuggling.answers.clients import CLIENTS, Got, HttpClient
from loadtests.smuggling.answers.matrix import judge_answers, run_answers
from loadtests.smuggling.answers.techniques import ANSWERS, HIDDEN, OWN, AnswerTechnique
from loadtests.smuggling.answers.upstream import ordinary, raw_upstream
from tests.support.long_forms import long_or
from tests.support.tools import do_without

#: `make smuggling` plays all of them.
SOME = long_or(ANSWERS[4::6], ANSWERS)
NAMES = ["hc000att", "hc000fol", "hc000ne0"]
GOOD = [Got(200, ordinary(name)) for name in NAMES[1:]]
NONE = AnswerTechnique("CL.TE", "one", "RFC 9112", HIDDEN)
ONE = AnswerTechnique("too much", "one", "RFC 9112", HIDDEN, OWN)


def test_every_technique_has_a_name_of_its_own():
    assert len({(each.family, each.name) for each in ANSWERS}) == len(ANSWERS) > 100


def test_an_answer_of_ones_own_and_none_at_all_are_good():
    for technique, first in ((ONE, Got(200, b"hc000att own")), (ONE, Got(502, b"no")), (NONE, Got(0, b"", "reset"))):
        assert list(judge_answers(technique, NAMES, [first, *GOOD])) == []


@pytest.mark.parametrize(
    ("technique", "got"),
    [
        (NONE, [Got(200, b"hc000att own"), *GOOD]),
        (ONE, [Got(200, b"HIDDEN"), *GOOD]),
        (ONE, [Got(103, b""), *GOOD]),
        (ONE, [Got(502, b"no"), Got(200, b"HIDDEN"), GOOD[1]]),
        (ONE, [Got(502, b"no"), GOOD[0], Got(200, ordinary(NAMES[1]))]),
        (ONE, [Got(502, b"no"), GOOD[0], Got(0, b"", "reset")]),
    ],
)
def test_any_other_answer_is_a_breach(technique: AnswerTechnique, got: list[Got]):
    assert len(list(judge_answers(technique, NAMES, got))) == 1


def test_a_client_without_serinus_takes_the_hidden_answer():
    """Straight to the upstream: an answer that comes while nothing is asked is taken for that to the next request."""
    techniques = [each for each in ANSWERS if each.name == "an answer while idle"]
    with raw_upstream(techniques) as upstream:
        asks = [("GET", f"/hc/0/{NAMES[0]}"), ("GET", f"/hc/up/{NAMES[1]}")]
        first, second = HttpClient(upstream.port).talk(*asks, between=lambda: upstream.wait_until_said(NAMES[0]))
    assert (first.body, second.body) == (b"hc000att own", b"HIDDEN")


@pytest.mark.timeout(300)
def test_no_client_takes_an_answer_that_is_not_its_own(tmp_path: Path):
    for client in CLIENTS:
        try:
            client.find()
        except Missing as reason:
            do_without(str(reason))
    columns = run_answers(SOME, CLIENTS, tmp_path)
    assert {
        f"{column.title}, {technique.family}: {technique.name}": cell.breaches
        for column in columns
        for technique, cell in zip(SOME, column.cells, strict=True)
        if cell.breaches
    } == {}
    for column in columns:
        assert min(sum(cell.passed == passed for cell in column.cells) for passed in (0, 1)) > 3
        assert any(cell.is_met for cell in column.cells)
