"""TLS in the file: what is a certificate and a key, and what is told of what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.tls import read_pair
from tests.config.loading import config_of, problems_of
from tests.support.certificates import Authority

OURS = Authority()
ONE = "services: {shop: {versions: {v1: {endpoints: ['127.0.0.1:1']}}}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two pairs (one, two), an authority (ca.pem), and things that are none of these."""
    OURS.write(tmp_path, "one", "shop.example.com", "*.shop.example.com")
    OURS.write(tmp_path, "two", "api.example.com")
    OURS.write_own(tmp_path / "ca.pem")
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "empty.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "locked.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END-----\n")
    return tmp_path


def listening(tls: str) -> str:
    return f"listen: [{{address: 127.0.0.1:8443, tls: {tls}}}]\n{ONE}"


def test_a_listener_has_a_certificate_and_more_for_other_names(folder: Path):
    text = listening("{cert: one.pem, key: one.key, more: {cert: two.pem, key: two.key}, client_ca: ca.pem}")
    (listener,) = config_of(text, folder=folder).listen
    assert listener.tls is not None
    assert [pair.cert.name for pair in (listener.tls, *listener.tls.more)] == ["one.pem", "two.pem"]
    assert (listener.tls.client_auth, listener.tls.min_version) == ("required", "1.2")


def test_a_pair_says_its_names_and_its_end(folder: Path):
    pair = read_pair(folder / "one.pem", folder / "one.key")
    assert pair.names == ("shop.example.com", "*.shop.example.com")
    assert pair.not_after > 1.7e9


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ("{cert: one.pem, key: two.key}", "the key in '{}/two.key' does not belong to the certificate in '{}/one.pem'"),
        ("{cert: text, key: one.key}", "'{}/text' is not a PEM file: it has no -----BEGIN line"),
        ("{cert: empty.pem, key: one.key}", "'{}/empty.pem' and '{}/one.key' hold no certificate and key that can be"),
        ("{cert: one.pem, key: locked.key}", "'{}/locked.key' is encrypted: write it without a passphrase"),
        ("{cert: one.pem, key: one.key, client_ca: empty.pem}", "'{}/empty.pem' holds no certificate that can be read"),
        ("{cert: one.pem, key: one.key, client_auth: optional}", "client_auth needs client_ca"),
        ("{cert: one.pem, key: one.key, ciphers: NOTHING}", "ciphers: OpenSSL knows none of 'NOTHING'"),
        ("{cert: one.pem, key: one.key, min_version: '1.1'}", "must be '1.2' or '1.3', not '1.1'"),
        *(
            (f"{{cert: one.pem, key: one.key, {key}: true}}", f"unknown key '{key}': OCSP stapling is not offered")
            for key in ("ocsp", "ocsp_stapling", "ssl_stapling", "OCSP-Stapling")
        ),
        ("{cert: missing.pem, key: one.key}", "cannot read '{}/missing.pem': No such file or directory"),
        ("{cert: one.pem}", "key"),
    ],
)
def test_a_listener_whose_tls_cannot_be_spoken_is_refused(folder: Path, tls: str, problem: str):
    (found,) = problems_of(listening(tls), folder=folder)
    assert "listen[0].tls" in found
    assert problem.replace("{}", str(folder)) in found


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ("{cert: one.pem}", "cert and key belong together"),
        ("{cert: one.pem, key: two.key}", "does not belong to the certificate"),
        ("{ca: ca.pem, verify: false}", "ca is of no use with verify: false"),
        ("{ca: text}", "is not a PEM file"),
        ("{server_name: 'a b'}", "not a host name or an IP address: 'a b'"),
    ],
)
def test_endpoints_whose_tls_cannot_be_spoken_are_refused(folder: Path, tls: str, problem: str):
    text = f"listen: [{{address: 127.0.0.1:8080}}]\n{ONE.replace(']}}', f'], tls: {tls}}}}}')}"
    (found,) = problems_of(text, folder=folder)
    assert "services.shop.versions.v1.tls" in found
    assert problem in found


def test_a_listener_that_redirects_speaks_no_tls_itself(folder: Path):
    tls = "tls: {cert: one.pem, key: one.key}"
    text = f"listen: [{{address: 127.0.0.1:80, redirect: https, {tls}}}]\n{ONE}"
    assert "redirect sends from http to https" in problems_of(text, folder=folder)[0]
    assert "is not https or https:PORT" in problems_of(text.replace("https", "http"), folder=folder)[0]


def test_the_key_is_in_no_message_and_in_no_listing(folder: Path):
    secret = (folder / "one.key").read_text().splitlines()[1]
    config = config_of(listening("{cert: one.pem, key: one.key}"), folder=folder)
    assert secret not in repr(config)
