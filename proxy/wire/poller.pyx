"""The event loop of a worker: an asyncio selector that serves the data path itself, in C.

asyncio asks its selector which descriptors are ready. This one answers for the descriptors that asyncio registered (the
control socket, its self-pipe) and, while it waits, calls the data path's sockets directly. So one `epoll_wait` serves
both, and a request costs neither a handle nor a context switch of asyncio's. Measured side by side on the small
response: 16.4 us of processor a request where protocols on uvloop's transports took 17.2 (docs/performance.md).

Owns descriptors, readiness, deadlines and unsent bytes. Must not know HTTP.

Rules:
1. Level-triggered; whoever is called reads once and may be called again.
2. One deadline a socket, in a table that is looked through every TICK: setting one is a store. Time in which we did not
   run counts for no deadline: an answer may wait unread, or everything else on the machine stood still as well.
3. A socket whose callback raises is closed, and the loop goes on: one exchange must not end the others.
4. Sockets on which nothing should come (`quiet`) are served first: nobody is given one on which something did.
5. A descriptor may be closed and used again within one batch of events: `lives` tells the events apart.
6. Unsent bytes are kept, at most what one event produced; their source pauses until they are gone.
"""

import logging
import selectors

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcpy, memmove, memset

cdef extern from "proxy/wire/net.h" nogil:
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int size, int timeout_ms)
    ssize_t sendv "serinus_sendv"(int fd, iovec* parts, int count)
    void reset_on_close "serinus_reset_on_close"(int fd)
    ssize_t recv(int fd, void* into, size_t size, int flags)
    int close_fd "close"(int fd)
    int shutdown(int fd, int how)
    int SHUT_WR

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

log = logging.getLogger(__name__)

cdef enum:
    TICK = 100000000        # nanoseconds
    STALL = 300000000       # a tick that comes this much too late: we did not run
    HELD = 131072           # room for the bytes that an earlier read left over


