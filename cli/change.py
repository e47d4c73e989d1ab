"""Commands that change what is live: `split`, `activate` and `reload`."""

import click

from cli.client import AdminClient
from cli.faults import BadUsage
from cli.options import if_match_option, read_weights, reason_option, talks_to_admin
from cli.output import Output
from cli.words import shares_in_words


@click.command()
@click.argument("service")
@click.argument("weights", nargs=-1, required=True, metavar="VERSION=WEIGHT...", callback=read_weights)
@reason_option
@if_match_option
@talks_to_admin
def split(
    admin: AdminClient, output: Output, service: str, weights: dict[str, float], reason: str, if_match: int | None
) -> None:
    """Change the weights of a service, now.

    serinus split shop stable=90 canary=10

    The share of a version is its weight divided by the sum of all. A version that is not named gets nothing. Returns
    when every worker serves the new weights; requests in flight keep the version that they have.
    """
    if len(weights) == 1:
        (version,) = weights
        raise BadUsage(
            f"one weight alone would give everything to {version}. Name the other versions as well, "
            f"or say so: serinus activate {service} {version}"
        )
    changed = admin.set_split(service, weights, reason=reason, if_match=if_match)
    output.show(changed, shares_in_words(changed))


@click.command()
@click.argument("service")
@click.argument("version")
@reason_option
@if_match_option
@talks_to_admin
def activate(admin: AdminClient, output: Output, service: str, version: str, reason: str, if_match: int | None) -> None:
    """Give one version of a service everything."""
    changed = admin.activate(service, version, reason=reason, if_match=if_match)
    output.show(changed, shares_in_words(changed))


@click.command()
@reason_option
@talks_to_admin
def reload(admin: AdminClient, output: Output, reason: str) -> None:
    """Have the proxy read its file again; a bad file changes nothing."""
    generation = admin.reload(reason=reason)
    output.show({"generation": generation}, f"the file is live (generation {generation})")
