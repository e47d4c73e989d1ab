"""What a client is told when the proxy itself answers: one response, whole, as bytes.

Rules:
1. `Proxy-Status` says that it was us and why (RFC 9209); the request id is in the head and in the body.
2. JSON for who accepts it (RFC 9457 problem details), plain text for everybody else.
3. Nothing of the request is repeated in it.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from proxy.core.outcome import FAULTS, Reason

ALLOW = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
RETRY_AFTER = 1  # seconds; a 503 of ours is short-lived: a queue, a drain, an endpoint that comes back


def render(reason: Reason, request_id: str, *, wants_json: bool, head_only: bool, close: bool) -> bytes:
    """The response for a reason whose fault has a status. Raises KeyError for a reason that does not exist."""
    fault = FAULTS[Reason(reason)]
    title = HTTPStatus(fault.status).phrase if fault.status != 499 else "Client Closed Request"
    if wants_json:
        kind = "application/problem+json"
        document = {
            "type": "about:blank",
            "title": title,
            "status": fault.status,
            "detail": fault.sentence,
            "reason": Reason(reason).label,
            "request_id": request_id,
        }
        body = json.dumps(document).encode() + b"\n"
    else:
        kind = "text/plain; charset=utf-8"
        body = f"{fault.status} {title}: {fault.sentence}\nrequest id: {request_id or '-'}\n".encode()
    lines = [
        f"HTTP/1.1 {fault.status} {title}",
        "Server: serinus",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        f"Proxy-Status: serinus; error={fault.error or 'proxy_internal_response'}",
    ]
    if request_id:
        lines.append(f"X-Request-Id: {request_id}")
    if fault.status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append(f"Retry-After: {RETRY_AFTER}")
    if fault.status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append(ALLOW)
    head = _ended(lines, close=close)
    return head if head_only else head + body


def render_options(request_id: str, *, close: bool) -> bytes:
    """The response to `OPTIONS *`: what this server can do at all (RFC 9110 section 9.3.7)."""
    return _ended(["HTTP/1.1 204 No Content", "Server: serinus", ALLOW, f"X-Request-Id: {request_id}"], close=close)


def render_trace(received: bytes, request_id: str, *, close: bool) -> bytes:
    """The response to TRACE by the last one that it is for: the request as it was received (RFC 9110 section 9.3.8)."""
    lines = ["HTTP/1.1 200 OK", "Server: serinus", "Content-Type: message/http", f"Content-Length: {len(received)}"]
    return _ended([*lines, f"X-Request-Id: {request_id}"], close=close) + received


def render_redirect(place: str, request_id: str, *, close: bool) -> bytes:
    """The response that the same is found at another place."""
    lines = ["HTTP/1.1 308 Permanent Redirect", "Server: serinus", f"Location: {place}", "Content-Length: 0"]
    return _ended([*lines, f"X-Request-Id: {request_id}"], close=close)


def _ended(lines: list[str], *, close: bool) -> bytes:
    return "\r\n".join([*lines, "Connection: close" if close else "Connection: keep-alive", "", ""]).encode()
