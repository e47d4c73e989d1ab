"""The benchmark: processor time per request, ours and other proxies in turn, on the same two cores.

Method (why: throughput on a shared machine is noise, processor time much less so):

1. The figure is the processor time that all threads of all processes of a proxy used, divided by the requests that
   the backend saw meanwhile. Requests per second are a side value.
2. The proxy under measurement runs alone on one core; load generator (wrk) and backend share the other one.
3. Ours and a peer are measured in turn, A B A B; a ratio is taken within a pair, never between far-apart times.
   Every measurement starts its proxy afresh.
4. Each proxy gets the same job: keep-alive on both sides, logs off, X-Forwarded-For, one worker or thread, 90/10
   between two upstreams. The share that the backend saw is checked.
5. An error that the load generator saw makes the measurement invalid; it is never averaged away.

Where to look: `work` says what is measured, `peers` against whom (their configurations lie beside it), `measure` how,
`results` what is computed from it, `show` how it is shown. The two C programs are compiled when the benchmark starts.
"""
