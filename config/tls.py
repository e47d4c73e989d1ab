"""TLS: certificates of listeners, and how endpoints are spoken to.

Owns the shape of what the file says and that a certificate and its key are a pair. Must not keep keys: `read_pair`
hands them to whoever asks.

Units: `not_after` in seconds since 1970.
"""

import _ssl
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import PlainValidator, model_validator

from config.address import parse_host
from config.files import ReadableFile
from config.forwarding import ClientHeaders
from config.texts import expect_text, text_schema
from config.values import OneOrMore, Value

_MOST: Final = 1024 * 1024
HostName = Annotated[
    str, PlainValidator(lambda value: parse_host(expect_text(value))), text_schema(None, "a host name or an IP address")
]


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain and its key, PEM, and what it says."""

    chain: bytes
    key: bytes
    names: tuple[str, ...]
    not_after: float


def read_pem(path: Path) -> bytes:
    """The content of a PEM file. Raises ValueError."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
    except OSError as exc:
        raise ValueError(f"cannot read {str(path)!r}: {exc.strerror or exc}") from exc
    if len(content) > _MOST:
        raise ValueError(f"{str(path)!r} is larger than {_MOST // 1024} KiB")
    if b"-----BEGIN " not in content:
        raise ValueError(f"{str(path)!r} is not a PEM file: it has no -----BEGIN line")
    return content


def read_authorities(path: Path) -> bytes:
    """Certificates of authorities, PEM. Raises ValueError."""
    content = read_pem(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii", "replace"))
    except ssl.SSLError as exc:
        raise ValueError(f"{str(path)!r} holds no certificate that can be read ({_words(exc)})") from exc
    return content


def read_pair(cert: Path, key: Path) -> Pair:
    """A certificate and its key, from their files. Raises ValueError: they are none, or do not belong together."""
    chain, secret = read_pem(cert), read_pem(key)
    if b"ENCRYPTED" in secret:
        raise ValueError(f"{str(key)!r} is encrypted: write it without a passphrase, readable for its owner only")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        said = _ssl._test_decode_cert(str(cert))  # type: ignore[attr-defined]  # what getpeercert() would say of it
    except ssl.SSLError as exc:
        raise ValueError(_pair_sentence(exc, cert, key)) from exc
    except OSError as exc:
        raise ValueError(f"cannot read {str(cert)!r} and {str(key)!r}: {exc.strerror or exc}") from exc
    if read_pem(cert) != chain or read_pem(key) != secret:
        raise ValueError(f"{str(cert)!r} and {str(key)!r} were being replaced while they were read")
    return Pair(chain, secret, _names(said), _seconds(said["notAfter"]))


def _pair_sentence(exc: ssl.SSLError, cert: Path, key: Path) -> str:
    if exc.reason == "KEY_VALUES_MISMATCH":
        return f"the key in {str(key)!r} does not belong to the certificate in {str(cert)!r}"
    return f"{str(cert)!r} and {str(key)!r} hold no certificate and key that can be read ({_words(exc)})"


def _words(exc: ssl.SSLError) -> str:
    return (exc.reason or str(exc)).lower().replace("_", " ")


def _names(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The host names that it is for: those of subjectAltName alone (RFC 9525 section 2)."""
    return tuple(value.lower() for kind, value in said.get("subjectAltName", ()) if kind == "DNS")


def _seconds(text: str) -> float:
    return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC).timestamp()


class Certificate(Value):
    """A certificate and its private key, as PEM files; they are read again when they change."""

    cert: ReadableFile
    """The certificate, followed by its chain."""
    key: ReadableFile
    """The private key of the certificate, without a passphrase."""

    @model_validator(mode="after")
    def _are_a_pair(self) -> Self:
        read_pair(self.cert, self.key)
        return self


class Tls(Certificate):
    """TLS to the clients of a listener."""

    more: OneOrMore[Certificate] = ()
    """Certificates for other names: the name that a client asks for chooses (SNI); the first one is for all others."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """The oldest version of TLS that is spoken."""
    ciphers: str | None = None
    """Cipher suites of TLS 1.2, as OpenSSL writes them; without it ECDHE with AES-GCM or ChaCha20."""
    strict_sni: bool = False
    """Whether clients that ask for a name that no certificate has are refused."""
    client_ca: ReadableFile | None = None
    """Clients need a certificate of one of these authorities (PEM): mutual TLS."""
    client_auth: Literal["required", "optional"] = "required"
    """With client_ca: whether clients without a certificate are refused."""
    client_headers: ClientHeaders = ClientHeaders()
    """With client_ca: header fields in which endpoints are told of the client's certificate."""

    @model_validator(mode="after")
    def _can_be_spoken(self) -> Self:
        if self.client_ca is not None:
            read_authorities(self.client_ca)
        elif needing := {"client_auth", "client_headers"} & self.model_fields_set:
            raise ValueError(f"{min(needing)} needs client_ca, the authorities whose certificates are good")
        if self.ciphers is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(self.ciphers)
            except ssl.SSLError as exc:
                raise ValueError(f"ciphers: OpenSSL knows none of {self.ciphers!r}") from exc
        return self


class UpstreamTls(Value):
    """TLS to the endpoints of a version."""

    verify: bool = True
    """Whether the endpoints' certificates are checked; false: anybody in between can read and change everything."""
    ca: ReadableFile | None = None
    """The authorities that sign the endpoints' certificates (PEM); without it those that the system trusts."""
    server_name: HostName | None = None
    """The name to ask for and to find in the certificate; without it the host of the endpoint's address."""
    cert: ReadableFile | None = None
    """Our own certificate, for endpoints that want one (PEM)."""
    key: ReadableFile | None = None
    """Its private key."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: give both or none")
        if self.cert is not None and self.key is not None:
            read_pair(self.cert, self.key)
        if self.ca is not None:
            read_authorities(self.ca)
            if not self.verify:
                raise ValueError("ca is of no use with verify: false")
        return self
