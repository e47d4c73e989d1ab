from proxy.wire.poller cimport Socket, iovec

cdef class Session:
    cdef object connection           # ssl.SSLObject
    cdef object incoming             # ciphertext that came
    cdef object outgoing             # ciphertext that must go
    cdef object _read
    cdef object _write
    cdef readonly object error       # of the handshake, when it failed
    cdef bint shaking                # the handshake is not over
    cdef bint ended                  # the peer has said that nothing more comes
    cdef int shake(self) except -2
    cdef ssize_t receive(self, int fd) except -3
    cdef ssize_t read(self, int fd, unsigned char* into, size_t size) except -3
    cdef bytes seal(self, iovec* parts, int count)
    cdef bytes unsent(self)
    cdef bytes farewell(self)
    cdef bint has_unread(self) except -1
    cdef _flush_record(self, size_t n)

cdef int send_sealed(Socket socket, Session session, iovec* parts, int count) except -2
cdef int transmit(Socket socket, bytes sealed) except -2
cdef int say_farewell(Socket socket, Session session) except -2
