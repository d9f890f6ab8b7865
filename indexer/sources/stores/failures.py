"""What went wrong with a store, as a sentence without secrets.

Libraries put addresses with signatures, headers and keys into their errors, so no text of theirs is passed on: only
kinds, codes and numbers of errors.
"""

from __future__ import annotations

import os
import re
import socket
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from search.errors import MedleyError, StoreError

_BUSY = frozenset({429, 503, 509})
_REFUSED = frozenset({401, 403, 407})
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_BUSY_CODES = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "TooManyRequestsException",
        "ServiceUnavailable",
        "RequestThrottled",
    }
)
NO_CREDENTIALS = (
    "no credentials were found: set them in the environment, or name a profile of stores.toml with --profile"
)


@contextmanager
def telling(root: str) -> Iterator[None]:
    """Turn what libraries raise inside the block into StoreError; a file that is not there stays what it is."""
    try:
        yield
    except (MedleyError, FileNotFoundError, NotADirectoryError, IsADirectoryError, GeneratorExit):
        raise
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        raise StoreError(f"{root}: {reason_of(error)}") from None


def reason_of(error: BaseException) -> str:
    """Why a store could not be used."""
    name = type(error).__name__
    code = _code_of(error)
    status = _status_of(error)
    if status in _BUSY or code in _BUSY_CODES:
        return f"asks for fewer requests ({code or status})"
    if "HostKey" in name:
        return "its host key is not in known_hosts"
    if status in _REFUSED or isinstance(error, PermissionError) or "PermissionDenied" in name:
        return f"refuses access ({code or status})" if code or status else "refuses access"
    if isinstance(error, zipfile.BadZipFile | tarfile.TarError):
        return "can't be read as an archive: it is damaged, incomplete, or something else"
    if "Credential" in name or name in ("ProfileNotFound", "TokenRetrievalError", "SSOTokenLoadError"):
        return NO_CREDENTIALS if name != "ProfileNotFound" else "there is no such profile in stores.toml, or of AWS"
    if status is not None or code:
        return f"answers with an error ({code or status})"
    if isinstance(error, socket.gaierror):
        return "its host is not known"
    if isinstance(error, TimeoutError) or "Timeout" in name:
        return "does not answer in time"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
        return f"does not answer: {os.strerror(error.errno)}"
    return f"does not answer ({name})"


def _code_of(error: BaseException) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        code = str(response.get("Error", {}).get("Code", ""))
        return code if _CODE.fullmatch(code) else ""
    return ""


def _status_of(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(response, "status_code", None)
    return status if isinstance(status, int) else None
