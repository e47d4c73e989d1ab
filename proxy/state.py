"""The state folder of the proxy: what was changed live, on disk, so that it outlives a restart.

Owns `live.json`, its format, and the lock on the folder. Must not know what a change is or wait for anything but the
disk; there is no `async` here, `save` belongs into a thread.

Rules:
1. A file that is there is complete: it is written beside, synced, renamed, and the folder is synced.
2. A file that cannot be understood as a whole is refused, with its name and what to do. It is never skipped, repaired
   or overwritten: the weights in it may be what keeps a bad version from the users.
3. One proxy has a folder, for as long as it runs.
4. `save` has either replaced the file, or it raises and the old one is still there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from proxy.core.overlay import Overlay

_FORMAT: Final = "serinus live state"
_VERSION: Final = 1
_FILE: Final = "live.json"
_LOCK: Final = "proxy.lock"
_MAX_BYTES: Final = 64 * 1024 * 1024
_ADVICE: Final = (
    "The weights in it are not guessed. Put a good copy back, or move it away to begin with what the configuration "
    "says: mv {path} {path}.bad"
)

HexBytes = Annotated[
    bytes,
    BeforeValidator(lambda value: bytes.fromhex(value) if isinstance(value, str) else value),
    PlainSerializer(bytes.hex, when_used="json"),
]


@dataclass(frozen=True, slots=True)
class Saved:
    """Everything about the live state that the configuration does not say."""

    generation: int
    at_wall_seconds: float
    cookie_secret: HexBytes = field(repr=False)
    salts: Mapping[str, HexBytes] = field(repr=False)
    services: Overlay


class StateError(Exception):
    """The state folder or the file in it cannot be used; the text says what to do."""


_SAVED: Final = TypeAdapter(Saved)


class StateFolder:
    """The folder, locked. `lock` is a descriptor of the proxy that this one takes over from: they share its lock.

    Raises:
        StateError: it cannot be used, or another proxy has it.
    """

    def __init__(self, folder: Path, lock: int | None = None) -> None:
        self.path: Final = folder / _FILE
        self._folder = folder
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as exc:
            raise StateError(f"state_dir {folder} cannot be used: {exc.strerror or exc}: {exc.filename}") from exc
        if lock is not None:
            self._share(lock)
        if self._lock != lock:
            self._take_lock()

    @property
    def lock(self) -> int:
        """The descriptor that holds the lock, for the proxy that takes over."""
        return self._lock

    def note_holder(self) -> None:
        """Write down that this process has the folder."""
        with suppress(OSError):  # only for a message: a full disk is no reason not to start
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode("ascii"), 0)

    def load(self) -> Saved | None:
        """What was saved last, None when nothing was. Raises StateError."""
        try:
            with self.path.open("rb") as file:
                text = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StateError(f"{self.path} cannot be read: {exc.strerror or exc}") from exc
        try:
            return read_state(text)
        except ValueError as exc:
            raise StateError(f"{self.path} {exc}. {_ADVICE.format(path=self.path)}") from exc

    def save(self, saved: Saved) -> None:
        """Replace the file. Raises OSError; what was saved before is still there then."""
        written = self.path.with_name(f"{_FILE}.new")
        try:
            _write(written, write_state(saved))
            written.rename(self.path)
            _sync_folder(self._folder)
        except OSError:
            with suppress(OSError):
                written.unlink()
            raise

    def close(self) -> None:
        """Let another proxy have the folder."""
        os.close(self._lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise StateError(
                f"state_dir {self._folder} belongs to another running proxy (pid {holder}): "
                "stop that one, or give this one a folder of its own"
            ) from exc
        self.note_holder()

    def _share(self, lock: int) -> None:
        """Take the lock of the proxy before, if it is this folder's: it is held until the last of both closes it."""
        os.set_inheritable(lock, False)
        if os.path.sameopenfile(lock, self._lock):
            os.close(self._lock)
            self._lock = lock
        else:
            os.close(lock)  # state_dir is another one now


def write_state(saved: Saved) -> bytes:
    """The text of the file."""
    content = _SAVED.dump_python(saved, mode="json")
    whole = {"format": _FORMAT, "version": _VERSION, "checksum": _checksum(content), "content": content}
    return json.dumps(whole, indent=1).encode("ascii") + b"\n"


def read_state(text: bytes) -> Saved:
    """What the text of a file says. Raises ValueError with the end of a sentence: it is not a saved state."""
    try:
        whole = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as exc:
        raise ValueError("was cut off or is no state file of Serinus") from exc
    if not isinstance(whole, dict) or whole.get("format") != _FORMAT:
        raise ValueError("is no state file of Serinus")
    if whole.get("version") != _VERSION:
        raise ValueError(
            f"has version {whole.get('version')!r}, this Serinus knows {_VERSION}: run the one that wrote it"
        )
    if whole.get("checksum") != _checksum(whole.get("content")):
        raise ValueError("is damaged or was edited: its checksum does not match")
    try:
        return _SAVED.validate_python(whole["content"])
    except ValidationError as exc:
        error = exc.errors()[0]
        place = ".".join(str(part) for part in error["loc"])
        raise ValueError(f"holds what this Serinus does not understand: {place}: {error['msg']}") from exc


def _checksum(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _write(path: Path, text: bytes) -> None:
    # 0600: the secret of the cookies is in it.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
