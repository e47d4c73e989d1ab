"""Who may call an API of ours: the address it listens on and the token that it needs.

Owns the shape and the safety of both. Must not check a request.
"""

from typing import Self

from pydantic import model_validator

from config.address import TcpAddress
from config.files import Token, TokenFile
from config.texts import ListenOn
from config.values import Value


class Authorized(Value):
    """A place that may need a token."""

    token: Token | None = None
    """The bearer token that every call needs. Better in a file of its own: token_file."""
    token_file: TokenFile | None = None
    """The file that holds the token."""

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("takes either token or token_file, not both")
        return self


class Admin(Authorized):
    """The admin API. Without a token it listens on addresses of this machine only."""

    address: ListenOn = TcpAddress("127.0.0.1", 9900)
    """host:port, [v6]:port, unix:/path or fd@N."""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not (self.address.is_local or self.token or self.token_file):
            raise ValueError(
                f"others can reach {self.address}, so a token is needed: set token_file, or listen on 127.0.0.1"
            )
        return self
