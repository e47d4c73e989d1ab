"""Addresses: where the proxy listens and where endpoints are.

Owns the grammar of `host:port`, `[v6]:port`, `unix:/path` and `fd@N`. Must not resolve a name or open a socket.

1. `str(address)` is canonical and reads back as the equal address.
2. A host is a valid IP address or a valid name: text which only some resolvers would take for an address
   (`127.1`, `0x7f.1`, `10.0.0.256`) is refused.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from config.units import shorten

# RFC 1123 §2.1 with the underscore that service discovery uses.
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LOOKS_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_BRACKETED: Final = re.compile(r"\[([^\]]*)\]:(.*)")
# sun_path of sockaddr_un(7) holds 108 bytes with its final NUL.
_MAX_UNIX_PATH: Final = 107
_MAX_FD: Final = 65535


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and a port; the host is a canonical IP address (without brackets) or a lower-case name."""

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def is_name(self) -> bool:
        """Whether the host has to be resolved."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The absolute path of a unix stream socket."""

    path: str
    is_local = True

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class InheritedSocket:
    """The number of a descriptor which the process was started with; nobody knows who can reach it."""

    fd: int
    is_local = False

    def __str__(self) -> str:
        return f"fd@{self.fd}"


EndpointAddress: TypeAlias = TcpAddress | UnixAddress
ListenAddress: TypeAlias = TcpAddress | UnixAddress | InheritedSocket


def parse_endpoint_address(value: object) -> EndpointAddress:
    """Return the address of an endpoint: `host:port`, `[v6]:port` or `unix:/path`.

    Raises:
        ValueError: `value` is no such address.
    """
    if isinstance(value, TcpAddress | UnixAddress):
        return value
    text = _text(value)
    if text.startswith("unix:"):
        return _unix(text)
    address = _tcp(text)
    if address.port == 0:
        raise ValueError(f"the port of {text!r} is 0; an endpoint needs the port that it listens on")
    return address


def parse_listen_address(value: object) -> ListenAddress:
    """Return an address to listen on: as for endpoints, also `fd@N`; port 0 asks for a free one.

    Raises:
        ValueError: `value` is no such address.
    """
    if isinstance(value, TcpAddress | UnixAddress | InheritedSocket):
        return value
    text = _text(value)
    if text.startswith("unix:"):
        return _unix(text)
    if text.startswith("fd@"):
        return _inherited(text)
    return _tcp(text)


def parse_host(text: str) -> str:
    """Return a host in canonical form: an IP address without brackets, or a name in lower case.

    Raises:
        ValueError: `text` is neither.
    """
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return _name(text)


def _name(text: str) -> str:
    # str.lower() maps some letters outside ASCII into it (the Kelvin sign), so ASCII comes first.
    name = text.lower() if text.isascii() else ""
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"not a host name or an IP address: {shorten(text)}")
    if _LOOKS_NUMERIC.fullmatch(labels[-1]):
        raise ValueError(f"not a valid IP address: {shorten(text)}")
    return name


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not an address: {shorten(value)}; write host:port in quotes, or unix:/path")
    return value


def _tcp(text: str) -> TcpAddress:
    scheme, marker, rest = text.partition("://")
    if marker:
        raise ValueError(
            f"an address has no scheme: {rest.split('/')[0] or 'host:port'!r} is enough, without {scheme}://"
        )
    bracketed = _BRACKETED.fullmatch(text)
    host, separator, port = (bracketed[1], ":", bracketed[2]) if bracketed else text.rpartition(":")
    if not separator:
        raise ValueError(f"a port is missing: {shorten(text)}; write host:port, or unix:/path")
    if ":" in host and not bracketed:
        raise ValueError(f"an IPv6 address stands in brackets: write [::1]:8080, not {shorten(text)}")
    if host in {"", "*"}:
        raise ValueError(f"a host is missing: {shorten(text)}; 0.0.0.0 or [::] stands for every interface")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"not a port: {shorten(port)}; a port is a number from 1 to 65535")
    if bracketed and ":" not in host:
        raise ValueError(f"brackets are for IPv6 addresses: {shorten(text)}")
    return TcpAddress(parse_host(host), int(port))


def _unix(text: str) -> UnixAddress:
    path = text.removeprefix("unix:")
    if not path.startswith("/"):
        raise ValueError(f"the path of a unix socket starts with /: write unix:/run/name.sock, not {shorten(text)}")
    if "\0" in path or len(path.encode("utf-8", "surrogatepass")) > _MAX_UNIX_PATH:
        raise ValueError(f"the path of a unix socket has at most {_MAX_UNIX_PATH} bytes and no NUL")
    return UnixAddress(path)


def _inherited(text: str) -> InheritedSocket:
    number = text.removeprefix("fd@")
    if not _PORT.fullmatch(number) or int(number) > _MAX_FD:
        raise ValueError(f"not an inherited descriptor: {shorten(text)}; write fd@3")
    if int(number) < 3:
        raise ValueError("descriptors 0 to 2 are the standard streams; inherited sockets begin at fd@3")
    return InheritedSocket(int(number))
