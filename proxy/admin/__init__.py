"""The admin API: what people, scripts and the controller see of the proxy and change in it, over HTTP.

The map, from the outside in: `app` assembles the aiohttp application; `gate` decides who gets in; `calls` is the table
of everything that can be asked, and `call` serves one row of it; `reading`, `changing`, `watching` and `probing` hold
the views; `services` shows one service; `models` has the shapes of bodies and answers, and `asking` reads them;
`problem` says no; `openapi` describes the table.

Nothing in here touches workers, counters or files: the supervisor does, behind the protocols in `ports`.
"""
