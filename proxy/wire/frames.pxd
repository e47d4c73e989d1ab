from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from proxy.wire.http1 cimport Bytes

# One direction of a tunnel.
cdef struct Frames:
    uint64_t left            # of the payload of the current frame
    uint8_t head[16]         # of the frame that begins
    uint8_t have
    uint8_t masked           # as this direction's frames must be
    uint8_t closed           # a Close frame has begun: nothing follows it
    uint8_t strange          # these are no frames

# The longest Close frame of ours.
cdef enum:
    CLOSE_MOST = 8

cdef void frames_start(Frames* frames, bint masked) noexcept nogil
cdef size_t frames_pass(Frames* frames, Bytes p, size_t n, bint stop) noexcept nogil
cdef bint may_close(const Frames* frames) noexcept nogil
cdef size_t write_close(Frames* frames, unsigned char* out, uint64_t key) noexcept nogil
