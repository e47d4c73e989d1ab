"""Metrics: every number of the counters under its name, in both text formats, with labels that nobody can invent."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from proxy.certificates import Material
from proxy.core.histogram import LOWER
from proxy.core.leasing import make_lease, run_out
from proxy.core.live import Lease, Live, add_endpoint, remove_endpoint, set_endpoint_state
from proxy.core.outcome import Outcome, Reason
from proxy.core.snapshot import Certificate, ServerTls
from proxy.crew import WorkerState
from proxy.metrics import FAMILIES, SerinusCollector
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.lives import NEVER, a_config, a_live

Labels = dict[str, str]
CANARY = {"service": "shop", "version": "canary"}
AT = {**CANARY, "endpoint": "127.0.0.1:9003"}


class Shares:
    """Observations that know what the split did."""

    def __init__(self) -> None:
        self.shares: dict[str, dict[str, float]] = {}

    def actual_shares(self, service: str) -> dict[str, float]:
        return self.shares.get(service, {})


class Scraped:
    """A supervisor and what a scrape of it shows."""

    def __init__(self, live: Live | None = None, workers: int = 2) -> None:
        self.supervisor = FakeSupervisor(live, workers=workers)
        self.observations = Shares()
        self.registry = CollectorRegistry()
        self.registry.register(SerinusCollector(self.supervisor, self.observations))

    @property
    def canary(self) -> int:
        return self.supervisor.slots.version("shop", "canary")

    def families(self) -> Iterable[Metric]:
        return parse_text(generate_latest(self.registry).decode())

    def samples(self, name: str) -> list[tuple[Labels, float]]:
        """Every series of this name."""
        return [(s.labels, s.value) for family in self.families() for s in family.samples if s.name == name]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one series, None when there is none."""
        found = [value for seen, value in self.samples(name) if seen == labels]
        return found[0] if found else None


@pytest.fixture
def scraped() -> Scraped:
    scraped = Scraped()
    for service, live in scraped.supervisor.live.services.items():
        for version, endpoints in live.versions.items():
            scraped.supervisor.slots.version(service, version)
            for endpoint in endpoints:
                scraped.supervisor.slots.endpoint(service, version, endpoint.address)
    return scraped


def with_a_lease(live: Live) -> Live:
    return make_lease(live, "shop", Lease("rollout shop-1", 60.0, "hold"))


class TestLeases:
    def test_the_time_that_is_left_is_shown_while_there_is_one(self, scraped: Scraped):
        assert scraped.value("serinus_lease_remaining_seconds", service="shop") is None
        scraped.supervisor.live = with_a_lease(scraped.supervisor.live)
        assert scraped.value("serinus_lease_remaining_seconds", service="shop") == 60
        scraped.supervisor.live = run_out(scraped.supervisor.live, "shop", 0.0)
        assert scraped.value("serinus_lease_remaining_seconds", service="shop") == 0

    def test_leases_that_ran_out_are_counted(self, scraped: Scraped):
        scraped.supervisor.leases.ran_out["shop", "held"] += 1
        assert scraped.value("serinus_leases_run_out_total", service="shop", done="held") == 1
        assert scraped.value("serinus_leases_run_out_total", service="shop", done="rolled back") == 0


