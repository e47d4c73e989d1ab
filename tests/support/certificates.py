"""An authority of our own, and what it signs: for both sides of TLS in tests."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from proxy.core.snapshot import Certificate
from proxy.wire.contexts import load_certificate


class Authority:
    """Signs certificates; whoever trusts it trusts them."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> bytes:
        return self._ca.cert_pem.bytes()

    def certificate(self, *names: str) -> Certificate:
        """A certificate for these host names or addresses, with its key."""
        issued = self._ca.issue_cert(*names)
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        return Certificate(chain, issued.private_key_pem.bytes(), tuple(name.lower() for name in names))

    def write(self, folder: Path, stem: str, *names: str) -> None:
        """Write a certificate to STEM.pem and STEM.key, one after the other."""
        made = self.certificate(*names)
        for suffix, content in (("pem", made.chain), ("key", made.key)):
            new = folder / f"{stem}.{suffix}.new"
            new.write_bytes(content)
            new.rename(folder / f"{stem}.{suffix}")

    def write_own(self, path: Path) -> Path:
        """Write the certificate of the authority itself."""
        path.write_bytes(self.pem)
        return path

    def trusting(self, version: ssl.TLSVersion | None = None, own: Certificate | None = None) -> ssl.SSLContext:
        """What a client speaks that trusts this authority, of one version of TLS, with a certificate of its own."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return _with(context, own)

    def serving(self, certificate: Certificate, *, asks: bool = False) -> ssl.SSLContext:
        """What a server speaks that shows this certificate, and asks clients for one when told to."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if asks:
            context.load_verify_locations(cadata=self.pem.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        return _with(context, certificate)


def _with(context: ssl.SSLContext, certificate: Certificate | None) -> ssl.SSLContext:
    if certificate is not None:
        load_certificate(context, certificate)
    return context
