"""The controller of rollouts: where it listens, which proxies it leads, when it may not move anything, whom it tells.

Owns the shape and the defaults. Must not know a strategy (`config.rollout`).

Units: durations in seconds, times of the day in minutes since midnight.
"""

import re
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, PlainSerializer, PlainValidator, SecretStr, WithJsonSchema, model_validator

from config.address import TcpAddress
from config.admin import Admin, Authorized
from config.quantities import Duration
from config.texts import Endpoint, HttpUrl, ListenOn, VisibleText, expect_text, matching
from config.units import shorten
from config.values import OneOrMore, Value

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_OF_A_DAY: Final = 24 * 60
UTC: Final = "UTC"
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")


def _time_of_day(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MINUTES_OF_A_DAY:
        return value  # as it is in memory; a file cannot say it, for YAML 1.2 has no sexagesimal numbers
    text = expect_text(value)
    if not _TIME.fullmatch(text):
        raise ValueError(f'not a time of the day: {shorten(text)}; write "08:00" or "24:00"')
    hours, _, minutes = text.partition(":")
    return 60 * int(hours) + int(minutes)


def _zone(value: object) -> str:
    text = matching(_ZONE, "a time zone such as Europe/Berlin")(value)
    if text == UTC:
        return text  # there also where the system has no time zones
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(f"unknown time zone {text!r}; write UTC or a name such as Europe/Berlin") from exc
    return text


TimeOfDay = Annotated[
    int,
    PlainValidator(_time_of_day),
    PlainSerializer(lambda minutes: f"{minutes // 60:02d}:{minutes % 60:02d}"),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{_TIME.pattern})$", "examples": ["08:00"]}),
]
Zone = Annotated[str, PlainValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]})]


class FreezeWindow(Value):
    """A time in which no rollout moves forward; going back is always possible."""

    days: OneOrMore[Day] = DAYS
    """The days on which it begins. Default: every day."""
    from_: TimeOfDay = Field(default=0, alias="from")
    """When it begins, "HH:MM"."""
    to: TimeOfDay = MINUTES_OF_A_DAY
    """When it ends; at or before `from`: on the next day."""
    timezone: Zone = UTC
    """Whose clock counts."""
    reason: VisibleText = "freeze window"
    """What people are told."""

    @model_validator(mode="after")
    def _some_day(self) -> Self:
        if not self.days:
            raise ValueError("days needs at least one day")
        return self


class LedProxy(Authorized):
    """The admin API of a proxy that the controller leads."""

    address: Endpoint
    """host:port or unix:/path."""


class Notification(Value):
    """Whom the controller tells what has happened."""

    url: HttpUrl
    """Where it is posted."""
    format: Literal["json", "slack"] = "json"
    """json: the event with its numbers; slack: one message with text, which other chats understand too."""
    timeout: Duration = 10.0
    """For one attempt."""


class Controller(Admin):
    """The controller. Without a token its API listens on addresses of this machine only."""

    address: ListenOn = TcpAddress("127.0.0.1", 9901)
    """Where its API listens: host:port, [v6]:port, unix:/path or fd@N."""
    proxies: tuple[LedProxy, ...] = ()
    """The admin APIs of all proxies that serve these services. Default: the one of this file."""
    interval: Duration = 1.0
    """From one look to the next."""
    freeze: OneOrMore[FreezeWindow] = ()
    """When nothing moves forward."""
    notify: OneOrMore[Notification] = ()
    """Who is told what happens."""

    @model_validator(mode="after")
    def _distinct_proxies(self) -> Self:
        addresses = [proxy.address for proxy in self.proxies]
        if len(set(addresses)) != len(addresses):
            raise ValueError("proxies names an address twice")
        return self


def _token_to_lead_with(admin: Admin) -> SecretStr | None:
    """The token for the controller where the file names none for it: one that may do everything. Raises ValueError."""
    token = admin.token or next((token.token for token in admin.tokens if token.role == "admin"), None)
    if token is None and admin.needs_token:
        raise ValueError(
            "no token of admin has the role admin, which the controller needs: "
            "add one, or name the proxy and its token in controller.proxies"
        )
    return token


def led_proxies(controller: Controller, admin: Admin) -> tuple[LedProxy, ...]:
    """The proxies that a controller leads: those that the file names, else the one that the file is for.

    Raises:
        ValueError: nobody knows where that one's admin API is.
    """
    if controller.proxies:
        return controller.proxies
    address: Any = admin.address
    if isinstance(address, TcpAddress):
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
        address = TcpAddress(host, address.port)
    token = _token_to_lead_with(admin)
    try:
        return (LedProxy.model_validate({"address": str(address), "token": token}),)
    except ValueError as exc:
        raise ValueError(
            f"admin.address {admin.address} does not say where to call: name the proxy in controller.proxies"
        ) from exc
