"""What a supervisor begins with: how many workers, which live state, whose rights, which certificates; and what no
later file can change.

Must not open a socket, start or save anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from config.model import Config, Listener
from config.problems import ConfigError, Problem
from proxy.account import Account, find_account
from proxy.certificates import Material, read_material
from proxy.core.live import SALT_BYTES, Change, Live
from proxy.core.overlay import from_config
from proxy.state import Saved


def worker_count(config: Config) -> int:
    """How many workers to start; `auto` is one for each core that this process may use."""
    if config.workers == "auto":
        return max(1, min(os.cpu_count() or 1, len(os.sched_getaffinity(0))))
    return config.workers


def material_of(path: Path, listeners: Sequence[Listener], config: Config, before: Material | None = None) -> Material:
    """What TLS is made of. Raises ConfigError."""
    try:
        return read_material(listeners, config, before)
    except ValueError as exc:
        raise ConfigError(str(path), [Problem("", str(exc))]) from exc


def account_of(path: Path, config: Config) -> Account | None:
    """Whose rights the workers have; None: ours. Raises ConfigError."""
    try:
        return find_account(config.user, config.group)
    except ValueError as exc:
        raise ConfigError(str(path), [Problem("user", str(exc))]) from exc


def first_live(config: Config, saved: Saved | None) -> Live:
    """The live state to begin with: the file, and what was saved laid over it, as the next generation."""
    salts = new_salts(config)
    if saved is None:
        return from_config(config, {}, salts, Change("file", "", time.time(), generation=1))
    change = Change("file", "", time.time(), generation=saved.generation + 1)
    return from_config(config, saved.services, {**salts, **saved.salts}, change)


def new_salts(config: Config) -> dict[str, bytes]:
    """A random salt for each service."""
    return {name: os.urandom(SALT_BYTES) for name in config.services}


def _places(config: Config) -> list[tuple[object, ...]]:
    """Where it listens and what it speaks there; certificates may change while it runs."""
    return [(each.address, each.tls is not None, each.redirect, each.proxy_protocol) for each in config.listen]


def needs_restart(at_start: Config, now: Config) -> list[str]:
    """A sentence for each part of a new file that a running proxy cannot take up."""
    parts = {
        "listen": (_places(at_start), _places(now)),
        "workers": (worker_count(at_start), worker_count(now)),
        "user": ((at_start.user, at_start.group), (now.user, now.group)),
        "admin.address": (at_start.admin.address, now.admin.address),
        "state_dir": (at_start.state_dir, now.state_dir),
    }
    return [
        f"{name} is another one in the file now; changing it needs a restart, until then the old one stays"
        for name, (old, new) in parts.items()
        if old != new
    ]
