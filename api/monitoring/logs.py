"""Structured logs: one JSON object a line on standard error, with the request id where there is one.

At the default level no line holds personal content: routes are logged by their template, never with
their query; queries, file names and words of media appear only at level debug.
"""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar
from typing import Any

import msgspec

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

audit = logging.getLogger("medley.audit")
access = logging.getLogger("medley.access")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; `extra={"fields": {...}}` adds keys."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identifier := request_id.get():
            entry["request_id"] = identifier
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def configure(level: str) -> None:
    """Send the logs of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.getLevelNamesMapping().get(level.upper(), logging.INFO))
    for chatty in ("httpx", "httpcore", "urllib3", "PIL", "multipart", "mcp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def wrote(request: Any, what: str, **fields: Any) -> None:
    """The audit line of a write: who did what to which thing, never its content."""
    caller = request.scope["state"].get("caller")
    who = {"caller": caller.name, "key": caller.key_id} if caller else {}
    audit.info(what, extra={"fields": {**who, **fields}})
