"""What the API shows and does: one view for each call.

Owns the way from a request to the conductor and from its answer to the models. Must not decide anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, TypeVar

from aiohttp import web

from config.who import Who
from controller.api import models
from controller.conductor import Conductor
from controller.core.account import Account, Happening, Told, account_of
from controller.core.book import Happened
from controller.core.model import Rollout
from controller.core.observed import Seen
from controller.core.orders import Order, Verb
from controller.core.situation import verdict_to_json
from controller.core.strategy import strategy_of
from controller.journal import Record
from webapi.app import Render
from webapi.asking import read_who
from webapi.call import answer

B = TypeVar("B", bound=models.Closed)

ACTOR: Final = "controller api"
"""Who asks, when nobody says."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the views ask."""

    conductor: Conductor
    metrics: Render
    openapi: Mapping[str, Any]
    closing: asyncio.Event
    """Set when the API goes away, so that endless answers end."""
    ping_seconds: float


@dataclass(frozen=True, slots=True)
class Asked(Generic[B]):
    """One request, read."""

    parts: Parts
    request: web.Request
    body: B
    query: Any = None

    @property
    def conductor(self) -> Conductor:
        """Who is asked."""
        return self.parts.conductor

    @property
    def id(self) -> str:
        """The `{id}` of the path."""
        return self.request.match_info["id"]

    @property
    def who(self) -> Who:
        """Who asks."""
        return read_who(self.request, ACTOR)


async def get_healthz(asked: Asked[models.Nothing]) -> web.Response:
    """Whether the controller acts."""
    return answer(models.HealthView(status="alive"))


async def get_metrics(asked: Asked[models.Nothing]) -> web.Response:
    """What the controller counts of itself."""
    content, content_type = asked.parts.metrics(asked.request.headers.get("Accept", ""))
    return web.Response(body=content, headers={"Content-Type": content_type})


async def get_openapi(asked: Asked[models.Nothing]) -> web.Response:
    """The description of the API."""
    return answer(asked.parts.openapi)


async def get_rollouts(asked: Asked[models.Nothing]) -> web.Response:
    """All rollouts."""
    conductor = asked.conductor
    line = conductor.book.line
    return answer(
        models.RolloutsView(
            rollouts=[rollout_view(conductor, rollout) for rollout in conductor.book.rollouts.values()],
            stopped=line.reason or f"by {Who(line.by, line.actor)}" if line else None,
            frozen=conductor.window(),
            trouble=conductor.trouble,
        )
    )


async def post_rollout(asked: Asked[models.StartBody]) -> web.Response:
    """Start one."""
    body = asked.body
    changes = {name: value for name, value in (("from_", body.from_), ("to", body.to)) if value is not None}
    rollout = await asked.conductor.start(
        body.service, changes, **asked.who._asdict(), reason=body.reason, if_running=body.if_running
    )
    return answer(rollout_view(asked.conductor, rollout), status=201)


async def get_rollout(asked: Asked[models.Nothing]) -> web.Response:
    """One rollout."""
    return answer(rollout_view(asked.conductor, asked.conductor.rollout(asked.id)))


async def get_why(asked: Asked[models.Nothing]) -> web.Response:
    """Why it is where it is."""
    conductor, rollout = asked.conductor, asked.conductor.rollout(asked.id)
    account = account_in(conductor, rollout.id)
    return answer(
        models.WhyView(
            rollout=rollout_view(conductor, rollout),
            outcome=account.outcome(conductor.tools.clock.now()),
            now=_decision_now(conductor, rollout),
            decisions=[told_view(told) for told in account.told],
        )
    )


async def post_promote(asked: Asked[models.PromoteBody]) -> web.Response:
    """The next step, or all of them, without waiting."""
    return _order(asked, "promote", all_steps=asked.body.all)


async def post_pause(asked: Asked[models.OrderBody]) -> web.Response:
    """Stay at this weight; failures still roll back."""
    return _order(asked, "pause")


async def post_resume(asked: Asked[models.OrderBody]) -> web.Response:
    """Go on."""
    return _order(asked, "resume")


async def post_abort(asked: Asked[models.OrderBody]) -> web.Response:
    """Roll back."""
    return _order(asked, "abort")


async def post_retry(asked: Asked[models.OrderBody]) -> web.Response:
    """Begin anew."""
    return _order(asked, "retry")


async def post_signal(asked: Asked[models.SignalBody]) -> web.Response:
    """What somebody outside has noticed."""
    body = asked.body
    asked.conductor.signal(
        *(body.service, body.check or ""),
        **asked.who._asdict(),
        bad=body.state == "bad",
        message=body.message,
        seconds=body.expires,
    )
    return await get_rollouts(Asked(asked.parts, asked.request, models.Nothing()))


