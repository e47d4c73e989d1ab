"""Numbers and states in words: how shares, times and changes are written, the same in every command.

Pure: no printing, no clock. A value that is not known is written as a dash.
"""

from datetime import datetime
from typing import Final

from cli.shapes import EndpointStatus, LastChange, ServiceStatus
from config.who import Who

UNKNOWN: Final = "-"


def percent(share: float | None) -> str:
    """0.015 as `1.5 %`; four digits at most, so that 0.01 % can be seen."""
    if share is None:
        return UNKNOWN
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + " %"


def duration(seconds: float | None) -> str:
    """0.0123 as `12.3 ms`."""
    if seconds is None:
        return UNKNOWN
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def rate(per_second: float | None) -> str:
    """Requests per second."""
    return UNKNOWN if per_second is None else f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.1f}"


def shares_in_words(service: ServiceStatus) -> str:
    """`shop: stable 90 %, canary 10 % (generation 13)`."""
    shares = ", ".join(f"{name} {percent(version['target'])}" for name, version in service["versions"].items())
    return f"{service['name']}: {shares} (generation {service['generation']})"


def endpoint_in_words(endpoint: EndpointStatus) -> str:
    """The word for what an endpoint is to users: its state, or `unhealthy` with the reason."""
    if endpoint["state"] != "up":
        busy = f", {endpoint['in_flight']} in flight" if endpoint["in_flight"] else ""
        return f"{endpoint['state']}{busy}"
    if endpoint["healthy"]:
        ejected = endpoint["ejected_workers"]
        return f"up, but ejected by {ejected} workers" if ejected else "up"
    return "unhealthy" + (f": {endpoint['detail']}" if endpoint["detail"] else "")


def change_in_words(change: LastChange) -> str:
    """`generation 13 by cli at 12:30:05: reason`."""
    when = f" at {datetime.fromtimestamp(change['at']):%Y-%m-%d %H:%M:%S}" if change["at"] else ""
    reason = f": {change['reason']}" if change["reason"] else ""
    who = Who(change["by"], change["actor"])
    return f"generation {change['generation']} by {who}{when}{reason}"
