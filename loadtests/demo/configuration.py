"""The file that the demonstration runs with: a shop, its two versions, and the rollout from one to the other.

Owns the text. Must not start anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SERVICE: Final = "shop"
OLD: Final = "stable"
NEW: Final = "canary"

#: Where the endpoints of each version are; they are called by these names, and get these ports when they are free.
ENDPOINTS: Final[Mapping[str, Sequence[tuple[str, int]]]] = {
    OLD: (("stable-1", 9001), ("stable-2", 9002)),
    NEW: (("canary", 9003),),
}
#: What is not an endpoint, with its usual port.
OTHER_PORTS: Final[Mapping[str, int]] = {"proxy": 8080, "admin": 9900, "controller": 9901}


@dataclass(frozen=True, slots=True)
class Walk:
    """How the new version goes up: its weights in per cent, and the shortest time at each of them in seconds."""

    weights: Sequence[float] = (1, 10, 50, 100)
    bake: float = 5.0


# A minute is short: at 200 requests a second, 40 s at 1 % are 80 requests of the new version, which can rule out a few
# points more errors, and not half a point. A machine that does other things too is no good clock either. So the margins
# are wider than those that one would use for days of traffic; the rules are the same.
_TEXT: Final = """\
listen:
  - address: 127.0.0.1:{proxy}
admin:
  address: 127.0.0.1:{admin}
controller:
  address: 127.0.0.1:{controller}
  interval: 500ms
workers: {workers}
state_dir: {state_dir}
access_log: off
drain_timeout: 1s
services:
  shop:
    versions:
      stable: {{endpoints: [{stable}]}}
      canary: {{endpoints: [{canary}]}}
    split: {{stable: 100, canary: 0}}
    sticky: {{key: header:X-User-Id}}   # requests without it are split one by one
    expose_version: true
    health: {{path: /healthz, interval: 1s}}
    fallback_on_error: true            # what a dead canary cannot answer, stable does
routes:
  - match: {{headers: {{X-Preview: canary}}}}
    service: shop
    version: canary
  - service: shop
rollouts:
  shop:
    strategy: canary
    from: stable
    to: canary
    steps: [{steps}]
    checks:
      - {{kind: error_rate, worse_by: {{points: 3}}}}
      - {{kind: latency, slower_by: 50%}}
    breaker: {{window: 20, fails: 5}}    # in the proxy: five failures among twenty take the canary out at once
    warm_up: 5s
    hold_back: 5%                      # what stable keeps during the last bake, to compare with
    hold: {{to: 1, investigate: 1m}}
"""


def configuration(ports: Mapping[str, int], walk: Walk, *, workers: str, state_dir: str) -> str:
    """The text of the file, for these ports."""
    addresses = {
        version: ", ".join(f'"127.0.0.1:{ports[name]}"' for name, _ in endpoints)
        for version, endpoints in ENDPOINTS.items()
    }
    # Rather than to hold, a step waits for what it needs to know: a slow machine takes longer.
    steps = ", ".join(f"{{weight: {weight:g}, bake: {walk.bake:g}s, max: 10m}}" for weight in walk.weights)
    others = {name: ports[name] for name in OTHER_PORTS}
    return _TEXT.format(**others, **addresses, workers=workers, state_dir=state_dir, steps=steps)
