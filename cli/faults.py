"""What can go wrong with a command. Every fault says what to do next.

Owns the exit codes: who is at fault decides. Must not print (`cli.output` does).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


class Fault(Exception):
    """The root: the command could not do what it was asked."""

    exit_code: ClassVar[int] = 1

    def as_text(self) -> str:
        """The error for people."""
        return f"serinus: {self}"

    def as_json(self) -> dict[str, Any]:
        """The error for programs."""
        return {"error": str(self), "exit_code": self.exit_code}


class Unreachable(Fault):
    """Nobody answers as the admin API there."""

    exit_code = 3


class BadUsage(Fault):
    """The command line asks for something that cannot be."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the admin API does not accept: where it is, what is wrong, and the nearest valid name if any."""

    path: str
    message: str
    suggestion: str = ""

    @property
    def guess(self) -> str:
        """The nearest valid name, as a question."""
        return f" (did you mean {self.suggestion}?)" if self.suggestion else ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}{self.guess}" if self.path else f"{self.message}{self.guess}"


class Refused(Fault):
    """The admin API said no (RFC 9457 problem details)."""

    hint: ClassVar[str] = ""

    def __init__(self, status: int, sentence: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(sentence)
        self.status = status
        self.problems = tuple(problems)

    def as_text(self) -> str:
        """The sentence, one line for each problem, and the next step."""
        match self.problems:
            case [only] if only.message == str(self):  # the sentence says it all but the name that was meant
                lines = [f"serinus: {self}{only.guess}"]
            case problems:
                lines = [f"serinus: {self}", *(f"  {problem}" for problem in problems)]
        return "\n".join([*lines, self.hint]).rstrip()

    def as_json(self) -> dict[str, Any]:
        """The same, as values."""
        problems = [asdict(problem) for problem in self.problems]
        return {**super().as_json(), "status": self.status, "problems": problems}


class Unauthorized(Refused):
    """401: the token is missing or not the right one."""

    hint = "Set --token or SERINUS_TOKEN to its token (token or token_file of admin or controller in the file)."


class Forbidden(Unauthorized):
    """403: whoever has this token, or comes from there, may not do that."""

    hint = "Another token may do it: --token or SERINUS_TOKEN."


class NotFound(Refused):
    """404: there is no service, version or endpoint of this name."""

    hint = "`serinus status` lists what there is."


class Conflict(Refused):
    """409: the state of the service does not allow the change."""


class Stale(Refused):
    """412: the state is no longer the one that the change was based on; nothing was changed."""

    hint = "Somebody else made a change. Look at `serinus status`, then try again with its generation."


class Invalid(Refused):
    """400 or 422: the request itself is wrong."""

    exit_code = 2


_BY_STATUS: dict[int, type[Refused]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Stale,
    422: Invalid,
}


def refused(status: int, sentence: str, problems: Sequence[Problem] = ()) -> Refused:
    """The fault for a status."""
    return _BY_STATUS.get(status, Refused)(status, sentence, problems)
