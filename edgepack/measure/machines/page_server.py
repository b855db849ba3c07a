"""A server on loopback for a browser that measures a pack: chosen files under fixed names, with the headers that threads need."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_TYPES = {".html": "text/html; charset=utf-8", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
_CHUNK = 1 << 20
_LOOPBACK = ("127.0.0.1", "localhost")


class PageServer:
    """files: what is served, by path. sent: bytes that left, by path, since the last `sent.clear()`."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self.sent: dict[str, int] = {}
        self.url = ""


@contextlib.contextmanager
def page_server() -> Iterator[PageServer]:
    """A server on loopback that runs within the block."""
    server = PageServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, server)

        def log_message(self, *_) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        listener.block_on_close = False  # a browser that was killed leaves connections that nobody closes
        server.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


def _answer(request: BaseHTTPRequestHandler, server: PageServer) -> None:
    """COOP and COEP make the page cross-origin isolated; no-store leaves it to the page what is kept."""
    host, port = (request.headers.get("Host") or "").partition(":")[::2]
    if host not in _LOOPBACK or port != server.url.rpartition(":")[2]:  # a page of the web that has this machine's address by its own name
        request.send_error(403)
        return
    name = request.path.partition("?")[0].removeprefix("/")
    path = server.files.get(name)
    if path is None or not path.is_file():
        request.send_error(404)
        return
    request.send_response(200)
    headers = {
        "Content-Type": _TYPES.get(path.suffix, "application/octet-stream"),
        "Content-Length": str(path.stat().st_size),
        "Cache-Control": "max-age=86400" if name.startswith("runtime/") else "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
    }
    for key, value in headers.items():
        request.send_header(key, value)
    request.end_headers()
    with path.open("rb") as file, contextlib.suppress(ConnectionError):
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            request.wfile.write(chunk)
            server.sent[name] = server.sent.get(name, 0) + len(chunk)
