from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "proxy/wire/histogram.h":
    int BINS "SERINUS_BINS"
    int bin_of "serinus_bin"(int64_t ns) noexcept nogil

cdef enum:
    CODES = 600
    REASONS = 64
    OUTCOMES = 12
    SECONDS = 16

# Attempts of one version that began in one second of CLOCK_MONOTONIC.
cdef struct Second:
    uint64_t second
    uint32_t started
    uint32_t done
    uint32_t failed
    uint32_t aborted
    uint32_t client_errors
    uint32_t bins[737]

cdef struct VersionBlock:
    uint64_t started        # attempts
    int64_t in_flight       # attempts
    uint64_t chosen         # decisions of the split (not forced, before fallback)
    uint64_t unavailable    # decisions that found no usable endpoint
    uint64_t retries
    uint64_t bytes_in       # request bodies
    uint64_t bytes_out      # response bodies
    uint64_t duration_ns
    uint64_t requests[600]  # by the status that the client got
    uint64_t reasons[64]
    uint64_t bins[737]      # request durations
    Second seconds[16]      # a ring, indexed by second modulo its length

cdef struct EndpointBlock:
    int64_t in_flight
    int64_t connections
    uint64_t connects
    uint64_t ejections
    uint64_t ejected        # 1 while the worker sends it nothing
    uint64_t outcomes[12]

cdef struct WorkerBlock:
    uint64_t pid
    uint64_t heartbeat_ns   # CLOCK_MONOTONIC
    int64_t connections     # of clients
    uint64_t accepted
    uint64_t refused        # over the connection limits, or out of descriptors
    uint64_t log_dropped    # access log lines
    uint64_t tunnels
    uint64_t tls_handshakes # of clients, done
    uint64_t tls_failures   # handshakes of clients that did not come to an end
    uint64_t unintroduced   # connections whose PROXY header was missing, wrong or of a stranger

cdef class Slab:
    cdef object _map
    cdef char* _base
    cdef readonly int worker
    cdef readonly int versions
    cdef readonly int endpoints
    cdef WorkerBlock* block
    cdef VersionBlock* version(self, int slot) noexcept
    cdef EndpointBlock* endpoint(self, int slot) noexcept

# One attempt begins and ends: the two writes of the hot path.
cdef inline void attempt_started(VersionBlock* version, EndpointBlock* endpoint, int64_t now_ns) noexcept nogil:
    cdef uint64_t second = <uint64_t> now_ns // 1000000000
    cdef Second* bucket = &version.seconds[second % SECONDS]
    if bucket.second != second:
        open_second(bucket, second)
    bucket.started += 1
    version.started += 1
    version.in_flight += 1
    endpoint.in_flight += 1

cdef void open_second(Second* bucket, uint64_t second) noexcept nogil
cdef void attempt_ended(VersionBlock* version, EndpointBlock* endpoint, int outcome, int64_t began_ns,
                        int64_t now_ns) noexcept nogil
cdef void request_ended(VersionBlock* version, int status, int reason, int64_t duration_ns) noexcept nogil
