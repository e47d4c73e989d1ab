"""The demonstration: two versions of a small service, the proxy in front of them, and steady traffic.

    Stage ── starts ──> service stable, service canary, `serinus proxy`
    Traffic ── requests ──> proxy ──> stable | canary

`serinus demo` puts a live view on top, `loadtests.run` puts Locust in the place of the traffic.
"""
