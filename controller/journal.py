"""The journal: what has happened to all rollouts, on disk before anything is done about it.

Owns the file, its format and its checks. Must not know what an entry means.

1. An entry is in the file, synced, when `append` returns; when it raises, nothing of it is in the file.
2. Each line carries a checksum over itself and the one before, so that a line that was changed, dropped or added in
   the middle is found. What cannot be understood as a whole is refused, never skipped or repaired.
3. A last line without its end is what a crash leaves. Nothing was done about it yet, so it is dropped, with a word.
4. Compaction writes a new file beside, syncs and renames it: there is a whole journal at every moment.

A line is JSON: {"n": number, "wall": seconds since 1970, "entry": {...}, "sum": "..."}. The first one is the header.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from controller.core.book import Entry, entry_from_json, entry_to_json

_FORMAT: Final = "serinus rollout journal"
_VERSION: Final = 1
_FILE: Final = "journal.jsonl"
_ADVICE: Final = "Nothing is guessed from it. Put a good copy back, or move it away to begin anew: mv {path} {path}.bad"
_log = logging.getLogger(__name__)


class JournalError(Exception):
    """The journal cannot be used; the text says why and what to do."""


class _Unusable(Exception):
    """Why a line cannot be used, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry with its number and the time of day."""

    n: int
    wall: float
    entry: Entry


class Journal:
    """The journal in a folder that is ours (`controller.lease`). Raises JournalError when it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path: Final = folder / _FILE
        #: All that it holds, in order.
        self.records: list[Record] = []
        #: The number of the last record, forgotten or not; 0 when there has been none.
        self.last = 0
        #: The number of the rollout that was created last, as far as that was forgotten.
        self.number = 0
        self._sum = ""
        self._end = 0
        try:
            if not self.path.exists():
                self._write_new([], 0)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            text = self.path.read_bytes()
        except OSError as exc:
            raise JournalError(f"{self.path} cannot be used: {exc.strerror or exc}") from exc
        try:
            self._read(text)
        except BaseException:
            self.close()
            raise

    def append(self, entries: Sequence[Entry], wall: float) -> list[Record]:
        """Keep entries.

        Raises:
            OSError: they cannot be written; nothing of them is kept.
        """
        records = [Record(self.last + 1 + index, wall, entry) for index, entry in enumerate(entries)]
        lines, total = _lines(records, self._sum)
        try:
            _write_all(self._descriptor, lines, self._end)
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(lines)
        self._sum = total
        self.records += records
        self.last += len(records)
        return records

    def compact(self, is_needed: Callable[[Entry], bool], number: int) -> None:
        """Forget entries; `number` is that of the last rollout. Raises OSError; then all is still there."""
        kept = [record for record in self.records if is_needed(record.entry)]
        if len(kept) == len(self.records):
            return
        lines, total = self._write_new(kept, number)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self.records, self.number, self._sum, self._end = kept, number, total, len(lines)

    def close(self) -> None:
        """Write nothing more."""
        os.close(self._descriptor)

    def _write_new(self, records: Iterable[Record], number: int) -> tuple[bytes, str]:
        header = {"format": _FORMAT, "version": _VERSION, "number": number, "last": self.last}
        head, total = _sealed(header, "")
        lines, total = _lines(records, total)
        new = self.path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            _write_all(descriptor, head + lines, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.rename(self.path)
        _sync_folder(self.path.parent)
        return head + lines, total

    def _read(self, text: bytes) -> None:
        *lines, rest = text.split(b"\n")
        if not lines:
            self._refuse(1, "is not a journal of Serinus, or was cut off in its first line")
        for index, line in enumerate(lines):
            try:
                content = _opened(line, self._sum)
                self._sum = content["sum"]
                if index == 0:
                    self._take_header(content)
                else:
                    self._take_record(content)
            except _Unusable as exc:
                self._refuse(index + 1, str(exc))
        self._end = len(text) - len(rest)
        if rest:
            _log.warning("%s: dropped the last line, which was cut off; nothing was done about it yet", self.path)
            os.ftruncate(self._descriptor, self._end)
            os.fsync(self._descriptor)

    def _take_header(self, content: dict[str, Any]) -> None:
        if content.get("format") != _FORMAT:
            raise _Unusable("is not the beginning of a journal of Serinus")
        if content.get("version") != _VERSION:
            raise _Unusable(
                f"has version {content.get('version')!r}, this Serinus knows {_VERSION}: run the one that wrote it"
            )
        self.number, self.last = content["number"], content["last"]

    def _take_record(self, content: dict[str, Any]) -> None:
        try:
            entry = entry_from_json(json.dumps(content["entry"]))
            self.records.append(Record(content["n"], content["wall"], entry))
            self.last = max(self.last, content["n"])
        except (ValueError, KeyError) as exc:
            raise _Unusable(f"holds what this Serinus does not understand: {exc}") from exc

    def _refuse(self, line: int, why: str) -> NoReturn:
        raise JournalError(f"{self.path}: line {line} {why}. {_ADVICE.format(path=self.path)}")


def _lines(records: Iterable[Record], total: str) -> tuple[bytes, str]:
    """The lines of records, and the checksum of the last one."""
    lines = b""
    for record in records:
        line, total = _sealed({"n": record.n, "wall": record.wall, "entry": entry_to_json(record.entry)}, total)
        lines += line
    return lines, total


def _sealed(content: dict[str, Any], before: str) -> tuple[bytes, str]:
    """A line with its checksum."""
    total = _checksum(content, before)
    return json.dumps({**content, "sum": total}, separators=(",", ":")).encode("ascii") + b"\n", total


def _opened(line: bytes, before: str) -> dict[str, Any]:
    """The content of a line."""
    try:
        content = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError) as exc:
        raise _Unusable("is not JSON") from exc
    if not isinstance(content, dict) or "sum" not in content:
        raise _Unusable("is not a line of a journal of Serinus")
    if content["sum"] != _checksum({key: value for key, value in content.items() if key != "sum"}, before):
        raise _Unusable("is damaged or was edited: its checksum does not match")
    return content


def _checksum(content: dict[str, Any], before: str) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{canonical}".encode("ascii")).hexdigest()[:32]


def _write_all(descriptor: int, text: bytes, offset: int) -> None:
    while text:
        written = os.pwrite(descriptor, text, offset)
        text, offset = text[written:], offset + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
