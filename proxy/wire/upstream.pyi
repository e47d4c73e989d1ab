from proxy.core.snapshot import Endpoint as EndpointSpec
from proxy.core.snapshot import Service
from proxy.core.snapshot import Version as Spec
from proxy.wire.counters import Slab
from proxy.wire.poller import Poller, Socket

class Taker: ...
class Upstream(Socket): ...

class Endpoint:
    address: str
    slot: int
    up: bool
    healthy: bool
    def __init__(self, poller: Poller, slab: Slab, spec: EndpointSpec) -> None: ...
    def apply(self, spec: EndpointSpec) -> None: ...
    def close_idle(self) -> None: ...

class Version:
    name: str
    slot: int
    endpoints: list[Endpoint]
    def __init__(self, spec: Spec, service: Service, endpoints: list[Endpoint], slab: Slab) -> None: ...
