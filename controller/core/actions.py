"""What the controller does to the world: imperative, each of them safe to do again.

Owns their shapes. Must not perform them (`controller.act`).

1. An action on a service is done on every proxy, each with the generation that was seen of it.
2. Doing an action a second time changes nothing more: the same split, the same state, the same run of a hook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from controller.core.model import LeaseTerms, Split


@dataclass(frozen=True, slots=True)
class SetSplit:
    """Deal the requests of a service so. With a salt (hexadecimal), users are dealt by that one, everywhere alike."""

    split: Split
    salt: str = ""


@dataclass(frozen=True, slots=True)
class EnsureEndpoint:
    """Have an endpoint in a version, in this state."""

    version: str
    address: str
    state: Literal["up", "drain", "down"]


@dataclass(frozen=True, slots=True)
class RemoveEndpoint:
    """Have no such endpoint in a version; it is idle."""

    version: str
    address: str


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Go on leading a service under these terms; the time of its lease begins anew."""

    terms: LeaseTerms


@dataclass(frozen=True, slots=True)
class EndLease:
    """Lead a service no more."""


@dataclass(frozen=True, slots=True)
class RunDeploy:
    """Put a version on an endpoint by the deploy hook; `run` is the number of this run within its rollout."""

    run: int
    address: str
    version: str
    previous: str


Action: TypeAlias = SetSplit | EnsureEndpoint | RemoveEndpoint | RenewLease | EndLease | RunDeploy