cdef class Poller:
    """A `selectors.BaseSelector` by its methods. `ticked` is called about every 100 ms; `size` descriptors at most."""

    def __cinit__(self, int size, object ticked):
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, "epoll_create1")
        self.size = size
        self.sockets = [None] * size
        self.lives = <uint32_t*> PyMem_RawMalloc(size * sizeof(uint32_t))
        self.deadlines = <int64_t*> PyMem_RawMalloc(size * sizeof(int64_t))
        self.scratch = <unsigned char*> PyMem_RawMalloc(READ_SIZE + HELD)
        if self.lives == NULL or self.deadlines == NULL or self.scratch == NULL:
            raise MemoryError
        memset(self.lives, 0, size * sizeof(uint32_t))
        memset(self.deadlines, 0, size * sizeof(int64_t))
        self.keys = {}
        self.ticked = ticked
        self.next_tick = 0

    def __dealloc__(self):
        PyMem_RawFree(self.lives)
        PyMem_RawFree(self.deadlines)
        PyMem_RawFree(self.scratch)

    # The table

    cdef int add(self, int fd, object owner, uint32_t events) except -1:
        cdef epoll_event event
        if fd >= self.size:
            raise OSError(24, f"descriptor {fd} is beyond the limit of {self.size}")
        self.lives[fd] += 1
        event.events = events
        event.data.u64 = (<uint64_t> self.lives[fd] << 32) | <uint64_t> fd
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) < 0:
            raise OSError(errno, "epoll_ctl")
        self.sockets[fd] = owner
        self.deadlines[fd] = 0
        if fd >= self.top:
            self.top = fd + 1
        return 0

    cdef void change(self, int fd, uint32_t events) noexcept:
        cdef epoll_event event
        event.events = events
        event.data.u64 = (<uint64_t> self.lives[fd] << 32) | <uint64_t> fd
        epoll_ctl(self.epoll, EPOLL_CTL_MOD, fd, &event)

    cdef void mute(self, int fd) noexcept:
        epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, NULL)

    cdef void unmute(self, int fd, uint32_t events) noexcept:
        cdef epoll_event event
        event.events = events
        event.data.u64 = (<uint64_t> self.lives[fd] << 32) | <uint64_t> fd
        epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event)

    cdef void remove(self, int fd) noexcept:
        """Forget a descriptor; the kernel does when it is closed."""
        self.sockets[fd] = None
        self.deadlines[fd] = 0

    # The loop

    def select(self, timeout=None):
        """Serve the data path until asyncio has something to do: its descriptors, its timers, or `urgent`."""
        cdef epoll_event events[MAX_EVENTS]
        cdef int64_t now = monotonic()
        cdef int64_t until = now + <int64_t> (timeout * 1e9) if timeout is not None else 0
        cdef int64_t wake
        cdef int i
        cdef int n
        cdef int wait_ms
        cdef uint32_t fd
        cdef list answer = []
        while True:
            wake = self.next_tick if timeout is None or self.next_tick < until else until
            wait_ms = <int> ((wake - now + 999999) // 1000000) if wake > now else 0
            if self.urgent:
                wait_ms = 0
            if wait_ms:
                with nogil:
                    n = epoll_wait(self.epoll, events, MAX_EVENTS, wait_ms)
            else:
                n = epoll_wait(self.epoll, events, MAX_EVENTS, 0)
            if n < 0:
                if errno != EINTR:
                    raise OSError(errno, "epoll_wait")
                PyErr_CheckSignals()
                n = 0
            for i in range(n):
                owner = self.sockets[<uint32_t> events[i].data.u64]
                if isinstance(owner, Socket) and (<Socket> owner).quiet:
                    self._serve(<Socket> owner, events[i].events)
            for i in range(n):
                fd = <uint32_t> events[i].data.u64
                if <uint32_t> (events[i].data.u64 >> 32) != self.lives[fd]:
                    continue
                owner = self.sockets[fd]
                if isinstance(owner, Socket):
                    self._serve(<Socket> owner, events[i].events)
                elif owner is not None:
                    answer.append((owner, _ready_events(owner, events[i].events)))
            now = monotonic()
            if now >= self.next_tick:
                if self.next_tick and now - self.next_tick > <int64_t> STALL:
                    self._forgive(now - self.next_tick)
                self.next_tick = now + TICK
                self._expire(now)
                self.ticked(now)
            if answer or self.urgent or (timeout is not None and now >= until):
                self.urgent = False
                return answer

    cdef int _serve(self, Socket socket, uint32_t events) except -1:
        try:
            if events & (EPOLLERR | EPOLLHUP) and not socket.interest & EPOLLIN:
                socket.hung_up()
            else:
                socket.ready(events)
        except Exception:
            log.exception("closing a connection after an internal error: %r", socket)
            _close_broken(socket)
        return 0

    cdef void _forgive(self, int64_t late) noexcept:
        """Put off every deadline by the time in which we did not run."""
        cdef int fd
        for fd in range(self.top):
            if self.deadlines[fd] > 0:
                self.deadlines[fd] += late

    cdef int _expire(self, int64_t now) except -1:
        cdef int fd
        for fd in range(self.top):
            if 0 < self.deadlines[fd] <= now:
                self.deadlines[fd] = 0
                owner = self.sockets[fd]
                if isinstance(owner, Socket):
                    try:
                        (<Socket> owner).expired(now)
                    except Exception:
                        log.exception("closing a connection after an internal error: %r", owner)
                        _close_broken(<Socket> owner)
        return 0

    # asyncio's side: the methods of selectors.BaseSelector that it uses

    def register(self, fileobj, events, data=None):
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self.keys:
            raise KeyError(f"{fileobj!r} is already registered")
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self.add(fd, key, _wanted_events(events))
        self.keys[fd] = key
        return key

    def unregister(self, fileobj):
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self.keys.pop(fd)
        epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, NULL)
        self.remove(fd)
        return key

    def modify(self, fileobj, events, data=None):
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, fd, events, data)
        if fd not in self.keys:
            raise KeyError(f"{fileobj!r} is not registered")
        self.keys[fd] = key
        self.sockets[fd] = key
        self.change(fd, _wanted_events(events))
        return key

    def get_key(self, fileobj):
        return self.keys[fileobj if isinstance(fileobj, int) else fileobj.fileno()]

    def get_map(self):
        return self.keys

    def close(self):
        if self.epoll >= 0:
            close_fd(self.epoll)
            self.epoll = -1


cdef uint32_t _wanted_events(int events):
    return (EPOLLIN if events & selectors.EVENT_READ else 0) | (EPOLLOUT if events & selectors.EVENT_WRITE else 0)


cdef int _ready_events(object key, uint32_t events):
    cdef int ready = 0
    if events & ~EPOLLOUT:
        ready |= selectors.EVENT_READ
    if events & ~EPOLLIN:
        ready |= selectors.EVENT_WRITE
    return ready & key.events


def _close_broken(Socket socket):
    """Let a socket whose callback raised settle its accounts, and close it whatever happens."""
    try:
        socket.broken()
    except Exception:
        log.exception("while closing %r", socket)
    socket.close()


