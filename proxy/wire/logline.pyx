"""Access log lines, written by hand into one buffer: a line costs about a microsecond.

Owns the form of a line. Must not write to files: full buffers go to `full`, see proxy/accesslog.py.

Rules:
1. A line is one line whatever a client sends: controls, quotes, backslashes and bytes above 0x7e are escaped.
2. What a client did not send is null in JSON and `-` in the combined format.
"""

import time

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from proxy.wire.exchange cimport Exchange
from proxy.wire.forward cimport write_number
from proxy.wire.plane cimport Plane, Record

from proxy.core.logformat import FIELDS
from proxy.core.outcome import Reason

cdef enum:
    LARGE = 65536           # bytes at which a buffer is handed on
    LINE_ROOM = 2048        # for everything in a line whose length is not the client's choice

cdef tuple CHOICES = (b"weight", b"sticky", b"header", b"forced", b"fallback")


cdef class Lines(Record):
    """`fields`: which to write, in this order; all when empty. Only the JSON form asks."""

    def __init__(self, full, fields=()):
        self.full = full
        self.fields = [
            (FIELDS.index(name), (b"," if at else b"{") + b'"%s":' % name.encode())
            for at, name in enumerate(fields or FIELDS)
        ]
        self.reasons = [reason.label.encode() for reason in Reason]
        self.stamped = -1

    def __dealloc__(self):
        PyMem_RawFree(self.buffer)

    def flush(self) -> None:
        """Hand on what there is."""
        if self.end:
            text = PyBytes_FromStringAndSize(<char*> self.buffer, self.end)
            self.end = 0
            self.full(text)

    cdef int _reserve(self, size_t more) except -1:
        cdef unsigned char* grown
        if self.end + more > self.size:
            grown = <unsigned char*> PyMem_RawRealloc(self.buffer, self.end + more + LARGE)
            if grown == NULL:
                raise MemoryError
            self.buffer = grown
            self.size = self.end + more + LARGE
        return 0

    cdef void _put(self, const void* text, size_t n) noexcept:
        memcpy(self.buffer + self.end, text, n)
        self.end += n

    cdef void _number(self, uint64_t value) noexcept:
        self.end += write_number(self.buffer + self.end, value)

    cdef void _milliseconds(self, int64_t ns) noexcept:
        """With three digits behind the point: whole microseconds."""
        cdef uint64_t us = <uint64_t> (ns // 1000) if ns > 0 else 0
        self._number(us // 1000)
        us %= 1000
        self.buffer[self.end] = 46
        self.buffer[self.end + 1] = <unsigned char> (48 + us // 100)
        self.buffer[self.end + 2] = <unsigned char> (48 + us // 10 % 10)
        self.buffer[self.end + 3] = <unsigned char> (48 + us % 10)
        self.end += 4

    cdef void _quoted(self, const unsigned char* text, size_t n) noexcept:
        """A JSON string, which is also safe in the combined format. At most six bytes for one."""
        cdef size_t i
        cdef unsigned char c
        self.buffer[self.end] = 34
        self.end += 1
        for i in range(n):
            c = text[i]
            if c == 34 or c == 92:
                self.buffer[self.end] = 92
                self.buffer[self.end + 1] = c
                self.end += 2
            elif 32 <= c < 127:
                self.buffer[self.end] = c
                self.end += 1
            else:
                self._put(b"\\u00", 4)
                self.buffer[self.end] = b"0123456789abcdef"[c >> 4]
                self.buffer[self.end + 1] = b"0123456789abcdef"[c & 15]
                self.end += 2
        self.buffer[self.end] = 34
        self.end += 1

    cdef int _stamp(self, int64_t second, bint iso) except -1:
        if second != self.stamped:
            self.stamped = second
            form = "%Y-%m-%dT%H:%M:%S" if iso else "%d/%b/%Y:%H:%M:%S +0000"
            self.stamp = time.strftime(form, time.gmtime(second)).encode()
        self._put(<const char*> self.stamp, len(self.stamp))
        return 0

    cdef int _field(self, int field, Exchange exchange) except -1:
        return 0


cdef class JsonLines(Lines):

    cdef int write(self, object finished) except -1:
        cdef Exchange exchange = finished
        self._reserve(LINE_ROOM + (6 * len(exchange.log_head) if exchange.log_head is not None else 0))
        for field, name in self.fields:
            self._put(<const char*> <bytes> name, len(<bytes> name))
            self._field(field, exchange)
        self._put(b"}\n", 2)
        if self.end >= LARGE:
            self.flush()
        return 0

    cdef int _field(self, int field, Exchange exchange) except -1:
        cdef int64_t wall
        if field == 0:
            wall = time.time_ns() // 1000000
            self._put(b'"', 1)
            self._stamp(wall // 1000, True)
            self.buffer[self.end] = 46
            wall %= 1000
            self.buffer[self.end + 1] = <unsigned char> (48 + wall // 100)
            self.buffer[self.end + 2] = <unsigned char> (48 + wall // 10 % 10)
            self.buffer[self.end + 3] = <unsigned char> (48 + wall % 10)
            self.end += 4
            self._put(b'Z"', 2)
        elif field == 1:
            self._quoted(<unsigned char*> exchange.request_id, exchange.id_len)
        elif field == 2:
            self._traced(exchange)
        elif field == 3:
            self._text(exchange.client.peer)
        elif field == 4:
            self._part(exchange, 0)
        elif field == 5:
            self._part(exchange, 6)
        elif field == 6:
            self._part(exchange, 2)
        elif field == 7:
            self._part(exchange, 4, 1)
        elif field == 8:
            self._put(b'"HTTP/1.1"' if exchange.minor else b'"HTTP/1.0"', 10)
        elif field == 9:
            self._number(<uint64_t> exchange.status)
        elif field == 10:
            self._text(None if exchange.service is None else exchange.service.name_bytes)
        elif field == 11:
            self._text(None if exchange.version is None else exchange.version.name_bytes)
        elif field == 12:
            self._text(None if exchange.version is None else CHOICES[exchange.choice])
        elif field == 13:
            self._text(None if exchange.endpoint is None else exchange.endpoint.name)
        elif field == 14:
            self._milliseconds(exchange.ended - exchange.began)
        elif field == 15:
            self._milliseconds(exchange.attempt_total)
        elif field == 16:
            self._number(exchange.request_bytes)
        elif field == 17:
            self._number(exchange.answer_bytes)
        elif field == 18:
            self._number(<uint64_t> exchange.retries)
        elif field == 19:
            self._text(self.reasons[exchange.reason] if exchange.reason else None)
        elif field == 20:
            if exchange.client.origin.tls:
                self._put(b"true", 4)
            else:
                self._put(b"false", 5)
        elif field == 21:
            self._part(exchange, 8)
        else:
            self._part(exchange, 10)
        return 0

    cdef int _text(self, bytes text) except -1:
        if text is None:
            self._put(b"null", 4)
        else:
            self._quoted(text, len(text))
        return 0

    cdef int _part(self, Exchange exchange, int at, size_t skip=0) except -1:
        """A part of the request's head, by its place in `log_parts`, without its first bytes (the mark of a query)."""
        cdef const unsigned char* head
        if exchange.log_head is None or exchange.log_parts[at + 1] == 0:
            self._put(b"null", 4)
        else:
            head = exchange.log_head
            self._quoted(head + exchange.log_parts[at] + skip, exchange.log_parts[at + 1] - skip)
        return 0

    cdef int _traced(self, Exchange exchange) except -1:
        """The trace id of `traceparent`: version "-" 32 hexadecimal digits "-" ... (W3C Trace Context)."""
        cdef const unsigned char* head
        if exchange.log_head is None or exchange.log_parts[13] < 35:
            self._put(b"null", 4)
        else:
            head = exchange.log_head
            self._quoted(head + exchange.log_parts[12] + 3, 32)
        return 0


cdef class CombinedLines(Lines):
    """The combined log format of Apache and nginx."""

    cdef int write(self, object finished) except -1:
        cdef Exchange exchange = finished
        cdef bytes peer = exchange.client.peer
        cdef size_t* parts = exchange.log_parts
        cdef const unsigned char* head
        self._reserve(LINE_ROOM + (6 * len(exchange.log_head) if exchange.log_head is not None else 0))
        if peer:
            self._put(<const char*> peer, len(peer))
        else:
            self._put(b"-", 1)
        self._put(b" - - [", 6)
        self._stamp(time.time_ns() // 1000000000, False)
        self._put(b"] ", 2)
        if exchange.log_head is None:
            self._put(b'"-"', 3)
        else:
            head = exchange.log_head
            self._quoted(head, parts[2] + parts[3] + parts[5])
            self.end -= 1
            self._put(b' HTTP/1.1"' if exchange.minor else b' HTTP/1.0"', 10)
        self._put(b" ", 1)
        self._number(<uint64_t> exchange.status)
        self._put(b" ", 1)
        self._number(exchange.answer_bytes)
        for at in (10, 8):
            self._put(b" ", 1)
            if exchange.log_head is None or parts[at + 1] == 0:
                self._put(b'"-"', 3)
            else:
                head = exchange.log_head
                self._quoted(head + parts[at], parts[at + 1])
        self._put(b"\n", 1)
        if self.end >= LARGE:
            self.flush()
        return 0


def attach(Plane plane, Lines lines) -> None:
    """Write down every exchange of this plane from now on; None: none."""
    plane.log = lines
