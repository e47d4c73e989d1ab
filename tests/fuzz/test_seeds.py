"""Seeds: the corpus of messages as inputs of the fuzzer."""

from pathlib import Path

from tests.fuzz.build import ROOT
from tests.fuzz.seeds import ASKED, sow

CASES = ROOT / "tests/corpus/http1"


def test_requests_are_seeds_as_they_are(tmp_path: Path):
    sow("requests", CASES, tmp_path)

    cases = {path.read_bytes() for path in CASES.glob("*/request/*.http")}
    assert {path.read_bytes() for path in tmp_path.iterdir()} == cases


def test_a_response_says_first_what_was_asked(tmp_path: Path):
    sow("responses", CASES, tmp_path)

    chosen = {
        name: tuple(ASKED)[(tmp_path / name).read_bytes()[0]] for name in (path.name for path in tmp_path.iterdir())
    }
    assert set(chosen.values()) == set(ASKED)
    assert all(beginning in name for name, beginning in chosen.items())
    assert len(chosen) == len(list(CASES.glob("*/response/*.http")))


def test_what_earlier_runs_found_stays(tmp_path: Path):
    (tmp_path / "found").write_bytes(b"x")
    sow("requests", CASES, tmp_path)

    assert (tmp_path / "found").read_bytes() == b"x"
