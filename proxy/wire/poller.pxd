from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "proxy/wire/net.h" nogil:
    ctypedef struct sockaddr_storage "struct sockaddr_storage":
        pass
    ctypedef unsigned int socklen_t
    struct iovec:
        void* iov_base
        size_t iov_len
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    uint32_t EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP
    int64_t monotonic "serinus_now"()
    int accept_from "serinus_accept"(int fd, sockaddr_storage* peer)
    int connect_to "serinus_connect"(const sockaddr_storage* to, socklen_t n)
    int socket_error "serinus_socket_error"(int fd)
    int is_quiet "serinus_is_quiet"(int fd)
    socklen_t fill_address "serinus_address"(sockaddr_storage* to, int family, const char* host, int port)
    int peer_text "serinus_peer_text"(const sockaddr_storage* peer, char* text)
    int local_text "serinus_local_text"(int fd, char* text)
    void no_delay "serinus_no_delay"(int fd)

cdef enum:
    READ_SIZE = 262144      # the most that one read takes
    MAX_EVENTS = 256

cdef class Poller:
    cdef int epoll
    cdef int size                    # of the tables below
    cdef int top                     # one more than the highest descriptor in use
    cdef list sockets                # by descriptor: Socket, SelectorKey or None
    cdef uint32_t* lives             # by descriptor: how often it was registered, to tell events of a former life
    cdef int64_t* deadlines          # by descriptor: nanoseconds of CLOCK_MONOTONIC, 0: none
    cdef dict keys
    cdef readonly object ticked      # called every TICK
    cdef int64_t next_tick
    cdef public bint urgent          # asyncio has something to run: return from select soon
    cdef unsigned char* scratch      # what was read, for one event; READ_SIZE and a held head
    cdef int add(self, int fd, object owner, uint32_t events) except -1
    cdef void change(self, int fd, uint32_t events) noexcept
    cdef void mute(self, int fd) noexcept
    cdef void unmute(self, int fd, uint32_t events) noexcept
    cdef void remove(self, int fd) noexcept
    cdef void _forgive(self, int64_t late) noexcept
    cdef int _expire(self, int64_t now) except -1
    cdef int _serve(self, Socket socket, uint32_t events) except -1

cdef class Socket:
    cdef Poller poller
    cdef int fd                      # -1: closed
    cdef uint32_t interest
    cdef bint quiet                  # nothing should come: what does is looked at before anything else is served
    cdef bint muted                  # out of the poller until `want`
    cdef unsigned char* pending      # bytes that the kernel did not take yet
    cdef size_t pending_at
    cdef size_t pending_end
    cdef size_t pending_size
    cdef int open(self, Poller poller, int fd, uint32_t events) except -1
    cdef int ready(self, uint32_t events) except -1
    cdef int hung_up(self) except -1
    cdef int expired(self, int64_t now) except -1
    cdef int broken(self) except -1
    cdef int send(self, iovec* parts, int count) except -2
    cdef int _reserve(self, size_t more) except -1
    cdef int flush(self) noexcept
    cdef void want(self, uint32_t events) noexcept
    cdef void close(self) noexcept
    cdef void end_sending(self) noexcept
    cdef void reset(self) noexcept
    cdef ssize_t read(self, unsigned char* into, size_t size) noexcept
    cdef inline void deadline(self, int64_t at) noexcept:
        self.poller.deadlines[self.fd] = at
