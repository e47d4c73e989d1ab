"""The journal survives crashes, full disks and bad hands, and never guesses."""

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import journal as module
from controller.core.book import Entry, Happened, LineChanged
from controller.core.events import Event
from controller.journal import Journal, JournalError
from tests.support.rollout_world import CANARY, created


def entries(number: int = 4) -> list[Entry]:
    return [
        Happened("shop-1", created(CANARY)),
        *(Happened("shop-1", Event("began", float(at))) for at in range(number - 2)),
        LineChanged(True, "dave", "größer", 9.0),
    ]


def written(folder: Path, *batches: list[Entry]) -> Path:
    """The path of a journal that these were appended to."""
    journal = Journal(folder)
    for batch in batches:
        journal.append(batch, 1000.0)
    journal.close()
    return journal.path


def reread(folder: Path) -> list[tuple[int, Entry]]:
    journal = Journal(folder)
    journal.close()
    return [(record.n, record.entry) for record in journal.records]


def test_what_was_appended_is_read_again_in_its_order(tmp_path: Path):
    written(tmp_path, entries(), [LineChanged(False, "dave", "", 10.0)])
    assert reread(tmp_path) == list(enumerate([*entries(), LineChanged(False, "dave", "", 10.0)], start=1))


def test_it_is_synced_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal, synced = Journal(tmp_path), []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    journal.append(entries(), 1.0)
    assert synced == [journal.path.stat().st_size]
    journal.close()


@pytest.mark.parametrize("lost", [1, 7, 60])
def test_a_torn_last_line_is_dropped_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture, lost: int):
    path = written(tmp_path, entries())
    path.write_bytes(path.read_bytes()[:-lost])
    assert [entry for _, entry in reread(tmp_path)] == entries()[:-1]
    assert "dropped the last line, which was cut off" in caplog.text
    caplog.clear()
    assert len(reread(tmp_path)) == 3
    assert caplog.text == ""


def test_the_zeros_that_a_crashed_file_system_leaves_are_dropped_too(tmp_path: Path):
    path = written(tmp_path, entries())
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert [entry for _, entry in reread(tmp_path)] == entries()


@given(cut=st.integers(1, 5000))
def test_wherever_it_is_cut_off_it_gives_a_beginning_or_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int):
    path = written(tmp_path_factory.mktemp("journal"), entries())
    text = path.read_bytes()
    path.write_bytes(text[: cut % len(text)])
    try:
        found = [entry for _, entry in reread(path.parent)]
    except JournalError:
        assert b"\n" not in path.read_bytes()
    else:
        assert found == entries()[: len(found)]


def test_it_goes_on_after_a_torn_line(tmp_path: Path):
    path = written(tmp_path, entries())
    path.write_bytes(path.read_bytes()[:-5])
    written(tmp_path, entries()[-1:])
    assert [entry for _, entry in reread(tmp_path)] == entries()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (
            lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]],
            "line 1 is damaged or was edited",
        ),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3 is damaged or was edited: its checksum does not match"),
        (lambda lines: [lines[0], lines[1].replace(b"alice", b"mallo"), *lines[2:]], "line 2 is damaged"),
        (lambda lines: [lines[0], b"\0" * 40, *lines[2:]], "line 2 is not JSON"),
        (lambda lines: [lines[0], b"[]", *lines[2:]], "line 2 is not a line of a journal"),
        (lambda lines: [b"# notes", b"buy milk", b""], "line 1 is not JSON"),
        (lambda lines: [b""], "line 1 is not a journal of Serinus, or was cut off"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place_and_left_alone(tmp_path: Path, damage, complaint: str):
    path = written(tmp_path, entries())
    path.write_bytes(b"\n".join(damage(path.read_bytes().split(b"\n"))))
    before = path.read_bytes()
    with pytest.raises(JournalError, match=complaint) as refusal:
        Journal(tmp_path)
    assert f"mv {path} {path}.bad" in str(refusal.value)
    assert path.read_bytes() == before


def test_a_journal_from_the_future_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as future:
        future.setattr(module, "_VERSION", 7)
        written(tmp_path, entries())
    with pytest.raises(JournalError, match="has version 7, this Serinus knows 1: run the one that wrote it"):
        Journal(tmp_path)


def test_an_entry_that_this_version_does_not_know_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as future:
        future.setattr(module, "entry_to_json", lambda entry: {"entry": "teleported"})
        written(tmp_path, entries())
    with pytest.raises(JournalError, match="line 2 holds what this Serinus does not understand"):
        Journal(tmp_path)


def test_nothing_of_what_cannot_be_written_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = Journal(tmp_path)
    journal.append(entries(), 1.0)
    real, left = os.pwrite, [100]

    def write(descriptor: int, text: bytes, offset: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = text[: left[0]]
        left[0] -= len(part)
        return real(descriptor, part, offset)

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", write)
        with pytest.raises(OSError, match="No space left"):
            journal.append(entries(), 2.0)
    assert [entry for _, entry in reread(tmp_path)] == entries()
    journal.append(entries()[-1:], 3.0)
    journal.close()
    assert [n for n, _ in reread(tmp_path)] == [1, 2, 3, 4, 5]


def test_compaction_forgets_what_is_not_needed_and_gives_no_number_twice(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.append(entries(), 1.0)
    journal.compact(lambda entry: isinstance(entry, Happened) and entry.event.kind == "created", 1)
    journal.append([LineChanged(False, "dave", "", 10.0)], 2.0)
    journal.close()
    assert [(n, entry.entry) for n, entry in reread(tmp_path)] == [(1, "happened"), (5, "line_changed")]
    again = Journal(tmp_path)
    assert (again.number, again.last) == (1, 5)
    again.compact(lambda entry: False, 1)
    again.close()
    assert Journal(tmp_path).last == 5


def test_a_compaction_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = Journal(tmp_path)
    journal.append(entries(), 1.0)
    before = journal.path.read_bytes()
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda *args: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"):
            journal.compact(lambda entry: False, 1)
    assert journal.path.read_bytes() == before
    journal.append(entries()[-1:], 3.0)
    journal.close()
    assert len(reread(tmp_path)) == 5


def test_a_line_is_plain_json(tmp_path: Path):
    path = written(tmp_path, entries())
    head, first, *_ = (json.loads(line) for line in path.read_text().splitlines())
    assert head["format"] == "serinus rollout journal"
    assert (first["n"], first["wall"], first["entry"]["event"]["kind"]) == (1, 1000.0, "created")


def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path):
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(JournalError, match="cannot be used: Is a directory"):
        Journal(tmp_path)
