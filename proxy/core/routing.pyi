from collections.abc import Mapping, Sequence

from proxy.core.snapshot import Route

def normalise(path: bytes) -> bytes: ...
def hides_slash(path: bytes) -> bool: ...

class RequestView: ...

class Values(RequestView):
    def __init__(
        self,
        headers: Mapping[bytes, bytes] = ...,
        cookies: Mapping[bytes, bytes] = ...,
        query: Mapping[bytes, bytes] = ...,
    ) -> None: ...

class Rule:
    index: int
    service: int
    version: str
    by_condition: bool
    refuses_hidden_slashes: bool
    traces: bool

class Router:
    only: Rule | None
    def __init__(self, routes: Sequence[Route], services: Mapping[str, int]) -> None: ...
    def explain(
        self, host: bytes, path: bytes, method: bytes = b"GET", view: RequestView | None = None
    ) -> Rule | None: ...
