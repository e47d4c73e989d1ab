"""What the proxy tells of itself and of its clients in the messages that it forwards.

Owns the names that may stand there. Must not know how a message is written.
"""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import PlainValidator, model_validator

from config.texts import TOKEN, matching, text_schema
from config.values import Value

#: RFC 9110 section 7.6.3: a pseudonym, or a host, either with a port.
_RECEIVED_BY: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}(?::[0-9]{1,5})?")
_RECEIVED_BY_WORDS: Final = "a name for Via: a token such as edge-1, or host:port"

ReceivedBy = Annotated[
    str,
    PlainValidator(matching(_RECEIVED_BY, _RECEIVED_BY_WORDS)),
    text_schema(f"^{_RECEIVED_BY.pattern}$", _RECEIVED_BY_WORDS),
]
ClientField = Literal["certificate", "subject", "fingerprint"]
_TOKEN: Final = re.compile(TOKEN)
_TAKEN: Final = frozenset(
    "authorization connection content-encoding content-length content-type cookie date expect forwarded host "
    "http2-settings keep-alive max-forwards te trailer transfer-encoding upgrade via x-real-ip x-request-id".split()
)
_TAKEN_PREFIXES: Final = ("proxy-", "x-forwarded-", "x-serinus-")


def _own_header(value: object) -> str:
    text = matching(_TOKEN, "the name of a header field")(value)
    name = text.lower().replace("_", "-")
    if name in _TAKEN or name.startswith(_TAKEN_PREFIXES):
        raise ValueError(f"{text!r} has a meaning of its own, in HTTP or to the proxy; take another name")
    return text


OwnHeader = Annotated[
    str, PlainValidator(_own_header), text_schema(f"^{_TOKEN.pattern}$", "a header field without a meaning of its own")
]


class ClientHeaders(Value):
    """Header fields in which endpoints are told of a client's certificate. Those of clients themselves are removed."""

    certificate: OwnHeader | None = None
    """The certificate, as RFC 9440 writes it; its name for this is Client-Cert."""
    subject: OwnHeader | None = None
    """Its subject: CN=alice,O=Example (RFC 4514)."""
    fingerprint: OwnHeader | None = None
    """The SHA-256 of the certificate, in hexadecimal digits."""

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        names = [name.lower().replace("_", "-") for _, name in self.named]
        if len(set(names)) != len(names):
            raise ValueError("names a header field twice")
        return self

    @property
    def named(self) -> tuple[tuple[ClientField, str], ...]:
        """What is told, and in which field."""
        told: tuple[tuple[ClientField, str | None], ...] = (
            ("certificate", self.certificate),
            ("subject", self.subject),
            ("fingerprint", self.fingerprint),
        )
        return tuple((kind, name) for kind, name in told if name is not None)


class Via(Value):
    """How the proxy calls itself in the Via field of what it forwards."""

    name: ReceivedBy
    """The name. A request that has it already is answered with 508: give proxies that stand in a row different ones."""
    responses: bool = False
    """Whether responses get the field too."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value
