"""Commands are run without a shell, in their time, and leave nothing behind."""

import asyncio
import sys
from pathlib import Path

from controller.programs import KEPT, run, words_of
from tests.support.waiting import has_ended, until


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_words_in_braces_are_replaced_within_words():
    values = {"service": "shop", "version": "a b; rm -rf $HOME"}
    assert words_of("deploy --to={version} '{service} x' {endpoint}", values) == [
        *("deploy", "--to=a b; rm -rf $HOME", "shop x", "{endpoint}")
    ]


async def test_a_program_ends_with_its_status_and_the_end_of_its_output():
    ended = await run(python("import sys; print('x' * 10000); print('so', file=sys.stderr); sys.exit(3)"), 30)
    assert (ended.status, len(ended.output), ended.words) == (3, KEPT, "exit status 3: so")


async def test_its_standard_input_is_empty():
    assert (await run(python("print(repr(input() if False else __import__('sys').stdin.read()))"), 30)).output == "''\n"


async def test_a_program_that_does_not_exist_says_so():
    ended = await run(["/nowhere/deploy"], 30)
    assert (ended.status, ended.words) == (None, "could not be started: No such file or directory")


async def test_a_program_whose_time_is_over_is_killed():
    ended = await run(python("import time; time.sleep(60)"), 0.2)
    assert (ended.status, ended.words) == (None, "killed after 0.2 s")


async def test_a_program_that_is_not_needed_any_more_is_killed_with_all_that_it_has_started(tmp_path: Path):
    note = tmp_path / "pid"
    child = f"import os, time, pathlib; pathlib.Path({str(note)!r}).write_text(str(os.getpid())); time.sleep(60)"
    running = asyncio.create_task(
        run(python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"), 60)
    )
    await until(lambda: note.exists() and note.read_text())
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    await until(lambda: has_ended(int(note.read_text())))
