"""The judge as a whole: stories of rollouts and their verdicts, its state in a journal, workers that are added up."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.buckets import EMPTY, Bucket
from controller.core.judge import Judge
from controller.core.judgement import Judgement, condemned
from controller.core.terms import ClientErrorTerms, ErrorTerms, LatencyTerms, Terms

FAST = {-40: 10, -36: 60, -32: 25, -20: 5}
SLOW = {index + 8: count for index, count in FAST.items()}


def bucket(requests: int, errors: int = 0, latencies: dict[int, int] = FAST, unanswered: int = 0) -> Bucket:
    """So many requests with these latencies, as far as whole numbers allow."""
    left = requests - errors
    bins = {index: count * left // 100 for index, count in latencies.items()}
    bins[-36] = bins.get(-36, 0) + left - sum(bins.values())
    return Bucket(requests, errors, unanswered, bins)


TERMS = Terms()
BEFORE = [(second - 120, bucket(100)) for second in range(120)]


def judge(terms: Terms = TERMS, share: float = 0.1, next_share: float | None = 0.5) -> Judge:
    begun = Judge(terms, BEFORE)
    begun.begin_step(share, next_share)
    return begun


def feed(judge: Judge, seconds: Iterable[tuple[Bucket, Bucket]]) -> Judgement:
    second = -1 if judge.last is None else judge.last
    for old, new in seconds:
        second += 1
        judgement = judge.take(second, old, new)
    return judgement


def values(judgement: Judgement) -> dict[str, str]:
    return {verdict.check: verdict.value for verdict in judgement.verdicts}


GOOD = (bucket(90), bucket(10))
FAILING = (bucket(90), bucket(10, errors=5))
SLUGGISH = (bucket(90), bucket(10, latencies=SLOW))
DOWN = (bucket(90, errors=45), bucket(10, errors=5))
SILENT = (EMPTY, EMPTY)


DENYING = (bucket(90), replace(bucket(10), client_errors=5))
WATCHING = Terms(client_errors=ClientErrorTerms())


class TestStories:
    def test_answers_of_4xx_fail_a_check_of_their_own_and_are_no_evidence_for_a_rollback(self):
        judgement = feed(judge(WATCHING), [DENYING] * 60)
        (verdict,) = judgement.failed
        assert verdict.check == "client-errors"
        assert verdict.reason.startswith("170 of 340 requests (50%) were answered with 4xx, 0 of 3,060 requests (0%)")
        assert judgement.evidence < 1 < judgement.needed < judgement.parts["client-errors"]
        assert values(feed(judge(WATCHING), [GOOD] * 80))["client-errors"] == "PASS"

    def test_clients_who_err_with_both_versions_alike_are_nobodys_fault(self):
        both = (replace(bucket(90), client_errors=45), replace(bucket(10), client_errors=5))
        assert values(feed(judge(WATCHING), [GOOD] * 40 + [both] * 100))["client-errors"] == "PASS"

    def test_a_split_that_is_not_as_it_says_is_told_apart_from_what_the_checks_say(self):
        judgement = feed(judge(), [(bucket(60), bucket(40))] * 80)
        assert values(judgement) == {"error-rate": "PASS", "latency": "PASS", "split": "INCONCLUSIVE"}
        assert not judgement.may_advance

    def test_a_version_that_mends_an_outage_of_the_old_one_gets_on_although_nothing_was_known_before(self):
        mending = judge()
        feed(mending, [GOOD] * 31)
        judgement = feed(mending, [(bucket(90, errors=45), bucket(10))] * 120)
        assert judgement.outage
        assert judgement.outage.new_is_better
        assert judgement.may_advance

    def test_a_good_version_passes_once_it_is_warm_and_known(self):
        good = judge()
        assert values(feed(good, [GOOD] * 20)) == {"error-rate": "INCONCLUSIVE", "latency": "INCONCLUSIVE"}
        judgement = feed(good, [GOOD] * 60)
        assert values(judgement) == {"error-rate": "PASS", "latency": "PASS"}
        assert judgement.may_advance
        assert judgement.evidence < 1

    def test_a_failing_version_fails_with_its_numbers(self):
        judgement = feed(judge(), [FAILING] * 20)
        (verdict,) = judgement.failed
        assert verdict.check == "error-rate"
        assert verdict.reason == (
            "15 of 30 requests (50%) failed, 0 of 270 requests (0%) of the old version: "
            "odds 1,742 : 1 against, rolls back at 100 : 1"
        )
        assert verdict.numbers["new"]["requests"] == 30
        assert verdict.numbers["evidence"] >= verdict.numbers["needed"] == pytest.approx(100)

    def test_a_slow_version_fails_for_its_latency(self):
        judgement = feed(judge(), [SLUGGISH] * 90)
        (verdict,) = judgement.failed
        assert verdict.check == "latency"
        assert "p50 92.3 ms against 46.2 ms" in verdict.reason

    def test_slow_requests_that_become_fewer_hold_a_quiet_version_and_do_not_condemn_it(self):
        quiet = judge(share=0.02)
        cold, filled = (bucket(90), bucket(2, latencies={-20: 100})), (bucket(90), bucket(2))
        said = [feed(quiet, [seconds]) for seconds in [cold] * 38 + [filled] * 100]
        assert [verdict for judgement in said for verdict in judgement.failed] == []
        assert any("as when caches fill" in judgement.verdicts[1].reason for judgement in said)

    def test_a_version_that_hangs_fails_for_its_latency(self):
        hanging = (bucket(90), Bucket(10, 0, 10, {8: 10}))
        assert [verdict.check for verdict in feed(judge(), [hanging] * 60).failed] == ["latency"]

    def test_without_a_check_of_the_latency_a_version_that_hangs_fails_for_its_errors(self):
        hanging = (bucket(90), Bucket(10, 0, 10, {31: 10}))
        judgement = feed(judge(Terms(latency=None)), [hanging] * 60)
        assert [verdict.check for verdict in judgement.failed] == ["error-rate"]

    def test_an_outage_of_both_condemns_nobody_and_promotes_nobody(self):
        both = judge()
        feed(both, [GOOD] * 80)
        judgement = feed(both, [DOWN] * 100)
        assert values(judgement) == {"error-rate": "INCONCLUSIVE", "latency": "INCONCLUSIVE"}
        assert judgement.outage is not None
        assert "the old version fails as well" in judgement.verdicts[0].reason
        assert feed(both, [GOOD] * 90).may_advance

    def test_an_outage_soon_after_the_first_step_asks_for_a_retreat_too(self):
        """The first step is a raise like any other, and the only one of a blue-green rollout."""
        begun = judge()
        judgement = feed(begun, [GOOD] * 10 + [DOWN] * 5)
        assert judgement.outage is not None
        assert judgement.outage.asks_for_retreat

    def test_a_version_that_is_much_worse_in_an_outage_fails_all_the_same(self):
        both = judge()
        feed(both, [GOOD] * 80)
        worse = (bucket(90, errors=27), bucket(10, errors=9))
        assert [verdict.check for verdict in feed(both, [worse] * 60).failed] == ["error-rate"]

    def test_a_version_that_mends_an_outage_may_go_on(self):
        mending = judge()
        feed(mending, [GOOD] * 80)
        judgement = feed(mending, [(bucket(90, errors=45), bucket(10))] * 60)
        assert judgement.outage is not None
        assert judgement.may_advance

    def test_silence_is_neither_good_nor_bad(self):
        judgement = feed(judge(), [SILENT] * 300)
        assert values(judgement) == {"error-rate": "NO_DATA", "latency": "NO_DATA"}
        assert judgement.verdicts[0].reason == "no requests in the last 60 s; send some, or wait"
        assert judgement.evidence == pytest.approx(1.0)

    def test_a_version_that_should_get_requests_and_gets_none_is_told(self):
        verdict = feed(judge(share=0.5), [(bucket(90), EMPTY)] * 90).verdicts[0]
        assert verdict.value == "NO_DATA"
        assert verdict.reason == "the new version got none of the last 5,400 requests, and should have got 2,700"

    def test_an_old_version_without_requests_leaves_nothing_to_compare_with(self):
        judgement = feed(judge(share=0.5), [(EMPTY, bucket(50))] * 90)
        assert judgement.verdicts[0].reason == "the old version got no requests in the last 60 s to compare with"

    def test_at_100_percent_that_is_meant(self):
        judgement = feed(judge(share=1.0, next_share=None), [(EMPTY, bucket(50))] * 120)
        assert values(judgement) == {"error-rate": "PASS", "latency": "PASS"}

    def test_a_small_step_of_a_quiet_service_needs_no_evidence(self):
        quiet = judge(share=0.01, next_share=0.05)
        judgement = feed(quiet, [(bucket(2), EMPTY)] * 90)
        assert values(judgement) == {"error-rate": "PASS", "latency": "PASS"}
        assert "needs no evidence" in judgement.verdicts[0].reason

    def test_a_limit_is_kept_whatever_the_old_version_does(self):
        limited = judge(Terms(errors=ErrorTerms(limit=0.02)))
        feed(limited, [GOOD] * 60)
        seconds = (bucket(90, errors=9), bucket(10, errors=1))
        assert [verdict.check for verdict in feed(limited, [seconds] * 120).failed] == ["error-rate"]

    def test_what_has_failed_stays_failed_with_its_sentence(self):
        failed = judge()
        (first,) = feed(failed, [FAILING] * 20).failed
        assert feed(failed, [GOOD] * 600).failed == (first,)

    def test_after_another_new_instance_errors_are_forgiven_again(self):
        growing = judge()
        feed(growing, [GOOD] * 60)
        growing.warm_up_again()
        cold = (bucket(950), bucket(50, errors=2))
        assert feed(growing, [cold] * 29).failed == ()
        assert feed(growing, [cold] * 60).failed != ()

    def test_nothing_to_compare_is_nothing_against_it(self):
        judgement = feed(judge(Terms(errors=None, latency=None)), [FAILING] * 60)
        assert (judgement.verdicts, judgement.evidence, judgement.may_advance) == ((), 1.0, True)

    @pytest.mark.parametrize("second", [4, 5])
    def test_a_second_is_taken_once_and_in_order(self, second: int):
        taken = judge()
        taken.take(5, *GOOD)
        with pytest.raises(ValueError, match="take each once, in order"):
            taken.take(second, *GOOD)


@pytest.mark.parametrize(
    ("parts", "failing"),
    [
        ({"errors": 60.0, "latency": 39.0}, ()),
        ({"errors": 60.0, "latency": 41.0}, ("errors",)),
        ({"errors": 41.0, "latency": 60.0}, ("latency",)),
        ({"errors": 150.0, "latency": 200.0}, ("errors", "latency")),
    ],
)
def test_a_check_fails_when_most_of_the_evidence_is_its_own_or_its_own_is_enough(parts, failing):
    assert condemned(sum(parts.values()), 100.0, parts) == failing


# --- properties -------------------------------------------------------------------------------------------------------

latencies = st.dictionaries(st.integers(-60, 8), st.integers(1, 5), max_size=5)


@st.composite
def buckets(draw):
    bins, errors, aborted = draw(latencies), draw(st.integers(0, 4)), draw(st.integers(0, 2))
    unanswered = bins.get(8, 0)
    client_errors = draw(st.integers(0, max(sum(bins.values()) - aborted, 0)))
    return Bucket(max(sum(bins.values()) + errors - aborted, errors), errors, unanswered, bins, client_errors)


@st.composite
def events(draw):
    kind = draw(st.sampled_from(["second"] * 12 + ["step", "instance"]))
    if kind == "second":
        return kind, draw(buckets()), draw(buckets())
    return kind, draw(st.floats(0.01, 1.0)), draw(st.none() | st.floats(0.01, 1.0))


terms = st.builds(
    Terms,
    st.none() | st.builds(ErrorTerms, limit=st.sampled_from([0.05, 1.0])),
    st.none() | st.builds(LatencyTerms, shift=st.sampled_from([0, 2, 8])),
    st.sampled_from([0.001, 0.01, 0.2]),
    client_errors=st.none() | st.just(ClientErrorTerms()),
)


def play(judge: Judge, events: Sequence[tuple[Any, Any, Any]], second: int) -> list[Judgement]:
    said = []
    for kind, first, other in events:
        if kind == "second":
            second += 1
            said.append(judge.take(second, first, other))
        elif kind == "step":
            judge.begin_step(first, other)
        else:
            judge.warm_up_again()
    return said


@settings(max_examples=60)
@given(terms, st.lists(events(), max_size=60), st.lists(events(), max_size=60))
def test_a_judge_goes_on_from_json_as_if_nothing_had_happened(given_terms, before, after):
    first = Judge(given_terms, BEFORE)
    play(first, before, 0)
    restored = Judge.from_plain(json.loads(json.dumps(first.to_plain())))
    assert restored.to_plain() == first.to_plain()
    assert json.dumps([str(said) for said in play(restored, after, 1000)]) == json.dumps(
        [str(said) for said in play(first, after, 1000)]
    )
    assert restored.to_plain() == first.to_plain()


@settings(max_examples=30)
@given(terms, st.lists(events(), max_size=30))
def test_what_was_kept_does_not_change_with_the_judge(given_terms, after):
    kept = Judge(given_terms, BEFORE).to_plain()
    text = json.dumps(kept)
    play(Judge.from_plain(kept), after, 0)
    assert json.dumps(kept) == text


@settings(max_examples=40)
@given(st.lists(st.tuples(st.lists(buckets(), min_size=2, max_size=4), buckets()), min_size=1, max_size=40))
def test_however_the_requests_are_spread_over_workers_the_judgement_is_the_same(seconds):
    whole, spread = judge(), judge()
    for second, (workers, old) in enumerate(seconds):
        straight, backwards = EMPTY, EMPTY
        for worker in workers:
            straight = straight + worker
        for worker in reversed(workers):
            backwards = backwards + worker
        one, other = whole.take(second, old, straight), spread.take(second, old, backwards)
        assert one.evidence == pytest.approx(other.evidence, rel=1e-9)
        assert values(one) == values(other)
