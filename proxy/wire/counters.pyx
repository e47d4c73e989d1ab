"""Counters in shared memory: one slab of integers a worker, written by that worker alone, read by the supervisor.

Owns the layout and the two writes of the hot path (`attempt_started`, `attempt_ended`). Must not know what a service is:
slots come from outside.

Rules:
1. One writer per slab, so no lock and no atomic: an aligned 64-bit store is seen whole.
2. A total never goes down. Gauges (in flight, connections) are set to zero by the supervisor when a worker has died.
3. An attempt counts in the second in which it began. A second stays open for SECONDS seconds; what ends later is still in
   the totals, and was seen before as an attempt that began and did not end.
4. The layout has a version and a checksum of its sizes: a worker of another build refuses it.

Units: nanoseconds of CLOCK_MONOTONIC, bytes.
"""

import mmap
import os
import zlib

from libc.string cimport memset

from proxy.core.outcome import Outcome

LAYOUT = 2
_PAGE = 4096
_MAGIC = b"SERINUS\x00"

cdef int FIRST_FAILURE = int(Outcome.FIVE_XX)
cdef int LAST_FAILURE = int(Outcome.UNAVAILABLE)
cdef int ABORTED = int(Outcome.ABORTED)
cdef int FOUR_XX = int(Outcome.FOUR_XX)

assert sizeof(Second) % 4 == 0 and BINS == 737


def _header(int workers, int versions, int endpoints) -> bytes:
    text = f"{LAYOUT}:{workers}:{versions}:{endpoints}:{sizeof(VersionBlock)}:{sizeof(EndpointBlock)}:{sizeof(WorkerBlock)}"
    return _MAGIC + zlib.crc32(text.encode()).to_bytes(4, "little") + text.encode().ljust(128, b"\x00")


cdef size_t _slab_size(int versions, int endpoints) noexcept:
    cdef size_t size = sizeof(WorkerBlock) + versions * sizeof(VersionBlock) + endpoints * sizeof(EndpointBlock)
    return (size + _PAGE - 1) // _PAGE * _PAGE


def create(int workers, int versions=4096, int endpoints=32768) -> int:
    """Make the shared memory for so many workers and slots; returns its file descriptor (inheritable, anonymous).

    Pages that no slot uses cost nothing. Raises OSError when the system has no memory for it.
    """
    fd = os.memfd_create("serinus-counters", 0)
    os.ftruncate(fd, _PAGE + workers * _slab_size(versions, endpoints))
    os.pwrite(fd, _header(workers, versions, endpoints), 0)
    return fd


