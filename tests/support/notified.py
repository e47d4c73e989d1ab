"""Somebody who listens at NOTIFY_SOCKET, as systemd does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread


@contextmanager
def notified(place: str) -> Iterator[list[str]]:
    """Listen within the block; every datagram so far, in its order. Behind the block, it has all of them."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(place)

        def listen() -> None:
            while said := listening.recv(65536):
                heard.append(said.decode())

        listener = Thread(target=listen)
        listener.start()
        try:
            yield heard
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", place)  # ends the thread
            listener.join()
