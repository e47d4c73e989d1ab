"""The admin API of a proxy as the controller uses it: look, count, change.

Owns the calls, their deadlines and the way from JSON to what the decision looks at. Must not decide what to call, and
must not try a second time.

1. A proxy that gives no usable answer is `ProxyLost`, one that says no is `ProxyRefused`; nothing else comes out.
2. A change carries the generation that it is based on, and returns the one that every worker serves afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import TypeAdapter

from config.address import UnixAddress
from config.controller import LedProxy
from controller.core.actions import Action, EndLease, EnsureEndpoint, RemoveEndpoint, RenewLease, SetSplit
from controller.core.model import LeaseTerms, Split
from controller.core.observed import SeenEndpoint, SeenLease, SeenService

T = TypeVar("T")

#: For a look, seconds: a proxy answers it from memory.
LOOK_SECONDS: Final = 3.0
#: For a change, seconds: every worker has to confirm it, and one may be starting.
CHANGE_SECONDS: Final = 15.0
_MAX_SECONDS: Final = 900  # what a proxy keeps of its statistics
_MAX_REASON: Final = 500
_TERMS: Final = TypeAdapter(LeaseTerms)


class ProxyLost(Exception):
    """A proxy gave no usable answer; the text says why, as the end of a sentence."""


class ProxyRefused(Exception):
    """A proxy said no; the text is its own."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Proxy:
    """One proxy. Belongs to the loop that it is made in; `close` it there."""

    def __init__(self, led: LedProxy) -> None:
        self.name: Final = str(led.address)
        headers = {"Accept": "application/json"}
        if led.token is not None:
            headers["Authorization"] = f"Bearer {led.token.get_secret_value()}"
        if isinstance(led.address, UnixAddress):
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(led.address.path)
            self._base = "http://localhost"
        else:
            connector = aiohttp.TCPConnector()
            self._base = f"http://{led.address}"
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)

    async def look(self, service: str) -> SeenService:
        """The service as it is now. Raises ProxyLost, ProxyRefused."""
        content = await self._ask("GET", f"/v1/services/{_quoted(service)}", LOOK_SECONDS)
        return self._read(_seen, content)

    async def count(self, service: str, seconds: int) -> Mapping[str, Any]:
        """What its versions did in the last seconds, as /v1/stats says it. Raises ProxyLost, ProxyRefused."""
        seconds = max(1, min(seconds, _MAX_SECONDS))
        path = f"/v1/stats?seconds={seconds}&service={_quoted(service)}"
        content = await self._ask("GET", path, LOOK_SECONDS)
        return self._read(_expect_stats, content)

    async def do(self, service: str, action: Action, generation: int, actor: str, reason: str) -> int:
        """Make a change that is based on a generation; gives the one that has it. Raises ProxyLost, ProxyRefused."""
        headers = {"If-Match": f'"{generation}"', "X-Serinus-Actor": actor[:100]}
        reason = reason[:_MAX_REASON]
        match action:
            case SetSplit(split=split, salt=salt):
                return await self._set_split(service, split, salt, headers, reason)
            case EnsureEndpoint():
                return await self._ensure(service, action, headers, reason)
            case RemoveEndpoint():
                return await self._remove(service, action, headers, reason, generation)
            case RenewLease():
                return await self._renew(service, action.terms, headers)
            case EndLease():
                return await self._end_lease(service, headers, generation)
            case _:
                raise TypeError(f"{action} is not for a proxy")

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()

    async def _set_split(self, service: str, split: Split, salt: str, headers: dict[str, str], reason: str) -> int:
        path = f"/v1/services/{_quoted(service)}"
        if split.active is not None:
            return await self._change("PUT", f"{path}/active", {"version": split.active, "reason": reason}, headers)
        body = {"weights": dict(split.weights), "reason": reason, **({"salt": salt} if salt else {})}
        return await self._change("PUT", f"{path}/split", body, headers)

    async def _ensure(self, service: str, action: EnsureEndpoint, headers: dict[str, str], reason: str) -> int:
        path = f"/v1/services/{_quoted(service)}/versions/{_quoted(action.version)}/endpoints"
        change = {"state": action.state, "reason": reason}
        state = f"{path}/{_quoted(action.address)}/state"
        try:
            return await self._change("PUT", state, change, headers)
        except ProxyRefused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
        generation = await self._change("POST", path, {"address": action.address, "reason": reason}, headers)
        if action.state == "up":  # as a new one is
            return generation
        return await self._change("PUT", state, change, {**headers, "If-Match": f'"{generation}"'})

    async def _remove(
        self, service: str, action: RemoveEndpoint, headers: dict[str, str], reason: str, generation: int
    ) -> int:
        path = f"/v1/services/{_quoted(service)}/versions/{_quoted(action.version)}/endpoints/{_quoted(action.address)}"
        try:
            return await self._change("DELETE", f"{path}?reason={quote(reason, safe='')}", None, headers)
        except ProxyRefused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
            return generation  # it is gone already, and so is what it had

    async def _renew(self, service: str, terms: LeaseTerms, headers: dict[str, str]) -> int:
        said = _TERMS.dump_python(terms, mode="json", exclude_none=True)
        return await self._change("PUT", f"/v1/services/{_quoted(service)}/lease", said, headers)

    async def _end_lease(self, service: str, headers: dict[str, str], generation: int) -> int:
        of_any_generation = {name: value for name, value in headers.items() if name != "If-Match"}
        try:
            return await self._change("DELETE", f"/v1/services/{_quoted(service)}/lease", None, of_any_generation)
        except ProxyRefused as refused:
            if refused.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise
            return generation  # it is gone already, or another rollout's

    async def _change(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> int:
        content = await self._ask(method, path, CHANGE_SECONDS, body, headers)
        return self._read(lambda found: int(found["generation"]), content)

    async def _ask(
        self, method: str, path: str, seconds: float, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        timeout, url = aiohttp.ClientTimeout(total=seconds), self._base + path
        try:
            async with self._session.request(method, url, json=body, headers=headers, timeout=timeout) as response:
                content = await response.json(content_type=None)
                status = response.status
        except TimeoutError as exc:
            raise ProxyLost(f"no answer within {seconds:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise ProxyLost(_words(exc)) from exc
        except ValueError as exc:
            raise ProxyLost("its answer is not JSON; is that the admin API of a proxy?") from exc
        if status >= HTTPStatus.BAD_REQUEST:
            detail = content.get("detail") if isinstance(content, dict) else None
            raise ProxyRefused(status, str(detail or f"status {status}"))
        return content

    def _read(self, read: Callable[[Any], T], content: Any) -> T:
        try:
            return read(content)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise ProxyLost(f"its answer is of another shape ({exc!r}); is that the admin API of a proxy?") from exc


def _seen(content: Mapping[str, Any]) -> SeenService:
    change = content["split_change"]
    return SeenService(
        generation=content["generation"],
        split=Split(content["split"], content["active"]),
        endpoints={
            name: {
                each["address"]: SeenEndpoint(each["state"], each["healthy"], each["in_flight"], each["detail"])
                for each in version["endpoints"]
            }
            for name, version in content["versions"].items()
        },
        changed_by=change["by"],
        change_reason=change["reason"],
        lease=_seen_lease(content["lease"]) if content["lease"] is not None else None,
        changed_for=change["actor"],
    )


def _seen_lease(content: Mapping[str, Any]) -> SeenLease:
    said = ("seconds", "do", "weights", "active", "brings")
    terms = _TERMS.validate_python({name: content[name] for name in said})
    ran_out = content["ran_out"]
    if ran_out is None:
        return SeenLease(content["holder"], terms, content["remaining"])
    is_held = ran_out["done"] == "held"
    return SeenLease(content["holder"], terms, None, ran_out["reason"], is_held, ran_out["seconds_ago"])


def _expect_stats(content: Mapping[str, Any]) -> Mapping[str, Any]:
    int(content["now"]), list(content["bin_lower_bounds_seconds"]), dict(content["services"])
    return content


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _words(exc: BaseException) -> str:
    """The reason in a few words, without class and address."""
    number = getattr(exc, "errno", None)
    return (os.strerror(number) if number else str(exc) or type(exc).__name__).lower()
