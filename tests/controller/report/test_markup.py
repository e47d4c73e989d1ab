"""Whatever is put into markup stays what it is."""

import json
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from controller.report.markup import Markup, clean, el, embedded, joined
from tests.support.tags import tags_in


@given(text=st.text(), attribute=st.text())
def test_a_text_is_read_again_as_it_was_and_nothing_else(text: str, attribute: str):
    found = ET.fromstring(el("p", text, title=attribute))
    assert (found.tag, len(found)) == ("p", 0)
    assert (found.text or "").replace("\r", "\n") == clean(text).replace("\r\n", "\n").replace("\r", "\n")
    assert tags_in(el("p", text, title=attribute)) == ["p"]


@given(value=st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_embedded_values_are_read_again_and_close_no_script(value: object):
    text = embedded(value)
    assert json.loads(text) == value
    assert not set("<>&").intersection(text)


def test_only_markup_is_taken_as_it_is():
    assert (
        el("p", "<b>", el("b", "x"), class_="a", data_x=1.25, none=None)
        == '<p class="a" data-x="1.2">&lt;b&gt;<b>x</b></p>'
    )
    assert joined("&", Markup("&amp;")) == "&amp;&amp;"
    assert el("br") == "<br />"


def test_what_turns_the_direction_of_a_line_is_taken_out():
    assert clean("a\u202eb\x00c\ud800") == "a\ufffdb\ufffdc\ufffd"
