"""Whether the tests run in their short form, or in the long one that is recorded in docs/failure-modes.md."""

import os
from typing import Final, TypeVar

T = TypeVar("T")

IS_LONG: Final = os.environ.get("SERINUS_LONG") == "1"


def long_or(short: T, long: T) -> T:
    """The value of the form that runs."""
    return long if IS_LONG else short
