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


def test_parts_get_heads_trailers_and_bodies_with_where_to_cut_them(tmp_path: Path):
    sow("heads", CASES, tmp_path / "heads")
    sow("chunks", CASES, tmp_path / "chunks")

    heads = [path.read_bytes() for path in (tmp_path / "heads").iterdir()]
    assert {seed[0] for seed in heads} == {0, 1, 2}
    assert len([seed for seed in heads if seed[0] < 2]) == len(list(CASES.glob("*/*/*.http")))
    bodies = [path.read_bytes()[2:] for path in (tmp_path / "chunks").iterdir()]
    assert any(body.startswith(b"5\r\nhello\r\n") for body in bodies)
