"""One TLS connection: ciphertext that was read becomes bytes, bytes become ciphertext to send.

Owns the record layer between a socket and whoever speaks HTTP on it. Must not know who that is, nor choose certificates
(`proxy.wire.contexts`).

It works in memory (ssl.MemoryBIO): one read and one write of the socket for each turn, however many records, and what the
kernel does not take stays where plain bytes would (`Socket.pending`).

Rules:
1. After a read nothing that could be decrypted is left inside: readiness of the socket is all that must be waited for.
2. Small pieces are gathered into full records; large ones are not copied for it.
3. The end of a connection is said (close_notify) when it is orderly, and never when a message was cut off: then the peer
   must see that what it got is not whole (RFC 8446 section 6.1).
"""

import ssl

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stddef cimport size_t
from libc.string cimport memcpy

from proxy.wire.poller cimport READ_SIZE, Socket, iovec

cdef extern from "sys/socket.h" nogil:
    ssize_t recv(int fd, void* into, size_t size, int flags)

cdef extern from "Python.h":
    int PyBUF_READ
    int PyBUF_WRITE

cdef enum:
    RECORD = 16384          # the most that one record carries (RFC 8446 section 5.1)
    # What one read decrypts must fit into the caller's READ_SIZE, with the part of a record that was there before.
    WIRE_SIZE = READ_SIZE - RECORD - 1024

# One for all connections: nothing is left in either between two calls.
cdef bytearray _wire = bytearray(WIRE_SIZE)
cdef object _wire_view = memoryview(_wire)
cdef unsigned char[RECORD] _record

cdef object _WantRead = ssl.SSLWantReadError
cdef object _SSLError = ssl.SSLError


cdef class Session:

    def __init__(self, context, *, bint server_side, server_name=None, session=None):
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.connection = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=server_name, session=session)
        # One call less for each record than through ssl.SSLObject, which only passes them on.
        self._read = self.connection._sslobj.read
        self._write = self.connection._sslobj.write
        self.shaking = True

    cdef int shake(self) except -2:
        """Go on with the handshake. 1: it is done; 0: the peer must say more; -1: it failed, and `error` says why."""
        try:
            self.connection.do_handshake()
        except _WantRead:
            return 0
        except (_SSLError, ValueError) as error:  # ValueError: of a name that is none, from the check of a certificate
            self.error = error
            return -1
        self.shaking = False
        return 1

    cdef ssize_t receive(self, int fd) except -3:
        """Take in ciphertext from the socket: how much, 0 at its end, -1 on an error, -2 when there is nothing now."""
        cdef ssize_t n = recv(fd, PyByteArray_AS_STRING(_wire), WIRE_SIZE, 0)
        if n < 0:
            return -2 if errno == EAGAIN or errno == EINTR else -1
        if n:
            self.incoming.write(_wire_view[:n])
        return n

    cdef ssize_t read(self, int fd, unsigned char* into, size_t size) except -3:
        """Read from the socket and decrypt: as `Socket.read`. `size` is READ_SIZE at least."""
        cdef ssize_t got
        cdef ssize_t total = 0
        cdef ssize_t came = self.receive(fd)
        if came == -1 or came == -2 and not self.incoming.pending:
            return came
        while not self.ended:
            try:
                got = self._read(size - total, PyMemoryView_FromMemory(<char*> into + total, size - total, PyBUF_WRITE))
            except _WantRead:
                break
            except _SSLError:
                return -1
            if got == 0:
                self.ended = True
            total += got
            if self.incoming.pending == 0 and self.connection.pending() == 0:
                break
        if total:
            return total
        return 0 if self.ended or came == 0 else -2

    cdef bytes seal(self, iovec* parts, int count):
        """These bytes as ciphertext. Raises ssl.SSLError when the connection is broken."""
        cdef size_t filled = 0
        cdef size_t left
        cdef size_t n
        cdef char* at
        cdef int i
        for i in range(count):
            at = <char*> parts[i].iov_base
            left = parts[i].iov_len
            while left:
                if filled == 0 and left >= RECORD:
                    n = left - left % RECORD
                    self._write(PyMemoryView_FromMemory(at, n, PyBUF_READ))
                else:
                    n = left if left < RECORD - filled else RECORD - filled
                    memcpy(_record + filled, at, n)
                    filled += n
                    if filled == RECORD:
                        self._flush_record(filled)
                        filled = 0
                at += n
                left -= n
        if filled:
            self._flush_record(filled)
        return self.outgoing.read()

    cdef _flush_record(self, size_t n):
        self._write(PyMemoryView_FromMemory(<char*> _record, n, PyBUF_READ))

    cdef bytes unsent(self):
        """What the connection itself has to say: a step of the handshake, a ticket, an alert."""
        return self.outgoing.read() if self.outgoing.pending else b""

    cdef bytes farewell(self):
        """The word that nothing more comes; empty when it cannot be said any more."""
        if self.shaking:
            return b""
        try:
            self.connection.unwrap()
        except (_SSLError, ValueError, OSError):
            pass  # the peer has not said so too, and need not
        return self.outgoing.read()

    cdef bint has_unread(self) except -1:
        """Whether ciphertext came that was not decrypted yet."""
        return self.incoming.pending != 0


# What both ends of the proxy do with it. `Socket.send` is called by name: that of the socket itself comes back here.

cdef int send_sealed(Socket socket, Session session, iovec* parts, int count) except -2:
    """`Socket.send` of these bytes as ciphertext."""
    try:
        return transmit(socket, session.seal(parts, count))
    except _SSLError:
        return -1


cdef int transmit(Socket socket, bytes sealed) except -2:
    """`Socket.send` of ciphertext, if there is any."""
    cdef iovec part
    if not sealed:
        return 0
    part.iov_base = <char*> sealed
    part.iov_len = len(sealed)
    return Socket.send(socket, &part, 1)


cdef int say_farewell(Socket socket, Session session) except -2:
    """Say that nothing more comes, while it can be said."""
    return transmit(socket, session.farewell()) if socket.fd >= 0 else 0
