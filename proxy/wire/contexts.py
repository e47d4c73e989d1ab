"""Contexts of the ssl module, made from certificates in memory.

Owns which protocol versions, ciphers and options are spoken, and which certificate answers to which name. Must not read
files of the configuration: keys come from the supervisor, so that a worker needs no right to read them, and one that
starts while files are being replaced has whole ones.

Rules:
1. TLS 1.2 and 1.3 only, forward secrecy and authenticated encryption only, no compression, no renegotiation (RFC 9325).
2. A context is never changed once it is in use: new certificates make a new one, open connections keep theirs.
3. Who asked for a name and then asks for another host, which another certificate is for, is told so (421, RFC 9110
   section 15.5.20). Who asked for no name is served. A session of TLS 1.2 goes on with the name that it was made with.
4. A session goes on only where the same is asked of clients: it would stand for a certificate that nobody has seen.
"""

from __future__ import annotations

import _ssl
import ctypes
import hashlib
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from proxy.core.snapshot import Certificate, ClientField, ClientTls, ServerTls

#: RFC 9325 section 4.2 for TLS 1.2; those of TLS 1.3 are all fine and not chosen here.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
TICKET_KEYS_SIZE: Final = 80
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# OpenSSL's ssl.h: the macro SSL_CTX_set_tlsext_ticket_keys, which the ssl module does not have.
_SET_TICKET_KEYS: Final = 59


class ServerContext(ssl.SSLContext):
    """How one certificate of a listener is spoken for; `by_name` has the others, where the client asked for a name."""

    own_names: Mapping[str, ServerContext] = MappingProxyType({})
    by_name: Mapping[str, ServerContext] = MappingProxyType({})
    client_headers: tuple[tuple[ClientField, str], ...] = ()

    def is_misdirected(self, host: str) -> bool:
        """Whether another certificate is for this host, and the one that is shown is not."""
        return find_name(self.own_names, host) is None and find_name(self.by_name, host) is not None


def server_context(tls: ServerTls, ticket_keys: bytes) -> ServerContext:
    """The context of a listener. Raises ssl.SSLError, ValueError: something in it is not what OpenSSL takes."""
    first = _server_context(tls, tls.certificates[0], ticket_keys)
    if len(tls.certificates) == 1 and not tls.strict_sni:
        return first
    # The first certificate has two: that of who asked for no name is never the wrong one.
    contexts = [_server_context(tls, certificate, ticket_keys) for certificate in tls.certificates]
    by_name: dict[str, ServerContext] = {}
    for certificate, context in zip(tls.certificates, contexts, strict=True):
        context.by_name = by_name
        context.own_names = dict.fromkeys(certificate.names, context)
        for name in certificate.names:
            by_name.setdefault(name, context)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        # RFC 6066 section 3. The first certificate answers whoever asks for no name.
        if name is None:
            return None
        found = find_name(by_name, name)
        if found is None and tls.strict_sni:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = found or contexts[0]
        return None

    first.sni_callback = choose
    return first


def find_name(by_name: Mapping[str, ServerContext], name: str) -> ServerContext | None:
    """The context for a host name: that of the name itself, else of the wildcard for its leftmost label (RFC 6125)."""
    name = name.lower().rstrip(".")
    return by_name.get(name) or by_name.get("*." + name.partition(".")[2])


@lru_cache(maxsize=1024)
def client_context(tls: ClientTls) -> ssl.SSLContext:
    """The context of the connections to a version's endpoints. Raises ssl.SSLError, ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.set_alpn_protocols(["http/1.1"])
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca:
        context.load_verify_locations(cadata=tls.ca.decode("ascii", "replace"))
    else:
        context.load_default_certs()
    if tls.certificate is not None:
        load_certificate(context, tls.certificate)
    return context


def host_of(address: str) -> str:
    """The host of an endpoint's address, as a certificate names it: "10.0.0.1", "::1", "app.internal"."""
    return "localhost" if address.startswith("unix:") else address.rpartition(":")[0].strip("[]")


def load_certificate(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Give a context its certificate. Raises ssl.SSLError, ValueError when it and the key do not fit."""
    # The ssl module takes them from files only.
    with _as_file(certificate.chain) as chain, _as_file(certificate.key) as key:
        context.load_cert_chain(chain, key, password=_refuse_password)


def tickets_can_be_shared() -> bool:
    """Whether this Python's OpenSSL can be told the keys of session tickets."""
    return _openssl() is not None


def _server_context(tls: ServerTls, certificate: Certificate, ticket_keys: bytes) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.client_headers = tls.client_headers
    _harden(context)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.set_ciphers(tls.ciphers or CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, certificate)
    if tls.client_ca:
        context.load_verify_locations(cadata=tls.client_ca.decode("ascii", "replace"))
        context.verify_mode = ssl.CERT_REQUIRED if tls.client_required else ssl.CERT_OPTIONAL
    if ticket_keys:
        _share_tickets(context, _keys_of(tls, ticket_keys))
    return context


def _keys_of(tls: ServerTls, ticket_keys: bytes) -> bytes:
    """The keys of the tickets of all listeners that ask the same of clients."""
    asked = b"%d%b" % (tls.client_required, tls.client_ca) if tls.client_ca else b""
    return hashlib.shake_256(b"serinus tickets" + ticket_keys + asked).digest(TICKET_KEYS_SIZE)


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _share_tickets(context: ssl.SSLContext, keys: bytes) -> None:
    """Make session tickets with these keys, so that every worker that has them resumes the session (RFC 5077)."""
    library = _openssl()
    if library is None:
        return
    # _ssl.c, PySSLContext: the pointer to OpenSSL's SSL_CTX follows the head of the object.
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if library.SSL_CTX_ctrl(ctypes.c_void_p(pointer), _SET_TICKET_KEYS, len(keys), keys) != 1:
        raise ValueError(f"OpenSSL does not take {len(keys)} bytes as ticket keys")


@lru_cache(maxsize=1)
def _openssl() -> ctypes.CDLL | None:
    """The OpenSSL that the ssl module uses; None where it is built into Python without its symbols."""
    try:
        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        library.SSL_CTX_ctrl.restype = ctypes.c_long
        library.SSL_CTX_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]
    except (OSError, AttributeError):
        return None
    return library


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _refuse_password() -> str:
    raise ValueError("the private key is encrypted: write it without a passphrase, readable for its owner only")
