"""Traffic of so many requests a second that does not run ahead of the proxy, however slow the machine is.

Each request waits for its answer, and after every tenth of a second of them the admin API of the proxy is asked. What
the supervisor does ten times a second it has then done as often as on a machine that is fast: the number of requests
between two looks of it does not depend on the load of the machine.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.support.whole_proxy import WholeProxy

_LOOK_SECONDS: Final = 0.1


class Paced:
    """Running traffic; `seen` is what clients have got so far, by status and body."""

    def __init__(self, proxy: WholeProxy, rate: float) -> None:
        self.seen: Counter[tuple[int, str]] = Counter()
        self._proxy = proxy
        self._pause = 1 / rate
        self._each = max(1, round(rate * _LOOK_SECONDS))
        self._ending = threading.Event()
        self._trouble: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="paced traffic")
        self._thread.start()

    @property
    def bad(self) -> int:
        """How many requests were not answered with 200."""
        return sum(number for (status, _), number in self.seen.items() if status != 200)

    def answers(self, body: str) -> int:
        """How many answers an upstream has given."""
        return sum(number for (_, answer), number in self.seen.items() if answer == body)

    def end(self) -> None:
        """Stop; raises what has made it stop before."""
        self._ending.set()
        self._thread.join()
        if self._trouble:
            raise self._trouble.pop()

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._ending.is_set():
                for _ in range(self._each):
                    self.seen[self._proxy.ask()] += 1
                    due = max(due + self._pause, time.monotonic())
                    self._ending.wait(due - time.monotonic())
                self._proxy.admin.service("shop")
        except BaseException as exc:
            self._trouble.append(exc)


@contextmanager
def paced(proxy: WholeProxy, rate: float = 50.0) -> Iterator[Paced]:
    """Traffic for the length of the block, at most `rate` requests a second."""
    traffic = Paced(proxy, rate)
    try:
        yield traffic
    finally:
        traffic.end()