cdef class Socket:
    """One non-blocking stream socket on the poller."""

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        PyMem_RawFree(self.pending)
        if self.fd >= 0:
            close_fd(self.fd)

    cdef int open(self, Poller poller, int fd, uint32_t events) except -1:
        self.poller = poller
        self.interest = events
        self.fd = fd
        poller.add(fd, self, events)
        return 0

    cdef int ready(self, uint32_t events) except -1:
        """Something happened; whoever subclasses this reads, writes or closes."""
        return 0

    cdef int hung_up(self) except -1:
        """The connection is over in both directions while nobody reads: be quiet until somebody does.

        The kernel reports this for ever, so the descriptor leaves the poller; `want` brings it back.
        """
        self.poller.mute(self.fd)
        self.muted = True
        return 0

    cdef int expired(self, int64_t now) except -1:
        """The deadline passed."""
        return 0

    cdef int broken(self) except -1:
        """A callback raised: settle what must be settled before the socket is closed."""
        return 0

    cdef ssize_t read(self, unsigned char* into, size_t size) noexcept:
        """Bytes read, 0 at the end, -1 on an error, -2 when there is nothing now."""
        cdef ssize_t n = recv(self.fd, into, size, 0)
        if n < 0 and (errno == EAGAIN or errno == EINTR):
            return -2
        return n

    cdef int send(self, iovec* parts, int count) except -2:
        """Send these bytes, or keep what the kernel does not take. 0: all sent; 1: some are pending; -1: broken.

        Raises MemoryError. The parts may be changed.
        """
        cdef ssize_t n
        cdef size_t rest = 0
        cdef int i
        if self.pending_end == self.pending_at:
            n = sendv(self.fd, parts, count)
            if n < 0:
                if errno != EAGAIN and errno != EINTR:
                    return -1
                n = 0
            while count and <size_t> n >= parts.iov_len:
                n -= parts.iov_len
                parts += 1
                count -= 1
            if count == 0:
                return 0
            parts.iov_base = <char*> parts.iov_base + n
            parts.iov_len -= n
        for i in range(count):
            rest += parts[i].iov_len
        self._reserve(rest)
        for i in range(count):
            memcpy(self.pending + self.pending_end, parts[i].iov_base, parts[i].iov_len)
            self.pending_end += parts[i].iov_len
        self.want(self.interest | EPOLLOUT)
        return 1

    cdef int _reserve(self, size_t more) except -1:
        cdef size_t held = self.pending_end - self.pending_at
        cdef unsigned char* grown
        if self.pending_at and held:
            memmove(self.pending, self.pending + self.pending_at, held)
        self.pending_at = 0
        self.pending_end = held
        if held + more > self.pending_size:
            grown = <unsigned char*> PyMem_RawRealloc(self.pending, held + more)
            if grown == NULL:
                raise MemoryError
            self.pending = grown
            self.pending_size = held + more
        return 0

    cdef int flush(self) noexcept:
        """Send what is pending. 0: all sent; 1: not yet; -1: broken."""
        cdef iovec part
        cdef ssize_t n
        if self.pending_end > self.pending_at:
            part.iov_base = self.pending + self.pending_at
            part.iov_len = self.pending_end - self.pending_at
            n = sendv(self.fd, &part, 1)
            if n < 0:
                return 1 if errno == EAGAIN or errno == EINTR else -1
            self.pending_at += n
            if self.pending_at < self.pending_end:
                return 1
        PyMem_RawFree(self.pending)
        self.pending = NULL
        self.pending_at = self.pending_end = self.pending_size = 0
        self.want(self.interest & ~EPOLLOUT)
        return 0

    cdef void want(self, uint32_t events) noexcept:
        """Be called for these events (errors and hang-ups always)."""
        if events != self.interest and self.fd >= 0:
            self.interest = events
            if self.muted:
                self.muted = False
                self.poller.unmute(self.fd, events)
            else:
                self.poller.change(self.fd, events)

    cdef void close(self) noexcept:
        if self.fd >= 0:
            self.poller.remove(self.fd)
            close_fd(self.fd)
            self.fd = -1
            PyMem_RawFree(self.pending)
            self.pending = NULL
            self.pending_at = self.pending_end = self.pending_size = 0

    cdef void end_sending(self) noexcept:
        """Tell the peer that nothing more comes; it may still send."""
        if self.fd >= 0:
            shutdown(self.fd, SHUT_WR)

    cdef void reset(self) noexcept:
        """Close with RST: the peer must see that what it got is not whole."""
        if self.fd >= 0:
            reset_on_close(self.fd)
            self.close()

