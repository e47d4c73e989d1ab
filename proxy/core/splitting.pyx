"""The split of requests without a key: every version has its share at every moment, from the first request on.

Rules:
1. A version's credit is its share of the requests so far less those it got. Credits add up to zero.
2. A version may be chosen when its credit, with its share of this request, is above zero. Each credit stays between -1 and
   1, and so over any run of requests each version is within 2 of its share, whatever the weights.
3. Of two versions, both may be chosen or only one can; either way the bounds hold, since the credits are opposite. Where both
   may, chance decides: each request that a version is due falls on a random one of those in which it may. So failures that
   come in step with the split, every second request for example, do not all meet the same version (stratified sampling).
4. Of three and more, the one whose credit would reach one first is chosen (earliest deadline first). A fluid split satisfies
   both bounds, so some integral one does, and this finds it (the chairman assignment, Tijdeman 1980).
5. The start is a random place in the sequence, so that many workers, and restarts, do not all begin alike.
6. New weights keep the credits: a change does not begin the sequence anew.
7. Weight 0 is never chosen. All arithmetic is on integers, in units of 2**-48 of a request: nothing drifts.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint64_t

from proxy.core.hashing cimport mix

cdef int64_t ONE = <int64_t> 1 << 48


def _shares(weights) -> list:
    """Integers that add up to ONE, in proportion; a weight above zero gets at least one unit.

    Raises ValueError when a weight is negative or not finite, or when all are zero.
    """
    if any(not 0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"weights must be finite, not negative and not all zero: {list(weights)}")
    whole = 1 << 48
    largest = max(weights)
    ratios = [weight / largest for weight in weights]
    total = sum(ratios)
    shares = [max(1, int(ratio / total * whole)) if ratio or weight else 0 for ratio, weight in zip(ratios, weights)]
    shares[shares.index(max(shares))] += whole - sum(shares)
    return shares


cdef class Splitter:
    """Chooses among `weights`. `place` is where in the sequence to begin, and the seed of its chance: any random integer of
    32 bits.
    """

    def __cinit__(self, weights, place=0):
        cdef int i
        self.count = len(weights)
        self.share = <int64_t*> PyMem_Malloc(self.count * sizeof(int64_t))
        self.credit = <int64_t*> PyMem_Malloc(self.count * sizeof(int64_t))
        self.turn = <int64_t*> PyMem_Malloc(self.count * sizeof(int64_t))
        if self.share == NULL or self.credit == NULL or self.turn == NULL:
            raise MemoryError
        self.random = <uint64_t> (place & 0xffffffff) << 32
        for i, share in enumerate(_shares(weights)):
            self.share[i] = share
            self.turn[i] = self._draw()
            self.credit[i] = <int64_t> ((<uint64_t> share * <uint64_t> (place & 0xffffffff)) & <uint64_t> (ONE - 1))
        self._count_pair()
        self._balance_start()

    cdef void _count_pair(self) noexcept:
        cdef int i
        cdef int served = 0
        for i in range(self.count):
            served += self.share[i] != 0
        self.pair = served == 2

    cdef int64_t _draw(self) noexcept:
        """A random part of a request, from 0 to ONE."""
        self.random += 1
        return <int64_t> (mix(self.random) >> 16)

    cdef inline double _deadline(self, int i) noexcept:
        """After how many requests from now it is this version's turn."""
        return <double> ((self.turn[i] if self.pair else ONE) - self.credit[i]) / <double> self.share[i]

    def __dealloc__(self):
        PyMem_Free(self.share)
        PyMem_Free(self.credit)
        PyMem_Free(self.turn)

    def _balance_start(self):
        """Give the whole requests that the fractions add up to those versions whose deadlines come first."""
        due = sorted((i for i in range(self.count) if self.share[i]),
                     key=lambda i: self._deadline(i))
        for i in due[:sum(self.credit[i] for i in range(self.count)) // ONE]:
            self.credit[i] -= ONE
            self.turn[i] = self._draw()

    def reweigh(self, weights) -> None:
        """Go on with other weights for the same versions. Raises ValueError as the constructor does."""
        cdef int64_t surplus = 0
        if len(weights) != self.count:
            raise ValueError(f"{self.count} versions, {len(weights)} weights")
        for i, share in enumerate(_shares(weights)):
            self.share[i] = share
            if share == 0:
                surplus += self.credit[i]
                self.credit[i] = 0
        self._count_pair()
        for i in sorted(range(self.count), key=lambda i: -self.share[i]):
            if self.share[i] and surplus:
                room = max(min(self.credit[i] + surplus, ONE - 1), 1 - ONE) - self.credit[i]
                self.credit[i] += room
                surplus -= room

    cdef int choose(self) noexcept:
        cdef int i
        cdef int best = -1
        cdef double deadline
        cdef double first = 0
        for i in range(self.count):
            if self.share[i] == 0:
                continue
            self.credit[i] += self.share[i]
            if self.credit[i] > 0:
                deadline = self._deadline(i)
                if best < 0 or deadline < first:
                    best = i
                    first = deadline
        self.credit[best] -= ONE
        self.turn[best] = self._draw()
        return best

    def __next__(self) -> int:
        return self.choose()

    def __iter__(self):
        return self

    def credits(self) -> list:
        """What each version is owed, in requests (for people and tests)."""
        return [<double> self.credit[i] / <double> ONE for i in range(self.count)]
