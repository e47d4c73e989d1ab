"""What the API tells of a rollout's past: its series, and the report.

Owns the way from what is kept to the models and to the page. Must not draw (`controller.report`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from controller.api import models
from controller.api.views import Asked, account_in
from controller.core.account import Account
from controller.core.buckets import Bucket, quantile
from controller.core.series import CheckSaid, Odds, Row
from controller.report.page import CONTENT_SECURITY_POLICY, render
from controller.series_file import Kept, path_of, read
from webapi.call import answer

#: Nothing that a report could load or run but what is in it.
_HEADERS: Final = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}


async def get_series(asked: Asked[models.Nothing]) -> web.Response:
    """What both versions did over time."""
    asked.conductor.rollout(asked.id)
    kept, account = await _kept(asked), account_in(asked.conductor, asked.id)
    return answer(series_view(account, kept))


async def get_report(asked: Asked[models.Nothing]) -> web.Response:
    """The report, one HTML page."""
    asked.conductor.rollout(asked.id)
    kept, account = await _kept(asked), account_in(asked.conductor, asked.id)
    now = asked.conductor.tools.clock.now()
    page = await asyncio.to_thread(render, account, kept.series.rows, now, len(kept.damaged))
    return web.Response(text=page, content_type="text/html", charset="utf-8", headers=_HEADERS)


def series_view(account: Account, kept: Kept) -> models.SeriesView:
    """The series of a rollout."""
    rollout = account.rollout
    return models.SeriesView(
        rollout=rollout.id,
        service=rollout.service,
        from_=rollout.old,
        to=rollout.new,
        began=account.began,
        began_wall=account.began_wall,
        ended=rollout.entered_at if rollout.has_ended else None,
        needed=1 / rollout.policy.alpha,
        damaged=len(kept.damaged),
        rows=[_row_view(account, row) for row in kept.series.rows if row.end > account.began],
    )


def _row_view(account: Account, row: Row) -> models.SeriesRow:
    share = account.share_at(row.end)
    total = row.old.requests + row.new.requests
    rollout = account.rollout
    return models.SeriesRow(
        at=row.at,
        wall=account.began_wall + row.at - account.began,
        span=row.end - row.at,
        seconds=row.seconds,
        versions={
            rollout.old: _version_view(row.old, 1 - share, total),
            rollout.new: _version_view(row.new, share, total),
        },
        odds=_odds_view(row.odds),
        checks={name: _check_view(said) for name, said in row.checks.items()},
    )


def _version_view(bucket: Bucket, target: float, total: int) -> models.VersionRow:
    return models.VersionRow(
        requests=bucket.requests,
        errors=bucket.errors,
        unanswered=bucket.unanswered,
        p50=quantile(bucket.latencies, 0.5),
        p99=quantile(bucket.latencies, 0.99),
        target=target,
        actual=bucket.requests / total if total else None,
    )


def _check_view(said: CheckSaid) -> models.CheckRow:
    return models.CheckRow(value=said.value, odds=_odds_view(said.odds))


def _odds_view(odds: Odds | None) -> models.OddsView | None:
    return models.OddsView(low=odds.low, high=odds.high) if odds else None


async def _kept(asked: Asked[models.Nothing]) -> Kept:
    path = path_of(asked.conductor.tools.folder, asked.id)
    return await asyncio.to_thread(read, path)
