"""All the places that something listens on, from one proxy to the next.

Owns their sockets: opened or taken over, passed on, closed. Must not accept a connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.address import ListenAddress
from proxy.inheritance import Inheritance, Passed, describe
from proxy.open_listener import OpenListener
from proxy.sockets import close_listeners, open_listeners


class Listening:
    """The places of some addresses; none is open before `open`."""

    def __init__(self, addresses: Sequence[ListenAddress], inheritance: Inheritance | None = None) -> None:
        self._addresses = addresses
        self._inheritance = inheritance or Inheritance()
        #: For each address what is open: several where it is a name with several IP addresses.
        self.opened: list[list[OpenListener]] = []

    def __iter__(self) -> Iterator[OpenListener]:
        return (listener for opened in self.opened for listener in opened)

    def open(self, workers: int) -> None:
        """Have everything open. Raises ListenError, and then nothing is."""
        self.opened = open_listeners(self._addresses, workers, self._inheritance)

    def passed(self) -> tuple[Passed, ...]:
        """All of it, for the process that takes over."""
        return tuple(
            describe(address, listener)
            for address, opened in zip(self._addresses, self.opened, strict=True)
            for listener in opened
        )

    def give_away(self) -> None:
        """It is another process's from now on: only our copies of the sockets are left to close."""
        for listener in self:
            listener.socket_file = None

    def own(self) -> list[str]:
        """It is ours alone from now on; where the process before listened and we do not."""
        return self._inheritance.own()

    def unclaimed(self) -> list[str]:
        """What systemd has passed, and no address names."""
        return self._inheritance.unclaimed()

    def close(self) -> None:
        """Close everything."""
        close_listeners(self.opened)
