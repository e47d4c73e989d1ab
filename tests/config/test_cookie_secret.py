"""The secret that several proxies share, to know each other's users."""

from pathlib import Path

import pytest

from config.notices import notices
from config.problems import ConfigError
from config.show import render
from tests.config.loading import HEAD, ONE, config_of

SECRET = "correct horse battery staple"


def test_it_is_read_from_its_file_and_never_shown(tmp_path: Path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "secret").chmod(0o600)
    config = config_of(f"{HEAD}{ONE}cookie_secret_file: secret", folder=tmp_path)
    assert config.cookie_secret_file is not None
    assert config.cookie_secret_file.secret == SECRET.encode()
    assert SECRET not in render(config) + repr(config)
    assert f"cookie_secret_file: {tmp_path}/secret" in render(config)
    assert notices(config) == ()


def test_a_file_that_everybody_can_read_is_noticed(tmp_path: Path):
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o644)
    (notice,) = notices(config_of(f"{HEAD}{ONE}cookie_secret_file: secret", folder=tmp_path))
    assert notice.startswith("cookie_secret_file: everybody on this machine can read")


@pytest.mark.parametrize(
    ("content", "says"),
    [("short", "can be guessed: give it 16 characters or more"), ("", "is empty"), (None, "cannot read")],
)
def test_a_file_without_a_good_secret_is_refused_with_its_name(content: str | None, says: str, tmp_path: Path):
    if content is not None:
        (tmp_path / "secret").write_text(content)
    with pytest.raises(ConfigError) as caught:
        config_of(f"{HEAD}{ONE}cookie_secret_file: secret", folder=tmp_path)
    (problem,) = caught.value.problems
    assert problem.path == "cookie_secret_file"
    assert says in problem.message
    assert str(tmp_path / "secret") in problem.message