async def get_line(asked: Asked[models.Nothing]) -> web.Response:
    """Whether anything may move forward."""
    return answer(_line_view(asked.conductor))


async def put_line(asked: Asked[models.LineBody]) -> web.Response:
    """Stop everything from moving forward, or let it go on."""
    asked.conductor.stop_line(stopped=asked.body.stopped, **asked.who._asdict(), reason=asked.body.reason)
    return answer(_line_view(asked.conductor))


def rollout_view(conductor: Conductor, rollout: Rollout) -> models.RolloutView:
    """A rollout for people and programs."""
    strategy = strategy_of(rollout.policy)
    split = strategy.split(rollout)
    loop = conductor.loop_of(rollout.id)
    decision = loop.decision if loop is not None and not rollout.has_ended else None
    last = strategy.last_step(rollout)
    ordered = rollout.ordered
    return models.RolloutView(
        id=rollout.id,
        service=rollout.service,
        strategy=rollout.policy.strategy,
        from_=rollout.old,
        to=rollout.new,
        phase=rollout.phase,
        step=rollout.step,
        steps=last + 1,
        attempt=rollout.attempt,
        weights=dict(split.weights),
        active=split.active,
        applied=rollout.is_applied,
        elapsed=rollout.elapsed(max(conductor.tools.clock.now(), rollout.at)),
        bake=strategy.bake(rollout.step) if rollout.step <= last else None,
        deadline=rollout.deadline,
        failed=list(rollout.failed),
        why=rollout.why,
        by=rollout.by,
        ordered=None if ordered is None else models.OrderedView(**asdict(ordered)),
        waits=decision.sentence if decision is not None else "",
        lost=_lost(conductor, decision.seen) if decision is not None else [],
        sealed=rollout.sealed,
        at=rollout.at,
    )


def _lost(conductor: Conductor, seen: Seen) -> list[models.LostProxyView]:
    clock = conductor.tools.clock
    return [
        models.LostProxyView(address=name, why=why, since=clock.wall() - (clock.now() - seen.lost_since[name]))
        for name, why in seen.lost.items()
    ]


def account_in(conductor: Conductor, identity: str) -> Account:
    """The account of a rollout, from the journal."""
    return account_of(
        identity,
        [
            Happening(each.n, each.wall, each.entry.event)
            for each in conductor.journal.records
            if isinstance(each.entry, Happened) and each.entry.rollout == identity
        ],
    )


def decision_view(record: Record) -> models.DecisionView:
    """An entry of the journal as a decision, when it has just been written."""
    assert isinstance(record.entry, Happened)
    event = record.entry.event
    return told_view(Told(record.n, record.wall, event, 0.0, event.generations))


def told_view(told: Told) -> models.DecisionView:
    """One thing that happened, as a decision."""
    event = told.event
    return models.DecisionView(
        n=told.n,
        wall=told.wall,
        at=event.at,
        event=event.kind,
        minor=told.is_minor,
        sentence=event.why,
        by=event.by,
        actor=event.actor,
        reason=event.reason,
        verdicts=[dict(verdict) for verdict in event.evidence],
        generations=dict(told.generations),
        acknowledged=told.waited,
    )


def _decision_now(conductor: Conductor, rollout: Rollout) -> models.DecisionView:
    loop = conductor.loop_of(rollout.id)
    decision = loop.decision if loop is not None else None
    # What is found out after the end decides nothing.
    seen = decision.seen if decision is not None and not rollout.has_ended else Seen()
    verdicts = [*seen.before, *seen.verdicts]
    return models.DecisionView(
        n=None,
        wall=conductor.tools.clock.wall(),
        at=conductor.tools.clock.now(),
        event=None,
        sentence=decision.sentence if decision is not None else rollout.why,
        by="",
        actor="",
        reason="",
        verdicts=[verdict_to_json(verdict) for verdict in verdicts],
        **({"proxies": decision.to_json()["proxies"], "lost": dict(decision.seen.lost)} if decision else {}),
    )


def _order(asked: Asked[Any], verb: Verb, *, all_steps: bool = False) -> web.Response:
    who = asked.who
    rollout = asked.conductor.order(asked.id, Order(verb, who.by, asked.body.reason, all_steps, who.actor))
    return answer(rollout_view(asked.conductor, rollout))


def _line_view(conductor: Conductor) -> models.LineView:
    line = conductor.book.line
    if line is None:
        return models.LineView(stopped=False, by="", actor="", reason="")
    return models.LineView(stopped=True, by=line.by, actor=line.actor, reason=line.reason)
