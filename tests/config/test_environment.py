from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.environment import escape, substitute


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${HOST}:${PORT}", "shop:80"),
        ("${MISSING:-8080}", "8080"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-8080}", "8080"),
        ("${EMPTY}", ""),
        ("${HOST:-other}", "shop"),
        ("$${HOST}", "${HOST}"),
        ("$HOST $ $$ ^a$", "$HOST $ $$ ^a$"),
        ("${NESTED}", "${HOST}"),
    ],
)
def test_variables_are_replaced_once(text: str, expected: str):
    environ = {"HOST": "shop", "PORT": "80", "EMPTY": "", "NESTED": "${HOST}"}
    assert substitute(text, environ) == expected


def test_a_variable_that_is_not_set_names_the_ways_out():
    with pytest.raises(
        ValueError, match=r"the variable PORT is not set; set it or PORT_FILE, or write \$\{PORT:-default\}"
    ):
        substitute("127.0.0.1:${PORT}", {})


@pytest.mark.parametrize("text", ["${", "${}", "${a b}", "${1}", "${A:x}", "${A"])
def test_what_begins_like_a_variable_has_to_be_one(text: str):
    with pytest.raises(ValueError, match=r"write \$\$\{ for the text \$\{"):
        substitute(text, {"A": "x"})


def test_a_variable_falls_back_to_the_file_that_its_twin_names(tmp_path: Path):
    secret = tmp_path / "token"
    secret.write_text("s3cret\r\n")
    assert substitute("${TOKEN}", {"TOKEN_FILE": str(secret)}) == "s3cret"
    assert substitute("${TOKEN:-x}", {"TOKEN_FILE": str(secret)}) == "s3cret"
    assert substitute("${TOKEN}", {"TOKEN_FILE": str(secret), "TOKEN": "other"}) == "other"


def test_a_file_that_cannot_be_read_is_named_and_its_content_is_not(tmp_path: Path):
    with pytest.raises(ValueError, match=r"cannot read '.*missing': No such file or directory"):
        substitute("${TOKEN}", {"TOKEN_FILE": str(tmp_path / "missing")})
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with pytest.raises(ValueError, match=r"'.*empty' is empty"):
        substitute("${TOKEN}", {"TOKEN_FILE": str(empty)})
    large = tmp_path / "large"
    large.write_text("s3cret" * 20_000)
    with pytest.raises(ValueError, match="is larger than 64 KiB") as caught:
        substitute("${TOKEN}", {"TOKEN_FILE": str(large)})
    assert "s3cret" not in str(caught.value)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        substitute("${TOKEN}", {"TOKEN_FILE": str(binary)})


@given(st.text(alphabet="${}A:-x", max_size=30))
def test_escaped_text_survives_substitution(text: str):
    assert substitute(escape(text), {}) == text
