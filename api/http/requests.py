"""Bodies in JSON: how large they may be, and that what can't be read is its sender's mistake."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from api.http.problems import HttpError

#: a body in JSON without pictures: a thousand times what people send
JSON_BYTES = 1024**2
#: one that may hold pictures as data URLs
PICTURES_BYTES = 32 * 1024**2
BROKEN = "the connection broke before the whole body had arrived"


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is refused plainly."""

    async def body(self) -> bytes:
        """The body. Raises HttpError 413, and 400 if the connection breaks."""
        try:
            return await super().body()
        except RequestEntityTooLarge:
            raise too_large(self.route_handler.resolve_request_max_body_size() or 0) from None
        except InternalServerException:  # what Litestar makes of it
            raise HttpError(400, "validation", BROKEN) from None

    async def json(self) -> Any:
        """The body, decoded. Raises HttpError 400 and 413; Litestar's own errors where it is not JSON."""
        try:
            return await super().json()
        except RecursionError:  # msgspec's, of brackets in brackets
            raise HttpError(400, "validation", "the body is nested too deeply to be read") from None
        except UnicodeDecodeError:
            raise HttpError(400, "validation", "the body is not text in UTF-8") from None


def too_large(limit: int) -> HttpError:
    """What is said of a body with more than `limit` bytes."""
    hint = "; send files as multipart/form-data" if limit == PICTURES_BYTES else ""
    return HttpError(413, "too-large", f"the body is larger than {limit:,} bytes, which is the limit here{hint}")
