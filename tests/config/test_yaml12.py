import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config import yaml12
from config.tree import Fault, Mark
from config.yaml12 import MAX_BYTES, MAX_DEPTH, read


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Everything holds with PyYAML's C parser and with its Python parser."""
    if request.param == "python":
        monkeypatch.setattr(yaml12, "_LOADER", yaml.SafeLoader)


def plain(text: str) -> Any:
    document = read(text)
    assert document.faults == ()
    return document.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"), ("true", True), ("FALSE", False)],
        *[("22:22", "22:22"), ("1:30:00", "1:30:00"), ("2024-01-01", "2024-01-01"), ("1_000", "1_000")],
        *[("010", 10), ("0o10", 8), ("0x1F", 31), ("-7", -7), ("+7", 7), ("0b1", "0b1"), ("٣", "٣")],
        *[("1.10", 1.1), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-.inf", -math.inf), ("1e3x", "1e3x"), (".", ".")],
        *[("null", None), ("~", None), ("", None), ("Null", None), ("nUll", "nUll"), ("'null'", "null"), ('"1"', "1")],
        *[("!!str 1", "1"), ("! 1", "1"), ("!!int 0x10", 16), ("!!float 1.0", 1.0), ("!!null ''", None)],
        *[("'on'", "on"), ("|\n  a\n  b\n", "a\nb\n"), ("=", "="), ("<<", "<<"), ("1" * 5000, "1" * 5000)],
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object):
    found = plain(f"- {text}\n")[0]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_a_float():
    assert math.isnan(plain("[.nan]")[0])


def test_lists_are_tuples_and_keys_are_text_as_written():
    assert plain("{1.10: [1, [2]], on: {~: 3}, 'a b': }") == {"1.10": (1, (2,)), "on": {"~": 3}, "a b": None}


def test_an_empty_text_has_no_root():
    assert read("# nothing\n").root is None
    assert read("").plain() is None


def test_every_value_has_its_place():
    document = read("a:\n  - b: 1\n    ключ: [x,  y]\n")
    assert (document.find(("a", 0, "b")).key_mark, document.find(("a", 0, "b")).mark) == (Mark(2, 5), Mark(2, 8))
    assert document.find(("a", 0, "ключ", 1)).mark == Mark(3, 16)
    assert document.find(("a", 0, "c", "d")).path == ("a", 0)
    assert document.find(("a", 7)).path == ("a",)
    assert document.find(("a", 0, "b", "x")).mark == Mark(2, 8)
    assert read("").find(("a",)).mark == Mark(1, 1)


def test_an_alias_is_the_value_of_its_anchor_and_a_merge_adds_what_is_missing():
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3, z: 4}\nd: {<<: [{x: 9}, *a]}\n"
    assert plain(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"y": 3, "z": 4, "x": 1},
        "d": {"x": 9, "y": 2},
    }
    assert read(text).find(("c", "x")).mark == Mark(1, 11)


def test_a_quoted_merge_key_is_an_ordinary_key():
    assert plain("{'<<': 1}") == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{a: 1, b: 2, a: 3}", Fault(Mark(1, 14), ("a",), "the key 'a' is given twice; the first is in line 1")),
        ("- {1: 1, '1': 2}", Fault(Mark(1, 10), (0, "1"), "the key '1' is given twice; the first is in line 1")),
        (
            "a: [*b]",
            Fault(Mark(1, 5), ("a", 0), "unknown anchor 'b'; an anchor is complete before its first alias"),
        ),
        (
            "a: &a [*a]",
            Fault(Mark(1, 8), ("a", 0), "unknown anchor 'a'; an anchor is complete before its first alias"),
        ),
        ("{<<: 1}", Fault(Mark(1, 6), (), "<< takes a mapping or a list of mappings")),
        ("{<<: [1]}", Fault(Mark(1, 6), (), "<< takes a mapping or a list of mappings")),
        ("a: !shop x", Fault(Mark(1, 4), ("a",), "the value does not fit the tag '!shop'")),
        ("a: !shop {}", Fault(Mark(1, 4), ("a",), "unknown tag '!shop'")),
        ("a: !!int x", Fault(Mark(1, 4), ("a",), "the value does not fit the tag 'tag:yaml.org,2002:int'")),
        ("{&k a: 1}", Fault(Mark(1, 2), (), "a key cannot have an anchor")),
    ],
)
def test_reading_goes_on_after_a_fault(text: str, fault: Fault):
    document = read(text)
    assert document.faults == (fault,)
    assert document.root is not None


