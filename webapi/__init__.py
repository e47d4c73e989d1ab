"""What the APIs of the proxy and of the controller have in common: everything but what is asked of them.

The map, from the outside in: `app` makes an aiohttp application of a table of calls; `gate` decides who gets in; `call`
is one row of the table; `asking` reads bodies, queries and header fields into the `shapes`; `problem` says no; `events`
writes a stream; `openapi` describes the table; `serving` makes the server under it. `standard_error` is where the
programs speak to people.

Nothing in here knows a call, a service or a rollout.
"""
