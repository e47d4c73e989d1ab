"""Options that are read as the configuration file reads them: `20%`, `40ms`.

Owns the way from an option to `config.units`.
"""

from collections.abc import Callable
from typing import Any, Final

import click


def _quantity(unit: str) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    def read(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
        from config.units import parse_duration, parse_share

        try:
            return None if text is None else (parse_share if unit == "share" else parse_duration)(text)
        except ValueError as exc:
            raise click.BadParameter(str(exc), ctx, param) from exc

    return read


#: What `click.option` takes for a share from 0 to 1, and for a duration in seconds.
share: Final[dict[str, Any]] = {"metavar": "SHARE", "callback": _quantity("share")}
duration: Final[dict[str, Any]] = {"metavar": "DURATION", "callback": _quantity("duration")}
