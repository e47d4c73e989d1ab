"""The smuggling matrix: that it finds what it looks for, and that it finds nothing behind Serinus."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadtests.bench.faults import Missing
from loadtests.smuggling.client import Answer, Heard, at, attack, read_answers
from loadtests.smuggling.judge import Cell, Happened, judge, share_out
from loadtests.smuggling.matrix import Column, run
from loadtests.smuggling.ours import Logged
from loadtests.smuggling.show import as_tree, show_matrix
from loadtests.smuggling.techniques import TECHNIQUES, Technique
from loadtests.smuggling.techniques.codings import SPELLINGS
from loadtests.smuggling.techniques.parts import HIDDEN, POST, with_length
from loadtests.smuggling.upstreams import UPSTREAMS, Refused, Seen, Upstream, places
from tests.support.whole_proxy import wait_until

RequireTool = Callable[[str, str], str]

PROGRAMS = {"nginx": ("nginx", "nginx-light"), "HAProxy": ("haproxy", "haproxy"), "Node": ("node", "nodejs")}
ONE = Technique("CL.TE", "one", "RFC 9112", (with_length(POST, HIDDEN),))
TWO = replace(ONE, parts=(POST + b"\r\n" + HIDDEN,), pipelined=True)
GARBAGE = Technique("garbage", "garbage", "none", (b"\x01\x02 this is no request\r\n\r\n",))

every_server = pytest.mark.parametrize("upstream", UPSTREAMS, ids=lambda upstream: upstream.title)


# --- the techniques ---------------------------------------------------------------------------------------------------


def test_every_technique_has_a_name_of_its_own_and_a_source():
    assert len({(technique.family, technique.name) for technique in TECHNIQUES}) == len(TECHNIQUES)
    assert all(technique.source and technique.parts for technique in TECHNIQUES)


def test_there_are_more_than_forty_spellings_of_transfer_encoding():
    assert len(set(SPELLINGS.values())) == len(SPELLINGS) > 40


def test_addressing_a_technique_changes_no_length():
    """Lengths in the bytes are counted before the server and the number are put in."""
    text = b"".join(part for technique in TECHNIQUES for part in technique.parts)
    assert len(at(text, "ng", 7)) == len(text)
    assert at(b"GET /up/hidden/000", "ng", 7) == b"GET /ng/hidden/007"


# --- what is a fault --------------------------------------------------------------------------------------------------

LOGGED = Logged("a", "POST", "/ng/attack/000", "shop.example", 200, len(HIDDEN), True, None)
SEEN = Seen(1.0, "POST", "/ng/attack/000", "shop.example", "a", 40001, "127.0.0.1", len(HIDDEN))
HIDDEN_SEEN = replace(SEEN, method="GET", target="/ng/hidden/000", id="b", body=0)
HIDDEN_LOGGED = replace(LOGGED, method="GET", target="/ng/hidden/000", id="b", body=0)
OWN = Answer(200, b"a 40001")


def happened(technique: Technique = ONE, **parts: Any) -> Happened:
    """A good case, with some parts of it replaced."""
    good = Happened(technique, 1.0, Heard((OWN,), "closed"), {"n": Answer(200, b"n 40001")}, [LOGGED], [SEEN], [])
    return replace(good, **parts)


def test_one_request_that_arrives_as_one_is_good():
    assert judge(happened()) == Cell(status=200, passed=1, is_met=False, breaches=())


def test_two_requests_that_we_saw_are_good_where_there_are_two_by_the_rules():
    both: dict[str, Any] = {"logged": [LOGGED, HIDDEN_LOGGED], "seen": [SEEN, HIDDEN_SEEN]}
    assert judge(happened(TWO, **both)).text == "2 as 2"
    assert judge(happened(ONE, **both)).breaches == ("the hidden request came through: GET /ng/hidden/000",)


def test_a_refusal_is_good_and_tells_its_status():
    refused = happened(heard=Heard((Answer(400, b"no"),), "closed"), logged=[], seen=[])
    assert judge(refused).text == "400"


def test_a_server_may_refuse_the_request_that_we_sent():
    assert judge(happened(seen=[], refused=[Refused(1.0, "400", None)])).text == "one"


def test_the_length_of_a_body_that_was_cut_off_says_nothing():
    cut = happened(logged=[replace(LOGGED, error="client_closed")], seen=[replace(SEEN, body=3)])
    assert not judge(cut).is_smuggled


@pytest.mark.parametrize(
    ("parts", "breach"),
    [
        ({"seen": [SEEN, replace(SEEN, id="x", target="/")]}, "the server saw POST /, we saw 0"),
        ({"seen": [SEEN, SEEN]}, "we saw 1 of that identifier"),
        ({"seen": [replace(SEEN, method="GET")]}, "method: the server understood 'GET', we meant 'POST'"),
        ({"seen": [replace(SEEN, target="/ng/attack/000#")]}, "target: "),
        ({"seen": [replace(SEEN, host="hidden.example")]}, "host: the server understood 'hidden.example'"),
        ({"seen": [replace(SEEN, client="6.6.6.6")]}, "client: the server understood '6.6.6.6'"),
        ({"seen": [replace(SEEN, body=0)]}, "length of the body: the server understood 0"),
        ({"refused": [Refused(1.0, "HPE", None)]}, "the server refused bytes that are no request of ours: HPE"),
        ({"heard": Heard((Answer(200, b"other 40001"),), "closed")}, "the client got the answers of [None]"),
        ({"asked": {"n": Answer(200, b"a 40001")}}, "the next client n got Answer(status=200, said=b'a 40001')"),
        ({"asked": {"n": None}}, "the next client n got None"),
    ],
)
def test_a_breach_is_told(parts: dict[str, Any], breach: str):
    cell = judge(happened(**parts))
    assert (cell.text, len(cell.breaches)) == ("SMUGGLED", 1)
    assert breach in cell.breaches[0]


def test_events_belong_to_the_number_in_their_target_else_to_what_had_begun_last():
    cases = {number: happened(began=10.0 + number, logged=[], seen=[]) for number in range(2)}
    first, second = SEEN, replace(SEEN, target="/", id="x", at=11.5)
    refused = [Refused(11.5, "400 GET /ng/hidden/000", None), Refused(10.2, "400", None)]
    share_out(cases, [LOGGED], [first, second, *refused])
    assert (cases[0].logged, cases[0].seen, cases[0].refused) == ([LOGGED], [first], refused)
    assert (cases[1].logged, cases[1].seen, cases[1].refused) == ([], [second], [])


def test_answers_are_told_apart():
    text = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na 1"
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"  # to HEAD
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n2\r\n 2\r\n0\r\n\r\n"
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno"
    )
    found = read_answers(text)
    assert [(answer.status, answer.id, answer.connection) for answer in found] == [
        *((200, "a", 1), (200, None, None), (200, "b", 2), (400, None, None))
    ]
    assert read_answers(b"<html>") == (Answer(0, b"<html>"),)


# --- the servers ------------------------------------------------------------------------------------------------------


def test_servers_never_share_a_port(tmp_path: Path):
    """The second one would not come up, and the first one would get what was meant for it."""
    at = places(UPSTREAMS, tmp_path).values()
    assert len({port for place in at for port in (place.port, place.behind)}) == 2 * len(UPSTREAMS)


def demand(upstream: Upstream, require_tool: RequireTool) -> None:
    """Skip or fail when the server is not there."""
    if upstream.title in PROGRAMS:
        require_tool(*PROGRAMS[upstream.title])


@every_server
def test_a_server_tells_of_every_request_and_of_what_it_refuses(
    upstream: Upstream, tmp_path: Path, require_tool: RequireTool
):
    """Straight to the server, as if the proxy had seen nothing: then all of it is smuggled."""
    demand(upstream, require_tool)
    place = places([upstream], tmp_path)[upstream.code]
    cases = {}
    with upstream.serving(place):
        for number, technique in enumerate((TWO, GARBAGE)):
            heard = attack(place.port, technique, upstream.code, number)
            cases[number] = Happened(technique, 0.0, heard, {})
        wait_until(lambda: any(isinstance(event, Refused) for event in upstream.read(place)), "for the refusal")
    events = upstream.read(place)
    seen = [event for event in events if isinstance(event, Seen)]
    assert [(event.method, event.target, event.host) for event in seen] == [
        ("POST", f"/{upstream.code}/attack/000", "shop.example"),
        ("GET", f"/{upstream.code}/hidden/000", "hidden.example"),
        ("GET", f"/{upstream.code}/follow/000", "shop.example"),
    ]
    assert len(events) - len(seen) == 1
    share_out(cases, [], events)
    assert {number: judge(case).text for number, case in cases.items()} == {0: "SMUGGLED", 1: "SMUGGLED"}


# --- the matrix -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Column]:
    """All techniques to all servers that are there, once."""
    present = []
    for upstream in UPSTREAMS:
        try:
            upstream.find()
        except Missing:
            continue
        present.append(upstream)
    filled = run(TECHNIQUES, present, tmp_path_factory.mktemp("matrix"), tick=lambda: None)
    return {column.upstream.code: column for column in filled}


@pytest.mark.timeout(600)
@every_server
def test_nothing_is_smuggled(upstream: Upstream, columns: dict[str, Column], require_tool: RequireTool):
    demand(upstream, require_tool)
    cells = columns[upstream.code].cells
    named = zip(TECHNIQUES, cells, strict=True)
    breaches = {f"{each.family}: {each.name}": cell.breaches for each, cell in named if cell.breaches}
    assert breaches == {}
    assert min(sum(cell.passed == 0 for cell in cells), sum(cell.passed == 1 for cell in cells)) > 40
    assert any(cell.is_met for cell in cells if cell.passed)


def test_the_matrix_is_shown_and_told_as_json():
    good, bad = judge(happened()), judge(happened(seen=[replace(SEEN, host="hidden.example")]))
    column = Column(UPSTREAMS[0], "1.2.3", (good, bad))
    techniques = [ONE, replace(TWO, name="two")]
    for is_brief, words in ((False, ["CL.TE: one", "→ one", "‼ SMUGGLED"]), (True, ["CL.TE (2)", "→ 1 ‼ 1"])):
        screen = StringIO()
        show_matrix(techniques, [column], {"Node": "not there"}, Console(file=screen), is_brief=is_brief)
        for word in [*words, "missing Node: not there", "SMUGGLED to nginx by CL.TE: two: host: the server understood"]:
            assert word in screen.getvalue()
    told = json.loads(json.dumps(as_tree(techniques, [column], {})))
    assert (told["smuggled"], told["servers"], told["missing"]) == (1, {"nginx": "1.2.3"}, {})
    assert [row["results"]["nginx"]["outcome"] for row in told["techniques"]] == ["passed", "smuggled"]
