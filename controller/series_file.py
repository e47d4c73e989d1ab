"""The file of a rollout's series: rows as they come, put together now and then.

Owns the file, its format and its checks. Must not decide when it is written (`controller.recording`).

1. A line is a checksum, a blank, and a row as JSON. A line that is damaged is told and left out; the others count.
   Nothing is decided by a series, so half of one is better than none.
2. Rows are appended as they come. At twice the number of rows that a series may have, they are put together, and a new
   file takes the place of the old one.
3. It is never synced: a machine that crashes costs the last seconds of a picture.
4. One writes; whoever reads meanwhile may find the last line without its end, and leaves it out without a word.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.core.series import MOST_ROWS, Row, Series, row_from_plain, row_to_plain

_PREFIX: Final = "series-"
_SUFFIX: Final = ".jsonl"
_log = logging.getLogger(__name__)


def path_of(folder: Path, identity: str) -> Path:
    """Where the series of a rollout is kept."""
    return folder / f"{_PREFIX}{identity}{_SUFFIX}"


def forget_others(folder: Path, identities: Collection[str]) -> None:
    """Delete the series of all rollouts but these."""
    for path in folder.glob(f"{_PREFIX}*"):
        if path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX) not in identities:
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                _log.warning("%s cannot be deleted: %s", path, exc.strerror or exc)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file holds."""

    series: Series
    lines: int = 0
    size: int = 0
    """Up to the end of the last whole line, bytes."""
    damaged: tuple[int, ...] = ()
    """The numbers of the lines that are of no use, from 1."""


def read(path: Path, most: int = MOST_ROWS) -> Kept:
    """Read a series; one that is not there is empty. Raises OSError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Kept(Series(most=most))
    *lines, rest = text.split(b"\n")
    series, damaged = Series(most=most), []
    for number, line in enumerate(lines, start=1):
        try:
            series.add(_opened(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            damaged.append(number)
    return Kept(series, len(lines), len(text) - len(rest), tuple(damaged))


class SeriesFile:
    """The one that writes a file. Its calls block."""

    def __init__(self, path: Path, most: int = MOST_ROWS) -> None:
        """Go on with a file. Raises OSError."""
        self.path: Final = path
        self._most = most
        kept = read(path, most)
        if kept.damaged:
            where = ", ".join(map(str, kept.damaged[:5])) + (", …" if len(kept.damaged) > 5 else "")
            _log.warning("%s: left out %d damaged lines (%s)", path, len(kept.damaged), where)
        self._series = kept.series
        self._lines = kept.lines
        self._end = kept.size
        with suppress(FileNotFoundError):
            os.truncate(path, self._end)

    @property
    def end(self) -> int | None:
        """The second after the last one that is kept."""
        return self._series.end

    def append(self, rows: Sequence[Row]) -> None:
        """Keep rows. Raises OSError; then none of them is kept."""
        text = b"".join(map(_sealed, rows))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            _write_all(descriptor, text, self._end)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, self._end)
            raise
        finally:
            os.close(descriptor)
        self._end += len(text)
        self._lines += len(rows)
        for row in rows:
            self._series.add(row)
        if self._lines >= 2 * self._most:
            with suppress(OSError):  # the next rows will try again; what is there is whole
                self._rewrite()

    def _rewrite(self) -> None:
        lines = [_sealed(row) for row in self._series.rows]
        new = self.path.with_suffix(".new")
        new.write_bytes(b"".join(lines))
        new.rename(self.path)
        self._lines, self._end = len(lines), sum(map(len, lines))


def _write_all(descriptor: int, text: bytes, offset: int) -> None:
    while text:
        written = os.pwrite(descriptor, text, offset)
        text, offset = text[written:], offset + written


def _sealed(row: Row) -> bytes:
    text = json.dumps(row_to_plain(row), separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _opened(line: bytes) -> Row:
    """The row of a line. Raises ValueError, KeyError, TypeError, RecursionError."""
    total, _, text = line.partition(b" ")
    if int(total, 16) != zlib.crc32(text):
        raise ValueError("the checksum does not match")
    return row_from_plain(json.loads(text))
