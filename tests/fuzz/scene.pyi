from collections.abc import Sequence

from proxy.core.snapshot import Settings, Snapshot

#: What the client got, how its connection ended, and what each connection to the endpoint brought.
Result = tuple[bytes, str, list[bytes]]

class Scene:
    def __init__(self, settings: Settings, snapshot: Snapshot) -> None: ...
    def request(self, parts: Sequence[bytes], answer: bytes) -> Result: ...
    def response(self, request: bytes, parts: Sequence[bytes]) -> Result: ...
