"""The closed lists of what can become of an attempt and of what can go wrong: names and statuses.

Owns every word that appears in metrics, in the access log and in `Proxy-Status`. Must not know how
a failure is noticed.

Rules:
1. The numbers are indexes into the shared counters: append, never reorder.
2. Every reason has exactly one status and one RFC 9209 section 2.3 error type.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    """What a version did with one attempt. Everything from FIVE_XX to UNAVAILABLE counts as its failure."""

    OK = 0
    FIVE_XX = 1
    CONNECT_ERROR = 2
    TIMEOUT = 3
    RESET = 4
    PROTOCOL_ERROR = 5
    UNAVAILABLE = 6  # no usable endpoint, so its share went to the fallback
    ABORTED = 7  # the client went away first, or we had no descriptor or port for it: no failure of the version's
    FOUR_XX = 8  # an answer that finds fault with the request: no failure, but worth watching

    @property
    def label(self) -> str:
        """The word in metrics and configurations."""
        return {Outcome.FOUR_XX: "4xx", Outcome.FIVE_XX: "5xx"}.get(self) or self.name.lower()

    @property
    def is_failure(self) -> bool:
        """Whether it counts against the version."""
        return Outcome.FIVE_XX <= self <= Outcome.UNAVAILABLE


class Reason(IntEnum):
    """Why an exchange did not simply pass through."""

    NONE = 0
    BAD_REQUEST = 1
    REQUEST_LINE_TOO_LONG = 2
    HEAD_TOO_LARGE = 3
    TOO_MANY_HEADERS = 4
    VERSION_NOT_SUPPORTED = 5
    METHOD_NOT_ALLOWED = 6
    EXPECTATION_FAILED = 7
    BODY_TOO_LARGE = 8
    HEAD_TIMEOUT = 9
    BODY_TIMEOUT = 10
    WRITE_TIMEOUT = 11
    NO_ROUTE = 12
    NO_ENDPOINT = 13
    QUEUE_FULL = 14
    QUEUE_TIMEOUT = 15
    CONNECT_REFUSED = 16
    CONNECT_TIMEOUT = 17
    CONNECT_FAILED = 18
    RESPONSE_TIMEOUT = 19
    RESPONSE_IDLE_TIMEOUT = 20
    TOTAL_TIMEOUT = 21
    UPSTREAM_RESET = 22
    UPSTREAM_CLOSED = 23
    UPSTREAM_PROTOCOL = 24
    RESPONSE_INCOMPLETE = 25
    RESPONSE_HEAD_TOO_LARGE = 26
    CLIENT_CLOSED = 27
    TOO_MANY_CONNECTIONS = 28
    DRAINING = 29
    BAD_BODY = 30
    INTERNAL = 31
    PLAIN_HTTP = 32
    TLS_FAILED = 33
    CERTIFICATE_INVALID = 34
    EXHAUSTED = 35
    HIDDEN_SLASH = 36
    LOOP_DETECTED = 37
    MISDIRECTED = 38

    @property
    def label(self) -> str:
        """The word in metrics and in the access log."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Fault:
    """How a reason is told to a client: status (0: the connection just closes), RFC 9209 error type, a sentence."""

    status: int
    error: str
    sentence: str


