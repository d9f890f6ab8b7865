"""Parts of one stored file for one ffmpeg, over HTTP on loopback at an address known to it alone.

So that a clip from the middle of a film costs the bytes of that clip, and the program that reads hostile files holds no
credentials. Knows stores and HTTP's ranges; ends with its block.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from indexer.sources.stores.store import Store, StoredFile
from search.errors import MedleyError

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@contextmanager
def served(store: Store, file: StoredFile) -> Iterator[str]:
    """The address of the file until the block ends."""
    path = f"/{secrets.token_urlsafe(32)}"

    class Handler(_Handler):
        served_path, served_store, served_file = path, store, file

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="range-server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{path}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served_path: str
    served_store: Store
    served_file: StoredFile

    def do_GET(self) -> None:
        """The range that is asked for."""
        if not secrets.compare_digest(self.path, self.served_path):
            self.send_error(404)
            return
        size = self.served_file.size_bytes
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(match[1]) if match else 0
        end = min(size, int(match[2]) + 1) if match and match[2] else size
        if start >= end:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if match else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        if match:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        try:
            for piece in self.served_store.read(self.served_file, start, end):
                self.wfile.write(piece)
        except (MedleyError, OSError):
            self.close_connection = True  # ffmpeg has what it wanted, or notices that it ends early

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: an address is a secret."""
