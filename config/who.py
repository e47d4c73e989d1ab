"""Who has asked for a change.

Owns the words for it. A name that is known for sure comes first; what somebody says of themselves follows it.
"""

from typing import NamedTuple


class Who(NamedTuple):
    """`by` is the name of a token, or what somebody without one says; `actor` is what the holder of a token says."""

    by: str
    actor: str = ""

    def __str__(self) -> str:
        return f"{self.by} for {self.actor}" if self.actor else self.by
