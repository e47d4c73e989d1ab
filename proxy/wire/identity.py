"""What endpoints are told of a client's certificate: header lines, made once for each connection.

Owns the form of the values. Must not verify anything: only a certificate that the handshake has verified is told.

Rules:
1. The certificate itself is written as RFC 9440 has it, its subject as RFC 4514, its fingerprint as the SHA-256 in hex.
2. A value holds visible ASCII and spaces, whatever a certificate says.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Iterable
from typing import Any, Final

from proxy.core.snapshot import ClientField

#: RFC 4514 section 3; other types keep the names that the ssl module gives them.
_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
_SPECIAL: Final = frozenset('"+,;<>\\')


def identity_lines(connection: ssl.SSLObject, fields: Iterable[tuple[ClientField, str]]) -> bytes:
    """The lines for the client of this connection; empty when it has shown no certificate."""
    certificate = connection.getpeercert(binary_form=True)
    if not certificate:
        return b""
    values: dict[ClientField, str] = {
        "certificate": f":{base64.b64encode(certificate).decode()}:",
        "fingerprint": hashlib.sha256(certificate).hexdigest(),
        "subject": subject_text((connection.getpeercert() or {}).get("subject", ())),
    }
    return "".join(f"{name}: {values[kind]}\r\n" for kind, name in fields).encode("ascii")


def subject_text(names: Any) -> str:
    """A subject as the ssl module gives it, as text: the most specific part first, `CN=alice,O=Example`."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(text)}" for kind, text in part) for part in names[::-1]
    )


def _escaped(text: str) -> str:
    last = len(text) - 1
    return "".join(
        f"\\{char}"
        if char in _SPECIAL or (char == " " and at in {0, last}) or (char == "#" and at == 0)
        else char
        if " " <= char <= "~"
        else "".join(f"\\{byte:02X}" for byte in char.encode("utf-8", "backslashreplace"))
        for at, char in enumerate(text)
    )
