"""The scanner and the delimiter of chunked bodies by themselves, as functions of bytes: no connection around them.

What tests/fuzz/scene.pyx plays costs half a millisecond; here an input costs some microseconds, so that many millions of
them can be run. Owns the properties that hold for these alone (what they mean is judged by requests.py and responses.py).

Rules:
1. Each scan gets a buffer from malloc that is exactly as long as its bytes: AddressSanitizer sees the first one too many.
2. The first byte of an input chooses what is scanned, the second where it is cut.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from proxy.wire.chunked cimport Chunked, chunked_feed, chunked_start
from proxy.wire.fields cimport scan_trailers
from proxy.wire.http1 cimport COMPLETE, MORE, Bytes, Field, Head, Limits, scan_request, scan_response

cdef enum:
    REQUEST = 0
    RESPONSE = 1
    TRAILERS = 2
    CHOICES = 2     # bytes of an input that are none of the message


cdef class Heads:
    """The property of request heads, response heads and trailers; `check` raises AssertionError where it does not hold."""

    cdef Limits limits
    cdef Head whole
    cdef Head part

    def __init__(self, line: int, head: int, fields: int) -> None:
        self.limits = Limits(line, head, fields)

    def check(self, bytes text):
        """Scan an input whole and cut."""
        cdef size_t n = len(text)
        cdef size_t cut
        cdef int kind, answer, before
        cdef const unsigned char* all_of_it = text
        if n < CHOICES:
            return
        kind = all_of_it[0] % 3
        n -= CHOICES
        cut = all_of_it[1] * n // 255
        answer = self._scan(kind, all_of_it + CHOICES, n, &self.whole)
        before = self._scan(kind, all_of_it + CHOICES, cut, &self.part)
        assert answer == COMPLETE or answer == MORE or answer > 0, answer
        if before == COMPLETE:
            assert answer == COMPLETE and _same(&self.whole, &self.part), "what is complete changes with what follows"
        elif before > 0:
            assert answer > 0, "what was refused is accepted when more has come"
        if answer == COMPLETE:
            _check_places(all_of_it + CHOICES, n, &self.whole, kind)
            before = self._scan(kind, all_of_it + CHOICES, self.whole.end, &self.part)
            assert before == COMPLETE and _same(&self.whole, &self.part), "bytes behind the end count"

    cdef int _scan(self, int kind, Bytes text, size_t n, Head* head) except -2:
        cdef int answer
        cdef unsigned char* exact = <unsigned char*> malloc(n)
        if exact == NULL and n:
            raise MemoryError
        memcpy(exact, text, n)
        if kind == REQUEST:
            answer = scan_request(exact, n, &self.limits, head)
        elif kind == RESPONSE:
            answer = scan_response(exact, n, &self.limits, head)
        else:
            answer = scan_trailers(exact, n, &self.limits, head)
        free(exact)
        return answer


cdef bint _same(const Head* one, const Head* other) noexcept:
    """All that a complete head says, without what is only meant for one kind of it."""
    return (one.end == other.end and one.count == other.count and one.content_length == other.content_length
            and one.chunked == other.chunked and one.keep_alive == other.keep_alive and one.upgrade == other.upgrade
            and one.named == other.named
            and memcmp(one.fields, other.fields, one.count * sizeof(Field)) == 0)


cdef int _check_places(Bytes p, size_t n, const Head* head, int kind) except -1:
    """Every offset lies where it must, field lines follow one another without a gap, and hold what they may."""
    cdef uint32_t i, at, k
    cdef const Field* field
    assert 2 <= head.end <= n, "an end outside"
    assert p[head.end - 2] == 13 and p[head.end - 1] == 10, "an end that is no empty line"
    at = head.fields_at if kind != TRAILERS else 0
    if kind != TRAILERS:
        assert at >= 2 and p[at - 2] == 13 and p[at - 1] == 10, "a start line without its end"
        for k in range(at - 2):
            assert p[k] >= 32 and p[k] != 127 or p[k] == 9, "a control in the start line"
    if kind == REQUEST:
        assert head.target + head.target_len < at and head.path_len <= head.target_len and head.method_len, "a target outside"
        assert not head.authority_len or head.authority + head.authority_len <= head.end, "an authority outside"
    for i in range(head.count):
        field = &head.fields[i]
        assert field.name == at, "a gap between two fields"
        assert field.name_len and p[field.name + field.name_len] == 58, "a name that does not end with a colon"
        for k in range(field.name, field.name + field.name_len):
            assert _is_token(p[k]), "a name that is no token"
        assert field.name + field.name_len < field.value, "a value before its colon"
        assert field.value + field.value_len + 2 <= field.next <= head.end - 2, "a field outside"
        for k in range(field.value, field.next - 2):
            assert p[k] >= 32 and p[k] != 127 or p[k] == 9, "a control in a value"
        if field.value_len:
            assert p[field.value] not in b" \t" and p[field.value + field.value_len - 1] not in b" \t", "white space kept"
        assert p[field.next - 2] == 13 and p[field.next - 1] == 10, "a field without its end"
        at = field.next
    assert at + 2 == head.end, "something between the fields and the end"
    return 0


cdef bint _is_token(unsigned char c) noexcept:
    return (48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c in b"!#$%&'*+-.^_`|~")


cdef class Chunks:
    """The property of chunked bodies; `check` raises AssertionError where it does not hold."""

    def check(self, bytes text):
        """Read an input whole, and cut in three."""
        cdef size_t n = len(text)
        if n < CHOICES:
            return
        message = text[CHOICES:]
        n -= CHOICES
        whole = _read([message])
        first = text[0] * n // 255
        second = first + text[1] * (n - first) // 255
        assert _read([message[:first], message[first:second], message[second:]]) == whole, "what was cut is read otherwise"
        answer, data, used = whole
        assert used <= n
        if answer == COMPLETE:
            assert _plainly(message, used) == data, "the data is not what the chunks say"


cdef tuple _read(list parts):
    """The answer, the data and how many bytes were used, when the bytes come in these parts."""
    cdef Chunked body
    cdef size_t consumed, produced
    cdef unsigned char* out
    cdef unsigned char* exact
    cdef int answer = MORE
    cdef size_t used = 0
    cdef bytes held = b""
    data = bytearray()
    chunked_start(&body)
    for part in parts:
        held += <bytes> part
        exact = <unsigned char*> malloc(len(held))
        if exact == NULL and held:
            raise MemoryError
        memcpy(exact, <const unsigned char*> held, len(held))
        answer = chunked_feed(&body, exact, len(held), &consumed, &out, &produced)
        data += out[:produced]
        free(exact)
        used += consumed
        held = held[consumed:]
        if answer != MORE:
            break
    return (answer, bytes(data), used if answer == COMPLETE else 0)


def _plainly(message: bytes, end: int) -> bytes:
    """The data of a complete chunked body, read in the plainest way."""
    data, at = b"", 0
    while True:
        line, _, _ = message[at:end].partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        at = at + len(line) + 2
        if not size:
            assert at == end
            return data
        data += message[at : at + size]
        assert message[at + size : at + size + 2] == b"\r\n"
        at += size + 2
