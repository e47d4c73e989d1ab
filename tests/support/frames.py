"""WebSocket frames as bytes (RFC 6455 section 5.2), for both ends of a tunnel."""

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
GOING_AWAY = b"\x03\xe9"


def frame(payload: bytes = b"", opcode: int = TEXT, *, last: bool = True) -> bytes:
    """From a server."""
    return bytes([opcode | 128 * last]) + _length(len(payload), 0) + payload


def masked(payload: bytes = b"", opcode: int = TEXT, *, last: bool = True, key: bytes = b"\x11\x22\x33\x44") -> bytes:
    """From a client."""
    return bytes([opcode | 128 * last]) + _length(len(payload), 128) + key + unmask(payload, key)


def unmask(payload: bytes, key: bytes) -> bytes:
    """With the mask put on, or taken off."""
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def _length(size: int, mask: int) -> bytes:
    if size < 126:
        return bytes([size | mask])
    if size < 1 << 16:
        return bytes([126 | mask]) + size.to_bytes(2)
    return bytes([127 | mask]) + size.to_bytes(8)
