"""Files that a configuration names: paths, certificates, secrets.

Owns what a valid path is. A message never shows the content of a file. A relative path starts at the folder of the
configuration file, which the validation context holds as `folder`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator, SecretStr, ValidationInfo, WithJsonSchema

from config.texts import expect_text, text_schema

_MAX_SECRET: Final = 64 * 1024
_SHORTEST_SECRET: Final = 16
# RFC 6750 §2.1 has fewer characters; these are all that a header value can carry without a space.
_TOKEN: Final = re.compile(r"[!-~]+")


def read_secret(path: Path) -> str:
    """Return the content of a file that holds one secret, without the line break at its end.

    Raises:
        ValueError: the file cannot be read, or is empty or too large.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            secret = file.read(_MAX_SECRET + 1)
    except OSError as exc:
        raise ValueError(f"cannot read {str(path)!r}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError(f"cannot read {str(path)!r}: not UTF-8 text") from exc
    if len(secret) > _MAX_SECRET:
        raise ValueError(f"{str(path)!r} is larger than {_MAX_SECRET // 1024} KiB")
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"{str(path)!r} is empty")
    return secret


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file, and the secret that was in it when the configuration was read."""

    path: Path
    secret: bytes = field(repr=False)


def parse_token(value: object) -> SecretStr:
    """Return a bearer token.

    Raises:
        ValueError: `value` cannot stand in a header; the message does not show it.
    """
    text = value.get_secret_value() if isinstance(value, SecretStr) else expect_text(value, is_secret=True)
    if not _TOKEN.fullmatch(text):
        raise ValueError("a token is visible ASCII without spaces, and not empty")
    return SecretStr(text)


def _secret_file(value: object, info: ValidationInfo) -> SecretFile:
    path = value.path if isinstance(value, SecretFile) else _file_path(value, info)
    secret = read_secret(path).encode()
    if len(secret) < _SHORTEST_SECRET:
        raise ValueError(f"the secret in {str(path)!r} can be guessed: give it {_SHORTEST_SECRET} characters or more")
    return SecretFile(path, secret)


def _token_file(value: object, info: ValidationInfo) -> Path:
    path = _file_path(value, info)
    try:
        parse_token(read_secret(path))
    except ValueError as exc:
        raise ValueError(f"no token in {str(path)!r}: {exc}") from exc
    return path


def _file_path(value: object, info: ValidationInfo) -> Path:
    """Return an absolute path; a relative one starts at the folder of the configuration file."""
    text = str(value) if isinstance(value, Path) else expect_text(value)
    if not text or "\0" in text:
        raise ValueError("not a path: it is empty or holds NUL")
    folder: Path = (info.context or {}).get("folder") or Path.cwd()
    return folder / text


def _log_output(value: object, info: ValidationInfo) -> str:
    return "stdout" if value == "stdout" else str(_file_path(value, info))


def _readable_file(value: object, info: ValidationInfo) -> Path:
    path = _file_path(value, info)
    try:
        with path.open("rb"):
            return path
    except OSError as exc:
        raise ValueError(f"cannot read {str(path)!r}: {exc.strerror or exc}") from exc


FilePath = Annotated[
    Path, PlainValidator(_file_path), PlainSerializer(str), text_schema(None, "a path, from the folder of this file")
]
ReadableFile = Annotated[
    Path, PlainValidator(_readable_file), PlainSerializer(str), text_schema(None, "an existing, readable file")
]
LogOutput = Annotated[str, PlainValidator(_log_output), text_schema(None, "stdout, or a path")]
TokenFile = Annotated[
    Path, PlainValidator(_token_file), PlainSerializer(str), text_schema(None, "a file that holds a token")
]
SharedSecret = Annotated[
    SecretFile,
    PlainValidator(_secret_file),
    PlainSerializer(lambda file: str(file.path)),
    text_schema(None, "a file that holds a secret of 16 characters or more"),
]
Token = Annotated[
    SecretStr,
    PlainValidator(parse_token),
    WithJsonSchema({"type": "string", "minLength": 1, "writeOnly": True}),
]
