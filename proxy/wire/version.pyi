from proxy.core.snapshot import Service
from proxy.core.snapshot import Version as Spec
from proxy.wire.counters import Slab
from proxy.wire.upstream import Endpoint, Policy

class Version(Policy):
    name: str
    slot: int
    endpoints: list[Endpoint]
    def __init__(self, spec: Spec, service: Service, endpoints: list[Endpoint], slab: Slab) -> None: ...