cdef class Slab:
    """One worker's counters, mapped from `fd`. Raises ValueError when the memory has another layout."""

    def __init__(self, int fd, int worker):
        text = os.pread(fd, 140, 0)[12:].rstrip(b"\x00").decode("ascii", "replace")
        try:
            _, workers, versions, endpoints = map(int, text.split(":")[:4])
        except ValueError:
            raise ValueError("not the shared counters of Serinus") from None
        if os.pread(fd, 140, 0) != _header(workers, versions, endpoints):
            raise ValueError(f"the shared counters have another layout ({text}): start all processes from one build")
        if not 0 <= worker < workers:
            raise ValueError(f"the shared counters have {workers} slabs, there is no number {worker}")
        self.worker = worker
        self.versions = versions
        self.endpoints = endpoints
        size = _slab_size(versions, endpoints)
        self._map = mmap.mmap(fd, size, offset=_PAGE + worker * size)
        cdef char[::1] view = self._map
        self._base = &view[0]
        self.block = <WorkerBlock*> self._base

    cdef VersionBlock* version(self, int slot) noexcept:
        return <VersionBlock*> (self._base + sizeof(WorkerBlock)) + slot

    cdef EndpointBlock* endpoint(self, int slot) noexcept:
        return <EndpointBlock*> (self._base + sizeof(WorkerBlock) + self.versions * sizeof(VersionBlock)) + slot

    def _check(self, int slot, int slots):
        if not 0 <= slot < slots:
            raise IndexError(f"slot {slot} of {slots}")

    def read_version(self, int slot) -> dict:
        """The totals of one version in this slab; `requests`, `reasons` and `bins` are sparse."""
        self._check(slot, self.versions)
        cdef VersionBlock* v = self.version(slot)
        cdef int i
        return {
            "started": v.started, "in_flight": v.in_flight, "chosen": v.chosen, "unavailable": v.unavailable,
            "retries": v.retries, "bytes_in": v.bytes_in, "bytes_out": v.bytes_out, "duration_ns": v.duration_ns,
            "requests": {i: v.requests[i] for i in range(CODES) if v.requests[i]},
            "reasons": {i: v.reasons[i] for i in range(REASONS) if v.reasons[i]},
            "bins": {i: v.bins[i] for i in range(BINS) if v.bins[i]},
        }

    def read_pulse(self, int slot) -> tuple:
        """(started, in flight, chosen, unavailable): the cheapest look at a version.

        While the first two stand still, it is quiet.
        """
        self._check(slot, self.versions)
        cdef VersionBlock* v = self.version(slot)
        return v.started, v.in_flight, v.chosen, v.unavailable

    def read_ring(self, int slot, uint64_t since) -> tuple:
        """(in flight, [(second, started, done), ...]) of the seconds from `since` on, as they were at one moment."""
        self._check(slot, self.versions)
        cdef VersionBlock* v = self.version(slot)
        cdef Second* b
        cdef uint64_t started
        cdef int64_t in_flight
        cdef int i
        # The worker goes on counting: look again when it did so meanwhile, but do not chase a busy one for ever.
        for _ in range(8):
            started, in_flight, marks = v.started, v.in_flight, []
            for i in range(SECONDS):
                b = &v.seconds[i]
                if b.second >= since and b.started:
                    marks.append((b.second, b.started, b.done))
            if v.started == started and v.in_flight == in_flight:
                break
        return in_flight, marks

    def read_second(self, int slot, uint64_t second):
        """(started, done, failed, aborted, client errors, sparse bins of what did not fail) of a second, None for nothing."""
        self._check(slot, self.versions)
        cdef Second* b = &self.version(slot).seconds[second % SECONDS]
        cdef int i
        if b.second != second or not b.started:
            return None
        return b.started, b.done, b.failed, b.aborted, b.client_errors, {i: b.bins[i] for i in range(BINS) if b.bins[i]}

    def read_endpoint(self, int slot) -> dict:
        """The totals and gauges of one endpoint in this slab; `outcomes` is indexed by `Outcome`."""
        self._check(slot, self.endpoints)
        cdef EndpointBlock* e = self.endpoint(slot)
        cdef int i
        return {
            "in_flight": e.in_flight, "connections": e.connections, "connects": e.connects, "ejections": e.ejections,
            "ejected": bool(e.ejected), "outcomes": [e.outcomes[i] for i in range(OUTCOMES)],
        }

    def read_worker(self) -> dict:
        return {
            "pid": self.block.pid, "heartbeat_ns": self.block.heartbeat_ns, "connections": self.block.connections,
            "accepted": self.block.accepted, "refused": self.block.refused, "log_dropped": self.block.log_dropped,
            "tunnels": self.block.tunnels, "tls_handshakes": self.block.tls_handshakes,
            "tls_failures": self.block.tls_failures, "unintroduced": self.block.unintroduced,
        }

    def clear_version(self, int slot) -> None:
        """Forget one version, when its slot is given to another one. Only while no attempt of it is in flight."""
        self._check(slot, self.versions)
        memset(self.version(slot), 0, sizeof(VersionBlock))

    def clear_endpoint(self, int slot) -> None:
        self._check(slot, self.endpoints)
        memset(self.endpoint(slot), 0, sizeof(EndpointBlock))

    def bury(self, version_slots, endpoint_slots) -> None:
        """Settle what a dead worker left open: its gauges are zero, and its unfinished attempts count as aborted."""
        cdef VersionBlock* v
        cdef EndpointBlock* e
        cdef int i
        cdef int slot
        self.block.connections = 0
        self.block.tunnels = 0
        for slot in version_slots:
            self._check(slot, self.versions)
            v = self.version(slot)
            v.in_flight = 0
            for i in range(SECONDS):
                v.seconds[i].aborted += v.seconds[i].started - v.seconds[i].done
                v.seconds[i].done = v.seconds[i].started
        for slot in endpoint_slots:
            self._check(slot, self.endpoints)
            e = self.endpoint(slot)
            e.in_flight = 0
            e.connections = 0
            e.ejected = 0

    # The writers below are those of the hot path, reachable from Python for tests and for simulations.

    def start_attempt(self, int version, int endpoint, int64_t now_ns) -> None:
        self._check(version, self.versions)
        self._check(endpoint, self.endpoints)
        attempt_started(self.version(version), self.endpoint(endpoint), now_ns)

    def end_attempt(self, int version, int endpoint, int outcome, int64_t began_ns, int64_t now_ns) -> None:
        self._check(version, self.versions)
        self._check(endpoint, self.endpoints)
        self._check(outcome, OUTCOMES)
        attempt_ended(self.version(version), self.endpoint(endpoint), outcome, began_ns, now_ns)

    def end_request(self, int version, int status, int reason, int64_t duration_ns) -> None:
        self._check(version, self.versions)
        self._check(status, CODES)
        self._check(reason, REASONS)
        request_ended(self.version(version), status, reason, duration_ns)

    def choose(self, int version, bint available) -> None:
        self._check(version, self.versions)
        self.version(version).chosen += 1
        self.version(version).unavailable += not available


cdef void open_second(Second* bucket, uint64_t second) noexcept nogil:
    memset(bucket, 0, sizeof(Second))
    bucket.second = second


cdef void attempt_ended(VersionBlock* version, EndpointBlock* endpoint, int outcome, int64_t began_ns,
                        int64_t now_ns) noexcept nogil:
    cdef uint64_t second = <uint64_t> began_ns // 1000000000
    cdef Second* bucket = &version.seconds[second % SECONDS]
    version.in_flight -= 1
    endpoint.in_flight -= 1
    endpoint.outcomes[outcome] += 1
    if bucket.second != second:
        return
    bucket.done += 1
    if FIRST_FAILURE <= outcome <= LAST_FAILURE:
        bucket.failed += 1  # and has no latency: a version that fails fast is not a fast one
        return
    bucket.bins[bin_of(now_ns - began_ns)] += 1
    if outcome == ABORTED:
        bucket.aborted += 1
    elif outcome == FOUR_XX:
        bucket.client_errors += 1


cdef void request_ended(VersionBlock* version, int status, int reason, int64_t duration_ns) noexcept nogil:
    version.requests[status] += 1
    if reason:
        version.reasons[reason] += 1
    version.bins[bin_of(duration_ns)] += 1
    version.duration_ns += <uint64_t> (duration_ns if duration_ns > 0 else 0)
