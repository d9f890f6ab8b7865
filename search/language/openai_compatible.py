"""A language model at an OpenAI-compatible address: Ollama, vLLM, a cloud.

Writes, but does not score. Pictures travel as data URLs. The key goes into one header and nowhere
else: neither `repr`, nor an error, nor a log line holds it.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import httpx

from search.errors import LanguageModelError, SettingsError, UnavailableError
from search.language.llm import Image, Likelihood, Limits, Prompt, Request
from search.settings import Settings

DEFAULT_BASE_URL = "https://api.openai.com/v1"
PARALLEL = 4  # requests at once when several prompts are written
MAX_ERROR_CHARACTERS = 200
MAX_LINE_CHARACTERS = 1_000_000  # of a stream; a hostile server must not fill our memory
# With which servers answer a picture that their model can't read; Ollama and llama.cpp say 500.
_REFUSALS = frozenset({400, 413, 415, 422, 500, 501})
_log = logging.getLogger(__name__)


class _PicturesRefused(LanguageModelError):
    """The server takes no pictures; the message says what it answered."""


class RemoteModel:
    """One model of one server. Thread-safe."""

    def __init__(self, model: str, client: httpx.Client, sees: bool = False) -> None:
        """`sees`: may it be shown pictures? Until it refuses one, it is taken to see them."""
        self._model = model
        self._client = client
        self._sees = sees

    @classmethod
    def open(cls, settings: Settings, model: str) -> Self:
        """With the address, key and timeout of the settings; connects to nothing yet.

        Raises SettingsError.
        """
        if not model:
            raise SettingsError("MEDLEY_LLM must name a model after openai:, for example openai:llama3.2")
        address = settings.llm_base_url or DEFAULT_BASE_URL
        if not address.startswith(("http://", "https://")):
            raise SettingsError(f"MEDLEY_LLM_BASE_URL must start with http:// or https://, not {address[:40]!r}")
        headers = {"Authorization": f"Bearer {settings.llm_api_key}"} if settings.llm_api_key else {}
        client = httpx.Client(base_url=address, headers=headers, timeout=settings.llm_timeout_seconds)
        at_home = settings.llm_pictures == "local" and _is_this_machine(client.base_url.host)
        return cls(model, client, at_home or settings.llm_pictures == "always")

    def __repr__(self) -> str:
        return f"RemoteModel({self._model!r})"

    @property
    def name(self) -> str:
        """As results say it."""
        return f"openai:{self._model}"

    @property
    def scores(self) -> bool:
        """Chat servers tell no likelihood of a given text."""
        return False

    @property
    def sees(self) -> bool:
        """Whether pictures may go to this server, and it has refused none."""
        return self._sees

    @property
    def width(self) -> int:
        """Takes no soft tokens."""
        return 0

    def score(self, prefix: Prompt, requests: Sequence[Request]) -> Sequence[Likelihood]:  # noqa: ARG002 - it refuses
        """Always raises LanguageModelError: ask `scores` first."""
        raise LanguageModelError(f"{self.name} can't score texts: rerank with the embedded or a transformers model")

    def write(self, prompts: Sequence[Prompt], limits: Limits) -> Sequence[str]:
        """See LanguageModel.write."""
        if len(prompts) == 1:
            return ["".join(self.stream(prompts[0], limits)).strip()]
        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(lambda prompt: "".join(self.stream(prompt, limits)).strip(), prompts))

    def stream(self, prompt: Prompt, limits: Limits) -> Iterator[str]:
        """See LanguageModel.stream. A server that refuses pictures is asked again without them, and sent no more."""
        try:
            yield from self._stream(prompt, limits)
        except _PicturesRefused as refusal:
            yield from self._stream(tuple(piece for piece in prompt if not isinstance(piece, Image)), limits)
            # Without them it answers, so it was the pictures.
            self._sees = False
            _log.warning("%s; it is asked without pictures from now on", refusal)

    def _stream(self, prompt: Prompt, limits: Limits) -> Iterator[str]:
        pictured = any(isinstance(piece, Image) for piece in prompt)
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": _content(prompt)}],
            "max_tokens": limits.tokens,
            "temperature": 0,
            "stream": True,
            # Servers take at most four.
            **({"stop": list(limits.stop[:4])} if limits.stop else {}),
        }
        with self._failures(), self._client.stream("POST", "chat/completions", json=body) as response:
            if response.status_code >= 400:
                response.read()
            if pictured and response.status_code in _REFUSALS:
                told = f"{response.status_code}: {_reason(response)}"
                raise _PicturesRefused(f"{self.name} at {response.url.host} takes no pictures ({told})")
            self._check(response)
            for line in response.iter_lines():
                if len(line) > MAX_LINE_CHARACTERS:
                    raise LanguageModelError(f"{self.name} sent a line of {len(line)} characters")
                if text := _delta(line, self.name):
                    yield text

    def release(self) -> None:
        """Close idle connections; the next request opens new ones."""

    def _check(self, response: httpx.Response) -> None:
        if response.status_code < 400:
            return
        reason = _reason(response)
        message = f"{self.name} at {response.url.host} answered {response.status_code}: {reason}"
        if response.status_code in (401, 403):
            raise LanguageModelError(f"{message} (is MEDLEY_LLM_API_KEY right?)")
        if response.status_code == 429 or response.status_code >= 500:
            raise UnavailableError(message)
        raise LanguageModelError(message)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        host = self._client.base_url.host
        try:
            yield
        except httpx.TimeoutException:
            seconds = self._client.timeout.read
            raise UnavailableError(
                f"{self.name} at {host} said nothing for {seconds:g} s (setting MEDLEY_LLM_TIMEOUT_SECONDS)"
            ) from None
        except httpx.HTTPError as error:
            # The exception's request carries our headers: its type and words are enough.
            raise UnavailableError(f"{self.name} at {host} can't be reached: {error}") from None


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _content(prompt: Prompt) -> str | list[dict[str, Any]]:
    if all(isinstance(piece, str) for piece in prompt):
        return "".join(str(piece) for piece in prompt)
    parts: list[dict[str, Any]] = []
    for piece in prompt:
        if isinstance(piece, str):
            parts.append({"type": "text", "text": piece})
        elif isinstance(piece, Image):
            data = base64.b64encode(piece.data).decode()
            parts.append({"type": "image_url", "image_url": {"url": f"data:{piece.media_type};base64,{data}"}})
        else:
            raise LanguageModelError("a remote language model takes no soft tokens")
    return parts


def _delta(line: str, name: str) -> str:
    """The text in one line of a stream of events."""
    data = line.removeprefix("data:").strip()
    if not line.startswith("data:") or data == "[DONE]":
        return ""
    try:
        event = json.loads(data)
        if "error" in event:
            raise LanguageModelError(f"{name} failed: {str(event['error'])[:MAX_ERROR_CHARACTERS]}")
        choices = event.get("choices") or [{}]
        return str((choices[0].get("delta") or {}).get("content") or "")
    except (ValueError, AttributeError, TypeError, IndexError, KeyError):
        shown = data[:MAX_ERROR_CHARACTERS]
        raise LanguageModelError(f"{name} sent something that is not a chat completion: {shown!r}") from None


def _reason(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        text = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError, AttributeError):
        text = response.text
    return " ".join(str(text).split())[:MAX_ERROR_CHARACTERS]
