"""The naive reading of accepted messages, and the ways to cut one: what the fuzzer holds the proxy against."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.reading import Meant, cut, read_head, read_message

HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\nX-A: \t b c \t\r\n"


def test_a_message_by_its_length_ends_there():
    text = HEAD + b"Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n"
    meant = read_message(text, 0)

    fields = ((b"Host", b"a"), (b"X-A", b"b c"), (b"Content-Length", b"5"))
    assert meant == Meant(b"POST /a HTTP/1.1", fields, b"hello", (), text.index(b"GET"))
    assert read_message(text, meant.end).start == b"GET / HTTP/1.1"


def test_chunks_are_joined_and_their_extensions_left_out():
    text = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n002\r\nlo\r\n0\r\nX-T: 1\r\n\r\nrest"
    meant = read_message(text, 0)

    assert (meant.body, meant.trailers, text[meant.end :]) == (b"hello", ((b"X-T", b"1"),), b"rest")
    assert meant.chunked


def test_without_a_length_a_request_ends_with_its_head_and_a_response_with_its_connection():
    assert read_message(HEAD + b"\r\nrest", 0).body == b""
    assert read_message(b"HTTP/1.1 200 OK\r\n\r\nrest", 0, until_close=True).body == b"rest"
    assert read_message(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", 0, bodiless=True).body == b""


def test_a_body_that_is_not_whole_is_no_message():
    with pytest.raises(AssertionError):
        read_message(HEAD + b"Content-Length: 5\r\n\r\nhell", 0)
    with pytest.raises(ValueError, match="not found"):
        read_head(HEAD, 0)


@given(st.binary(max_size=2000))
def test_the_parts_are_the_whole(text: bytes):
    parts = cut(text)

    assert b"".join(parts) == text
    assert all(parts)
