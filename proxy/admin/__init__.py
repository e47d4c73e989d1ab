"""The admin API: what people, scripts and the controller see of the proxy and change in it, over HTTP.

The map, from the outside in: `app` makes the application, of the parts in `webapi`; `calls` is the table of everything
that can be asked; `reading`, `changing`, `leasing`, `watching` and `probing` hold the views, and `call` is what they
get; `conditions` reads If-Match; `services` shows one service; `models` has the shapes of bodies and answers.

Nothing in here touches workers, counters or files: the supervisor does, behind the protocols in `ports`.
"""
