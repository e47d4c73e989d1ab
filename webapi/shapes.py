"""The shapes that all of our APIs share; the OpenAPI documents are made from them.

Owns what a closed part of an interface is, what a line of text is, and how a problem looks. Must not know a call.

Bodies and queries are closed: an unknown key is a problem.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_REASON: Final = 500

# Control characters and separators of lines; half a surrogate pair is what a header that is not UTF-8 is read as.
ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*$"
_ONE_LINE: Final = re.compile(ONE_LINE.removesuffix("$"))


def is_one_line(text: str) -> bool:
    """Whether text can stand in a line of a log, a terminal or an event as it is."""
    return _ONE_LINE.fullmatch(text) is not None


def _one_line(text: str) -> str:
    if not is_one_line(text):
        raise ValueError("holds a control character; one line of plain text is wanted")
    return text


Reason = Annotated[
    str, Field(max_length=MAX_REASON, json_schema_extra={"pattern": ONE_LINE}), AfterValidator(_one_line)
]


class Closed(BaseModel):
    """A part of the interface: closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, hide_input_in_errors=True,
        validate_by_name=True, validate_by_alias=True,
    )  # fmt: skip


class Nothing(Closed):
    """No body, no query."""


class ProblemItem(Closed):
    """One thing that is wrong."""

    path: str
    """Where: `weights.cnary`; empty for the request as a whole."""
    message: str
    suggestion: str | None
    """The nearest valid name."""
    line: int | None
    """In the file, when it is one that cannot be used."""
    column: int | None


class ProblemView(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    problems: list[ProblemItem]
