"""One address that is listened on, with its open sockets.

Owns which worker accepts from which of them, and closing. Must not open a socket (`proxy.sockets`).

A socket that nobody accepts from any more keeps its connections waiting until it is closed, and then resets them. So
each socket has a worker, also where there are more sockets than workers: a proxy that takes over may have fewer.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class OpenListener:
    """One address that is listened on; `name` says where, as a client would."""

    name: str
    sockets: tuple[socket.socket, ...]  # one a worker, or one for all of them
    #: Path and inode of the file of a unix socket, where it is ours to remove.
    socket_file: tuple[str, int] | None = field(default=None)

    def for_worker(self, index: int, workers: int) -> tuple[socket.socket, ...]:
        """The sockets that a worker accepts from."""
        return self.sockets[index::workers] or (self.sockets[index % len(self.sockets)],)

    def close(self) -> None:
        """Close this process's copies; others may go on accepting from theirs."""
        for listening in self.sockets:
            listening.close()
        if self.socket_file is not None:
            path, inode = self.socket_file
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
            self.socket_file = None
