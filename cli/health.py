"""The command `healthcheck`, for containers and scripts."""

import sys

import click

from cli.client import AdminClient
from cli.faults import Unreachable
from cli.options import talks_to_admin
from cli.output import Output


@click.command()
@click.option(
    "--ready", is_flag=True, help="Ask whether requests can be served (/readyz), not only whether it is alive."
)
@talks_to_admin
def healthcheck(admin: AdminClient, output: Output, ready: bool) -> None:
    """Ask whether the proxy is alive: exit code 0 or 1.

    In a container file: HEALTHCHECK CMD ["serinus", "healthcheck"]. No answer is a no, because container engines know
    no other exit codes.
    """
    try:
        is_well = admin.is_well("/readyz" if ready else "/healthz")
        why = "" if is_well else f"the proxy at {admin.address} is not {'ready' if ready else 'well'}"
    except Unreachable as exc:
        is_well, why = False, str(exc)
    good = "ready" if ready else "alive"
    output.show({"ok": is_well, "detail": why}, good if is_well else why)
    sys.exit(0 if is_well else 1)
