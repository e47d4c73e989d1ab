"""What the workers are told, change by change, is what they would be told of the whole at once."""

from collections.abc import Callable
from contextlib import closing, suppress

from hypothesis import given
from hypothesis import strategies as st

from config.load import loads
from proxy.certificates import Material
from proxy.core import live as changes
from proxy.core import serving
from proxy.core.live import Change, Live, Refused
from proxy.core.overlay import reconfigure
from proxy.core.snapshot import EndpointState, Snapshot
from proxy.dispatch import Dispatch
from proxy.startup import first_live, new_salts

FILE = """
listen: [{address: "127.0.0.1:8080"}]
services:
  a:
    versions: {stable: {endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}, canary: {endpoints: ["127.0.0.1:3"]}}
    split: {stable: 9, canary: 1}
    slow_start: 10s
  b:
    versions: {stable: {endpoints: ["127.0.0.1:1"]}, canary: {endpoints: ["127.0.0.1:5"]}}
    active: stable
    health: {tcp: true}
routes: [{match: {path_prefix: /a}, service: a}, {service: b}]
"""
CHANGE = Change("tests")

services = st.sampled_from("ab")
versions = st.sampled_from(["stable", "canary"])
addresses = st.integers(1, 6).map("127.0.0.1:{}".format)
states = st.sampled_from(["up", "drain", "down"])

Step = Callable[[Dispatch], Live | None]


def set_split(service: str, weights: tuple[int, int]) -> Step:
    return lambda at: changes.set_split(at.live, service, dict(zip(["stable", "canary"], weights, strict=True)), CHANGE)


def add(service: str, version: str, address: str) -> Step:
    return lambda at: changes.add_endpoint(at.live, service, version, address, CHANGE)


def remove(service: str, version: str, address: str) -> Step:
    return lambda at: changes.remove_endpoint(at.live, service, version, address, CHANGE)


def set_state(service: str, version: str, address: str, state: EndpointState) -> Step:
    return lambda at: changes.set_endpoint_state(at.live, service, version, address, state, CHANGE)


def find_out(service: str, version: str, address: str, healthy: bool) -> Step:
    """News of health, which changes no live state: the next change tells the workers too."""

    def step(at: Dispatch) -> None:
        # The table itself, as the pause before a push is none of this test.
        at.known.set_health((service, version, address), 1.0, healthy=healthy, detail="")
        at._touched.add(service)

    return step


def read_again() -> Step:
    def step(at: Dispatch) -> Live:
        config = loads(FILE)
        return reconfigure(at.live, config, CHANGE, new_salts(config))

    return step


def renew() -> Step:
    def step(at: Dispatch) -> Live:
        at.material = Material()
        return at.live

    return step


steps = st.one_of(
    st.builds(set_split, services, st.tuples(st.integers(1, 5), st.integers(0, 5))),
    st.builds(add, services, versions, addresses),
    st.builds(remove, services, versions, addresses),
    st.builds(set_state, services, versions, addresses, states),
    st.builds(find_out, services, versions, addresses, st.booleans()),
    st.builds(read_again),
    st.builds(renew),
)


class Worker:
    """What one worker has understood."""

    def __init__(self, served: Snapshot) -> None:
        self.served = served

    def tell(self, kind: str, payload: object) -> int:
        if kind == "snapshot":
            assert isinstance(payload, Snapshot)
            self.served = payload
        elif kind == "services":
            assert isinstance(payload, tuple)
            generation, changed = payload
            new = {service.name: service for service in changed}
            together = tuple(new.get(old.name, old) for old in self.served.services)
            self.served = Snapshot(generation, together, self.served.routes)
        return 1


@given(st.lists(steps, max_size=20))
def test_after_each_change_a_worker_serves_what_it_would_serve_of_the_whole(taken: list[Step]):
    config = loads(FILE)
    dispatch = Dispatch(first_live(config, None), b"secret", 2, Material())
    with closing(dispatch):
        [served] = [payload for kind, payload in dispatch.greeting() if kind == "snapshot"]
        assert isinstance(served, Snapshot)
        worker = Worker(served)
        dispatch.send_by(worker.tell)
        for step in taken:
            with suppress(Refused):
                if (live := step(dispatch)) is not None:
                    dispatch.make_room(live)
                    dispatch.adopt(live)
                    around = serving.Surroundings(dispatch.slots, dispatch.known.of, 2, dispatch.tls_of)
                    assert worker.served == serving.snapshot(live, around)


def test_a_change_of_one_service_sends_and_makes_anew_that_service_only():
    dispatch = Dispatch(first_live(loads(FILE), None), b"secret", 2, Material())
    with closing(dispatch):
        sent: list[tuple[str, object]] = []

        def send(kind: str, payload: object) -> int:
            sent.append((kind, payload))
            return len(sent)

        dispatch.send_by(send)
        live = changes.set_split(dispatch.live, "a", {"stable": 1, "canary": 1}, CHANGE)
        dispatch.make_room(live)
        before = dict(dispatch.greeting())["snapshot"]
        dispatch.adopt(live)
        after = dict(dispatch.greeting())["snapshot"]
        assert isinstance(before, Snapshot)
        assert isinstance(after, Snapshot)
        [(kind, payload)] = sent
        assert (kind, payload) == ("services", (live.generation, (after.services[0],)))
        assert after.services[1] is before.services[1]
        assert after.routes is before.routes
