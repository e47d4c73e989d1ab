"""The rollout clock: steady, and going on through restarts of the controller and of the machine.

Owns the clock and the file that keeps it. Must not decide what follows from a gap (`controller.core.watching`).

1. It never goes back, and has nothing to do with the time of day: a clock that is set does not end a bake.
2. Within one boot it is CLOCK_MONOTONIC and a constant. After a boot it goes on where it was, plus the time that has
   passed by the clock on the wall, if that has gone forward.
3. The file says when the controller was last alive. It is written often and never synced: after a crash of the machine
   an old one only makes the gap look longer.

Units: seconds.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_FILE: Final = "clock.json"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger(__name__)


def boot_id() -> str:
    """What names this boot of the machine."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""  # not Linux: every start counts as one after a boot


class Clock:
    """The rollout clock. `not_before` is the instant of the journal's last entry, `not_before_wall` its time of day."""

    def __init__(
        self,
        folder: Path,
        not_before: float = 0.0,
        not_before_wall: float = 0.0,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        boot: str | None = None,
    ) -> None:
        self._path = folder / _FILE
        self._monotonic = monotonic
        self._wall = wall
        self._boot = boot_id() if boot is None else boot
        saved = self._read()
        at = max(not_before, saved.get("at", 0.0))
        #: When the controller was last alive; None when nobody knows.
        self.last_alive: Final[float | None] = at if saved or not_before else None
        if saved.get("boot") == self._boot != "":
            self._offset = float(saved["offset"])
        else:
            away = wall() - max(not_before_wall, saved.get("wall", 0.0)) if saved or not_before else 0.0
            self._offset = at + max(0.0, away) - monotonic()
        self._least: float = at

    def now(self) -> float:
        """The instant of now."""
        self._least = max(self._least, self._monotonic() + self._offset)
        return self._least

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC of now."""
        return self._monotonic()

    def monotonic_of(self, at: float) -> float:
        """When CLOCK_MONOTONIC shows an instant of the rollout clock; before this boot, that is below 0."""
        return at - self._offset

    def at_of(self, monotonic: float) -> float:
        """What the rollout clock shows at an instant of CLOCK_MONOTONIC."""
        return monotonic + self._offset

    def wall(self) -> float:
        """The time of day, seconds since 1970."""
        return self._wall()

    def keep(self) -> None:
        """Write down that the controller is alive. What cannot be written is left: see rule 3."""
        content = {"boot": self._boot, "offset": self._offset, "at": self.now(), "wall": self._wall()}
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(content), encoding="ascii")
            new.rename(self._path)
        except OSError as exc:
            _log.debug("%s cannot be written: %s", self._path, exc)

    def _read(self) -> dict[str, Any]:
        try:
            saved = json.loads(self._path.read_text(encoding="ascii"))
            return {"boot": str(saved["boot"]), **{name: float(saved[name]) for name in ("offset", "at", "wall")}}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            _log.warning("%s is of no use (%s); the clock goes on from the journal", self._path, exc)
            return {}
