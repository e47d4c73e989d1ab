"""Processor time of a program and everything it started, from the kernel's scheduler statistics.

Owns: reading `/proc`. Must not: start, stop or wait for anything.
Unit: nanoseconds. `/proc/PID/task/TID/schedstat` counts exactly, where `/proc/PID/stat` counts in ticks of 10 ms.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from loadtests.bench.faults import Invalid

PROC = Path("/proc")

# (process id, thread id) → nanoseconds on a processor since the thread started
ThreadTimes: TypeAlias = Mapping[tuple[int, int], int]


def family(pid: int, proc: Path = PROC) -> list[int]:
    """The given process and all its descendants, parents before children."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents(proc):
        children.setdefault(parent, []).append(child)
    members = [pid]
    for member in members:  # grows while it is walked
        members.extend(sorted(children.get(member, ())))
    return members


def thread_times(pid: int, proc: Path = PROC) -> ThreadTimes:
    """The processor time of every thread of the given process and its descendants until now."""
    times = {}
    for member in family(pid, proc):
        for path in (proc / str(member) / "task").glob("*/schedstat"):
            try:
                times[member, int(path.parent.name)] = on_processor(path.read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended while we looked; `spent` notices when it mattered
    return times


def on_processor(schedstat: str) -> int:
    """The first of the three numbers in a schedstat file: nanoseconds on a processor."""
    return int(schedstat.split(maxsplit=1)[0])


def spent(before: ThreadTimes, after: ThreadTimes) -> int:
    """The nanoseconds used between two readings by all threads together.

    Raises:
        Invalid: a thread ended in between (what it used last is unknown), or the kernel does not count.
    """
    ended = sorted(before.keys() - after.keys())
    if ended:
        raise Invalid(f"threads ended during the measurement: {', '.join(f'{tid} of {pid}' for pid, tid in ended)}")
    total = sum(after.values()) - sum(before.values())
    if total <= 0:
        raise Invalid("the kernel counted no processor time: is it built with CONFIG_SCHED_INFO?")
    return total


def _parents(proc: Path) -> Iterator[tuple[int, int]]:
    for path in proc.glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended while we looked
        # "PID (command) state parent …"; the command may hold spaces and parentheses itself (man 5 proc).
        yield int(path.parent.name), int(text.rpartition(")")[2].split()[1])