class TestTheTable:
    def test_it_is_exactly_what_is_shown(self, scraped: Scraped):
        fill(scraped)
        shown = {}
        for family in scraped.families():
            labels = {tuple(label for label in sample.labels if label != "le") for sample in family.samples}
            name = f"{family.name}_total" if family.type == "counter" else family.name
            shown[name] = (family.type, family.documentation, {tuple(sorted(names)) for names in labels})
        assert shown == {f.name: (f.kind, f.help, {tuple(sorted(f.labels))}) for f in FAMILIES}

    def test_it_has_what_users_rely_on(self):
        labels = {family.name: family.labels for family in FAMILIES}
        assert labels["serinus_requests_total"] == ("service", "version", "code")
        assert labels["serinus_attempts_total"] == ("service", "version", "endpoint", "outcome")
        assert labels["serinus_request_duration_seconds"] == ("service", "version")
        assert labels["serinus_requests_in_flight"] == ("service", "version")
        assert labels["serinus_connections"] == ("side",)
        assert labels["serinus_split_target_ratio"] == labels["serinus_split_actual_ratio"] == ("service", "version")
        assert labels["serinus_endpoint_up"] == ("service", "version", "endpoint")
        assert labels["serinus_generation"] == ()
        assert "serinus_build_info" in labels

    def test_no_label_is_a_requests_to_choose(self):
        """From the configuration, or from a list that is closed: no path, no host, no method, no header."""
        configured = {"service", "version", "endpoint", "cn"}
        closed = {"code", "reason", "outcome", "side", "result", "state", "done", "python"}
        assert {label for family in FAMILIES for label in family.labels} == configured | closed

    def test_names_are_unique(self):
        assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def fill(scraped: Scraped) -> None:
    """Make every family have a sample."""
    supervisor, slab = scraped.supervisor, scraped.supervisor.slabs[0]
    supervisor.live = with_a_lease(supervisor.live)
    supervisor.attempt("canary", Outcome.TIMEOUT)
    slab.end_request(scraped.canary, 504, Reason.RESPONSE_TIMEOUT, 1_000_000)
    supervisor.worker_states = [WorkerState(0, 1, "ready", 0, 0.0)]
    supervisor.material = Material((ServerTls((Certificate(b"", b"", ("localhost",), 1.8e9),)),))
    scraped.observations.shares = {"shop": {"stable": 0.9, "canary": 0.1}}


class TestFormats:
    def test_the_text_format_parses(self, scraped: Scraped):
        fill(scraped)
        assert [family.name for family in scraped.families()] == [f.name.removesuffix("_total") for f in FAMILIES]

    def test_openmetrics_parses_and_says_the_same(self, scraped: Scraped):
        fill(scraped)
        text = generate_openmetrics(scraped.registry).decode()

        def told(families: Iterable[Metric]) -> list[tuple[str, Labels, float]]:
            return sorted(
                ((s.name, s.labels, s.value) for family in families for s in family.samples), key=lambda s: str(s)
            )

        assert told(parse_openmetrics(text)) == told(scraped.families())

    def test_nothing_says_when_it_was_created(self, scraped: Scraped):
        fill(scraped)
        assert b"_created" not in generate_latest(scraped.registry) + generate_openmetrics(scraped.registry)

    def test_names_of_any_kind_are_escaped(self):
        weird = 'unix:/run/a"b\\c d.sock'
        live = a_live(a_config({"shop": {"versions": {"v1": {"endpoints": (weird,)}}}}))
        assert Scraped(live).value("serinus_endpoint_up", service="shop", version="v1", endpoint=weird) == 1


