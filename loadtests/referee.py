"""Judges a load while and after Locust makes it, alone or at the master of many workers.

Owns the options, the questions to the proxy and the controller, how counts come from workers to the master, and the
exit code. Must not make load or decide what is good: `verdict` does. Only ever imported by what Locust runs, which
patches the interpreter, so that what blocks here blocks one greenlet.

1. Every process counts. A worker sends its counts with Locust's reports, and the rest when it is asked at the end.
2. Only the master, or a Locust without workers, judges: at the end of each load, which in the web page may be many.
3. The master waits for its workers before it judges. Locust by itself does not: it drops what is in flight at the end
   on other hosts.

Units: seconds, of the clock (`time.time`), because hosts share no other.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

import gevent
import gevent.event
from locust import events
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadtests.courses import CANARY_WALK
from loadtests.tally import Kind, Tally
from loadtests.verdict import Account, complaints_of_rollout, told

_LOOK_SECONDS: Final = 0.25
_TIMEOUT_SECONDS: Final = 5.0
_LAST_REPORT_SECONDS: Final = 10.0  # beside the time that users get to stop
_FINISH: Final = "serinus_finish"
_FINISHED: Final = "serinus_finished"
_KEY: Final = "serinus"  # in the reports of workers
_KINDS: Final[Mapping[str, Kind]] = {"sticky": "keyed", "preview": "forced"}
_ENDED: Final = frozenset({"promoted", "rolled_back"})


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any) -> None:
    """The options of Locust that are ours, each with an environment variable, and in the form of the web page."""
    group = parser.add_argument_group("Serinus")
    group.add_argument(
        "--admin", env_var="SERINUS_ADMIN", default="", help="the admin API of the proxy; without it no share is judged"
    )
    group.add_argument("--service", env_var="SERINUS_SERVICE", default="shop", help="the service that is judged")
    group.add_argument(
        "--controller", env_var="SERINUS_CONTROLLER", default="", help="the controller whose rollout must not fail"
    )
    group.add_argument(
        "--error-budget",
        env_var="SERINUS_ERROR_BUDGET",
        type=float,
        default=0.0,
        help="the share of requests that may fail, from 0 to 1",
    )
    group.add_argument(
        "--not-alone",
        env_var="SERINUS_NOT_ALONE",
        action="store_true",
        help="others send requests to the service too: the shares of ours may be off by chance",
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def take_place(environment: Any, **_: Any) -> None:
    """Give the environment its referee."""
    environment.referee = Referee(environment)


class Referee:
    """The referee of one Locust."""

    def __init__(self, environment: Any) -> None:
        self.rollout: Mapping[str, Any] | None = None
        """The rollout that was seen under way, as it is now."""
        self._environment = environment
        self._options = environment.parsed_options
        self._tally = Tally()
        self._account = Account(self._tally)
        self._looking: Any = None
        self._trouble = ""
        self._counting: set[str] = set()  # the workers that have counted something in this load
        self._awaited: set[str] = set()
        self._lost: set[str] = set()
        self._all_in = gevent.event.Event()
        self._verdict: bool | None = None
        runner, told_by = environment.runner, environment.events
        told_by.request.add_listener(self._count)
        told_by.test_start.add_listener(self._begin)
        if isinstance(runner, WorkerRunner):
            told_by.report_to_master.add_listener(self._report)
            runner.register_message(_FINISH, self._finish, concurrent=True)
            return
        if isinstance(runner, MasterRunner):
            told_by.worker_report.add_listener(self._gather)
            runner.register_message(_FINISHED, self._gather_last)
            told_by.test_stopping.add_listener(self._await_workers)
        told_by.test_stop.add_listener(self._judge)
        told_by.quitting.add_listener(self._set_exit_code)

    # --- every Locust -------------------------------------------------------------------------------------------------

    def _begin(self, **_: Any) -> None:
        self._tally = Tally()
        if isinstance(self._environment.runner, WorkerRunner):
            return
        self._account, self.rollout, self._trouble, self._verdict = Account(self._tally), None, "", None
        self._counting, self._awaited, self._lost = set(), set(), set()
        self._look()
        self._looking = gevent.spawn(self._keep_looking)

    def _count(
        self, name: str, start_time: float, exception: Any, response: Any = None, context: Any = None, **_: Any
    ) -> None:
        headers = getattr(response, "headers", None) or (context or {}).get("headers") or {}
        version = headers.get("X-Serinus-Version")
        self._tally.count(name, start_time, _KINDS.get(name, "dealt"), version, failed=exception is not None)

    # --- a worker -----------------------------------------------------------------------------------------------------

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        data[_KEY] = self._tally.drain()

    def _finish(self, **_: Any) -> None:
        runner = self._environment.runner
        runner.stop()  # waits for its users, as long as they are given
        runner.send_message(_FINISHED, self._tally.drain())

    # --- the master ---------------------------------------------------------------------------------------------------

    def _gather(self, client_id: str, data: Mapping[str, Any], **_: Any) -> None:
        if _KEY in data:
            self._tally.merge(data[_KEY])
            if data[_KEY]["requests"]:
                self._counting.add(client_id)

    def _gather_last(self, msg: Any, **_: Any) -> None:
        self._tally.merge(msg.data)
        self._awaited.discard(msg.node_id)
        if not self._awaited:
            self._all_in.set()

    def _await_workers(self, **_: Any) -> None:
        runner = self._environment.runner
        self._awaited = {client.id for client in runner.clients.all if client.state != STATE_MISSING}
        self._lost = self._counting - self._awaited
        self._all_in.clear()
        for client in [*self._awaited]:
            runner.send_message(_FINISH, client_id=client)
        if self._awaited:
            self._all_in.wait((self._environment.stop_timeout or 0) + _LAST_REPORT_SECONDS)

    # --- who judges ---------------------------------------------------------------------------------------------------

    def _keep_looking(self) -> None:
        while True:
            gevent.sleep(_LOOK_SECONDS)
            self._look()
            self._account.settle_old(time.time())

    def _look(self) -> None:
        """Ask what the targets are and how the rollout is; what cannot be had is trouble until it can."""
        service, self._trouble = urllib.parse.quote(self._options.service, safe=""), ""
        if admin := self._options.admin:
            asked = time.time()
            if (found := self._ask(f"{admin.rstrip('/')}/v1/services/{service}")) is not None:
                targets = {name: version["target"] for name, version in found["versions"].items()}
                self._account.see(targets, asked, time.time())
        if controller := self._options.controller:
            self._look_at_rollout(f"{controller.rstrip('/')}/v1/rollouts")

    def _look_at_rollout(self, url: str) -> None:
        if self.rollout is not None:
            self.rollout = self._ask(f"{url}/{self.rollout['id']}") or self.rollout
        elif found := self._ask(url):
            mine = (each for each in found["rollouts"] if each["service"] == self._options.service)
            self.rollout = next((each for each in mine if each["phase"] not in _ENDED), None)

    def _ask(self, url: str) -> Any:
        token = os.environ.get("SERINUS_TOKEN")
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
                return json.load(response)
        except (OSError, ValueError) as exc:  # URLError and timeouts are OSErrors
            self._trouble = f"{url} cannot be asked: {exc}"
            return None

    def _judge(self, **_: Any) -> None:
        if self._looking is not None:
            self._looking.kill()
        self._look()
        account, options = self._account, self._options
        account.settle()
        for line in told(account.stretches):
            print(f"{options.service}: {line}")
        to_its_end = getattr(self._environment.shape_class, "name", "") == CANARY_WALK
        found = [*account.complaints(options.error_budget, alone=not options.not_alone)]
        found += complaints_of_rollout(self.rollout, options.service, to_its_end=to_its_end)
        found += [f"worker {name} did not report to the end" for name in sorted(self._awaited | self._lost)]
        found += [self._trouble] if self._trouble else []
        if self.rollout is not None:
            print(f"rollout {self.rollout['id']}: {self.rollout['phase'].replace('_', ' ')}")
        for complaint in found:
            print(f"load test: {complaint}", file=sys.stderr)
        self._verdict = not found
        total, failures = self._tally.requests.total(), self._tally.failures.total()
        print(f"{total} requests, {failures} failed: {'not good' if found else 'good'}", flush=True)

    def _set_exit_code(self, **_: Any) -> None:
        if self._verdict is None and self._looking is not None:
            self._environment.runner.stop()  # which has it judged
        if self._verdict is not None:
            self._environment.process_exit_code = 0 if self._verdict else 1
