"""Users of a service behind the proxy, and what each of them must not see.

    locust -f loadtests/locustfile.py --headless -u 20 -t 10s --host http://127.0.0.1:8080 --admin http://127.0.0.1:9900

Owns what a user does: steady and sticky ones, some who ask for the canary, and three for whom the service needs the
paths of the demo: who upload, who read slowly, and who hold a WebSocket. Shares, and whether a sticky user is moved
back, can be told only with `expose_version: true` on the service. `referee` judges the whole. Must not be imported by
anything but Locust, which patches the interpreter (gevent).
"""

import hashlib
import http.client
import random
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent
from locust import FastHttpUser, User, between, events, task
from locust.contrib.fasthttp import ResponseContextManager
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from loadtests import referee  # noqa: F401 - it listens to Locust from here on
from loadtests.verdict import IDENTITIES, MARGIN

PATH = "/products/17"
UPLOADS = "/uploads"
EXPORT = "/export"
ECHO = "/echo"
CANARY = "canary"
TIMEOUT = 30.0  # seconds: longer than any answer should take


class Visitor(FastHttpUser):
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


class SteadyUser(Visitor):
    """Has no key: every request is split anew."""

    weight = 12

    @task
    def look(self) -> None:
        with self.get("steady"):
            pass  # Locust itself counts what is not 2xx or 3xx


class StickyUser(Visitor):
    """Has a key: once on the canary, always on the canary, while the weight of the canary does not fall."""

    weight = 3
    on_canary: ClassVar[dict[int, float]] = {}  # since when it is known

    @task
    def look(self) -> None:
        # Of many, so that their share is near the target; of few enough that each comes back.
        identity = random.randrange(IDENTITIES)
        with self.get("sticky", X_User_Id=f"user-{identity}") as response:
            version = response.headers.get("X-Serinus-Version") if response.headers else None
            if version is None:
                return
            since = (
                self.on_canary.setdefault(identity, time.time()) if version == CANARY else self.on_canary.get(identity)
            )
            # One that began before the other was answered may have met the weight before.
            if version != CANARY and since is not None and response.request_meta["start_time"] > since + MARGIN:
                response.failure(f"a user was moved back from {CANARY} to {version}")


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def forget(**_: Any) -> None:
    """Before another load, weights may have fallen."""
    StickyUser.on_canary.clear()


class PreviewUser(Visitor):
    """Asks for the canary by header, whatever its weight."""

    weight = 2

    @task
    def look(self) -> None:
        with self.get("preview", X_Preview=CANARY) as response:
            version = response.headers.get("X-Serinus-Version") if response.headers else None
            if version not in (None, CANARY):
                response.failure(f"asked for the canary and got {version}")


class UploadUser(Visitor):
    """Sends bodies of all sizes; the answer proves what has arrived."""

    weight = 1
    most = 256 * 1024

    @task
    def upload(self) -> None:
        body = random.randbytes(int(self.most ** random.random()))
        headers = {"Content-Type": "application/octet-stream"}
        with self.client.post(
            UPLOADS,
            data=body,  # type: ignore[arg-type]  # bytes pass, whatever its annotation says
            name="upload",
            headers=headers,
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                return  # counted by Locust
            if response.json().get("sha256") != hashlib.sha256(body).hexdigest():
                response.failure(f"a body of {len(body)} bytes did not arrive as it was sent")


class Told(User):
    """Does what Locust has no client for, and tells it what came of it."""

    abstract = True
    wait_time = between(0.1, 0.3)

    @property
    def place(self) -> str:
        return (self.host or "").rstrip("/")

    @contextmanager
    def telling(self, kind: str, name: str) -> Iterator[dict[str, Any]]:
        """Within the block, a request; what is left in `context["headers"]` is the head of its answer."""
        context: dict[str, Any] = {"headers": {}, "length": 0}
        began, clock, fault = time.time(), time.perf_counter(), None
        try:
            yield context
        except (OSError, ValueError, EOFError, http.client.HTTPException, WebSocketException) as exc:
            fault = exc
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=(time.perf_counter() - clock) * 1000,
            response_length=context["length"],
            exception=fault,
            start_time=began,
            context=context,
        )


class SlowReader(Told):
    """Takes a large answer in small pieces, so that the proxy has to wait for it; good when it is whole."""

    weight = 1
    piece = 64 * 1024
    pause = 0.04  # seconds between pieces: 1.6 MB a second

    @task
    def read(self) -> None:
        with self.telling("GET", "slow reader") as context:
            where = urlsplit(self.place)
            client = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
            connection = client(where.hostname or "", where.port, timeout=TIMEOUT)
            try:
                self.read_from(connection, context)
            finally:
                connection.close()

    def read_from(self, connection: http.client.HTTPConnection, context: dict[str, Any]) -> None:
        connection.connect()
        # The kernel must not read ahead what we do not.
        connection.sock.setsockopt(SOL_SOCKET, SO_RCVBUF, self.piece)
        connection.request("GET", EXPORT)
        response = connection.getresponse()
        context["headers"] = response.headers
        if response.status != 200:
            raise ValueError(f"{response.status} {response.reason}")
        digest = hashlib.sha256()
        while piece := response.read(self.piece):
            digest.update(piece)
            context["length"] += len(piece)
            gevent.sleep(self.pause)
        # RFC 9530 section 2
        if response.headers.get("Content-Digest") != f"sha-256=:{b64encode(digest.digest()).decode()}:":
            raise ValueError(
                f"the answer is not whole: {context['length']} of {response.headers['Content-Length']} bytes"
            )


class WebSocketUser(Told):
    """Holds a conversation with an echo; good when every message comes back as it was sent, and the end is orderly."""

    weight = 1
    messages = 10
    pause = 0.05  # seconds

    @task
    def talk(self) -> None:
        with self.telling("WS", "websocket") as context:
            url = "ws" + self.place.removeprefix("http") + ECHO
            with connect(url, proxy=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT, compression=None) as websocket:
                context["headers"] = heads(websocket.response)
                for _ in range(self.messages):
                    message = random.randbytes(random.randrange(1, 2000))
                    websocket.send(message)
                    if websocket.recv(timeout=TIMEOUT) != message:
                        raise ValueError(f"a message of {len(message)} bytes did not come back as it was sent")
                    context["length"] += len(message)
                    gevent.sleep(self.pause)


def heads(response: Any) -> Mapping[str, str]:
    return response.headers if response is not None else {}
