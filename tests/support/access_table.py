"""The tables of docs/access.md, and what is asked to see whether they are true."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).parents[2] / "docs" / "access.md"
ROLES = ("read", "operate", "admin")
TOKENS = tuple({"name": f"{role}-er", "role": role, "token": f"token-to-{role}"} for role in ROLES)
_ROW = re.compile(r"\| `([A-Z]+) (\S+)` \| (\w+)(?:; with `(\w+)` (\w+))? \|")


class Row(NamedTuple):
    """What the documentation says of a call; `option` is one of the query that takes more than the call itself."""

    method: str
    path: str
    role: str
    option: str | None = None
    role_with_option: str | None = None

    @property
    def target(self) -> str:
        """Something of this path, which need not exist."""
        return re.sub(r"\{\w+\}", "x", self.path)


def documented(title: str) -> list[Row]:
    """The rows below a title."""
    text = DOCS.read_text(encoding="utf-8").split(f"### {title}\n")[1].split("\n#")[0]
    return [Row(*match.groups()) for match in _ROW.finditer(text)]


def described(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Method, path and role of every call in an OpenAPI document."""
    return {(method, path, role) for method, path, role in _operations(document)}


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            requirements = operation.get("security")
            roles = [role for each in requirements or [{"token": ["everybody"]}] for role in each.get("token", ())]
            assert len(roles) == 1, f"{method} {path} has no role"
            yield method.upper(), path, roles[0]


def bearer(role: str) -> dict[str, str]:
    """The header of somebody with a role."""
    return {"Authorization": f"Bearer token-to-{role}"}


def may(role: str, needed: str) -> bool:
    """Whether a role is enough."""
    return needed == "everybody" or ROLES.index(role) >= ROLES.index(needed)
