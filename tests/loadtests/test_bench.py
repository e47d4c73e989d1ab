"""The benchmark: its arithmetic, its configurations, and one very short run of the real thing. No time is asserted."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from config.load import load as load_configuration
from loadtests.bench import (
    builds,
    children,
    cpu_time,
    load,
    measure,
    peers,
    results,
    show,
    work,
)
from loadtests.bench.certificate import write_certificate
from loadtests.bench.faults import Invalid, Missing

ROOT = Path(__file__).parents[2]
WORKS = {each.name: each for each in work.WORKS}
SMALL = WORKS["small"]
BUILD = builds.Build(Path("/usr/sbin/x"), "1.2.3", "Debian")
ALL_PEERS = [peers.OURS, *peers.PEERS]
PLACES = peers.Places(
    listen=1001, admin=1002, stable=1003, canary=1004, folder=Path("/tmp/bench"), config=Path("/tmp/bench/x.cfg")
)


# --- processor time ---------------------------------------------------------------------------------------------------


def thread(proc: Path, pid: int, tid: int, schedstat: str, *, parent: int = 1, command: str = "x") -> None:
    """Put one thread into a made-up /proc."""
    task = proc / str(pid) / "task" / str(tid)
    task.mkdir(parents=True)
    (task / "schedstat").write_text(schedstat)
    (proc / str(pid) / "stat").write_text(f"{pid} ({command}) S {parent} {pid} {pid} 0 -1 4194560")


def test_the_threads_of_a_program_and_all_its_descendants_are_counted(tmp_path: Path):
    thread(tmp_path, 10, 10, "1000 7 3\n", command="sh) S 99 (")  # a name may look like the fields after it
    thread(tmp_path, 10, 11, "200 0 1\n")
    thread(tmp_path, 20, 20, "30 0 1\n", parent=10)
    thread(tmp_path, 5, 5, "4 0 1\n", parent=20)
    thread(tmp_path, 30, 30, "999999 0 1\n", parent=99)
    assert cpu_time.family(10, tmp_path) == [10, 20, 5]
    assert cpu_time.thread_times(10, tmp_path) == {(10, 10): 1000, (10, 11): 200, (20, 20): 30, (5, 5): 4}


def test_time_spent_is_the_difference_and_a_new_thread_counts_in_full():
    assert cpu_time.spent({(1, 1): 100, (1, 2): 50}, {(1, 1): 130, (1, 2): 50, (1, 3): 7}) == 37


def test_a_thread_that_ended_makes_the_count_invalid():
    with pytest.raises(Invalid, match="threads ended during the measurement: 2 of 1"):
        cpu_time.spent({(1, 1): 100, (1, 2): 50}, {(1, 1): 200})


def test_a_kernel_that_does_not_count_is_named():
    with pytest.raises(Invalid, match="CONFIG_SCHED_INFO"):
        cpu_time.spent({(1, 1): 0}, {(1, 1): 0})


def test_this_very_program_uses_processor_time():
    assert cpu_time.thread_times(os.getpid())[os.getpid(), os.getpid()] > 0


# --- results ----------------------------------------------------------------------------------------------------------


def measurement(ns_per_request: int) -> results.Measurement:
    return results.Measurement(cpu_ns=ns_per_request * 1000, requests=1000, seconds=0.5)


def comparison(*pairs: tuple[int, int], goal: float | None = None) -> results.Comparison:
    made = [results.Pair(measurement(ours), measurement(theirs)) for ours, theirs in pairs]
    return results.Comparison("haproxy", "HAProxy", BUILD, made, goal)


def report(*comparisons: results.Comparison) -> results.Report:
    place = {"processor": "CPU", "date": "today", "commit": "abc"}
    return results.Report(
        SMALL, place, "Serinus", BUILD, comparisons, {"Caddy": "not [here]"}, {"Envoy": "Envoy failed"}
    )


def test_a_measurement_gives_time_per_request_rate_and_the_part_of_the_core():
    one = results.Measurement(cpu_ns=400_000_000, requests=20_000, seconds=0.5)
    assert (one.ns_per_request, one.requests_per_second, one.busy) == (20_000, 40_000, 0.8)


def test_ratios_are_taken_pair_by_pair_so_a_slow_minute_does_not_matter():
    slow_minute = comparison((20_000, 10_000), (200_000, 100_000), (22_000, 11_000))
    assert slow_minute.ratios == [2.0, 2.0, 2.0]
    assert slow_minute.ratio == 2.0


@pytest.mark.parametrize(
    ("goal", "is_met"), [(None, None), (1.2, True), (1.0, True), (0.99, False)], ids=["none", "below", "equal", "above"]
)
def test_a_goal_is_met_when_the_median_ratio_is_not_above_it(goal: float | None, is_met: bool | None):
    assert comparison((10, 10), (30, 10), (5, 10), goal=goal).is_goal_met is is_met


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1))
def test_the_median_ratio_lies_within_its_range(pairs: list[tuple[int, int]]):
    one = comparison(*pairs)
    assert min(one.ratios) <= one.ratio <= max(one.ratios)


def test_the_json_holds_every_number_and_every_name():
    written = json.loads(json.dumps(results.as_json(report(comparison((15, 10), goal=1.1)))))
    [row] = written["comparisons"]
    assert (row["name"], row["version"], row["origin"]) == ("haproxy", "1.2.3", "Debian")
    assert (row["ratios"], row["ratio"], row["goal"], row["is_goal_met"]) == ([1.5], 1.5, 1.1, False)
    assert row["ours"]["ns_per_request"] == [15]
    assert written["missing"] == {"Caddy": "not [here]"}
    assert written["invalid"] == {"Envoy": "Envoy failed"}


def test_the_table_names_builds_ratios_goals_and_what_is_missing():
    text = StringIO()
    show.show_report(report(comparison((15_000, 10_000), (14_000, 10_000), goal=1.1)), Console(file=text))
    for part in ("1.2.3 (Debian)", "1.45 (1.40–1.50)", "missing Caddy: not [here]", "invalid Envoy failed"):
        assert part in text.getvalue()
    assert "goal MISSED: Serinus ≤ 1.1 × HAProxy, measured 1.45 ×" in text.getvalue()


def test_a_plot_is_refused_before_the_measurements_when_its_type_is_unknown():
    with pytest.raises(Missing, match=r"\.png, \.svg"):
        show.check_plot(Path("results.txt"))


def test_a_plot_is_drawn(tmp_path: Path):
    pytest.importorskip("matplotlib")
    show.write_plot([report(comparison((15, 10), (16, 10)))], tmp_path / "plot.svg")
    assert "HAProxy" in re.sub(r"<!--\s*(.*?)\s*-->", r"\1", (tmp_path / "plot.svg").read_text())


# --- work and load ----------------------------------------------------------------------------------------------------


def test_each_work_has_its_own_name_and_goals_against_known_peers():
    names = [each.name for each in work.WORKS]
    assert len(set(names)) == len(names)
    known = {peer.name for peer in peers.PEERS}
    assert all({*each.goals} <= {*each.against} <= known for each in work.WORKS)


@pytest.mark.parametrize("each", work.WORKS, ids=lambda each: each.name)
def test_whoever_a_work_has_a_goal_against_can_do_it_and_so_can_we(each: work.Work):
    able = {peer.name for peer in ALL_PEERS if peer.can(each.features)}
    assert {peers.OURS.name, *each.goals} <= able


def test_the_small_work_is_what_the_table_says():
    head, _, body = SMALL.response().partition(b"\r\n\r\n")
    assert (len(body), SMALL.connections, len(SMALL.headers)) == (56, 32, 7)
    assert b"\r\nContent-Length: 56" in head


def test_the_generator_is_given_every_header_and_connection(tmp_path: Path):
    command = load.generator_command("wrk", SMALL, "http://127.0.0.1:1/", tmp_path)
    assert command[-1] == "http://127.0.0.1:1/"
    assert command[command.index("-c") + 1] == "32"
    assert (command.count("-H"), command.count("-s")) == (7, 0)


def test_what_the_command_line_of_the_generator_cannot_say_is_in_its_script(tmp_path: Path):
    for name, said in (("post-1k", 'wrk.body = string.rep("x", 1024)'), ("sticky", "for user = 1, 1000 do")):
        command = load.generator_command("wrk", WORKS[name], "http://127.0.0.1:1/", tmp_path)
        assert said in Path(command[command.index("-s") + 1]).read_text()


@pytest.mark.parametrize("name", ["100k", "chunked"])
def test_the_backend_answers_with_what_the_title_says(name: str):
    head, _, body = WORKS[name].response().partition(b"\r\n\r\n")
    if name == "chunked":
        assert (body.count(b"\r\n64\r\n") + 1, body[-5:]) == (100, b"0\r\n\r\n")
    else:
        assert head.endswith(b"Content-Length: 102400") == (len(body) == 102400)


@pytest.mark.parametrize(
    "complaint", ["  Socket errors: connect 0, read 3, write 0, timeout 0", "  Non-2xx or 3xx responses: 12"]
)
def test_a_load_with_errors_is_invalid(complaint: str):
    with pytest.raises(Invalid, match=complaint.strip()):
        load.check_report(f"  100 requests in 1.00s, 1.0MB read\n{complaint}\nRequests/sec: 100.00\n")


def test_a_load_without_errors_is_valid_and_one_without_a_report_is_not():
    load.check_report("  100 requests in 1.00s, 1.0MB read\nRequests/sec:    100.00\n")
    with pytest.raises(Invalid, match="unable to connect"):
        load.check_report("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_proxy_that_does_not_split_is_found_out():
    measure.check_split(load.Counts(stable=901, canary=99))
    with pytest.raises(Invalid, match=r"50\.0% of 1000 requests went to the canary"):
        measure.check_split(load.Counts(stable=500, canary=500))
    with pytest.raises(Invalid, match="no request"):
        measure.check_split(load.Counts(stable=0, canary=0))


# --- peers ------------------------------------------------------------------------------------------------------------


EVERY = [
    (peer, each.features)
    for peer in ALL_PEERS
    for each in work.WORKS
    if peer.can(each.features) and (each is SMALL or each.features)
]


def named(value: object) -> str:
    return value.name if isinstance(value, peers.Peer) else "-".join(value) or "plain"  # type: ignore[arg-type]


@pytest.mark.parametrize(("peer", "features"), EVERY, ids=named)
def test_every_configuration_is_rendered_wholly(peer: peers.Peer, features: frozenset[str]):
    text = peers.configuration(peer, PLACES, features)
    rendered = "\n".join([text, *(peers.render(word, PLACES) for word in peer.arguments)])
    assert "@{" not in rendered
    assert "#?" not in rendered
    assert all(str(port) in rendered for port in (PLACES.listen, PLACES.stable, PLACES.canary))
    if peer.template and peer.template.endswith(".yaml"):
        assert isinstance(yaml.load(text, Loader=yaml.CSafeLoader), dict)


def test_each_feature_changes_our_configuration_and_not_the_one_without():
    without = next(peer for peer in peers.PEERS if peer.without)
    plain = peers.configuration(peers.OURS, PLACES)
    for each in work.WORKS:
        assert (peers.configuration(peers.OURS, PLACES, each.features) == plain) == (not each.features)
        assert peers.configuration(without, PLACES, each.features) == plain


@pytest.mark.parametrize("features", sorted({tuple(each.features) for each in work.WORKS}), ids=named)
def test_we_accept_our_configurations(features: tuple[str, ...], tmp_path: Path):
    config = tmp_path / "config"
    places = peers.Places(1, 2, 3, 4, folder=tmp_path, config=config)
    write_certificate(tmp_path)
    config.write_text(peers.configuration(peers.OURS, places, features))
    assert load_configuration(config).services


@pytest.mark.parametrize("features", [frozenset[str](), frozenset({"tls"}), frozenset({"access_log"})], ids=named)
@pytest.mark.parametrize(
    ("name", "package", "arguments"), [("nginx", "nginx-light", ["-t", "-q"]), ("haproxy", "haproxy", ["-c"])]
)
def test_the_servers_accept_their_configurations(
    name: str,
    package: str,
    arguments: list[str],
    features: frozenset[str],
    require_tool: Callable[[str, str], str],
    tmp_path: Path,
):
    program = require_tool(name, package)
    [peer] = [peer for peer in peers.PEERS if peer.name == name]
    listen, admin, stable, canary = children.free_ports(4)
    places = peers.Places(listen, admin, stable, canary, folder=tmp_path, config=tmp_path / "config")
    write_certificate(tmp_path)
    places.config.write_text(peers.configuration(peer, places, features))
    words = [peers.render(word, places) for word in peer.arguments]
    done = subprocess.run([program, *words, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_place_in_a_configuration_is_an_error():
    with pytest.raises(KeyError, match="nowhere"):
        peers.render("port @{nowhere}", PLACES)


def test_a_missing_program_says_how_to_get_it_each_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sources: list[builds.Source] = [
        builds.Installed("no-such-proxy", "some-package", ["-v"]),
        builds.Wheel("some-wheel", "bin/x", ["-v"]),
    ]
    surroundings = builds.Surroundings(tmp_path, may_fetch=False, announce=print)
    with pytest.raises(Missing, match=r"apt-get install some-package; PyPI's some-wheel is not in .* --no-fetch"):
        builds.find_first(sources, surroundings)


# --- programs ---------------------------------------------------------------------------------------------------------


def test_a_program_and_what_it_started_are_gone_after_the_block_however_it_ends(tmp_path: Path):
    """All of them hold the write end of a pipe: its end can be read when the last one is gone."""
    read_end, write_end = os.pipe()
    core = children.Cores.available().proxy

    def interrupted() -> None:
        command = ["sh", "-c", "sleep 1000 & sleep 1000"]
        with children.running(command, cores={core}, log=tmp_path / "log", inherit=[write_end]) as child:
            os.close(write_end)
            assert os.sched_getaffinity(child.pid) == {core}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.read(read_end, 1) == b""
    os.close(read_end)


# --- the real thing --------------------------------------------------------------------------------------------------


def test_one_short_run_of_the_floor_against_itself(require_tool: Callable[[str, str], str], tmp_path: Path):
    require_tool("wrk", "wrk")
    require_tool("cc", "gcc")
    file = tmp_path / "results.json"
    options = "--only small --ours floor --peers floor --pairs 1 --seconds 0.2 --no-fetch".split()
    command = [sys.executable, "-m", "loadtests.bench", *options, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [[row]] = [each["comparisons"] for each in json.loads(file.read_text())]
    assert row["name"] == "floor"
    for side in ("ours", "peer"):
        assert all(number > 0 for number in row[side]["ns_per_request"] + row[side]["requests"])
    assert "measuring 2 of 2: floor" in done.stderr
    assert "goal" in done.stdout
