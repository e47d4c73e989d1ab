"""The closed lists of outcomes and reasons: complete, stable and within the shared counters."""

import re

import pytest

from proxy.core.outcome import FAULTS, Outcome, Reason


def test_outcomes_have_the_words_of_the_metrics():
    assert [outcome.label for outcome in Outcome] == [
        *("ok", "5xx", "connect_error", "timeout", "reset", "protocol_error", "unavailable", "aborted", "4xx")
    ]


def test_answers_and_a_client_that_left_are_nobodys_failure():
    assert [outcome for outcome in Outcome if not outcome.is_failure] == [Outcome.OK, Outcome.ABORTED, Outcome.FOUR_XX]


@pytest.mark.parametrize("numbers", [Outcome, Reason])
def test_numbers_are_indexes_without_gaps(numbers: type[Outcome] | type[Reason]):
    assert [int(number) for number in numbers] == list(range(len(numbers)))


def test_they_fit_into_the_shared_counters():
    assert len(Outcome) <= 12
    assert len(Reason) <= 64


def test_every_reason_has_its_fault():
    assert list(FAULTS) == list(Reason)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NONE])
def test_a_fault_says_status_error_type_and_a_sentence(reason: Reason):
    fault = FAULTS[reason]
    assert fault.status == 0 or 400 <= fault.status < 600
    # RFC 8941 section 3.3.4: a token in lower case; the client that left is told nothing.
    assert re.fullmatch(r"[a-z_]+", fault.error) or reason is Reason.CLIENT_CLOSED
    assert re.fullmatch(r"[A-Z].*\.", fault.sentence)


def test_labels_are_single_words():
    assert all(re.fullmatch(r"[a-z0-9_]+", word.label) for word in [*Outcome, *Reason])
