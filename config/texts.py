"""Text in the configuration: names, tokens, patterns, paths, addresses, each with its check and its JSON Schema.

Owns what a valid name, header value, path or host pattern is. A check raises ValueError with a whole sentence for the
user; the place in the file is added by `config.load`.
"""

import ipaddress
import re
import shlex
from collections.abc import Callable
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from config.address import EndpointAddress, ListenAddress, parse_endpoint_address, parse_host, parse_listen_address
from config.units import shorten

# RFC 9110 §5.6.2
TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TOKEN: Final = re.compile(TOKEN)
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NAME_REQUIREMENT: Final = "a name: up to 63 letters, digits, dots, dashes and underscores"
_NOT_VERSIONS: Final = frozenset({"none", "off", "auto"})
# RFC 9112 §3.2: a target holds visible ASCII; `?` and `#` end the path.
_PATH: Final = re.compile(r"/[!\"$-;<=>@-~]*")
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"})
COMMAND_WORDS: Final = frozenset({"service", "endpoint", "version", "previous"})
"""The words in braces that a command is given values for."""
_MAX_REGEX: Final = 1000


def expect_text(value: object, *, is_secret: bool = False) -> str:
    """Return `value` when it is text; a secret is not shown in the message.

    Raises:
        ValueError: it is something else; numbers and truth values are told to wear quotes.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        shown = "it" if is_secret else shorten(value)
        raise ValueError(f"must be text, and YAML reads {shown} as something else; put it in quotes")
    raise ValueError(f"must be text, not {shorten(value)}")


def matching(pattern: re.Pattern[str], requirement: str) -> Callable[[object], str]:
    """Return a check that text matches `pattern` as a whole; `requirement` completes the sentence `… is not`."""

    def check(value: object) -> str:
        text = expect_text(value)
        if not pattern.fullmatch(text):
            raise ValueError(f"{shorten(text)} is not {requirement}")
        return text

    return check


def _header_value(value: object) -> str:
    text = expect_text(value)
    if any((ord(character) < 0x20 and character != "\t") or ord(character) == 0x7F for character in text):
        raise ValueError(f"{shorten(text)} holds a control character, which no header value can have")
    if text != text.strip(" \t"):
        raise ValueError(f"{shorten(text)} begins or ends with a space, which no header value does")
    return text


def _visible_text(value: object) -> str:
    text = expect_text(value)
    if not text or any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError(f"{shorten(text)} is empty or holds a control character")
    return text


def _version_name(value: object) -> str:
    text = matching(_NAME, _NAME_REQUIREMENT)(value)
    if not is_version_name(text):
        raise ValueError(f"{text!r} has a meaning of its own and cannot name a version")
    return text


def is_version_name(value: object) -> bool:
    """Whether a version can be called `value`."""
    return isinstance(value, str) and value not in _NOT_VERSIONS and _NAME.fullmatch(value) is not None


def _path(value: object) -> str:
    text = expect_text(value)
    if not text.startswith("/"):
        raise ValueError(f"a path begins with /: {shorten(text)}")
    if not _PATH.fullmatch(text):
        raise ValueError(f"{shorten(text)} is not a path: it holds ?, #, a space or a byte that has to be %-encoded")
    if any(segment in {".", ".."} for segment in text.split("/")) or "//" in text:
        raise ValueError(f"{shorten(text)} matches nothing: paths are compared without //, . and ..")
    return text


def _regex(value: object) -> str:
    text = expect_text(value)
    if len(text) > _MAX_REGEX:
        raise ValueError(f"a regular expression has at most {_MAX_REGEX} characters")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ValueError(f"not a regular expression: {exc}") from exc
    return text


def _method(value: object) -> str:
    text = matching(_TOKEN, "a method")(value)
    if text not in _KNOWN_METHODS and text.upper() in _KNOWN_METHODS:
        raise ValueError(f"methods are written in capitals: {text.upper()}")
    if text == "CONNECT":
        raise ValueError("CONNECT is answered with 405, whatever the routes say: this is no forward proxy")
    return text


def _host_pattern(value: object) -> str:
    text = expect_text(value)
    if text == "*":
        raise ValueError("leave host out to match every host")
    if re.search(r":[0-9]+$", text) and text.count(":") == 1:
        raise ValueError(f"a host is matched without its port: write {text.rpartition(':')[0]!r}")
    suffix = text.removeprefix("*.")
    return text[: len(text) - len(suffix)] + parse_host(suffix.removeprefix("[").removesuffix("]"))


def _http_url(value: object) -> str:
    text = _visible_text(value)
    try:
        url = urlsplit(text)
        has_host = bool(url.hostname) and (url.port or True)
    except ValueError as exc:
        raise ValueError(f"not a URL: {shorten(text)}: {exc}") from exc
    if url.scheme not in {"http", "https"} or not has_host or " " in text:
        raise ValueError(f"not a URL: {shorten(text)}; write http://host/path")
    return text


def _command(value: object) -> str:
    text = _visible_text(value)
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise ValueError(f"not a command: {exc}") from exc
    if not words:
        raise ValueError("not a command: it has no words")
    unknown = sorted(set(re.findall(r"\{([a-z]+)\}", text)) - COMMAND_WORDS)
    if unknown:
        raise ValueError(f"unknown word {{{unknown[0]}}}; known are {', '.join(sorted(COMMAND_WORDS))}")
    return text


def _network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    text = expect_text(value)
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"not an address range: {shorten(text)}; write 10.0.0.0/8 or ::1") from exc
        raise ValueError(f"{shorten(text)} is an address inside a range; write {str(network)!r}") from exc


def text_schema(pattern: str | None, description: str) -> WithJsonSchema:
    """Return the JSON Schema of text."""
    schema: dict[str, Any] = {"type": "string", "description": description}
    if pattern is not None:
        schema["pattern"] = pattern
    return WithJsonSchema(schema)


Endpoint = Annotated[
    EndpointAddress,
    PlainValidator(parse_endpoint_address),
    PlainSerializer(str),
    text_schema(r"^(unix:/.+|.+:[0-9]+)$", "host:port, [v6]:port or unix:/path"),
]
ListenOn = Annotated[
    ListenAddress,
    PlainValidator(parse_listen_address),
    PlainSerializer(str),
    text_schema(r"^(unix:/.+|fd@[0-9]+|.+:[0-9]+)$", "host:port, [v6]:port, unix:/path or fd@N"),
]
Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    PlainValidator(_network),
    PlainSerializer(str),
    text_schema(None, "an address range such as 10.0.0.0/8, or one address"),
]
Name = Annotated[
    str,
    PlainValidator(matching(_NAME, _NAME_REQUIREMENT)),
    text_schema(f"^{_NAME.pattern}$", "a name"),
]
VersionName = Annotated[str, PlainValidator(_version_name), text_schema(f"^{_NAME.pattern}$", "the name of a version")]
TokenText = Annotated[
    str,
    PlainValidator(matching(_TOKEN, "a token (letters, digits and !#$%&'*+.^_`|~-)")),
    text_schema(f"^{_TOKEN.pattern}$", "a token"),
]
HeaderValue = Annotated[str, PlainValidator(_header_value), text_schema(None, "a header value")]
VisibleText = Annotated[str, PlainValidator(_visible_text), WithJsonSchema({"type": "string", "minLength": 1})]
RequestPath = Annotated[str, PlainValidator(_path), text_schema("^/", "a path")]
Regex = Annotated[
    str, PlainValidator(_regex), WithJsonSchema({"type": "string", "format": "regex", "maxLength": _MAX_REGEX})
]
Method = Annotated[str, PlainValidator(_method), text_schema(f"^{_TOKEN.pattern}$", "a method such as GET")]
HostPattern = Annotated[str, PlainValidator(_host_pattern), text_schema(None, "a host, or *.suffix")]
HttpUrl = Annotated[
    str, PlainValidator(_http_url), WithJsonSchema({"type": "string", "format": "uri", "pattern": "^https?://"})
]
Command = Annotated[str, PlainValidator(_command), WithJsonSchema({"type": "string", "minLength": 1})]