FAULTS: dict[Reason, Fault] = {
    Reason.NONE: Fault(0, "", ""),
    Reason.BAD_REQUEST: Fault(400, "http_request_error", "The request is not well-formed HTTP/1.1."),
    Reason.REQUEST_LINE_TOO_LONG: Fault(414, "http_request_error", "The request line is longer than the limit."),
    Reason.HEAD_TOO_LARGE: Fault(431, "http_request_error", "The header fields are larger than the limit."),
    Reason.TOO_MANY_HEADERS: Fault(431, "http_request_error", "There are more header fields than the limit."),
    Reason.VERSION_NOT_SUPPORTED: Fault(505, "http_request_error", "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
    Reason.METHOD_NOT_ALLOWED: Fault(405, "http_request_denied", "This method is not allowed here."),
    Reason.EXPECTATION_FAILED: Fault(417, "http_request_denied", "Only the expectation 100-continue is known."),
    Reason.BODY_TOO_LARGE: Fault(413, "http_request_error", "The request body is larger than the limit."),
    Reason.HEAD_TIMEOUT: Fault(408, "http_request_error", "The request head did not arrive in time."),
    Reason.BODY_TIMEOUT: Fault(408, "http_request_error", "The request body did not arrive in time."),
    Reason.WRITE_TIMEOUT: Fault(0, "connection_write_timeout", "The client did not read its response in time."),
    Reason.NO_ROUTE: Fault(404, "destination_not_found", "No route matches this request."),
    Reason.NO_ENDPOINT: Fault(503, "destination_unavailable", "No endpoint of this service is usable now."),
    Reason.QUEUE_FULL: Fault(503, "connection_limit_reached", "Every endpoint is busy and the queue is full."),
    Reason.QUEUE_TIMEOUT: Fault(503, "connection_limit_reached", "No endpoint became free in time."),
    Reason.CONNECT_REFUSED: Fault(502, "connection_refused", "The endpoint refused the connection."),
    Reason.CONNECT_TIMEOUT: Fault(504, "connection_timeout", "The endpoint did not accept the connection in time."),
    Reason.CONNECT_FAILED: Fault(502, "destination_ip_unroutable", "The endpoint could not be reached."),
    Reason.RESPONSE_TIMEOUT: Fault(504, "http_response_timeout", "The endpoint did not answer in time."),
    Reason.RESPONSE_IDLE_TIMEOUT: Fault(504, "connection_read_timeout", "The endpoint stopped in its answer."),
    Reason.TOTAL_TIMEOUT: Fault(504, "http_response_timeout", "The exchange took longer than its total limit."),
    Reason.UPSTREAM_RESET: Fault(502, "connection_terminated", "The endpoint reset the connection."),
    Reason.UPSTREAM_CLOSED: Fault(502, "connection_terminated", "The endpoint closed the connection."),
    Reason.UPSTREAM_PROTOCOL: Fault(502, "http_protocol_error", "The endpoint's answer is not well-formed HTTP/1.1."),
    Reason.RESPONSE_INCOMPLETE: Fault(502, "http_response_incomplete", "The endpoint's answer ended too early."),
    Reason.RESPONSE_HEAD_TOO_LARGE: Fault(502, "http_response_header_section_size", "The response head is too large."),
    Reason.CLIENT_CLOSED: Fault(499, "", "The client went away."),
    Reason.TOO_MANY_CONNECTIONS: Fault(503, "connection_limit_reached", "There are too many connections."),
    Reason.DRAINING: Fault(503, "proxy_internal_response", "This proxy is stopping."),
    Reason.BAD_BODY: Fault(400, "http_request_error", "The request body is not well framed."),
    Reason.INTERNAL: Fault(500, "proxy_internal_error", "Something went wrong in the proxy."),
    Reason.PLAIN_HTTP: Fault(400, "http_request_error", "This port speaks HTTPS: ask again with https://."),
    Reason.TLS_FAILED: Fault(502, "tls_protocol_error", "The endpoint did not agree on TLS."),
    Reason.CERTIFICATE_INVALID: Fault(502, "tls_certificate_error", "The endpoint's certificate is not valid."),
    Reason.EXHAUSTED: Fault(503, "connection_limit_reached", "This proxy has run out of descriptors, ports or memory."),
    Reason.HIDDEN_SLASH: Fault(400, "http_request_denied", "Paths with %2F, %5C or a backslash are not taken here."),
    Reason.LOOP_DETECTED: Fault(508, "proxy_loop_detected", "The request has been at this proxy before."),
    Reason.MISDIRECTED: Fault(421, "http_request_denied", "This connection was made for another host name."),
}
