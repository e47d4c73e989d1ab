"""References between the parts of a file: routes to services, splits to versions, rollouts to both.

Owns every rule that needs more than one value. Works on plain values and passes over what has the wrong shape, since
the models complain about that; so one slip never hides another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from config.address import TcpAddress, parse_endpoint_address, parse_listen_address
from config.check import default_check_name
from config.model import Admin, Controller
from config.problems import Complaint, Path, nearest
from config.rollout import ControllerLoss
from config.route import Match
from config.units import parse_duration
from config.values import is_off

_VERSION_FIELDS: Final = ("active", "stable", "fallback")
_MAX_VERSIONS: Final = 64
_LOOKS_OF_A_LEASE: Final = 3

Complaints = Iterator[Complaint]


def check_references(tree: Mapping[str, object]) -> Complaints:
    """Yield a complaint for everything in the file that does not fit together."""
    services = _mapping(tree.get("services"))
    yield from _check_listeners(tree)
    yield from _check_introductions(tree)
    yield from _check_tokens(tree)
    for name, service in services.items():
        yield from _check_split(("services", name), _mapping(service))
        yield from _check_endpoints(("services", name, "versions"), _mapping(service))
        yield from _check_hash_key(("services", name, "hash_key"), _mapping(service))
    yield from _check_routes(tree, services)
    interval = _mapping(tree.get("controller")).get("interval", Controller().interval)
    for name, rollout in _mapping(tree.get("rollouts")).items():
        yield from _check_rollout(("rollouts", name), _mapping(rollout), services, interval)


def _check_listeners(tree: Mapping[str, object]) -> Complaints:
    """An address listens once; port 0 is a new port each time."""
    admin = _mapping(tree.get("admin")).get("address", str(Admin().address))
    controller = _mapping(tree.get("controller")).get("address", str(Controller().address))
    listeners = [_mapping(listener).get("address") for listener in _list(tree.get("listen"))]
    places: list[tuple[Path, object]] = [(("admin", "address"), admin), (("controller", "address"), controller)]
    places += [(("listen", index, "address"), address) for index, address in enumerate(listeners)]
    taken = [(path, address) for path, address in _parsed(places, parse_listen_address) if not _is_any_port(address)]
    yield from _check_unique(taken, "{} is listened on already")


def _check_introductions(tree: Mapping[str, object]) -> Complaints:
    """A listener that takes PROXY headers from nobody serves nobody."""
    if tree.get("trusted_proxies") not in (None, ()):
        return
    for index, item in enumerate(_list(tree.get("listen"))):
        listener, path = _mapping(item), ("listen", index, "proxy_protocol")
        for _, address in _parsed([(path, listener.get("address"))], parse_listen_address):
            if listener.get("proxy_protocol") is True and isinstance(address, TcpAddress):
                yield Complaint(path, "needs trusted_proxies: without them no connection is taken here")


def _check_tokens(tree: Mapping[str, object]) -> Complaints:
    for section in ("admin", "controller"):
        tokens = [_mapping(token).get("name") for token in _list(_mapping(tree.get(section)).get("tokens"))]
        places = [((section, "tokens", index, "name"), name) for index, name in enumerate(tokens) if name]
        named = [(path, name) for path, name in places if isinstance(name, str)]
        folded = [(path, name.casefold()) for path, name in named]
        yield from _check_unique(folded, "another token is called {} already; a name tells who it was")


def _check_split(path: Path, service: Mapping[str, Any]) -> Complaints:
    versions, split = _mapping(service.get("versions")), service.get("split")
    if not versions:
        return
    if len(versions) > _MAX_VERSIONS:
        yield Complaint((*path, "versions"), f"a service has at most {_MAX_VERSIONS} versions")
    for name in _mapping(split):
        yield from _check_known((*path, "split", name), name, "version", versions, at_key=True)
    for field in _VERSION_FIELDS:
        if not (field == "fallback" and is_off(service.get(field))):
            yield from _check_known((*path, field), service.get(field), "version", versions)
    yield from _check_split_mode(path, service, len(versions))


def _check_split_mode(path: Path, service: Mapping[str, Any], versions: int) -> Complaints:
    """There are three cases: `split`, `active`, or a single version which needs neither."""
    split, active = service.get("split"), service.get("active")
    if split is not None and active is not None:
        yield Complaint((*path, "active"), "takes either split or active, not both", at_key=True)
    elif split is None and active is None and versions > 1:
        yield Complaint(path, "needs a split (split: {stable: 99, canary: 1}) or one active version (active: blue)")
    elif isinstance(split, dict) and not any(split.values()):
        yield Complaint((*path, "split"), "at least one weight must be more than 0")


def _check_endpoints(path: Path, service: Mapping[str, Any]) -> Complaints:
    """An address runs one version of a service at a time."""
    places = [
        ((*path, version, "endpoints", index), address)
        for version, settings in _mapping(service.get("versions")).items()
        for index, address in enumerate(_list(_mapping(settings).get("endpoints")))
    ]
    yield from _check_unique(_parsed(places, parse_endpoint_address), "{} is an endpoint of this service already")


def _check_hash_key(path: Path, service: Mapping[str, Any]) -> Complaints:
    """Only `sticky` issues the cookie of `own-cookie`."""
    key, sticky_key = service.get("hash_key"), _mapping(service.get("sticky")).get("key")
    if "own-cookie" in _one_or_list(key) and "own-cookie" not in _one_or_list(sticky_key):
        yield Complaint(path, "own-cookie needs a sticky key with own-cookie, which issues the cookie")


def _check_routes(tree: Mapping[str, object], services: Mapping[str, Any]) -> Complaints:
    if "routes" not in tree and len(services) > 1:
        yield Complaint((), "routes are needed, since there are several services")
    for index, item in enumerate(_list(tree.get("routes"))):
        route, path = _mapping(item), ("routes", index)
        yield from _check_known((*path, "service"), route.get("service"), "service", services)
        versions = _mapping(_mapping(services.get(str(route.get("service")))).get("versions"))
        if versions:
            yield from _check_known((*path, "version"), route.get("version"), "version", versions)
    yield from _check_reached([_mapping(route) for route in _list(tree.get("routes"))])


def _check_reached(routes: Sequence[Mapping[str, Any]]) -> Complaints:
    """Of two routes with the same match the first one wins."""
    first: dict[object, int] = {}
    matches = [(("routes", index), route.get("match")) for index, route in enumerate(routes) if route]
    for path, match in _parsed(matches, Match.model_validate):
        if match in first:
            yield Complaint(path, f"is never reached: routes[{first[match]}] has the same match")
        first.setdefault(match, int(path[1]))


def _check_rollout(path: Path, rollout: Mapping[str, Any], services: Mapping[str, Any], interval: object) -> Complaints:
    name = str(path[-1])
    yield from _check_known(path, name, "service", services, at_key=True)
    versions = _mapping(_mapping(services.get(name)).get("versions"))
    if versions:
        yield from _check_known((*path, "from"), rollout.get("from"), "version", versions)
        yield from _check_known((*path, "to"), rollout.get("to"), "version", versions)
    yield from _check_loss((*path, "on_controller_loss", "after"), rollout, interval)
    for field in ("checks", "before"):
        names = [
            ((*path, field, index), check.get("name", default_check_name(check.get("kind"))))
            for index, check in enumerate(_mapping(item) for item in _list(rollout.get(field)))
        ]
        named = [(place, name) for place, name in names if isinstance(name, str) and name]
        yield from _check_unique(named, "another check is called {} already; give this one a name")


def _check_loss(path: Path, rollout: Mapping[str, Any], interval: object) -> Complaints:
    """A lease that is shorter than a few looks would run out under a controller that is well."""
    after = _mapping(rollout.get("on_controller_loss")).get("after", ControllerLoss().after)
    durations = [seconds for _, seconds in _parsed([(path, after), (path, interval)], parse_duration)]
    if len(durations) == 2 and durations[0] < _LOOKS_OF_A_LEASE * durations[1]:
        yield Complaint(path, f"must be at least {_LOOKS_OF_A_LEASE} times controller.interval")


def _check_known(path: Path, name: object, noun: str, known: Mapping[str, Any], *, at_key: bool = False) -> Complaints:
    """A name that is given has to be known; text is the only thing that can be a name."""
    if isinstance(name, str) and name not in known:
        yield Complaint(path, f"unknown {noun} {name!r}", nearest(name, known), at_key=at_key)


def _check_unique(places: Iterable[tuple[Path, Any]], message: str) -> Complaints:
    seen: set[Any] = set()
    for path, value in places:
        if value in seen:
            yield Complaint(path, message.format(value))
        seen.add(value)


def _parsed(places: Iterable[tuple[Path, object]], parse: Callable[[object], object]) -> Iterator[tuple[Path, Any]]:
    """Yield the values that can be parsed, in canonical form."""
    for path, value in places:
        try:
            yield path, parse(value)
        except ValueError:
            continue


def _is_any_port(address: object) -> bool:
    return isinstance(address, TcpAddress) and address.port == 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


def _one_or_list(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
