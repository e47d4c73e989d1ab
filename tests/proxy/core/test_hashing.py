"""Cohorts: a key stays where it is unless a version grows, and nobody without the salt can say where that is."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.hashing import cohort, key_hash, name_hash

SALT = bytes(range(16))
KEYS = [b"user-%d" % i for i in range(300)]
NAMES = ["stable", "canary", "blue", "green", "v2", "v3", "v4", "v5"]

salts = st.binary(min_size=16, max_size=16)
weights = st.floats(0.01, 100)

# SipHash-2-4 of b"", b"\x00", b"\x00\x01", ... under the key 00 01 .. 0f, from Aumasson and Bernstein's reference
# implementation: 64-bit numbers, little-endian.
VECTORS = """
310e0edd47db6f72 fd67dc93c539f874 5a4fa9d909806c0d 2d7efbd796666785 b7877127e09427cf 8da699cd64557618 cee3fe586e46c9cb
37d1018bf50002ab 6224939a79f5f593 b0e4a90bdf82009e f3b9dd94c5bb5d7a a7ad6b22462fb3f4 fbe50e86bc8f1e75 903d84c02756ea14
eef27a8e90ca23f7 e545be4961ca29a1
"""


class TestHash:
    @pytest.mark.parametrize(("length", "vector"), list(enumerate(VECTORS.split())))
    def test_keys_are_hashed_with_siphash_2_4(self, length: int, vector: str):
        assert key_hash(SALT, bytes(range(length))) == int.from_bytes(bytes.fromhex(vector), "little")

    @pytest.mark.parametrize("length", [0, 15, 17, 32])
    def test_a_salt_has_16_bytes(self, length: int):
        with pytest.raises(ValueError, match=f"a salt has 16 bytes, this one {length}"):
            key_hash(bytes(length), b"user")

    def test_versions_have_numbers_of_their_own(self):
        assert len({name_hash(name.encode()) for name in NAMES}) == len(NAMES)


def pairs(*values: float) -> list[tuple[str, float]]:
    return list(zip(NAMES, values, strict=False))


def cohorts(split: Sequence[tuple[str, float]], salt: bytes = SALT) -> list[int | None]:
    return [cohort(salt, key, split) for key in KEYS]


class TestMonotony:
    @given(salts, st.lists(weights, min_size=1, max_size=7), st.lists(weights, min_size=2, max_size=8))
    def test_while_one_version_rises_keys_move_to_it_only(self, salt: bytes, others: list[float], ramp: list[float]):
        """The others keep their weights among each other, as they do when a canary grows at the cost of all."""
        before = None
        for rising in sorted(ramp):
            after = cohorts(pairs(rising, *others), salt)
            if before is not None:
                assert {new for old, new in zip(before, after, strict=True) if old != new} <= {0}
            before = after

    @given(salts, st.lists(st.floats(0, 100), min_size=2, max_size=10), st.floats(0.5, 40))
    def test_a_ramp_in_per_cent_never_moves_a_key_back(self, salt: bytes, ramp: list[float], blue: float):
        """Shares in per cent: what the canary gains the others lose, each in proportion."""
        before = None
        for canary in sorted(ramp):
            rest = (100 - canary) / 100
            after = cohorts(pairs((100 - blue) * rest, canary, blue * rest), salt)
            if before is not None:
                assert {new for old, new in zip(before, after, strict=True) if old != new} <= {1}
            before = after

    @given(salts, st.lists(weights, min_size=1, max_size=7), weights)
    def test_a_rollback_to_0_moves_every_key_of_that_version_and_no_other(
        self, salt: bytes, others: list[float], canary: float
    ):
        before, after = (cohorts(pairs(value, *others), salt) for value in (canary, 0))
        assert 0 not in after
        assert all(old in (0, new) for old, new in zip(before, after, strict=True))

    @given(salts, st.lists(weights, min_size=2, max_size=8), st.randoms(use_true_random=False))
    def test_the_order_of_the_versions_does_not_matter(self, salt: bytes, values: list[float], shuffled: random.Random):
        split = pairs(*values)
        other = list(split)
        shuffled.shuffle(other)
        names = [[some[index][0] for index in cohorts(some, salt) if index is not None] for some in (split, other)]
        assert names[0] == names[1]

    @given(salts, st.binary(max_size=40), st.lists(weights, min_size=1, max_size=8), st.data())
    def test_everything_takes_everybody_and_0_nobody(
        self, salt: bytes, key: bytes, values: list[float], data: st.DataObject
    ):
        whole = data.draw(st.integers(0, len(values) - 1))
        only = [value if i == whole else 0 for i, value in enumerate(values)]
        assert cohort(salt, key, pairs(*only)) == whole

    def test_without_any_weight_there_is_no_cohort(self):
        assert cohort(SALT, b"user", pairs(0, 0)) is None
        assert cohort(SALT, b"user", []) is None


class TestDistribution:
    @pytest.mark.parametrize("split", [(50, 50), (99, 1), (90, 9, 1), (1, 1, 1, 1, 1, 1, 1, 1), (0.7, 0.2, 0.1)])
    @pytest.mark.parametrize("salt", [SALT, b"another 16 bytes", bytes(16)])
    def test_cohorts_are_as_large_as_the_weights_say(self, split: tuple[float, ...], salt: bytes):
        """Pearson's chi-square over 20,000 keys: one salt in 10,000 would exceed the bound for 7 degrees of freedom."""
        keys = 20_000
        counts = Counter(cohort(salt, b"user-%d" % i, pairs(*split)) for i in range(keys))
        expected = [keys * weight / sum(split) for weight in split]
        assert sum((counts[i] - wanted) ** 2 / wanted for i, wanted in enumerate(expected)) < 29.9

    def test_keys_that_differ_little_are_spread_like_any_others(self):
        counts = Counter(cohort(SALT, i.to_bytes(8, "little"), pairs(50, 50)) for i in range(20_000))
        assert abs(counts[0] - 10_000) < 300

    def test_a_new_salt_is_a_new_draw(self):
        """Of those who were in a cohort of 10 %, a tenth is in it again, not all and not none."""
        old, new = (
            {key for key in (b"user-%d" % i for i in range(20_000)) if cohort(salt, key, pairs(90, 10)) == 1}
            for salt in (SALT, b"another 16 bytes")
        )
        assert 100 < len(old & new) < 300

    @given(salts, salts)
    def test_two_salts_give_two_cohorts(self, one: bytes, other: bytes):
        assume(one != other)
        assert cohorts(pairs(50, 50), one) != cohorts(pairs(50, 50), other)


def test_another_process_gives_the_same_answers():
    program = (
        "from tests.proxy.core import test_hashing as here\n"
        "print(here.cohorts(here.pairs(70, 20, 5, 5)), here.name_hash(b'canary'))"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == f"{cohorts(pairs(70, 20, 5, 5))} {name_hash(b'canary')}"
