"""The client of the controller's API: one method per call, answers as they are.

Owns names and types of the calls. Must not print, and must not know a command. Weights are per cent or numbers of
endpoints, durations are seconds, instants seconds of the rollout clock unless they are called `wall` (since 1970).
"""

from typing import Any, Final, Literal, TypedDict, cast
from urllib.parse import urlencode

from cli.client import ApiClient, path_of
from cli.faults import NotFound

DEFAULT_CONTROLLER: Final = "127.0.0.1:9901"
Verb = Literal["promote", "pause", "resume", "abort", "retry"]
SignalState = Literal["bad", "good"]
ENDED: Final = frozenset({"promoted", "rolled_back"})


class OrderedStatus(TypedDict):
    """What a person has wanted of a rollout."""

    event: str
    by: str
    actor: str
    reason: str
    at: float


class LostProxy(TypedDict):
    """A proxy that does not answer; `since` is in seconds since 1970."""

    address: str
    why: str
    since: float


class RolloutStatus(TypedDict):
    """One rollout; `from` is a word of Python, so this one is written as a function call."""

    id: str
    service: str
    strategy: str
    to: str
    phase: str
    step: int
    steps: int
    attempt: int
    weights: dict[str, float]
    active: str | None
    applied: bool
    elapsed: float
    bake: float | None
    deadline: float | None
    failed: list[str]
    why: str
    by: str
    ordered: OrderedStatus | None
    waits: str
    lost: list[LostProxy]
    sealed: bool
    at: float


class Verdict(TypedDict):
    """What one check says."""

    check: str
    value: str
    reason: str
    numbers: dict[str, Any]


class DecisionStatus(TypedDict):
    """One thing that was decided."""

    n: int | None
    wall: float
    at: float
    event: str | None
    minor: bool
    sentence: str
    by: str
    actor: str
    reason: str
    verdicts: list[Verdict]
    generations: dict[str, int]
    acknowledged: float | None


class Reasons(TypedDict):
    """Why a rollout is where it is."""

    rollout: RolloutStatus
    outcome: str
    now: DecisionStatus
    decisions: list[DecisionStatus]


class PlannedRollback(TypedDict):
    """When an error rate is rolled back that begins with a step."""

    error_rate: float
    seconds: float | None
    seconds_surely: float | None
    bad_requests: float | None
    by: str


class StepPlan(TypedDict):
    """What one step can see."""

    step: int
    weight: float
    bake: float
    requests: float
    sees_errors: float | None
    sees_errors_more: float | None
    sees_slower: float | None
    rollbacks: list[PlannedRollback]
    is_now: bool


class Plan(TypedDict):
    """What a rollout can see; `from` is left out, as above."""

    service: str
    rollout: str | None
    strategy: str
    to: str
    rate: float
    errors: float
    p50: float | None
    p99: float | None
    seconds: float
    chance: float
    steps: list[StepPlan]
    sentences: list[str]


class Rollouts(TypedDict):
    """All rollouts, and what holds all of them."""

    rollouts: list[RolloutStatus]
    stopped: str | None
    frozen: str
    trouble: str


class LineStatus(TypedDict):
    """Whether anything may move forward, and who has said so."""

    stopped: bool
    by: str
    actor: str
    reason: str


class ControllerClient(ApiClient):
    """Calls the API of the controller."""

    api = "the controller"
    hint = "Is `serinus controller` running? Set --controller or SERINUS_CONTROLLER."

    def rollouts(self) -> Rollouts:
        """All of them, the oldest first."""
        return cast(Rollouts, self._call("GET", "/v1/rollouts"))

    def rollout(self, identity: str) -> RolloutStatus:
        """The rollout with this id."""
        return cast(RolloutStatus, self._call("GET", path_of("rollouts", identity)))

    def find(self, name: str) -> RolloutStatus:
        """The rollout with this id, or the one of this service: that which is under way, else the newest.

        Raises:
            NotFound: there is none.
        """
        every = self.rollouts()["rollouts"]
        fitting = [each for each in every if name in (each["id"], each["service"])]
        if not fitting:
            raise NotFound(404, f"there is no rollout {name!r}, and none of a service of this name")
        under_way = [each for each in fitting if each["phase"] not in (*ENDED, "pending")]
        waiting = [each for each in fitting if each["phase"] == "pending"]
        return next(iter([*under_way, *waiting]), fitting[-1])

    def start(self, service: str, **more: str | None) -> RolloutStatus:
        """Start a rollout; `from_`, `to`, `if_running` and `reason` are left out when they are None."""
        body = {name.rstrip("_"): value for name, value in more.items() if value is not None}
        return cast(RolloutStatus, self._call("POST", "/v1/rollouts", {"service": service, **body}))

    def order(self, identity: str, verb: Verb, *, reason: str = "", all_steps: bool = False) -> RolloutStatus:
        """Order something."""
        body = {"reason": reason, **({"all": True} if all_steps else {})}
        return cast(RolloutStatus, self._call("POST", path_of("rollouts", identity, verb), body))

    def signal(
        self,
        service: str,
        state: SignalState,
        *,
        check: str | None = None,
        message: str = "",
        seconds: float | None = None,
    ) -> Rollouts:
        """Say that a service is bad, or good again; `seconds` until that is over by itself, None for never."""
        body: dict[str, Any] = {"service": service, "state": state, "message": message}
        body |= {name: value for name, value in (("check", check), ("expires", seconds)) if value is not None}
        return cast(Rollouts, self._call("POST", "/v1/signals", body))

    def line(self) -> LineStatus:
        """Whether anything may move forward."""
        return cast(LineStatus, self._call("GET", "/v1/line"))

    def set_line(self, *, stopped: bool, reason: str = "") -> LineStatus:
        """Keep everything from moving forward, or let it go on."""
        return cast(LineStatus, self._call("PUT", "/v1/line", {"stopped": stopped, "reason": reason}))

    def plan(self, service: str, rate: float | None = None) -> Plan:
        """What the rollout of a service can see with the traffic of now, or with another rate of requests."""
        query = urlencode({"service": service, **({} if rate is None else {"rate": rate})})
        return cast(Plan, self._call("GET", f"/v1/plan?{query}"))

    def why(self, identity: str) -> Reasons:
        """Why a rollout is where it is."""
        return cast(Reasons, self._call("GET", path_of("rollouts", identity, "why")))

    def series(self, identity: str) -> dict[str, Any]:
        """What both versions of a rollout did over time."""
        return cast(dict[str, Any], self._call("GET", path_of("rollouts", identity, "series")))

    def report(self, identity: str) -> bytes:
        """The report of a rollout: one HTML page."""
        return self._page(path_of("rollouts", identity, "report"))
