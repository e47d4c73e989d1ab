"""The fields of the access log, in the order in which they stand in a line by default.

Rules:
1. Names are flat snake_case; times are milliseconds, sizes are bytes of bodies.
2. `reason` says why the version was chosen; `error` is a word of proxy.core.outcome.Reason.
3. Nothing secret has a field: no Cookie, no Authorization.
"""

FIELDS: tuple[str, ...] = (
    "ts",
    "request_id",
    "trace_id",
    "client_ip",
    "method",
    "host",
    "path",
    "query",
    "proto",
    "status",
    "service",
    "version",
    "reason",
    "upstream",
    "duration_ms",
    "upstream_ms",
    "bytes_in",
    "bytes_out",
    "retries",
    "error",
    "tls",
    "user_agent",
    "referer",
)
