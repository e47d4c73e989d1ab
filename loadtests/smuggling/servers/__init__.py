"""What the servers run: each writes one line of JSON for every request that it sees, and one for what it refuses as
none.

Owns: the programs and configurations. Must not import anything of ours but `recording`: they stand for servers of
others, and run as programs of their own (`python -m`).

A request is `{"at", "method", "target", "host", "id", "connection", "client", "body"}`: `at` is in seconds of the
epoch, `connection` the port of the other end, `client` what X-Forwarded-For says, `body` its length, null when it was
not read. What was refused is `{"at", "refused": why, "connection": port or null}`. The answer's body is the
identifier of the request, a space, the connection.
"""
