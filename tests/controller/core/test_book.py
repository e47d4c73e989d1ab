"""Rules between rollouts: whose turn it is, the line, signals, and what is forgotten."""

import json

import pytest

from controller.core.book import (
    KEPT,
    Book,
    Entry,
    Happened,
    IfRunning,
    LineChanged,
    SignalCleared,
    SignalRaised,
    entry_from_json,
    entry_to_json,
    sealed_by,
    start,
)
from controller.core.events import Event
from controller.core.orders import Refused
from tests.support.rollout_world import CANARY, policy_of

POLICY = policy_of(CANARY)
RICH = policy_of(
    "strategy: blue-green, checks: [{kind: http, url: 'http://h/', headers: {X: '1'}, expect: [200-299, 304]}],"
    "preview: {headers: {X-Preview: {regex: 'a.*'}}}, breaker: off, before: [{kind: exec, command: smoke}]"
)


def started(book: Book, if_running: IfRunning = "reject", now: float = 1.0, service: str = "shop") -> Book:
    for entry in start(book, service, POLICY, by="alice", reason="", if_running=if_running, now=now):
        book = book.with_entry(entry)
    return book


def went(book: Book, identity: str, *kinds: str, at: float = 1.0) -> Book:
    for kind in kinds:
        book = book.with_entry(Happened(identity, Event(kind, at)))  # type: ignore[arg-type]
    return book


def test_rollouts_are_numbered_across_services():
    book = started(started(Book()), service="api")
    assert list(book.rollouts) == ["shop-1", "api-2"]


def test_a_second_start_is_refused_by_default():
    with pytest.raises(Refused, match="shop has the rollout shop-1, which is pending: wait for it, abort it"):
        started(started(Book()))


def test_a_queued_rollout_waits_until_the_one_before_it_has_ended():
    book = started(went(started(Book()), "shop-1", "began"), "queue")
    assert book.blocked(book.rollouts["shop-1"]) == ""
    assert book.blocked(book.rollouts["shop-2"]) == "waits for shop-1, which is preparing"
    book = went(book, "shop-1", "aborted", "restored")
    assert book.blocked(book.rollouts["shop-2"]) == ""


def test_queued_rollouts_begin_in_their_order():
    book = started(started(Book()), "queue")
    assert book.blocked(book.rollouts["shop-1"]) == ""
    assert book.blocked(book.rollouts["shop-2"]) == "waits for shop-1, which is pending"


def test_a_superseding_rollout_aborts_the_ones_before_it():
    book = started(started(went(started(Book()), "shop-1", "began"), "queue"), "supersede")
    assert [(each.id, each.phase) for each in book.rollouts.values()] == [
        ("shop-1", "rolling_back"),
        ("shop-2", "rolled_back"),
        ("shop-3", "pending"),
    ]
    assert book.rollouts["shop-1"].why == "superseded by shop-3"
    assert book.blocked(book.rollouts["shop-3"]) == "waits for shop-1, which is rolling back"


def test_a_rollout_that_begins_seals_those_that_ended_before():
    book = went(started(Book()), "shop-1", "began", "prepared", "concluded", "completed")
    book = started(book)
    for entry in sealed_by(book, book.rollouts["shop-2"], 2.0):
        book = book.with_entry(entry)
    assert (book.rollouts["shop-1"].sealed, book.rollouts["shop-2"].sealed) == (True, False)


def test_a_stopped_line_and_a_window_block_everybody():
    book = started(Book())
    rollout = book.rollouts["shop-1"]
    assert book.blocked(rollout, "frozen until Monday") == "frozen until Monday"
    stopped = book.with_entry(LineChanged(True, "dave", "incident", 2.0))
    assert stopped.blocked(rollout) == "the line is stopped by dave: incident"
    assert stopped.with_entry(LineChanged(False, "dave", "", 3.0)).blocked(rollout) == ""


def test_signals_end_when_they_are_cleared_or_their_time_is_over():
    book = started(Book())
    rollout = book.rollouts["shop-1"]
    book = book.with_entry(SignalRaised("shop", "tickets", "support", "12 tickets", 2.0, until=60.0))
    book = book.with_entry(SignalRaised("shop", "signal", "eve", "", 3.0))
    book = book.with_entry(SignalRaised("api", "signal", "eve", "", 3.0))
    assert list(book.bad_signals(rollout, 59.0)) == ["tickets", "signal"]
    assert list(book.bad_signals(rollout, 60.0)) == ["signal"]
    assert list(book.with_entry(SignalCleared("shop", "tickets", "bob", 4.0)).bad_signals(rollout, 5.0)) == ["signal"]
    assert list(book.with_entry(SignalCleared("shop", "", "bob", 4.0)).bad_signals(rollout, 5.0)) == []


def test_old_ended_rollouts_are_forgettable_and_their_numbers_are_not():
    book = Book()
    for number in range(1, KEPT + 4):
        book = went(started(book), f"shop-{number}", "aborted")
    assert book.forgettable() == {"shop-1", "shop-2", "shop-3"}
    with pytest.raises(ValueError, match="has been given already"):
        book.with_entry(Happened("shop-5", Event("created", 9.0, policy=POLICY, service="shop")))


@pytest.mark.parametrize(
    "entry",
    [
        Happened("shop-1", Event("created", 1.5, "why", "alice", policy=POLICY, service="shop")),
        Happened("shop-1", Event("created", 1.5, "why", "alice", policy=RICH, service="shop")),
        Happened("shop-1", Event("moved", 2.5, addresses=("127.0.0.1:1",), stage="draining")),
        Happened("shop-1", Event("applied", 2.5, generations={"p": 3})),
        LineChanged(True, "dave", "incident", 2.0),
        SignalRaised("shop", "tickets", "support", "12 tickets", 2.0, until=60.0),
        SignalCleared("shop", "", "bob", 4.0),
    ],
)
def test_an_entry_goes_through_json_and_comes_back_the_same(entry: Entry):
    assert entry_from_json(json.dumps(entry_to_json(entry))) == entry
