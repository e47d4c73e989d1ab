from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint64_t

from proxy.wire.chunked cimport Chunked
from proxy.wire.downstream cimport Downstream
from proxy.wire.frames cimport Frames
from proxy.wire.http1 cimport Bytes
from proxy.wire.plane cimport Plane
from proxy.wire.poller cimport iovec
from proxy.wire.service cimport Service
from proxy.wire.upstream cimport Endpoint, Taker, Upstream
from proxy.wire.version cimport Version

cdef enum Stage:
    WAITING          # no upstream connection yet
    ASKING           # no response head yet
    ANSWERING
    TUNNEL
    ENDED

# How far the end of a tunnel that is drained has come.
cdef enum Leaving:
    STAYING
    TELLING_CLIENT   # a Close goes to the client when a frame has ended
    TELLING_BOTH     # also to the upstream: the client did not answer

# How a body is delimited.
cdef enum Framing:
    NO_BODY
    BY_LENGTH
    BY_CHUNKS
    UNTIL_CLOSE

cdef class Request(Taker):
    cdef Plane plane
    cdef Downstream client
    cdef Service service
    cdef Version version
    cdef Endpoint endpoint
    cdef Endpoint avoid
    cdef Upstream upstream
    cdef Stage stage
    cdef bint attempting             # an attempt is open in the counters
    cdef int refusals                # addresses that could not be connected to in this attempt
    cdef int64_t began               # ns; the request's head was complete
    cdef int64_t ended               # ns; set when it is written down
    cdef int64_t attempt_began
    cdef int64_t attempt_total       # of finished attempts, for the log
    cdef int64_t total_at            # ns; 0: no limit
    cdef uint64_t ring_key
    # the request
    cdef unsigned char* buffer       # its head as forwarded, and the body so far while that may be sent again
    cdef size_t buffer_size
    cdef size_t buffer_end
    cdef size_t version_at           # where the version's line stands in it
    cdef size_t version_len
    cdef uint8_t method
    cdef uint8_t minor
    cdef bint keep_alive             # the client's wish
    cdef bint wants_json
    cdef bint expects                # 100-continue
    cdef bint websocket
    cdef bint replayable             # `buffer` holds the whole request so far
    cdef bint request_done
    cdef bint request_dropped        # nobody wants the rest of the body
    cdef Framing request_framing
    cdef Chunked request_chunks
    cdef bint request_trailers       # of chunks: they pass
    cdef uint64_t request_left
    cdef uint64_t request_bytes
    cdef int64_t body_until          # ns; when the client has paused for too long
    cdef int64_t rate_until          # ns; when its rate is looked at; 0: it is not its turn
    cdef uint64_t rate_from          # request_bytes when that time began
    # the response
    cdef int status
    cdef int reason
    cdef int retries
    cdef int choice
    cdef int interims
    cdef bint counted                # it is a tunnel, and was counted when it became one
    cdef bint drains                 # total_at is the end of a drain
    cdef bint closing                # the client's connection ends with this exchange
    cdef bint upstream_keeps
    cdef Framing answer_framing
    cdef bint raw                    # to an HTTP/1.0 client: data without chunks, until close
    cdef Chunked answer_chunks
    cdef bint answer_trailers
    cdef uint64_t answer_left
    cdef uint64_t answer_bytes
    cdef bytes cookie_line
    cdef bint tunnel_client_done
    cdef bint tunnel_upstream_done
    cdef Frames to_client            # of a tunnel, as all that follow
    cdef Frames to_upstream
    cdef Leaving leaving
    cdef bint told_client            # it got a Close of ours
    cdef bint told_upstream
    cdef int64_t grace               # ns; between the steps of leaving
    cdef char request_id[72]
    cdef size_t id_len
    # for the access log
    cdef bytes log_head
    cdef size_t log_parts[14]

    cdef size_t begin(self, Downstream client, Bytes p, size_t n, int64_t now) except? 0
    cdef size_t feed(self, unsigned char* p, size_t n) except? 0xffffffff
    cdef void _reset(self, Downstream client, int64_t now) noexcept
    cdef int _route(self, Bytes p) except -1
    cdef int _write_head(self, Bytes p) except -1
    cdef int _add_line(self, bytes line) except -1
    cdef int _identify(self, Bytes p) noexcept
    cdef int _keep_for_log(self, Bytes p) except -1
    cdef int _reserve(self, size_t more) except -1
    cdef size_t _end_chunks(self, unsigned char* p, iovec* parts, int count) except? 0xffffffff
    cdef void _await_body(self) noexcept
    cdef void _await_bytes(self, int64_t now) noexcept
    cdef bint _is_fast_enough(self, int64_t now) noexcept
    cdef bint _is_queued(self) noexcept
    cdef int _append(self, iovec* parts, int count) except -1
    cdef int _use_version(self, Version version) except -1
    cdef int _forward(self, iovec* parts, int count) except -1
    cdef int _attempt(self) except -1
    cdef void _await_answer(self, int64_t now) noexcept
    cdef int64_t _until(self, int64_t now, int64_t timeout) noexcept
    cdef bint _is_idempotent(self) noexcept
    cdef int answer_fault(self, int reason) except -1

cdef inline iovec part_of(const void* text, size_t n) noexcept:
    """One piece of a gathered write."""
    cdef iovec part
    part.iov_base = <void*> text
    part.iov_len = n
    return part
