"""What works and should be different all the same.

Owns the sentences. A notice refuses nothing: a file in a container or a secret of a cluster is often open by design.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from config.admin import Authorized
from config.model import Config


def notices(config: Config) -> tuple[str, ...]:
    """Sentences for whoever can change the file or its folder."""
    files = [(f"{place}.token_file", authorized.token_file) for place, authorized in _places(config)]
    if config.cookie_secret_file is not None:
        files.append(("cookie_secret_file", config.cookie_secret_file.path))
    return tuple(
        f"{place}: everybody on this machine can {verb} {path}; keep it to its owner: chmod 600 {path}"
        for place, path in files
        if path is not None and (verb := _what_others_can(path))
    )


def _places(config: Config) -> Iterator[tuple[str, Authorized]]:
    for section in ("admin", "controller"):
        part = config.admin if section == "admin" else config.controller
        yield section, part
        yield from ((f"{section}.tokens[{index}]", token) for index, token in enumerate(part.tokens))
    yield from ((f"controller.proxies[{index}]", proxy) for index, proxy in enumerate(config.controller.proxies))


def _what_others_can(path: Path) -> str:
    """`read`, `write` or nothing; a file that is gone by now has nothing to hide."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return "write" if mode & stat.S_IWOTH else "read" if mode & stat.S_IROTH else ""
