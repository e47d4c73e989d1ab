"""Users of a service behind the proxy: steady ones, sticky ones, and some who ask for the canary.

    locust -f loadtests/locustfile.py --headless -u 20 -t 10s --host http://127.0.0.1:8080

Owns what a user does and what it must not see: a sticky user who is moved back, a preview that is not the canary. Both
need `expose_version: true` on the service; without it only errors count. Must not be imported by anything but Locust,
which patches the interpreter (gevent).
"""

import json
import os
import random
from pathlib import Path
from typing import Any, ClassVar

from locust import FastHttpUser, between, events, task
from locust.contrib.fasthttp import ResponseContextManager

COUNTS = "SERINUS_LOAD_COUNTS"  # an environment variable: where to write the counts at the end, for loadtests.run
PATH = "/products/17"
CANARY = "canary"


class User(FastHttpUser):
    abstract = True
    wait_time = between(0.005, 0.03)

    def get(self, name: str, **headers: str) -> ResponseContextManager:
        context: ResponseContextManager = self.client.get(
            PATH,
            name=name,
            headers={key.replace("_", "-"): value for key, value in headers.items()},
            catch_response=True,
        )
        return context


class SteadyUser(User):
    """Has no key: every request is split anew."""

    weight = 7

    @task
    def look(self) -> None:
        with self.get("steady"):
            pass  # Locust itself counts what is not 2xx or 3xx


class StickyUser(User):
    """Has a key: once on the canary, always on the canary, while the weight of the canary does not fall."""

    weight = 2
    # Many, so that their share is near the target; few enough that each comes back.
    identities = 1000
    seen: ClassVar[dict[int, str]] = {}

    @task
    def look(self) -> None:
        identity = random.randrange(self.identities)
        with self.get("sticky", X_User_Id=f"user-{identity}") as response:
            version = response.headers.get("X-Serinus-Version") if response.headers else None
            if version is None:
                return
            before = self.seen.get(identity)
            self.seen[identity] = version
            if before == CANARY != version:
                response.failure(f"a user was moved back from {before} to {version}")


class PreviewUser(User):
    """Asks for the canary by header, whatever its weight."""

    weight = 1

    @task
    def look(self) -> None:
        with self.get("preview", X_Preview=CANARY) as response:
            version = response.headers.get("X-Serinus-Version") if response.headers else None
            if version not in (None, CANARY):
                response.failure(f"asked for the canary and got {version}")


def write_counts(environment: Any, **_: Any) -> None:
    if path := os.environ.get(COUNTS):
        entries = environment.runner.stats.entries.values()
        counts = {entry.name: {"requests": entry.num_requests, "failures": entry.num_failures} for entry in entries}
        Path(path).write_text(json.dumps(counts), encoding="utf-8")


events.quitting.add_listener(write_counts)  # type: ignore[no-untyped-call]
