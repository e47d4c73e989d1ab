"""Shapes of a load over time, for Locust: ramp, spike, soak, and one that goes along with a rollout.

    locust -f loadtests/locustfile.py,loadtests/shapes.py --shape spike --users 100 --run-time 2m --host http://127.0.0.1:8080
    locust -f loadtests/locustfile.py,loadtests/shapes.py --class-picker       # choose it in the web page

Owns the classes that Locust looks for and the option that picks one. Must not know the curves, which are in
`courses`. `--users` is the most users that there are, `--run-time` how long it takes; of the canary walk, how long at
most.
"""

from typing import Any, ClassVar

from locust import LoadTestShape, events

from loadtests.courses import CANARY_WALK, CANARY_WALK_SECONDS, COURSES, canary_walk

_USERS = 20  # if nobody says
_FASTEST = 100.0  # users per second: Locust warns above


class Shape(LoadTestShape):
    """What the shapes share: the options of Locust that they read."""

    abstract = True
    use_common_options = True
    name: ClassVar[str]
    seconds: ClassVar[float]

    @property
    def environment(self) -> Any:
        """That of the Locust which runs the shape, with its referee."""
        assert self.runner is not None
        return self.runner.environment

    def tick(self) -> tuple[int, float] | None:
        """How many users from now on, and how many of them begin per second; None when it is over."""
        options = self.environment.parsed_options
        most = int(options.num_users or _USERS)
        elapsed: float = self.get_run_time()  # type: ignore[no-untyped-call]
        users = self.users(most, elapsed, float(options.run_time or self.seconds))
        return None if users is None else (users, min(float(most), _FASTEST))

    def users(self, most: int, elapsed: float, seconds: float) -> int | None:
        """How many users there are when `elapsed` of `seconds` are over; None when it is over."""
        return COURSES[self.name].users(most, elapsed, seconds)


class Ramp(Shape):
    """From one user to all, evenly."""

    name = "ramp"
    seconds = COURSES["ramp"].seconds


class Spike(Shape):
    """A quarter of the users, all of them, a quarter again."""

    name = "spike"
    seconds = COURSES["spike"].seconds


class Soak(Shape):
    """All users for a long time."""

    name = "soak"
    seconds = COURSES["soak"].seconds


class CanaryWalk(Shape):
    """Along with the rollout of the service at `--controller`: more users with each step, over when it has ended."""

    name = CANARY_WALK
    seconds = CANARY_WALK_SECONDS

    def users(self, most: int, elapsed: float, seconds: float) -> int | None:
        """How many users there are in the step of the rollout."""
        return canary_walk(most, elapsed, seconds, self.environment.referee.rollout)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_option(parser: Any) -> None:
    """The option that picks a shape."""
    parser.add_argument(
        "--shape",
        env_var="SERINUS_SHAPE",
        choices=["", *(shape.name for shape in Shape.__subclasses__())],
        default="",
        include_in_web_ui=False,
        help="how the number of users changes; without it --users says how many there are",
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def pick(environment: Any, **_: Any) -> None:
    """Take the shape that the option names, instead of the first of this file, which Locust takes by itself."""
    shapes = environment.available_shape_classes or {}
    wanted = environment.parsed_options.shape
    environment.shape_class = next((shape for shape in shapes.values() if getattr(shape, "name", "") == wanted), None)
    if environment.shape_class is not None:
        environment.shape_class.runner = environment.runner
