"""The split of requests without a key: every version has its share at every moment, from the first request on.

Rules:
1. Requests are split in two, and each half in two again, until every branch is one version: a tree of forks. Of two versions
   there is one fork, of three or four a request passes two at most.
2. A fork owes each side its share of the requests so far less those it got: its credit. A side may be chosen when its credit,
   with its share of this request, is above zero. So credits stay between -1 and 1, and over any run of requests each side is
   within 2 of its share, whatever the weights.
3. What forks owe adds up on the way to a version: over any run, two versions are within 2 of their shares, up to four within
   4, up to eight within 6. Where only two of many have a weight, one fork decides, and it is 2.
4. Where both sides may be chosen, chance decides: each request that a side is due falls on a random one of those in which it
   may (stratified sampling). So failures that come in step with the split, every second request for example, do not all meet
   the same version.
5. The start is a random place in the sequence, so that many workers, and restarts, do not all begin alike.
6. New weights keep the credits: a change does not begin the sequence anew. A side that comes down to 0 is forgiven.
7. Weight 0 is never chosen. All arithmetic is on integers, in units of 2**-48 of a request: nothing drifts.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint64_t

from fractions import Fraction

from proxy.core.hashing cimport mix

cdef int64_t ONE = <int64_t> 1 << 48


def _exact(weights) -> list:
    """The weights as fractions. Raises ValueError when one is negative or not finite, or when all are zero."""
    if any(not 0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"weights must be finite, not negative and not all zero: {list(weights)}")
    return [Fraction(weight) for weight in weights]


def _share(left, both) -> int:
    """What part of ONE is the left's; each side that has a weight gets at least one unit."""
    whole = 1 << 48
    if left == 0 or left == both:
        return whole if left else 0
    return min(max(1, int(left / both * whole)), whole - 1)


cdef class Splitter:
    """Chooses among `weights`. `place` is where in the sequence to begin, and the seed of its chance: any random integer of
    32 bits.
    """

    def __cinit__(self, weights, place=0):
        cdef int i
        cdef Fork* at
        self.count = len(weights)
        exact = _exact(weights)
        self.fork = <Fork*> PyMem_Malloc(self.count * sizeof(Fork))
        if self.fork == NULL:
            raise MemoryError
        self.random = <uint64_t> (place & 0xffffffff) << 32
        self.root = self._plant(0, self.count)
        self._share_out(self.root, exact)
        for i in range(self.forks):
            at = &self.fork[i]
            at.turn[0] = self._draw()
            at.turn[1] = self._draw()
            at.credit = <int64_t> (<uint64_t> at.share * <uint64_t> (place & 0xffffffff) & <uint64_t> (ONE - 1))
            self._take_turn(at)

    def __dealloc__(self):
        PyMem_Free(self.fork)

    cdef int _plant(self, int first, int end):
        """Make the forks that lead to the versions from `first` to before `end`; returns the way to them."""
        cdef int at = self.forks
        cdef int middle = (first + end + 1) // 2
        if end - first == 1:
            return ~first
        self.forks += 1
        self.fork[at].way[0] = self._plant(first, middle)
        self.fork[at].way[1] = self._plant(middle, end)
        return at

    cdef object _share_out(self, int way, list exact):
        """Give each fork on this way its share; one that has nothing to split owes nothing. Returns the sum of the weights."""
        cdef Fork* at
        if way < 0:
            return exact[~way]
        at = &self.fork[way]
        left = self._share_out(at.way[0], exact)
        both = left + self._share_out(at.way[1], exact)
        at.share = _share(left, both)
        if at.share == 0 or at.share == ONE:
            at.credit = 0
        return both

    cdef int64_t _draw(self) noexcept:
        """A random part of a request, from 0 to ONE."""
        self.random += 1
        return <int64_t> (mix(self.random) >> 16)

    def reweigh(self, weights) -> None:
        """Go on with other weights for the same versions. Raises ValueError as the constructor does."""
        if len(weights) != self.count:
            raise ValueError(f"{self.count} versions, {len(weights)} weights")
        self._share_out(self.root, _exact(weights))

    cdef inline int _take_turn(self, Fork* at) noexcept:
        """Which side is chosen, 0 left or 1 right, once the left's credit holds its share of this request."""
        cdef int64_t right = ONE - at.credit
        cdef int side
        if at.credit <= 0:
            side = 1
        elif right <= 0:
            side = 0
        else:   # the side whose turn comes after fewer requests; both sides of the comparison times both shares
            side = (<double> (at.turn[0] - at.credit) * <double> (ONE - at.share)
                    > <double> (at.turn[1] - right) * <double> at.share)
        if side == 0:
            at.credit -= ONE
        at.turn[side] = self._draw()
        return side

    cdef int choose(self) noexcept:
        cdef int way = self.root
        cdef Fork* at
        while way >= 0:
            at = &self.fork[way]
            if at.share == 0:
                way = at.way[1]
            elif at.share == ONE:
                way = at.way[0]
            else:
                at.credit += at.share
                way = at.way[self._take_turn(at)]
        return ~way

    def __next__(self) -> int:
        return self.choose()

    def __iter__(self):
        return self

    def credits(self) -> list:
        """What each version is owed, in requests (for people and tests)."""
        return self._owed(self.root, 0.0)

    cdef list _owed(self, int way, double debt):
        """What the versions on this way are owed, of a debt to all of them and of those to each."""
        cdef Fork* at
        cdef double share
        cdef double credit
        if way < 0:
            return [debt]
        at = &self.fork[way]
        share = <double> at.share / <double> ONE
        credit = <double> at.credit / <double> ONE
        return self._owed(at.way[0], debt * share + credit) + self._owed(at.way[1], debt * (1 - share) - credit)
