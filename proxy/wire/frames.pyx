"""WebSocket frames that pass: where one ends, so that a Close frame can be put behind it (RFC 6455 section 5.2).

Owns the lengths in frame headers, and the Close frame. Must not look at payloads, change or hold anything.

Rules:
1. A Close may stand between any two frames, also those of one message: "Control frames MAY be injected in the middle of a
   fragmented message" (section 5.4), and extensions do not touch control frames that are not theirs.
2. What is not framed as it must be (an unknown opcode, a mask from a server, none from a client) is no WebSocket for us:
   it passes as it is, and no Close is ever put into it.
3. After a Close nothing follows (section 5.5.1).
"""

from libc.string cimport memset

cdef enum:
    CLOSE = 8
    GOING_AWAY = 1001


cdef void frames_start(Frames* frames, bint masked) noexcept nogil:
    memset(frames, 0, sizeof(Frames))
    frames.masked = masked


cdef inline uint8_t _head_size(const Frames* frames) noexcept nogil:
    """Of the frame whose first two bytes are here."""
    cdef uint8_t length = frames.head[1] & 127
    return 2 + (2 if length == 126 else 8 if length == 127 else 0) + (4 if frames.head[1] & 128 else 0)


cdef inline void _begin(Frames* frames) noexcept nogil:
    """The header is whole."""
    cdef uint8_t length = frames.head[1] & 127
    cdef uint8_t opcode = frames.head[0] & 15
    cdef int size = 2 if length == 126 else 8 if length == 127 else 0
    cdef int i
    frames.have = 0
    frames.left = 0 if size else length
    for i in range(size):
        frames.left = frames.left << 8 | frames.head[2 + i]
    if opcode == CLOSE:
        frames.closed = 1
    if opcode & 7 > 2 or (frames.head[1] >> 7) != frames.masked or frames.left >> 63:
        frames.strange = 1


cdef size_t frames_pass(Frames* frames, Bytes p, size_t n, bint stop) noexcept nogil:
    """Follow these bytes. Returns how many: all, or with `stop` those up to where a Close may stand."""
    cdef size_t at = 0
    while at < n and not frames.strange and not frames.closed:
        if stop and frames.left == 0 and frames.have == 0:
            return at
        if frames.left > n - at:
            frames.left -= n - at
            return n
        if frames.left:
            at += <size_t> frames.left
            frames.left = 0
            continue
        frames.head[frames.have] = p[at]
        frames.have += 1
        at += 1
        if frames.have >= 2 and frames.have == _head_size(frames):
            _begin(frames)
    return n


cdef bint may_close(const Frames* frames) noexcept nogil:
    """May a Close stand here?"""
    return frames.left == 0 and frames.have == 0 and not frames.strange and not frames.closed


cdef size_t write_close(Frames* frames, unsigned char* out, uint64_t key) noexcept nogil:
    """A Close frame with 1001, "going away", masked with `key` where this direction is; its size. Nothing follows it."""
    cdef int i
    frames.closed = 1
    out[0] = 128 | CLOSE
    out[1] = 2
    out[2] = GOING_AWAY >> 8
    out[3] = GOING_AWAY & 255
    if not frames.masked:
        return 4
    out[1] |= 128
    out[6] = out[2] ^ <uint8_t> key
    out[7] = out[3] ^ <uint8_t> (key >> 8)
    for i in range(4):
        out[2 + i] = <uint8_t> (key >> (8 * i))
    return 8
