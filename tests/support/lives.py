"""Configurations and live states for tests: two services, with and without pool mode."""

from pathlib import Path
from typing import Any

from config.model import Config
from proxy.core.live import SALT_BYTES, Change, Live
from proxy.core.overlay import Overlay, from_config

FILE = Change("file", "", 0.0, 1)
NEVER = Change("tester", "because", 1_700_000_000.0)

SERVICES: dict[str, Any] = {
    "shop": {
        "versions": {
            "stable": {"endpoints": ("127.0.0.1:9001", "127.0.0.1:9002")},
            "canary": {"endpoints": ("127.0.0.1:9003",)},
        },
        "split": {"stable": 99, "canary": 1},
    },
    "cart": {
        "versions": {"blue": {"endpoints": ("unix:/run/blue.sock",)}, "green": {"endpoints": ("cart.example:9005",)}},
        "active": "blue",
    },
}


def a_config(services: dict[str, Any] | None = None, **parts: Any) -> Config:
    """A configuration with these services, all of whose sockets and files are private to the caller."""
    whole: dict[str, Any] = {
        "listen": ({"address": "127.0.0.1:0"},),
        "admin": {"address": "127.0.0.1:0"},
        "access_log": "off",
        "services": SERVICES if services is None else services,
    }
    return Config.model_validate({**whole, **parts}, context={"folder": Path("/nonexistent")})


def salts(config: Config) -> dict[str, bytes]:
    """A salt for each service."""
    return {name: name.encode().ljust(SALT_BYTES, b".") for name in config.services}


def a_live(config: Config | None = None, overlay: Overlay | None = None, change: Change = FILE) -> Live:
    """The live state of a configuration, generation 1."""
    config = a_config() if config is None else config
    return from_config(config, overlay or {}, salts(config), change)
