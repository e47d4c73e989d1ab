"""Commands for the life of an endpoint: add, drain, remove, up, down."""

import functools
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click

from cli.client import AdminClient
from cli.faults import Fault
from cli.options import if_match_option, reason_option, talks_to_admin
from cli.output import Output, Progress
from cli.shapes import EndpointStatus, ServiceStatus
from config.address import parse_endpoint_address

_POLL_SECONDS: Final = 0.2


class StillBusy(Fault):
    """An endpoint did not become idle in time."""


class Place(NamedTuple):
    """The endpoint that a command is about."""

    service: str
    version: str
    address: str

    def __str__(self) -> str:
        return f"{self.address} of {self.service}/{self.version}"


def _names_an_endpoint(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments SERVICE VERSION ADDRESS, and what every change of an endpoint has."""

    @click.argument("service")
    @click.argument("version")
    @click.argument("address")
    @reason_option
    @if_match_option
    @talks_to_admin
    @functools.wraps(command)
    def run(admin: AdminClient, output: Output, /, service: str, version: str, address: str, **options: Any) -> None:
        command(admin, output, Place(service, version, address), **options)

    return run


@click.group()
def endpoint() -> None:
    """Add, drain and remove the endpoints of a version.

    To take one away without a failed request, wait until it is idle:

    serinus endpoint drain --wait shop stable 127.0.0.1:9002 &&
    serinus endpoint remove shop stable 127.0.0.1:9002
    """


@endpoint.command()
@_names_an_endpoint
def add(admin: AdminClient, output: Output, place: Place, reason: str, if_match: int | None) -> None:
    """Add an endpoint; with a health check it gets requests after its first good probes."""
    _show(output, admin.add_endpoint(*place, reason=reason, if_match=if_match), f"{place} was added")


@endpoint.command()
@click.option("--force", is_flag=True, help="Remove it even with requests in flight.")
@_names_an_endpoint
def remove(admin: AdminClient, output: Output, place: Place, reason: str, if_match: int | None, force: bool) -> None:
    """Remove an endpoint that is idle."""
    _show(output, admin.remove_endpoint(*place, force=force, reason=reason, if_match=if_match), f"{place} was removed")


@endpoint.command()
@click.option("--wait", "waits", is_flag=True, help="Return when no request is in flight on it any more.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="With --wait: give up after this time."
)
@_names_an_endpoint
def drain(
    admin: AdminClient,
    output: Output,
    place: Place,
    reason: str,
    if_match: int | None,
    waits: bool,
    timeout: float | None,
) -> None:
    """Let an endpoint finish what it has, and give it nothing new."""
    changed = admin.set_endpoint_state(*place, "drain", reason=reason, if_match=if_match)
    if not waits:
        _show(output, changed, f"{place} is draining")
        return
    _wait_until_idle(admin, place, timeout)
    _show(output, admin.service(place.service), f"{place} is idle")


@endpoint.command()
@_names_an_endpoint
def up(admin: AdminClient, output: Output, place: Place, reason: str, if_match: int | None) -> None:
    """Let an endpoint have requests again."""
    _show(output, admin.set_endpoint_state(*place, "up", reason=reason, if_match=if_match), f"{place} is up")


@endpoint.command()
@_names_an_endpoint
def down(admin: AdminClient, output: Output, place: Place, reason: str, if_match: int | None) -> None:
    """Take an endpoint out without removing it."""
    _show(output, admin.set_endpoint_state(*place, "down", reason=reason, if_match=if_match), f"{place} is down")


def _show(output: Output, changed: ServiceStatus, sentence: str) -> None:
    output.show(changed, f"{sentence} (generation {changed['generation']})")


def _wait_until_idle(admin: AdminClient, place: Place, timeout: float | None) -> None:
    progress = Progress()
    started = time.monotonic()
    try:
        while in_flight := _in_flight(admin, place):
            waited = time.monotonic() - started
            if timeout is not None and waited >= timeout:
                raise StillBusy(
                    f"{place} still has {in_flight} requests in flight after {timeout:g} s and goes on draining"
                )
            progress.say(f"waiting for {place}: {in_flight} in flight, {waited:.0f} s")
            time.sleep(_POLL_SECONDS)
    finally:
        progress.end()


def _in_flight(admin: AdminClient, place: Place) -> int:
    """Requests in flight on an endpoint; one that is gone has none."""
    canonical = str(parse_endpoint_address(place.address))  # as the proxy names it
    version = admin.service(place.service)["versions"].get(place.version)
    endpoints: list[EndpointStatus] = version["endpoints"] if version else []
    return sum(each["in_flight"] for each in endpoints if each["address"] == canonical)
