"""Checks of a rollout: what is looked at, and when it counts as a failure.

Owns the shape of each kind of check. What a verdict means is up to the controller.
"""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from config.quantities import Duration, Percent, PositiveCount, Share, Statuses, StatusRange
from config.texts import Command, HeaderValue, HttpUrl, Name, TokenText, VisibleText
from config.units import shorten
from config.values import OneOrMore, Table, Value

_COMPARISON: Final = re.compile(r"(<=|>=|==|!=|<|>) *(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)")

FailAction = Literal["rollback", "hold", "extend"]
"""What follows a failed check: back to the old version, stay at a small weight and investigate, or wait longer."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A condition on a number, such as `< 0.95`."""

    operator: Literal["<", "<=", ">", ">=", "==", "!="]
    limit: float

    def __str__(self) -> str:
        return f"{self.operator} {self.limit!r}"


def parse_comparison(value: object) -> Comparison:
    """Return the condition that `value` names.

    Raises:
        ValueError: `value` is not a comparison with a number.
    """
    if isinstance(value, Comparison):
        return value
    match = _COMPARISON.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'not a comparison: {shorten(value)}; write "< 0.95"')
    operator: Any = match[1]
    limit = float(match[2])
    if not math.isfinite(limit):
        raise ValueError(f"the number in {shorten(value)} is too large")
    return Comparison(operator, limit)


Condition = Annotated[
    Comparison,
    PlainValidator(parse_comparison),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": f"^{_COMPARISON.pattern}$", "examples": ["< 0.95"]}),
]


def default_check_name(kind: object) -> str:
    """Return the name of a check that has none of its own."""
    return kind.replace("_", "-") if isinstance(kind, str) else ""


class _Check(Value):
    """What every check has."""

    name: Name = ""
    """The name in reports. Default: the kind, with dashes."""
    on_fail: FailAction | None = None
    """What follows when this check fails. Default: `on.fail` of the rollout."""

    @model_validator(mode="before")
    @classmethod
    def _named_by_kind(cls, value: object) -> object:
        if isinstance(value, dict) and "name" not in value:
            return {"name": default_check_name(value.get("kind")), **value}
        return value


class WorseBy(Value):
    """How much worse than the old version is still good: old × ratio + points."""

    ratio: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] = 1.25
    """The factor on the old version's error rate."""
    points: Percent = 0.5
    """Percentage points on top."""


class ErrorRateCheck(_Check):
    """Compares the error rates of the two versions."""

    kind: Literal["error_rate"] = "error_rate"
    worse_by: WorseBy = WorseBy()
    """The margin."""
    slo_max: Share = 1.0
    """An error rate above this fails whatever the old version does; 100%: no such limit."""


class LatencyCheck(_Check):
    """Compares the latencies of the two versions, over the whole distribution."""

    kind: Literal["latency"] = "latency"
    slower_by: Share = 0.2
    """The margin: up to this much slower is still good."""


class ClientErrorsCheck(_Check):
    """Compares the shares of answers with 4xx. Clients err too, so this holds by default, and does not roll back."""

    kind: Literal["client_errors"] = "client_errors"
    on_fail: FailAction | None = "hold"
    """What follows when this check fails."""
    worse_by: WorseBy = WorseBy(points=1.0)
    """The margin."""


class SignalCheck(_Check):
    """Fails when someone posts to /v1/signals of the controller."""

    kind: Literal["signal"] = "signal"


class PrometheusCheck(_Check):
    """Asks a Prometheus-compatible server."""

    kind: Literal["prometheus"]
    url: HttpUrl
    """The server, without /api/v1/query."""
    query: VisibleText
    """An instant query with one number as its result."""
    fail_if: Condition
    """The results that fail, such as "< 0.95"."""
    interval: Duration = 30.0
    """From one query to the next."""
    timeout: Duration = 10.0
    """For one query; longer is an error, not a failure."""


class HttpCheck(_Check):
    """Requests an URL."""

    kind: Literal["http"]
    url: HttpUrl
    """What is requested."""
    method: Literal["GET", "HEAD", "POST"] = "GET"
    """How."""
    headers: Table[TokenText, HeaderValue] = Field(default_factory=Table)
    """Header fields of the request."""
    expect: OneOrMore[Statuses] = (StatusRange(200, 299),)
    """The statuses that pass."""
    at: Literal["before", "during"] = "during"
    """before: once, and nothing moves until it passes; during: again and again."""
    interval: Duration = 10.0
    """From one request to the next."""
    timeout: Duration = 10.0
    """For one request; longer is a failure."""
    attempts: PositiveCount = 3
    """Failed requests in a row until the check fails."""


class ExecCheck(_Check):
    """Runs a command; exit status 0 passes, anything else fails."""

    kind: Literal["exec"]
    command: Command
    """The command; {service}, {version} and {previous} are replaced. Not run by a shell."""
    at: Literal["before", "during"] = "during"
    """before: once, and nothing moves until it passes; during: again and again."""
    interval: Duration = 30.0
    """From one run to the next."""
    timeout: Duration = 60.0
    """For one run; longer is an error, not a failure."""


Check = Annotated[
    ErrorRateCheck | LatencyCheck | ClientErrorsCheck | SignalCheck | PrometheusCheck | HttpCheck | ExecCheck,
    Field(discriminator="kind"),
]
BeforeCheck = Annotated[HttpCheck | ExecCheck, Field(discriminator="kind")]

DEFAULT_CHECKS: Final = (ErrorRateCheck(name="error-rate"), LatencyCheck(name="latency"))