@pytest.mark.parametrize(
    ("text", "mark", "message"),
    [
        ("a: b: c", Mark(1, 5), "not valid YAML: mapping values are not allowed"),
        ("a:\n\t- b", Mark(2, 1), "indent with spaces, not tabs"),
        ("a: {b: ${C}, d: 1}", Mark(1, 9), "put ${VARIABLES} in quotes"),
        ("a: 'x", Mark(1, 6), "not valid YAML: while scanning a quoted scalar"),
        ("--- 1\n--- 2\n", Mark(2, 1), "a second document begins here; a file holds one"),
        ("? [a]\n: b", Mark(1, 3), "a key must be text"),
        ("a: &a x\n*a : b", Mark(2, 1), "a key must be text, not an alias"),
        ("a: x\x01y", Mark(1, 5), "the character U+0001 cannot stand in YAML"),
        ("# \u2028\na: 1", Mark(1, 3), "the character U+2028 cannot stand in YAML"),
        ("a: \ud800", Mark(1, 4), "the character U+D800 cannot stand in YAML"),
        (b"a: 1\nb: \xff", Mark(2, 4), "not UTF-8 text"),
        (b"\xff\xfea\x00", Mark(1, 1), "not UTF-8 text"),
        ("[" * 500, Mark(1, MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
        (b" " * (MAX_BYTES + 1), Mark(1, 1), "larger than 16 MiB"),
    ],
)
def test_broken_syntax_ends_the_reading_with_its_place(text: str | bytes, mark: Mark, message: str):
    document = read(text)
    assert document.root is None
    assert [fault.mark for fault in document.faults] == [mark]
    assert message in document.faults[0].message


def test_nesting_without_end_is_one_fault_whoever_notices_it_first():
    """The parser looks ahead as far as it bears, which is not everywhere the same."""
    document = read("[" * 100_000)
    assert (document.root, len(document.faults)) == (None, 1)


def test_a_byte_order_mark_is_passed_over():
    assert read(b"\xef\xbb\xbfa: 1").plain() == {"a": 1}


def test_faults_before_broken_syntax_are_kept():
    assert [fault.mark.line for fault in read("a: 1\na: 2\nb: 'x\n").faults] == [2, 4]


def test_aliases_that_multiply_are_refused_before_they_are_expanded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    document = read("\n".join(lines))
    assert document.root is None
    assert document.faults[0].message == "more than 200000 values, aliases counted each time"


def test_aliases_that_nest_are_refused():
    lines = ["a0: &a0 []", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 40))]
    assert read("\n".join(lines)).faults[0].message == f"nested deeper than {MAX_DEPTH} levels"


def test_substitution_changes_values_before_they_get_their_type_and_leaves_keys_alone():
    document = read("{V: V, q: 'V', l: [V]}", lambda text: text.replace("V", "12"))
    assert document.plain() == {"V": 12, "q": "12", "l": (12,)}


def test_a_substitution_that_fails_is_a_fault_at_its_value():
    def fail(text: str) -> str:
        raise ValueError("not set")

    assert read("a: [V]", fail).faults == (Fault(Mark(1, 5), ("a", 0), "not set"),)


@given(st.one_of(st.text(), st.text(alphabet="ab:{}[],&*<!|>-'\"# \n\t?%@`~01."), st.binary()))
def test_any_text_gives_a_document(text: str | bytes):
    document = read(text)
    document.plain()
    for fault in document.faults:
        assert fault.message
        assert fault.mark >= Mark(1, 1)