class TestWhatClientsGot:
    def test_requests_are_told_by_status_and_errors_by_reason(self, scraped: Scraped):
        for worker, slab in enumerate(scraped.supervisor.slabs):
            slab.end_request(scraped.canary, 200, 0, 1_000_000)
            slab.end_request(scraped.canary, 502, Reason.CONNECT_REFUSED, 1_000_000 * worker)
        assert scraped.value("serinus_requests_total", **CANARY, code="200") == 2
        assert scraped.value("serinus_requests_total", **CANARY, code="502") == 2
        assert scraped.value("serinus_errors_total", **CANARY, reason="connect_refused") == 2
        assert len(scraped.samples("serinus_requests_total")) == 2

    def test_what_no_route_matched_has_no_service(self, scraped: Scraped):
        scraped.supervisor.slabs[1].end_request(0, 404, Reason.NO_ROUTE, 1_000)
        assert scraped.value("serinus_requests_total", service="", version="", code="404") == 1
        assert scraped.value("serinus_errors_total", service="", version="", reason="no_route") == 1

    def test_durations_come_in_the_buckets_of_the_configuration(self):
        scraped = Scraped(a_live(a_config(metrics={"buckets": ("10ms", "1s")})))
        for milliseconds in (1, 2, 100, 5000):
            scraped.supervisor.slabs[milliseconds % 2].end_request(scraped.canary, 200, 0, milliseconds * 1_000_000)
        buckets = [
            (labels["le"], value)
            for labels, value in scraped.samples("serinus_request_duration_seconds_bucket")
            if labels["version"] == "canary"
        ]
        assert buckets == [("0.01", 2), ("1.0", 3), ("+Inf", 4)]
        assert scraped.value("serinus_request_duration_seconds_count", **CANARY) == 4
        assert scraped.value("serinus_request_duration_seconds_sum", **CANARY) == pytest.approx(5.103)


class TestWhatVersionsDid:
    def test_attempts_are_told_by_endpoint_and_outcome(self, scraped: Scraped):
        for outcome in Outcome:
            if outcome is not Outcome.UNAVAILABLE:
                scraped.supervisor.attempt("canary", outcome, worker=outcome % 2)
        scraped.supervisor.slabs[0].choose(scraped.canary, False)
        seen = {
            (labels["endpoint"], labels["outcome"]): value
            for labels, value in scraped.samples("serinus_attempts_total")
            if labels["version"] == "canary"
        }
        assert seen == {("" if o is Outcome.UNAVAILABLE else AT["endpoint"], o.label): 1 for o in Outcome}

    def test_every_outcome_is_there_from_the_start_so_that_the_first_failure_is_a_rise(self, scraped: Scraped):
        assert scraped.value("serinus_attempts_total", **AT, outcome="5xx") == 0

    def test_what_is_in_flight_is_told(self, scraped: Scraped):
        scraped.supervisor.attempt("canary", None, worker=0)
        scraped.supervisor.attempt("canary", None, worker=1)
        assert scraped.value("serinus_requests_in_flight", **CANARY) == 2
        assert scraped.value("serinus_endpoint_requests_in_flight", **AT) == 2

    @pytest.mark.parametrize(
        ("spoil", "up"),
        [
            (lambda supervisor: None, 1),
            (lambda supervisor: supervisor.set_health("shop", "canary", AT["endpoint"], False, "refused"), 0),
            (lambda supervisor: supervisor.set_sockets("shop", "canary", AT["endpoint"], ()), 0),
            (lambda supervisor: drain(supervisor), 0),
        ],
        ids=["well", "unhealthy", "without an address", "draining"],
    )
    def test_an_endpoint_is_up_when_it_can_be_used(
        self, scraped: Scraped, spoil: Callable[[FakeSupervisor], Any], up: int
    ):
        spoil(scraped.supervisor)
        assert scraped.value("serinus_endpoint_up", **AT) == up


def drain(supervisor: FakeSupervisor) -> None:
    supervisor.live = set_endpoint_state(supervisor.live, "shop", "canary", AT["endpoint"], "drain", NEVER)


class TestTheSplit:
    def test_the_target_is_the_share_by_weight(self, scraped: Scraped):
        assert scraped.value("serinus_split_target_ratio", **CANARY) == 0.01
        assert scraped.value("serinus_split_target_ratio", service="cart", version="blue") == 1

    def test_the_actual_share_is_absent_where_nothing_was_dealt(self, scraped: Scraped):
        scraped.observations.shares = {"shop": {"stable": 0.75, "canary": 0.25}}
        assert scraped.samples("serinus_split_actual_ratio") == [
            ({"service": "shop", "version": "stable"}, 0.75),
            (CANARY, 0.25),
        ]


