"""Programs that everybody has: nginx and http.server behind the proxy, curl, wrk and aiohttp in front of it."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.endpoints import free_address
from tests.support.whole_proxy import WholeProxy, a_service, ask, wait_until, whole_proxy

RequireTool = Callable[[str, str], str]
PAGE = "".join(f"line {number}\n" for number in range(10_000))
UPLOAD = bytes(range(256)) * 4096  # 1 MiB

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {address};
    root {folder};
    location = /chunked.txt {{ alias {folder}/page.txt; ssi on; ssi_types text/plain; }}
    location = /moved {{ return 302 /page.txt; }}
    location = /empty {{ return 204; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the file servers serve."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "page.txt").write_text(PAGE)
    (folder / "upload").write_bytes(UPLOAD)
    return folder


@pytest.fixture(scope="module", params=["nginx", "http.server"])
def file_server(request: pytest.FixtureRequest, folder: Path, require_tool: RequireTool) -> Iterator[str]:
    """The address of a server of files."""
    serve = nginx(folder, require_tool) if request.param == "nginx" else python_server(_Files, folder)
    with serve as address:
        yield address


@pytest.fixture(scope="module")
def files(file_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    """A proxy in front of a server of files."""
    with whole_proxy(tmp_path_factory.mktemp("files"), a_service({"v1": file_server}, {"v1": 1})) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def echo(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    """A proxy in front of a server that says what it got."""
    with python_server(_Echo, folder) as address:
        tree = a_service({"v1": address}, {"v1": 1})
        with whole_proxy(tmp_path_factory.mktemp("echo"), tree) as proxy:
            yield proxy


@pytest.fixture
def curl(require_tool: RequireTool) -> Callable[..., str]:
    """Call curl; what it prints."""
    program = require_tool("curl", "curl")

    def run(*arguments: str) -> str:
        called = [program, "-sS", "--noproxy", "*", "--max-time", "30", *arguments]
        return subprocess.run(called, capture_output=True, check=True).stdout.decode()

    return run


# --- curl -------------------------------------------------------------------------------------------------------------

Curl = Callable[..., str]


def test_curl_gets_a_file(files: WholeProxy, curl: Curl):
    assert curl(f"{files.url}/page.txt") == PAGE


def test_curl_gets_the_head_of_a_file_alone(files: WholeProxy, curl: Curl):
    head = curl("-I", f"{files.url}/page.txt").lower()
    assert (head.startswith("http/1.1 200 "), f"content-length: {len(PAGE)}\r\n" in head) == (True, True)


def test_curl_gets_two_files_over_one_connection(files: WholeProxy, curl: Curl):
    url = f"{files.url}/page.txt"
    assert curl("-o", "/dev/null", "-o", "/dev/null", "-w", "%{http_code} %{num_connects},", url, url) == "200 1,200 0,"


def test_curl_learns_that_a_file_is_not_there(files: WholeProxy, curl: Curl):
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{files.url}/nothing") == "404"


def test_curl_speaks_http_1_0(files: WholeProxy, curl: Curl):
    assert curl("-0", f"{files.url}/page.txt") == PAGE


def test_curl_asks_again_for_what_has_not_changed(files: WholeProxy, curl: Curl):
    url = f"{files.url}/page.txt"
    at = re.search(r"last-modified: ([^\r]+)", curl("-I", url), re.IGNORECASE)
    assert at is not None
    since = ["-H", f"If-Modified-Since: {at[1]}"]
    assert curl(*since, "-o", "/dev/null", "-w", "%{http_code} %{size_download}", url) == "304 0"


@pytest.fixture
def behind_nginx(folder: Path, require_tool: RequireTool, tmp_path: Path) -> Iterator[WholeProxy]:
    with nginx(folder, require_tool) as address, whole_proxy(tmp_path, a_service({"v1": address}, {"v1": 1})) as proxy:
        yield proxy


def test_curl_gets_ranges_redirects_and_answers_without_length_from_nginx(behind_nginx: WholeProxy, curl: Curl):
    url = behind_nginx.url
    assert curl("-r", "0-6", f"{url}/page.txt") == PAGE[:7]
    assert curl("-r", "0-0,5-6", f"{url}/page.txt").count("Content-Range: bytes") == 2
    assert curl("-L", f"{url}/moved") == PAGE
    assert curl("-w", "%{http_code}", f"{url}/empty") == "204"
    assert "transfer-encoding: chunked" in curl("-D", "-", "-o", "/dev/null", f"{url}/chunked.txt").lower()
    assert curl(f"{url}/chunked.txt") == PAGE
    assert curl("-0", f"{url}/chunked.txt") == PAGE
    assert "transfer-encoding" not in curl("-0", "-D", "-", "-o", "/dev/null", f"{url}/chunked.txt").lower()


def test_curl_uploads_with_a_length(echo: WholeProxy, curl: Curl, folder: Path):
    seen = json.loads(curl("--data-binary", f"@{folder / 'upload'}", f"{echo.url}/form"))
    assert (seen["method"], seen["length"], seen["same"]) == ("POST", str(len(UPLOAD)), True)


def test_curl_uploads_in_chunks(echo: WholeProxy, curl: Curl, folder: Path):
    chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"]
    seen = json.loads(curl(*chunked, "-T", str(folder / "upload"), f"{echo.url}/put"))
    assert (seen["method"], seen["coding"], seen["same"]) == ("PUT", "chunked", True)


def test_curl_waits_for_100_continue_and_uploads(echo: WholeProxy, curl: Curl, folder: Path):
    asks = ["-H", "Expect: 100-continue", "--expect100-timeout", "30"]
    printed = curl(*asks, "-D", "-", "--data-binary", f"@{folder / 'upload'}", f"{echo.url}/form")
    assert re.findall(r"HTTP/1.1 (\d+)", printed) == ["100", "200"]
    assert json.loads(printed.rpartition("\r\n\r\n")[2])["same"]


def test_curl_uploads_nothing_when_it_is_refused_instead(echo: WholeProxy, curl: Curl, folder: Path):
    asks = ["-H", "Expect: 100-continue", "--expect100-timeout", "30"]
    shown = ["-o", "/dev/null", "-w", "%{http_code} %{size_upload}"]
    assert curl(*asks, *shown, "--data-binary", f"@{folder / 'upload'}", f"{echo.url}/refuse") == "413 0"


def test_curl_reaches_the_upstream_with_the_headers_of_a_proxy(echo: WholeProxy, curl: Curl):
    seen = json.loads(curl("-H", "X-Serinus-Version: v9", "-H", "X-Request-Id: mine", "-d", "", f"{echo.url}/form"))
    headers = {name: value for name, value in seen["headers"].items() if name.startswith("x-")}
    assert headers == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "{}:{}".format(*echo.address),
        "x-request-id": "mine",
        "x-serinus-version": "v1",
    }


# --- wrk and aiohttp --------------------------------------------------------------------------------------------------


def test_wrk_finds_no_error(files: WholeProxy, require_tool: RequireTool):
    before = files.answers()["v1"]
    command = [require_tool("wrk", "wrk"), "-t1", "-c32", "-d1s", f"{files.url}/page.txt"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert ("Socket errors" in printed, "Non-2xx" in printed) == (False, False), printed
    requests = int(re.findall(r"(\d+) requests in", printed)[0])
    assert files.answers()["v1"] - before >= requests > 0


async def test_aiohttp_gets_a_file_many_times_at_once(files: WholeProxy):
    async with aiohttp.ClientSession() as session:

        async def get() -> tuple[int, str]:
            async with session.get(f"{files.url}/page.txt") as response:
                return response.status, await response.text()

        assert set(await asyncio.gather(*(get() for _ in range(200)))) == {(200, PAGE)}


async def test_aiohttp_streams_an_upload_of_unknown_length(echo: WholeProxy):
    async def pieces():
        for start in range(0, len(UPLOAD), 70_000):
            yield UPLOAD[start : start + 70_000]

    async with aiohttp.ClientSession() as session, session.post(f"{echo.url}/form", data=pieces()) as response:
        seen = await response.json()
    assert (seen["coding"], seen["same"]) == ("chunked", True)


# --- the servers ------------------------------------------------------------------------------------------------------


@contextmanager
def nginx(folder: Path, require_tool: RequireTool) -> Iterator[str]:
    """Run nginx; gives its address."""
    address = free_address()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, address=address))
    command = [require_tool("nginx", "nginx-light"), "-e", "stderr", "-p", str(folder), "-c", str(configuration)]
    with subprocess.Popen(command) as program:
        try:
            wait_until(lambda: is_listening(address), "for nginx")
            yield address
        finally:
            program.terminate()


def is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        return ask((host, int(port)), "/page.txt")[0] == 200
    except ConnectionRefusedError:
        return False


@contextmanager
def python_server(handler: type[BaseHTTPRequestHandler], folder: Path) -> Iterator[str]:
    """Run Python's http.server; gives its address."""

    def handle(*arguments: Any) -> BaseHTTPRequestHandler:
        return _Files(*arguments, directory=str(folder)) if handler is _Files else handler(*arguments)

    with _Server(("127.0.0.1", 0), handle) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    """Lets more than five connections wait, and takes it calmly when wrk goes away in the middle of an answer."""

    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Files(SimpleHTTPRequestHandler):
    """What `python -m http.server` serves: HTTP/1.0, a connection for each request."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class _Echo(BaseHTTPRequestHandler):
    """Says what it got, and refuses what is sent to /refuse."""

    protocol_version = "HTTP/1.1"

    def handle_expect_100(self) -> bool:
        if self.path != "/refuse":
            return super().handle_expect_100()
        self.close_connection = True
        self._answer(413, b"too much")
        return False

    def do_POST(self) -> None:
        coding = self.headers.get("Transfer-Encoding", "")
        body = b"".join(self._chunks()) if coding else self.rfile.read(int(self.headers["Content-Length"]))
        seen = {
            "method": self.command,
            "length": self.headers.get("Content-Length", ""),
            "coding": coding,
            "same": body == UPLOAD,
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }
        self._answer(200, json.dumps(seen).encode())

    do_PUT = do_POST  # noqa: N815  # called by its name

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
