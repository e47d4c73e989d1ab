"""Values from the environment: `${VAR}` in scalars.

Owns the substitution. A message never shows the value of a variable or the content of a file.

`${VAR}` is the variable; without one, the content of the file that `VAR_FILE` names. `${VAR:-text}` falls back to the
text when the variable is unset or empty. `$${` stands for `${`. A lone `$` is itself.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.files import read_secret

_VARIABLE: Final = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with its variables replaced.

    Raises:
        ValueError: a variable is not set and has no default, its file cannot be read, or `${` is not closed.
    """
    return _VARIABLE.sub(lambda match: _replacement(match, environ), text) if "${" in text else text


def escape(text: str) -> str:
    """Return text that `substitute` turns back into `text`."""
    return text.replace("${", "$${")


def _replacement(match: re.Match[str], environ: Mapping[str, str]) -> str:
    escaped, name, default = match.groups()
    if escaped:
        return str(escaped)
    if name is None:
        raise ValueError("${ does not begin a variable such as ${NAME} or ${NAME:-default}; write $${ for the text ${")
    value = environ.get(name)
    if value is None and f"{name}_FILE" in environ:
        value = read_secret(Path(environ[f"{name}_FILE"]))
    if default is not None:
        return str(value or default)
    if value is None:
        raise ValueError(f"the variable {name} is not set; set it or {name}_FILE, or write ${{{name}:-default}}")
    return value
