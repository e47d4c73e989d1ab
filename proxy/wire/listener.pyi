from ssl import SSLContext

from proxy.wire.plane import Plane
from proxy.wire.poller import Socket

class Listener(Socket):
    name: str
    context: SSLContext | None
    def __init__(
        self, plane: Plane, fd: int, name: str, context: SSLContext | None = None, redirect: bytes | None = None
    ) -> None: ...
    def stop(self) -> None: ...
