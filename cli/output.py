"""What commands print: results on standard output, errors and progress on standard error, as text or as JSON.

Owns the `--json` option and the way from an error to an exit code. Must not know any command.

1. Standard output carries results only, so that it can be piped.
2. A progress line is drawn on terminals only and leaves nothing behind.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

from cli.faults import Fault

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too.")


@dataclass(frozen=True, slots=True)
class Output:
    """Prints what a command has to say in the form that was asked for."""

    as_json: bool = False

    def show(self, value: Any, text: str) -> None:
        """Print a result: the value when JSON is wanted, else the text."""
        click.echo(json.dumps(value, ensure_ascii=False) if self.as_json else text)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Within the block, a `Fault` is printed on standard error and ends the program with its exit code."""
        try:
            yield
        except Fault as exc:
            click.echo(json.dumps(exc.as_json(), ensure_ascii=False) if self.as_json else exc.as_text(), err=True)
            sys.exit(exc.exit_code)


def in_lines(drawn: "RenderableType", plain_width: int) -> str:
    """What rich draws, without the end of its last line; where no terminal says how wide it is, in plain lines of at
    most this width.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = plain_width
    with console.capture() as captured:
        console.print(drawn)
    text = captured.get().removesuffix("\n")
    return text if console.is_terminal else "\n".join(line.rstrip() for line in text.split("\n"))


class Progress:
    """One line on standard error that says what is being waited for; nothing unless that is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty()

    def say(self, text: str) -> None:
        """Replace the line."""
        self._write(text)

    def end(self) -> None:
        """Take the line away."""
        self._write("")

    def _write(self, text: str) -> None:
        if self._is_shown:
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
