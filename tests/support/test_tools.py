"""A missing program skips a test with one line, or fails it where everything must run."""

from pathlib import Path

import pytest

from tests.support.tools import do_without, require_tool


def test_a_program_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "some-proxy"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert require_tool("some-proxy", "some-package") == str(program)


def test_a_missing_program_skips_with_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SERINUS_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception) as caught:
        require_tool("no-such-proxy", "some-package")
    assert caught.value.msg == "no-such-proxy is missing; install it: apt-get install some-package"


def test_a_missing_program_fails_where_everything_must_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERINUS_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="install it: apt-get install some-package"):
        require_tool("no-such-proxy", "some-package")


def test_what_a_test_cannot_do_without_is_treated_alike(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SERINUS_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs root"):
        do_without("mounting a tmpfs needs root")
    monkeypatch.setenv("SERINUS_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="needs root"):
        do_without("mounting a tmpfs needs root")
