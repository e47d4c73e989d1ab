"""The client of an API of ours, and the one of the admin API: one method per call, answers as they are, errors as
`cli.faults`. The one of the controller is `cli.controller`.

Owns the way from a call to bytes and back. Must not print, and must not know a command.

Synchronous and of the standard library only, so that a command starts at once. One connection per call: calls are
seconds apart, and a proxy that was restarted in between needs no special case.
"""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, ClassVar, Final, cast
from urllib.parse import quote, urlencode, urlsplit

from cli.faults import BadUsage, Problem, Refused, Unreachable, refused
from cli.shapes import Differences, ServiceStatus, State

DEFAULT_ADMIN: Final = "127.0.0.1:9900"


class _UnixConnection(HTTPConnection):
    """HTTP over a unix stream socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where an API is: a host and a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str, api: str = "the admin API") -> "ApiAddress":
        """Read `host:port`, `http://host:port` or `unix:/path`.

        Raises:
            BadUsage: it is none of these.
        """
        if text.startswith("unix:/"):
            return cls(path=text.removeprefix("unix:"))
        try:
            parts = urlsplit(text if "://" in text else f"//{text}", scheme="http")
            host, port = parts.hostname, parts.port
        except ValueError as exc:
            raise BadUsage(f"{text!r} is not an address of {api}: {exc}. {_FORMS}") from exc
        if parts.scheme != "http" or not host or not port or parts.path.strip("/") or parts.query or parts.username:
            raise BadUsage(f"{text!r} is not an address of {api}. {_FORMS}")
        return cls(host, port)

    def connection(self, timeout: float) -> HTTPConnection:
        """A connection that is not open yet."""
        return _UnixConnection(self.path, timeout) if self.path else HTTPConnection(self.host, self.port, timeout)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


_FORMS: Final = "Write 127.0.0.1:9900, http://127.0.0.1:9900 or unix:/run/serinus.sock."


class ApiClient:
    """Calls an API at one address.

    Every method raises `Unreachable` when nobody answers as that API, and a kind of `Refused` when it says no.
    """

    api: ClassVar[str]
    """What it is called in messages."""
    hint: ClassVar[str]
    """What to do when nobody answers."""

    def __init__(self, address: str, token: str = "", *, actor: str = "", timeout: float = 30.0) -> None:
        """Call the API at `address`; `actor` is who its changes are said to be by.

        Raises:
            BadUsage: this is no address, or no token.
        """
        self.address = ApiAddress.parse(address, self.api)
        if not (token.isascii() and token.isprintable()):
            raise BadUsage("a token is one line of plain ASCII characters")
        self._headers = {
            "Accept": "application/json",
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **({"X-Serinus-Actor": actor} if actor else {}),
        }
        self._timeout = timeout

    def is_well(self, path: str) -> bool:
        """Whether `/healthz` or `/readyz` answers 200."""
        status, _ = self._exchange("GET", path, None, {})
        return status == HTTPStatus.OK

    def _call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        status, content = self._exchange(method, path, body, headers or {})
        answer = self._read(content)
        if status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(self.api, status, answer)
        return answer

    def _page(self, path: str) -> bytes:
        """What is no JSON, as it is."""
        status, content = self._exchange("GET", path, None, {"Accept": "*/*"})
        if status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(self.api, status, self._read(content))
        return content

    def _read(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError as exc:
            raise Unreachable(f"what answers at {self.address} is not {self.api} of Serinus. {self.hint}") from exc

    def _exchange(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, bytes]:
        sent = {**self._headers, **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            with closing(self.address.connection(self._timeout)) as connection:
                connection.request(method, path, None if body is None else json.dumps(body), sent)
                response: HTTPResponse = connection.getresponse()
                return response.status, response.read()
        except TimeoutError as exc:
            raise Unreachable(
                f"{self.api} at {self.address} did not answer within {self._timeout:g} s. "
                "A change may have been made all the same: `serinus status` shows it."
            ) from exc
        except (OSError, HTTPException) as exc:
            raise Unreachable(f"cannot reach {self.api} at {self.address}: {_why(exc)}. {self.hint}") from exc


class AdminClient(ApiClient):
    """Calls the admin API of a proxy."""

    api = "the admin API"
    hint = "Is `serinus proxy` running? Set --admin or SERINUS_ADMIN."

    def __init__(
        self, address: str = DEFAULT_ADMIN, token: str = "", *, actor: str = "", timeout: float = 30.0
    ) -> None:
        """See `ApiClient`. Raises BadUsage."""
        super().__init__(address, token, actor=actor, timeout=timeout)

    def state(self) -> State:
        """The live state: every service, and the routes."""
        return cast(State, self._call("GET", "/v1/state"))

    def service(self, service: str) -> ServiceStatus:
        """One service."""
        return cast(ServiceStatus, self._call("GET", path_of("services", service)))

    def differences(self) -> Differences:
        """What is live and not as the file says."""
        return cast(Differences, self._call("GET", "/v1/config/diff"))

    def set_split(
        self, service: str, weights: Mapping[str, float], *, reason: str = "", if_match: int | None = None
    ) -> ServiceStatus:
        """Change the weights; returns when every worker serves them, as every change does."""
        body = {"weights": dict(weights), "reason": reason}
        return self._change("PUT", path_of("services", service, "split"), body, if_match)

    def activate(self, service: str, version: str, *, reason: str = "", if_match: int | None = None) -> ServiceStatus:
        """Give one version everything."""
        body = {"version": version, "reason": reason}
        return self._change("PUT", path_of("services", service, "active"), body, if_match)

    def add_endpoint(
        self, service: str, version: str, address: str, *, reason: str = "", if_match: int | None = None
    ) -> ServiceStatus:
        """Add an endpoint to a version."""
        body = {"address": address, "reason": reason}
        return self._change("POST", path_of("services", service, "versions", version, "endpoints"), body, if_match)

    def set_endpoint_state(
        self, service: str, version: str, address: str, state: str, *, reason: str = "", if_match: int | None = None
    ) -> ServiceStatus:
        """Set an endpoint to `up`, `drain` or `down`."""
        path = path_of("services", service, "versions", version, "endpoints", address, "state")
        return self._change("PUT", path, {"state": state, "reason": reason}, if_match)

    def remove_endpoint(
        self,
        service: str,
        version: str,
        address: str,
        *,
        force: bool = False,
        reason: str = "",
        if_match: int | None = None,
    ) -> ServiceStatus:
        """Remove an endpoint; one with requests in flight only by force."""
        path = path_of("services", service, "versions", version, "endpoints", address)
        query = urlencode({"force": str(force).lower(), "reason": reason})
        return self._change("DELETE", f"{path}?{query}", None, if_match)

    def reload(self, *, reason: str = "") -> int:
        """Have the proxy read its file again; gives the generation."""
        return int(self._call("POST", "/v1/reload", {"reason": reason})["generation"])

    def _change(self, method: str, path: str, body: Any, if_match: int | None) -> ServiceStatus:
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return cast(ServiceStatus, self._call(method, path, body, headers))


def path_of(*names: str) -> str:
    """The path of a call, with each name quoted."""
    return "/v1/" + "/".join(quote(name, safe="") for name in names)


def _why(exc: Exception) -> str:
    """The reason in the words of the system, without number and class."""
    if isinstance(exc, socket.gaierror):
        return "the host name is not known"
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno).lower()
    return str(exc) or type(exc).__name__


def _refusal(api: str, status: int, answer: Any) -> Refused:
    """The fault for an RFC 9457 problem."""
    problem = answer if isinstance(answer, dict) else {}
    sentence = str(problem.get("detail") or problem.get("title") or f"{api} answered {status}")
    problems = [
        Problem(str(each.get("path") or ""), str(each.get("message") or ""), str(each.get("suggestion") or ""))
        for each in problem.get("problems") or ()
    ]
    return refused(status, sentence, problems)
