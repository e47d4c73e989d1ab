"""The state file is replaced as a whole or not at all, and refused when it cannot be understood as a whole."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.live import activate, set_endpoint_state
from proxy.core.overlay import overlay
from proxy.state import Saved, StateError, StateFolder
from tests.support.lives import NEVER, a_live, salts


def a_saved() -> Saved:
    live = activate(a_live(), "cart", "green", NEVER)
    live = set_endpoint_state(live, "shop", "canary", "127.0.0.1:9003", "drain", NEVER)
    return Saved(7, 1_700_000_000.5, b"c" * 16, salts(live.config), overlay(live))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    folder = StateFolder(tmp_path / "state")
    yield folder
    folder.close()


def refusal(folder: StateFolder) -> str:
    with pytest.raises(StateError) as refused:
        folder.load()
    message = str(refused.value)
    assert message.startswith(f"{folder.path} ")
    assert message.endswith(f"mv {folder.path} {folder.path}.bad")
    return message.removeprefix(f"{folder.path} ").split(". The weights")[0]


def test_nothing_was_saved_at_first(folder: StateFolder):
    assert folder.load() is None


def test_what_was_saved_is_loaded_again(folder: StateFolder):
    folder.save(replace(a_saved(), generation=1))
    folder.save(a_saved())
    assert folder.load() == a_saved()
    assert sorted(path.name for path in folder.path.parent.iterdir()) == ["live.json", "proxy.lock"]
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o600


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(length=st.integers(0, 2000))
def test_a_file_that_was_cut_off_anywhere_is_refused(folder: StateFolder, length: int):
    folder.save(a_saved())
    text = folder.path.read_bytes()
    folder.path.write_bytes(text[: min(length, len(text) - 2)])
    assert refusal(folder) == "was cut off or is no state file of Serinus"


def test_a_file_that_was_edited_is_refused(folder: StateFolder):
    folder.save(a_saved())
    folder.path.write_text(folder.path.read_text().replace('"green": 1.0', '"green": 0.0'))
    assert refusal(folder) == "is damaged or was edited: its checksum does not match"


def test_a_file_of_something_else_is_refused(folder: StateFolder):
    for text in ("[]", '{"weights": {}}'):
        folder.path.write_text(text)
        assert refusal(folder) == "is no state file of Serinus"
    folder.path.write_bytes(b"\xff\xfe")
    assert refusal(folder) == "was cut off or is no state file of Serinus"


def test_a_file_of_a_newer_version_is_refused(folder: StateFolder):
    folder.save(a_saved())
    folder.path.write_text(json.dumps({**json.loads(folder.path.read_text()), "version": 2}))
    assert refusal(folder) == "has version 2, this Serinus knows 1: run the one that wrote it"


def test_a_whole_file_with_an_unknown_content_is_refused(folder: StateFolder):
    folder.save(a_saved())
    whole = json.loads(folder.path.read_text())
    whole["content"]["generation"] = "seven"
    canonical = json.dumps(whole["content"], sort_keys=True, separators=(",", ":"))
    whole["checksum"] = hashlib.sha256(canonical.encode()).hexdigest()
    folder.path.write_text(json.dumps(whole))
    assert refusal(folder).startswith("holds what this Serinus does not understand: generation: Input should be")


def test_a_refused_file_stays_as_it_is(folder: StateFolder):
    folder.path.write_text("torn")
    refusal(folder)
    assert folder.path.read_text() == "torn"


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_full_disk_leaves_what_was_saved_before(folder: StateFolder, monkeypatch: pytest.MonkeyPatch, call: str):
    folder.save(a_saved())

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left"):
            folder.save(replace(a_saved(), generation=8))
    assert folder.load() == a_saved()
    assert sorted(path.name for path in folder.path.parent.iterdir()) == ["live.json", "proxy.lock"]


def test_what_a_crash_left_half_written_is_not_looked_at(folder: StateFolder):
    folder.save(a_saved())
    folder.path.with_name("live.json.new").write_text("half")
    assert folder.load() == a_saved()


def test_two_proxies_cannot_share_a_folder(folder: StateFolder):
    with pytest.raises(StateError, match=rf"belongs to another running proxy \(pid {os.getpid()}\): stop that one"):
        StateFolder(folder.path.parent)
    folder.save(a_saved())


def test_a_folder_is_free_again_when_its_proxy_ends(tmp_path: Path):
    StateFolder(tmp_path).close()
    StateFolder(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"state_dir .*/file/state cannot be used: Not a directory"):
        StateFolder(tmp_path / "file" / "state")


def test_a_file_that_cannot_be_read_is_refused(folder: StateFolder):
    folder.path.mkdir()
    with pytest.raises(StateError, match=r"live.json cannot be read: Is a directory"):
        folder.load()