class TestTheProxy:
    def test_it_tells_of_its_workers(self, scraped: Scraped):
        states = ["ready", "ready", "starting"]
        scraped.supervisor.worker_states = [WorkerState(i, i, state, 2, 0.0) for i, state in enumerate(states)]
        assert [(labels["state"], value) for labels, value in scraped.samples("serinus_workers")] == [
            *(("starting", 1), ("ready", 2), ("draining", 0), ("drained", 0), ("ended", 0))
        ]
        assert scraped.value("serinus_worker_restarts_total") == 6

    def test_it_tells_of_reloads(self, scraped: Scraped):
        scraped.supervisor.reloads, scraped.supervisor.last_reload_failed = {"ok": 3, "failed": 1}, True
        assert scraped.value("serinus_config_reloads_total", result="ok") == 3
        assert scraped.value("serinus_config_reloads_total", result="failed") == 1
        assert scraped.value("serinus_config_last_reload_successful") == 0

    def test_it_tells_of_handovers(self, scraped: Scraped):
        assert scraped.value("serinus_last_handover_successful") == 1
        scraped.supervisor.succession.predecessor = 4711
        scraped.supervisor.succession.fail(1.0, "it ended")
        assert scraped.value("serinus_handovers_total", result="ok") == 1
        assert scraped.value("serinus_handovers_total", result="failed") == 1
        assert scraped.value("serinus_last_handover_successful") == 0

    def test_it_tells_its_generation_and_its_version(self, scraped: Scraped):
        assert scraped.value("serinus_generation") == 1
        ((labels, value),) = scraped.samples("serinus_build_info")
        assert (set(labels), value) == ({"version", "python"}, 1)


class TestSeriesGo:
    def test_with_their_endpoint(self, scraped: Scraped):
        supervisor = scraped.supervisor
        supervisor.live = add_endpoint(supervisor.live, "shop", "canary", "127.0.0.1:9009", NEVER)
        supervisor.attempt("canary", address="127.0.0.1:9009")
        new = {**AT, "endpoint": "127.0.0.1:9009"}
        assert scraped.value("serinus_attempts_total", **new, outcome="ok") == 1
        supervisor.live = remove_endpoint(supervisor.live, "shop", "canary", "127.0.0.1:9009", NEVER)
        assert b"127.0.0.1:9009" not in generate_latest(scraped.registry)

    def test_with_their_version(self, scraped: Scraped):
        fill(scraped)
        scraped.supervisor.live = a_live(a_config({"shop": {"versions": {"stable": {}}}}))
        scraped.observations.shares = {}
        assert b"canary" not in generate_latest(scraped.registry)


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["attempt", "request", "bury", "scrape"])), max_size=30))
def test_totals_never_go_down(todo: list[tuple[int, str]]):
    scraped = Scraped()
    supervisor = scraped.supervisor
    scrapes: list[dict[str, float]] = []
    for worker, kind in [*todo, (0, "scrape")]:
        slab = supervisor.slabs[worker]
        if kind == "attempt":
            supervisor.attempt("canary", Outcome.OK if worker else None, worker=worker)
        elif kind == "request":
            slab.end_request(scraped.canary, 200, 0, 5_000_000)
        elif kind == "bury":
            slab.bury(supervisor.slots.versions.in_use(), supervisor.slots.endpoints.in_use())
        else:
            totals = (s for family in scraped.families() if family.type != "gauge" for s in family.samples)
            scrapes.append({f"{s.name}{sorted(s.labels.items())}": s.value for s in totals})
    for before, after in pairwise(scrapes):
        assert all(after[series] >= value for series, value in before.items())


def test_every_bin_is_in_the_histogram(scraped: Scraped):
    for bound in LOWER[:-1]:
        scraped.supervisor.slabs[0].end_request(scraped.canary, 200, 0, int(bound * 1e9) + 600)
    assert scraped.value("serinus_request_duration_seconds_count", **CANARY) == len(LOWER) - 1
