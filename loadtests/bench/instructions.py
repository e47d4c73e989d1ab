"""Instructions of a worker per request, counted by callgrind: `make bench-check`.

Owns the counts, their record (`instructions.json` beside this file) and the comparison with it. A count says nothing of
caches, branches or the kernel, but it is the same on a busy machine as on a quiet one: a regression of a few per cent
is seen where times differ by more from one minute to the next.

One request at a time on one kept connection. Counts can be compared where Python and the compiler are the same; where
they are not, the counts are shown and nothing is judged. Exit codes: 0 no work needs more than ALLOWED beyond its
record, or nothing to compare with; 1 one does, or the count failed; 2 usage.
"""

import argparse
import json
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from loadtests.bench.builds import Build, Compiled, Ours, Surroundings, find_compiler, find_first
from loadtests.bench.certificate import write_certificate
from loadtests.bench.children import Cores
from loadtests.bench.cpu_time import family
from loadtests.bench.faults import BenchFault, Invalid, Missing
from loadtests.bench.load import backend_running
from loadtests.bench.measure import Contender, Proxy, Rig, proxy_running
from loadtests.bench.peers import OURS
from loadtests.bench.work import WORKS, Work

RECORD: Final = Path(__file__).with_name("instructions.json")
#: What is counted: the usual request, and what goes another way through the code.
COUNTED: Final = ("small", "post-1k", "chunked", "log", "sticky")
ALLOWED: Final = 0.03

_WARM: Final = 300  # requests: pools are filled, buffers have their sizes
_REQUESTS: Final = 2000
_PATIENCE: Final = 60.0  # seconds
_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def count(rig: Rig, ours: Contender) -> float:
    """The instructions of the worker for one request of the work.

    Raises:
        Invalid: a request was not answered, or valgrind did not count.
    """
    request = request_of(rig.work)
    with proxy_running(rig, ours) as proxy, socket.create_connection(("127.0.0.1", proxy.port), _PATIENCE) as client:
        worker = _worker_of(proxy)
        _control("-i", "on", worker)
        _ask(client, request, _WARM)
        _control("-z", None, worker)
        _ask(client, request, _REQUESTS)
        _control("-d", None, worker)
        dumps = sorted(rig.folder.glob(f"callgrind.{worker}.*"))
    totals = [int(total) for dump in dumps for total in _TOTAL.findall(dump.read_text())[:1]]
    if not totals or not max(totals):
        raise Invalid("callgrind counted nothing")
    for dump in dumps:
        dump.unlink(missing_ok=True)
    return max(totals) / _REQUESTS


def request_of(work: Work) -> bytes:
    """The bytes of one request of a work."""
    fields = {"Host": "127.0.0.1", **work.headers}
    if work.upload_bytes:
        fields["Content-Length"] = str(work.upload_bytes)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    method = "POST" if work.upload_bytes else "GET"
    return f"{method} / HTTP/1.1\r\n{lines}\r\n".encode() + b"x" * work.upload_bytes


def _ask(client: socket.socket, request: bytes, times: int) -> None:
    """Send a request again and again, each after the answer to the one before."""
    for _ in range(times):
        client.sendall(request)
        got = b""
        while not _is_whole(got):
            more = client.recv(1 << 16)
            if not more:
                raise Invalid(f"a connection was closed after {got[:200]!r}")
            got += more
        if not got.startswith(b"HTTP/1.1 200"):
            raise Invalid(f"a request was answered {got[:200]!r}")


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    named = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return len(body) >= int(named[1]) if named else body.endswith(b"0\r\n\r\n")


def _worker_of(proxy: Proxy) -> int:
    """The process that serves: the one child of the supervisor that is a worker."""
    for pid in family(proxy.pid):
        if b"proxy.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise Invalid("there is no worker")


def _control(option: str, value: str | None, pid: int) -> None:
    words = ["callgrind_control", option, *([value] if value else []), str(pid)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    if done.returncode or "Error" in done.stdout + done.stderr:
        raise Invalid(f"{' '.join(words)}: {(done.stdout + done.stderr).strip()}")


def _under_callgrind(ours: Build, valgrind: str, folder: Path) -> Build:
    """The same program, its workers counted from when they are told to."""
    script = folder / "serinus-under-callgrind"
    words = [valgrind, "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes", "--combine-dumps=no"]
    script.write_text(
        f'#!/bin/sh\nexec {" ".join(words)} --callgrind-out-file={folder}/callgrind.%p {ours.path} "$@"\n'
    )
    script.chmod(0o755)
    return replace(ours, path=script)


def count_all(names: Sequence[str]) -> dict[str, float]:
    """The instructions per request of each work.

    Raises:
        BenchFault: something that is needed is missing, or a count failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise Missing("valgrind is not installed: apt-get install valgrind")
    works = {work.name: work for work in WORKS}
    cores, counts = Cores.available(), {}
    with TemporaryDirectory(prefix="serinus-bench-") as name:
        folder = Path(name)
        surrounded = Surroundings(folder, may_fetch=False, announce=print)
        backend, open_loop = (find_first([Compiled(source)], surrounded) for source in ("backend.c", "openloop.c"))
        write_certificate(folder)
        ours = Contender(
            replace(OURS, environment={"PYTHONHASHSEED": "0"}),
            _under_callgrind(Ours().find(surrounded), valgrind, folder),
        )
        for work in (works[name] for name in names):
            with backend_running(backend, work, cores, folder) as serving:
                counts[work.name] = count(Rig(work, cores, "", serving, folder, 0.0, open_loop), ours)
    return counts


def surroundings() -> dict[str, str]:
    """What has to be the same for two counts to be compared."""
    with TemporaryDirectory() as folder:
        compiler = find_compiler(Surroundings(Path(folder), may_fetch=False, announce=print))
    said = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout
    # "cc (Debian 12.2.0-14) 12.2.0": by which of its names it was called makes no difference.
    version = said.partition("\n")[0].partition(" ")[2]
    return {"python": platform.python_version(), "compiler": version, "machine": platform.machine()}


def worse(counts: Mapping[str, float], record: Mapping[str, float]) -> list[str]:
    """The works that need more instructions than is allowed beyond their record."""
    return [name for name, value in counts.items() if name in record and value > record[name] * (1 + ALLOWED)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.instructions", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(COUNTED), metavar="WORK,…",
                        help=f"default: {', '.join(COUNTED)}")  # fmt: skip
    parser.add_argument("--record", action="store_true", help="make these counts the record")
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - {work.name for work in WORKS}:
        parser.error(f"--only: {', '.join(sorted(unknown))}: not a work of the benchmark")
    try:
        counts, place = count_all(options.only), surroundings()
    except BenchFault as exc:
        print(f"bench-check: {exc}", file=sys.stderr)
        return 1
    record: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    is_comparable = record.get("surroundings") == place
    before: Mapping[str, float] = record.get("instructions", {}) if is_comparable else {}
    for name, value in counts.items():
        beside = f"  recorded {before[name]:,.0f}  {value / before[name] - 1:+.1%}" if name in before else ""
        print(f"{name:<10} {value:>9,.0f} instructions per request{beside}")
    if options.record:
        RECORD.write_text(json.dumps({"surroundings": place, "instructions": counts}, indent=2) + "\n")
        return 0
    if not is_comparable:
        print(f"not compared: recorded with {record.get('surroundings', 'nothing')}, counted with {place}")
    found = worse(counts, before)
    for name in found:
        print(f"bench-check: {name} needs over {ALLOWED:.0%} more than its record", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
