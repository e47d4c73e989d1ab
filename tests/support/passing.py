"""Which fields pass the proxy, said once more: what a stranger's message may bring to the other side."""

from tests.support.peers import Message, Pair
from tests.support.random_messages import ADDED, FRAMING, HOP, KNOWN, STRANGERS


def dashed(name: bytes) -> bytes:
    """As some servers read it."""
    return name.lower().replace(b"_", b"-")


def named_by_connection(fields: tuple[Pair, ...]) -> set[bytes]:
    """The names that Connection removes, in lower case."""
    lists = [value for name, value in fields if name.lower() == b"connection"]
    return {token.strip(b" \t").lower() for value in lists for token in value.split(b",")}


def passes(pair: Pair, fields: tuple[Pair, ...], chunked: bool) -> bool:
    """Is this field of a stranger's request forwarded?"""
    name = pair[0].lower()
    is_twin = b"_" in name and (dashed(name) in KNOWN | {b"max-forwards"} or dashed(name).startswith(b"x-serinus-"))
    if is_twin or name in FRAMING | ADDED | HOP | STRANGERS or name.startswith(b"x-serinus-"):
        return False
    return (chunked or name != b"trailer") and name not in named_by_connection(fields)


def answer_passes(pair: Pair, fields: tuple[Pair, ...], chunked: bool) -> bool:
    """Is this field of a response forwarded?"""
    name = pair[0].lower()
    if name in FRAMING | HOP or name.startswith(b"x-serinus-") or name in named_by_connection(fields):
        return False
    return name != b"trailer" or chunked


def other_cookies(value: bytes) -> bytes:
    """A Cookie field without the cookies that are the proxy's own; empty when none is left."""
    if b"serinus_" not in value:
        return value
    kept = [one for one in value.split(b";") if not is_own_cookie(one)]
    return b";".join(kept).strip(b" \t")


def is_own_cookie(one: bytes) -> bool:
    """Is it, or is there nothing at all?"""
    name = one.lstrip(b" \t")
    return not name or name.startswith(b"serinus_")


OF_OURS = {(b"TE", b"trailers"), (b"Connection", b"TE"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")}


def passed(seen: Message) -> list[Pair]:
    """The fields of a forwarded request that did not come from us."""
    return [pair for pair in seen.fields if pair not in OF_OURS and pair[0].lower() not in FRAMING | ADDED]
