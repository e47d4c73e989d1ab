"""Leases: who leads a service, how long that is believed without news, and what follows when it ends.

Owns the steps on a lease. Must not know time: when a lease was renewed last and when it has run out is for
`proxy.leases`.

1. A lease is made by its holder, and again by whoever comes next. The same terms again are a renewal: nothing changes.
2. It runs out once. What was done is kept with it, until it is made again or ended.
3. To run out means to hold, or to go back to the split that the terms name. A split that somebody else has made in the
   meantime is theirs and stays; so does one that cannot be replaced.
4. The version that the holder brings is guarded as long as the lease is there. That it has run out is no reason to
   leave it unguarded: nobody else looks after it then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from config.who import Who
from proxy.core.live import (
    Change,
    Lease,
    Live,
    LiveService,
    Problem,
    Refused,
    RunOut,
    activate,
    nearest,
    set_split,
)

#: Who has made a change, when a lease that ran out has.
BY: Final = "lease"
#: Makers of splits that are nobody's word against the holder.
_NOBODY: Final = frozenset({"file", "reload", "breaker", BY})


def make_lease(live: Live, service: str, lease: Lease) -> Live:
    """Give a service a lease, or the same state when it has this one already.

    Raises:
        Refused: 404 for an unknown service, 422 for a way back that cannot be.
    """
    current = live.service(service)
    if problems := _problems(live, service, lease):
        raise Refused(422, f"{service} cannot have this lease", problems)
    if current.lease == lease:
        return live
    weights = None if lease.weights is None else {name: float(weight) for name, weight in lease.weights.items()}
    return _with_lease(live, service, replace(lease, weights=weights))


def end_lease(live: Live, service: str, holder: str, *, force: bool = False) -> Live:
    """Take the lease away.

    Raises:
        Refused: 404 for an unknown service and without a lease, 409 when it is somebody else's.
    """
    lease = live.service(service).lease
    if lease is None:
        raise Refused(404, f"{service} has no lease")
    if lease.holder != holder and not force:
        problem = Problem("X-Serinus-Actor", f"{lease.holder} holds it, not {holder}; ?force=true ends it all the same")
        raise Refused(409, "The lease is somebody else's", (problem,))
    return _with_lease(live, service, None)


def run_out(live: Live, service: str, wall_seconds: float) -> Live:
    """Do what follows when nothing was heard of the holder for as long as the lease says.

    Raises:
        Refused: 404 for an unknown service, 409 when it has no lease that could run out.
    """
    current = live.service(service)
    lease = current.lease
    if lease is None or lease.ran_out is not None:
        raise Refused(409, f"{service} has no lease that could run out")
    why = f"nothing was heard of {lease.holder} for {lease.seconds:g} s"
    after, kept = _went_back(live, service, lease, Change(BY, why, wall_seconds))
    ran_out = RunOut("held" if after is None else "rolled back", why + kept, wall_seconds)
    return _with_lease(live, service, replace(lease, ran_out=ran_out), base=after)


def _went_back(live: Live, service: str, lease: Lease, change: Change) -> tuple[Live | None, str]:
    """The live state with the split of the terms, or None and why not."""
    current = live.services[service]
    if lease.do == "hold":
        return None, ""
    made = current.split_change
    if made.by not in _NOBODY and lease.holder not in (made.by, made.actor):
        return None, f"; {Who(made.by, made.actor)} has changed the split since, so it stays"
    try:
        after = _back(live, service, lease, change)
    except Refused as refused:
        return None, f"; it cannot go back: {refused}"
    return (live if _is_dealt_alike(current, after.services[service]) else after), ""


def _back(live: Live, service: str, lease: Lease, change: Change) -> Live:
    if lease.active is not None:
        return activate(live, service, lease.active, change)
    return set_split(live, service, lease.weights or {}, change)


def _problems(live: Live, service: str, lease: Lease) -> tuple[Problem, ...]:
    return (*_problems_of_what_it_brings(live, service, lease), *_problems_of_the_way_back(live, service, lease))


def _problems_of_what_it_brings(live: Live, service: str, lease: Lease) -> Iterator[Problem]:
    known = live.services[service].versions
    for field in ("version", "reference"):
        name = getattr(lease.brings, field, None)
        if name is not None and name not in known:
            message = f"{service} has no version {name!r}"
            yield Problem(f"brings.{field}", message, suggestion=nearest(name, known))
    if lease.brings is not None and lease.brings.version == lease.brings.reference:
        yield Problem("brings.reference", f"{lease.brings.version} cannot be compared with itself")


def _problems_of_the_way_back(live: Live, service: str, lease: Lease) -> tuple[Problem, ...]:
    ways = [name for name in ("weights", "active") if getattr(lease, name) is not None]
    if lease.do == "hold":
        return tuple(Problem(name, "is for rollback only; hold keeps the split as it is") for name in ways)
    if len(ways) != 1:
        return (Problem("", "rollback needs the split to go back to: weights, or active"),)
    try:
        _back(live, service, lease, Change(BY))
    except Refused as refused:
        return tuple(replace(problem, path=problem.path.replace("version", "active")) for problem in refused.problems)
    return ()


def _is_dealt_alike(one: LiveService, other: LiveService) -> bool:
    return one.active == other.active and all(
        math.isclose(share, other.shares[version], abs_tol=1e-9) for version, share in one.shares.items()
    )


def _with_lease(live: Live, service: str, lease: Lease | None, base: Live | None = None) -> Live:
    """The next generation of `live` with another lease; `base` is that generation where something else was done too."""
    after = live if base is None else base
    changed = replace(after.services[service], lease=lease)
    return replace(after, generation=live.generation + 1, services={**after.services, service: changed})
