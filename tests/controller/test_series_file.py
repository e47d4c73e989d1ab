"""The file of a series: appended to, made smaller, read while it is written, damaged."""

import errno
import logging
import os
from pathlib import Path

import pytest

from controller.core.buckets import EMPTY, Bucket
from controller.core.series import CheckSaid, Odds, Row
from controller.recording import Recording
from controller.series_file import SeriesFile, forget_others, path_of, read


def rows(first: int, last: int) -> list[Row]:
    checks = {"latency": CheckSaid("PASS", Odds(0.5, 0.5))}
    return [Row(at, at + 1, Bucket(at, 1, 0, {-20: at}), EMPTY, 1, Odds(at, at), checks) for at in range(first, last)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return path_of(tmp_path, "shop-3")


def test_what_was_appended_is_read_again(path: Path):
    file = SeriesFile(path)
    file.append(rows(10, 12))
    file.append(rows(12, 15))
    assert read(path).series.rows == tuple(rows(10, 15))
    again = SeriesFile(path)
    assert again.end == 15
    again.append(rows(15, 16))
    assert read(path).series.rows == tuple(rows(10, 16))


def test_a_series_that_was_never_kept_is_empty(path: Path):
    assert read(path).series.rows == ()
    assert SeriesFile(path).end is None


def test_the_file_stays_small_and_the_sum_stays(path: Path):
    file = SeriesFile(path, most=10)
    for at in range(500):
        file.append(rows(at, at + 1))
        assert path.read_bytes().count(b"\n") < 20
    found = read(path, most=10).series.rows
    assert len(found) <= 10
    assert sum(row.old.requests for row in found) == sum(range(500))
    assert max(row.odds.high for row in found if row.odds) == 499


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: b"\x00" * len(line),
        lambda line: line[:-1],
        lambda line: line.replace(b"11", b"12", 1),
        lambda line: b"",
        lambda line: b"9b7e57b5 " + b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_told_and_the_others_count(path: Path, damage, caplog: pytest.LogCaptureFixture):
    SeriesFile(path).append(rows(10, 13))
    lines = path.read_bytes().splitlines()
    lines[1] = damage(lines[1])
    path.write_bytes(b"\n".join(lines) + b"\n")
    kept = read(path)
    assert (kept.damaged, [row.at for row in kept.series.rows]) == ((2,), [10, 12])
    with caplog.at_level(logging.WARNING):
        file = SeriesFile(path)
    assert caplog.messages == [f"{path}: left out 1 damaged lines (2)"]
    file.append(rows(13, 14))
    assert [row.at for row in read(path).series.rows] == [10, 12, 13]


def test_a_last_line_without_its_end_is_dropped(path: Path):
    SeriesFile(path).append(rows(10, 13))
    path.write_bytes(path.read_bytes()[:-5])
    assert (read(path).damaged, read(path).series.end) == ((), 12)
    file = SeriesFile(path)
    file.append(rows(12, 14))
    assert read(path).series.rows == tuple(rows(10, 14))


def test_a_full_disk_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch):
    file = SeriesFile(path)
    file.append(rows(10, 13))
    write = os.pwrite

    def half(descriptor: int, text: bytes, offset: int) -> int:
        if offset > file._end:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, text[: len(text) // 2], offset)

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="No space left"):
            file.append(rows(13, 15))
    assert read(path).series.rows == tuple(rows(10, 13))
    file.append(rows(13, 16))
    assert read(path).series.rows == tuple(rows(10, 16))


def test_only_the_series_of_known_rollouts_stay(tmp_path: Path):
    for name in ("series-shop-1.jsonl", "series-shop-2.jsonl", "series-shop-2.new", "journal.jsonl"):
        (tmp_path / name).touch()
    forget_others(tmp_path, {"shop-2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.jsonl", "series-shop-2.jsonl"]


async def test_rows_are_written_without_waiting_and_each_second_once(tmp_path: Path):
    recording = Recording(tmp_path, "shop-3")
    recording.put(rows(10, 13))
    recording.put(rows(13, 15))
    assert recording.end == 15
    await recording.flush()
    assert read(path_of(tmp_path, "shop-3")).series.rows == tuple(rows(10, 15))
    again = Recording(tmp_path, "shop-3")
    again.put(rows(8, 18))
    await again.close()
    assert read(path_of(tmp_path, "shop-3")).series.rows == tuple(rows(10, 18))


async def test_what_could_not_be_written_is_told_once_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "state"
    recording = Recording(folder, "shop-3")
    for at in (10, 11):
        recording.put(rows(at, at + 1))
        await recording.flush()
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "No such file or directory; no decision needs it"
    ]
    folder.mkdir()
    recording.put(rows(12, 13))
    await recording.flush()
    assert read(path_of(folder, "shop-3")).series.rows == tuple(rows(10, 13))
