from collections.abc import Iterable
from typing import TypedDict

LAYOUT: int

class VersionTotals(TypedDict):
    started: int
    in_flight: int
    chosen: int
    unavailable: int
    retries: int
    bytes_in: int
    bytes_out: int
    duration_ns: int
    requests: dict[int, int]
    reasons: dict[int, int]
    bins: dict[int, int]

class EndpointTotals(TypedDict):
    in_flight: int
    connections: int
    connects: int
    ejections: int
    ejected: bool
    outcomes: list[int]

class WorkerGauges(TypedDict):
    pid: int
    heartbeat_ns: int
    connections: int
    accepted: int
    refused: int
    log_dropped: int
    tunnels: int
    tls_handshakes: int
    tls_failures: int
    unintroduced: int

def create(workers: int, versions: int = 4096, endpoints: int = 32768) -> int: ...

class Slab:
    worker: int
    versions: int
    endpoints: int
    def __init__(self, fd: int, worker: int) -> None: ...
    def read_version(self, slot: int) -> VersionTotals: ...
    def read_pulse(self, slot: int) -> tuple[int, int, int, int]: ...
    def read_ring(self, slot: int, since: int) -> tuple[int, list[tuple[int, int, int]]]: ...
    def read_second(self, slot: int, second: int) -> tuple[int, int, int, int, int, dict[int, int]] | None: ...
    def read_endpoint(self, slot: int) -> EndpointTotals: ...
    def read_worker(self) -> WorkerGauges: ...
    def clear_version(self, slot: int) -> None: ...
    def clear_endpoint(self, slot: int) -> None: ...
    def bury(self, version_slots: Iterable[int], endpoint_slots: Iterable[int]) -> None: ...
    def start_attempt(self, version: int, endpoint: int, now_ns: int) -> None: ...
    def end_attempt(self, version: int, endpoint: int, outcome: int, began_ns: int, now_ns: int) -> None: ...
    def end_request(self, version: int, status: int, reason: int, duration_ns: int) -> None: ...
    def choose(self, version: int, available: bool) -> None: ...
