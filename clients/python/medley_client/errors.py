"""What goes wrong.

MedleyError         anything
└─ Problem          the service refused a request, and says why (RFC 9457)
"""

from __future__ import annotations

import httpx
import msgspec


class MedleyError(Exception):
    """The service can't be reached, or does not answer as Medley does."""


class Problem(MedleyError):
    """The service refused a request; `kind` is stable, such as `not-found`, the message is for people."""

    def __init__(self, status: int, kind: str, detail: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{detail} ({status})")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class _Document(msgspec.Struct):
    type: str = ""
    detail: str = ""


def raise_for(response: httpx.Response) -> None:
    """Raise Problem for an answer that reports an error; its body must have been read."""
    if response.is_success:
        return
    try:
        document = msgspec.json.decode(response.content, type=_Document)
    except msgspec.DecodeError:
        document = _Document()
    wait = response.headers.get("retry-after", "")
    kind = document.type.rpartition(":")[2] or "unknown"
    detail = document.detail or response.reason_phrase
    raise Problem(response.status_code, kind, detail, float(wait) if wait.isdecimal() else None)
