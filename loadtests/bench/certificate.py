"""The certificate of the run: a key of P-256 for `localhost`, the same for every proxy.

Owns: the three files. Must not: leave them anywhere but in the folder of the run.
"""

from pathlib import Path

import trustme


def write_certificate(folder: Path) -> None:
    """Write `cert.pem`, `key.pem` and, for HAProxy, `both.pem`."""
    made = trustme.CA().issue_cert("localhost", "127.0.0.1")
    certificate = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    key = made.private_key_pem.bytes()
    for name, content in (("cert.pem", certificate), ("key.pem", key), ("both.pem", certificate + key)):
        file = folder / name
        file.write_bytes(content)
        file.chmod(0o644)  # some proxies read it as another user
