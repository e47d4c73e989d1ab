"""The lease that every proxy has while a rollout is under way: its terms, and when it is due.

Owns what a proxy is told to do when nothing more is heard of the controller. Must not count the time: the proxy does.

1. The proxies may roll back by themselves only while the new version is being watched. Before that nothing has begun;
   past the last step it has been decided; and on the way back there is nothing to add.
2. A lease is renewed when a third of its time is gone, so that two renewals may fail; and at once when it is not there,
   says something else, or has run out.
3. It ends with the rollout.
4. It says which version the rollout brings, so that the proxies guard that one, whatever their file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from config.guard import Brought
from controller.core.actions import EndLease, RenewLease
from controller.core.model import LeaseTerms, Phase, Rollout
from controller.core.observed import Seen, SeenLease, actor
from controller.core.strategy import strategy_of

_WATCHED: Final[frozenset[Phase]] = frozenset({"step", "paused", "holding", "frozen"})
#: The part of its time after which a lease is renewed.
_RENEW_AFTER: Final = 1 / 3


def lease_terms(rollout: Rollout) -> LeaseTerms | None:
    """What the proxies are told, None where nothing is under way."""
    if rollout.phase == "pending" or rollout.has_ended:
        return None
    loss = rollout.policy.on_controller_loss
    brings = Brought(rollout.new, rollout.old, rollout.policy.breaker)
    if loss.do == "hold" or rollout.phase not in _WATCHED:
        return LeaseTerms(loss.after, "hold", brings=brings)
    back = strategy_of(rollout.policy).split(replace(rollout, phase="rolling_back"))
    if back.active is not None:
        return LeaseTerms(loss.after, "rollback", active=back.active, brings=brings)
    return LeaseTerms(loss.after, "rollback", weights=dict(back.weights), brings=brings)


def lease_actions(rollout: Rollout, seen: Seen) -> Sequence[RenewLease | EndLease]:
    """What has to be done about the leases now."""
    terms, holder = lease_terms(rollout), actor(rollout.id)
    leases = [proxy.lease for proxy in seen.proxies.values()]
    if terms is None:
        is_held = any(lease is not None and lease.holder == holder for lease in leases)
        return [EndLease()] if is_held else []
    return [RenewLease(terms)] if any(_is_due(lease, terms, holder) for lease in leases) else []


def _is_due(lease: SeenLease | None, terms: LeaseTerms, holder: str) -> bool:
    if lease is None or lease.remaining is None:
        return True
    is_other = (lease.holder, lease.terms) != (holder, terms)
    return is_other or lease.remaining <= (1 - _RENEW_AFTER) * terms.seconds
