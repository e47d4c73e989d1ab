"""Who may call an API of ours: the address it listens on, the tokens that it takes, and what each of them may do.

Owns the shape and the safety of these, and the roles. Must not check a request.
"""

from typing import Final, Literal, Self, get_args

from pydantic import SecretStr, model_validator

from config.address import TcpAddress
from config.files import Token, TokenFile, read_secret
from config.texts import ListenOn, Name
from config.values import Value

Role = Literal["read", "operate", "admin"]
"""read: look; operate: lead traffic and rollouts; admin: everything. Each may do what those before it may."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)

OWN_NAMES: Final = frozenset({"breaker", "file", "lease", "reload"})
"""What stands for Serinus itself where it says who has changed something."""


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


class NamedToken(Authorized):
    """A token of somebody or something, and what it may do."""

    name: Name
    """Who has it; shown as who has made a change."""
    role: Role
    """read: look; operate: change weights and endpoints, lead rollouts; admin: everything."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.token is None and self.token_file is None:
            raise ValueError(f"the token {self.name} needs a token or a token_file")
        if self.name.casefold() in OWN_NAMES:
            raise ValueError(f"{self.name!r} stands for Serinus itself where a change says by whom; take another name")
        return self


class Admin(Authorized):
    """The admin API. Without a token it listens on addresses of this machine only."""

    address: ListenOn = TcpAddress("127.0.0.1", 9900)
    """host:port, [v6]:port, unix:/path or fd@N."""
    tokens: tuple[NamedToken, ...] = ()
    """More tokens, each with a name and a role. The one above has the role admin."""

    require_reason: bool = False
    """Whether a change has to say why."""

    @property
    def needs_token(self) -> bool:
        """Whether a call without a token is refused."""
        return bool(self.token or self.token_file or self.tokens)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not (self.address.is_local or self.needs_token):
            raise ValueError(
                f"others can reach {self.address}, so a token is needed: set token_file, or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _distinct_tokens(self) -> Self:
        """Whoever holds a token has one name and one role."""
        owners: dict[str, str] = {}
        places: tuple[Authorized, ...] = (self, *self.tokens)
        for each in places:
            name = each.name if isinstance(each, NamedToken) else "of this section"
            secret = _secret(each)
            if secret and secret in owners:
                raise ValueError(f"the tokens {owners[secret]} and {name} are the same; give each its own")
            owners[secret] = name
        return self


def _secret(place: Authorized) -> str:
    """The token of a place, also before the whole file is loaded; empty when there is none."""
    token: SecretStr | None = place.token
    if token is not None:
        return token.get_secret_value()
    return read_secret(place.token_file) if place.token_file is not None else ""
