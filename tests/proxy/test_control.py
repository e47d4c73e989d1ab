"""The control channel: frames survive any cut, both ends notice when the other one is gone."""

import asyncio
import pickle
import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control import MAX_FRAME, BrokenFrame, Decoder, Message, encode, open_channel

MESSAGES = [Message(1, "settings", {"a": 1}), Message(2, "services", (3, ())), Message(0, "ready")]


@given(st.lists(st.integers(0, 300), max_size=6))
def test_messages_arrive_whole_however_the_stream_is_cut(cuts: list[int]):
    stream = b"".join(map(encode, MESSAGES))
    decoder = Decoder()
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    received = [message for begin, end in pairwise(bounds) for message in decoder.feed(stream[begin:end])]
    assert received == MESSAGES


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        ((MAX_FRAME + 1).to_bytes(4, "big"), "268435461 bytes, 268435456 at most"),
        (b"\0\0\0\3abc", "cannot be read"),
        (len(pickle.dumps("text")).to_bytes(4, "big") + pickle.dumps("text"), "holds str, not a message"),
    ],
)
def test_what_is_no_frame_is_refused(stream: bytes, complaint: str):
    with pytest.raises(BrokenFrame, match=complaint):
        list(Decoder().feed(stream))


async def test_both_ends_talk_and_notice_the_end():
    near, far = socket.socketpair()
    heard: asyncio.Queue[object] = asyncio.Queue()
    one = await open_channel(near, heard.put_nowait, lambda: heard.put_nowait("gone"))
    other = await open_channel(far, lambda message: other.send(Message(message.seq, "ack")), lambda: None)
    one.send(Message(7, "ping"))
    assert await heard.get() == Message(7, "ack")
    other.close()
    assert await heard.get() == "gone"
    one.send(Message(8, "ping"))
    one.close()


async def test_a_broken_frame_ends_the_channel():
    near, far = socket.socketpair()
    gone = asyncio.Event()
    await open_channel(near, lambda message: None, gone.set)
    far.sendall(b"\xff\xff\xff\xff")
    await gone.wait()
    far.close()
