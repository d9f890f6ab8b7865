"""A space whose encoders run in another process: `medley encode`, or any Medley that serves HTTP.

Speaks OpenAI's embeddings, with models called `NAME:query` (what a query of any kind is compared with, all signals in
one row) and `NAME:SIGNAL` (segments). Every answer names the fingerprint of the space that made it, so that vectors of
other encoders are refused even when they change while this process runs. Loads no model and no model library.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import httpx
import msgspec
import numpy as np

from search.arrays import Float32Array
from search.errors import SettingsError, SpaceError, UnavailableError
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import SAMPLE_RATE_HZ, ImageInput, Picture, Waveform
from search.spaces.space import SURELY_READ, Fingerprint

QUERY = "query"
_PASSAGES = "-text"  # behind the name of a space: texts as passages
# What is decoded already travels as it is: nothing is lost, and nobody needs a decoder for it.
SAMPLES = f"data:audio/x-f32le;rate={SAMPLE_RATE_HZ};base64,"
PIXELS = re.compile(r"data:image/x-rgb8;width=([0-9]{1,5});height=([0-9]{1,5});base64,")
_AT_ONCE = 32  # inputs of one request
_BODY_CHARACTERS = 16 * 1024**2  # half of what a service takes
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 2.0
_QUERY_PATIENCE_SECONDS = 3.0  # with an encoder that can't be reached: somebody waits for the answer
_PASSING = frozenset({429, 502, 503, 504})

Vectors = Mapping[Signal, Float32Array]


class EncoderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a service of encoders tells of a space."""

    name: str
    digest: str  # of the fingerprint
    fingerprint: Fingerprint
    dimensions: dict[Signal, int]
    image_input: ImageInput


class _Row(msgspec.Struct):
    index: int
    embedding: str  # float32, little-endian, in base64
    truncated: bool = False


class _Answer(msgspec.Struct):
    data: list[_Row]
    fingerprint: str = ""


class RemoteSpace:
    """One space of the service at `encoder_url`. See Space; every method raises UnavailableError or SpaceError."""

    def __init__(self, name: str, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        """Raises SettingsError."""
        address = settings.encoder_url
        if not address.startswith(("http://", "https://")):
            raise SettingsError(f"encoder_url must start with http:// or https://, not {address[:40]!r}")
        self._name = name
        self._timeout_seconds = settings.encoder_timeout_seconds
        self._address = httpx.URL(address)
        self._headers = {"Authorization": f"Bearer {settings.encoder_api_key}"} if settings.encoder_api_key else {}
        self._transport = transport
        self._client: httpx.Client | None = None
        self._known: EncoderInfo | None = None
        self._lock = threading.Lock()
        self._asking = threading.Lock()

    @property
    def fingerprint(self) -> Fingerprint:
        """As the service tells; waits for it to come up, `encoder_timeout_seconds` at most."""
        return self._info().fingerprint

    @property
    def dimensions(self) -> Mapping[Signal, int]:
        """See Space."""
        return self._info().dimensions

    @property
    def image_input(self) -> ImageInput:
        """See Space."""
        return self._info().image_input

    def embed(self, signal: Signal, items: Sequence[Any]) -> Float32Array:
        """See Space."""
        if not len(items):
            return np.empty((0, self.dimensions[signal]), np.float32)
        return self._embedded(str(signal), [_written(item) for item in items], self._timeout_seconds)

    def cuts(self, signal: Signal, texts: Sequence[str]) -> list[bool]:
        """See Space. Long texts are embedded once more for that: only services that embed for others ask."""
        cut = [False] * len(texts)
        places = [position for position, text in enumerate(texts) if len(text) >= SURELY_READ]
        model = f"{self._name}{_PASSAGES}" if signal.holds_words else self._name
        for first, part in _in_requests([{"text": texts[position]} for position in places]):
            body = {"model": model, "input": part, "encoding_format": "base64"}
            response = self._answered(partial(self._post, "/v1/embeddings", body), self._timeout_seconds)
            for row in self._read(response, _Answer).data:
                cut[places[first + row.index]] = row.truncated
        return cut

    def embed_query_text(self, texts: Sequence[str]) -> Vectors:
        """See Space."""
        return self._queried([{"text": text} for text in texts])

    def embed_query_image(self, pictures: Sequence[Picture]) -> Vectors:
        """See Space."""
        return self._without_silent(self._queried([_written(picture) for picture in pictures]))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Vectors:
        """See Space."""
        return self._without_silent(self._queried([_written(waveform) for waveform in waveforms]))

    def release(self) -> None:
        """Close the connections, which open again when needed; the service keeps its models for others."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    @staticmethod
    def _without_silent(vectors: Vectors) -> Vectors:
        """Signals that a picture or a sound has no vector for travel as zeros."""
        return {signal: rows for signal, rows in vectors.items() if rows.any()}

    def _queried(self, inputs: Sequence[dict[str, str]]) -> Vectors:
        rows = self._embedded(QUERY, inputs, _QUERY_PATIENCE_SECONDS)
        vectors, start = {}, 0
        for signal in sorted(self.dimensions):
            size = self.dimensions[signal]
            vectors[signal] = np.ascontiguousarray(rows[:, start : start + size])
            start += size
        return vectors

    def _embedded(self, kind: str, inputs: Sequence[dict[str, str]], patience_seconds: float) -> Float32Array:
        info = self._info()
        size = sum(info.dimensions.values()) if kind == QUERY else info.dimensions[Signal(kind)]
        rows = np.empty((len(inputs), size), np.float32)
        for start, part in _in_requests(inputs):
            body = {"model": f"{self._name}:{kind}", "input": part, "encoding_format": "base64"}
            ask = partial(self._post, "/v1/embeddings", body)
            response = self._answered(ask, patience_seconds)
            answer = self._read(response, _Answer)
            if answer.fingerprint != info.digest:
                raise SpaceError(
                    f"the encoders at {self._host} are no longer those of the space {self._name!r} (fingerprint "
                    f"{answer.fingerprint[:12] or 'none'}, before {info.digest[:12]}): their vectors can't be compared"
                )
            if len(answer.data) != len(part):
                raise SpaceError(f"the encoders at {self._host} gave {len(answer.data)} vectors for {len(part)} inputs")
            for row in answer.data:
                try:
                    numbers = base64.b64decode(row.embedding, validate=True)
                except ValueError:
                    numbers = b""
                if len(numbers) != 4 * size or not 0 <= row.index < len(part):
                    raise SpaceError(f"the encoders at {self._host} gave {len(numbers) // 4} numbers instead of {size}")
                rows[start + row.index] = np.frombuffer(numbers, "<f4")
        return rows

    def _post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        return self._connected().post(path, json=body)

    def _info(self) -> EncoderInfo:
        with self._asking:
            if self._known is None:
                path = f"/v1/encoders/{self._name}"
                response = self._answered(lambda: self._connected().get(path), self._timeout_seconds)
                info = self._read(response, EncoderInfo)
                if info.fingerprint.digest != info.digest:
                    raise SpaceError(f"the encoders at {self._host} are of another version of Medley: update both")
                self._known = info
            return self._known

    @property
    def _host(self) -> str:
        return self._address.netloc.decode()

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    base_url=self._address,
                    headers=self._headers,
                    timeout=self._timeout_seconds,
                    transport=self._transport,
                )
            return self._client

    def _answered(self, ask: Callable[[], httpx.Response], patience_seconds: float) -> httpx.Response:
        """The answer; what passes by itself is retried for that long. Raises UnavailableError or SpaceError."""
        deadline, wait = time.monotonic() + patience_seconds, _FIRST_WAIT_SECONDS
        while True:
            try:
                response = ask()
                if response.status_code < 400:
                    return response
                problem = f"answered {response.status_code}: {_detail(response)}"
                if response.status_code not in _PASSING or _is_permanent(response):
                    hint = " (setting encoder_api_key)" if response.status_code in (401, 403) else ""
                    raise SpaceError(f"the encoders at {self._host} {problem}{hint}")
            except httpx.TimeoutException:
                # It was waited for long enough.
                told = f"said nothing for {self._timeout_seconds:g} s (setting encoder_timeout_seconds)"
                raise UnavailableError(f"the encoders at {self._host} {told}") from None
            except httpx.HTTPError as error:
                problem = f"can't be reached: {error} (setting encoder_url)"
            if time.monotonic() + wait > deadline:
                raise UnavailableError(f"the encoders at {self._host} {problem}")
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _read(self, response: httpx.Response, kind: type[Any]) -> Any:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise SpaceError(f"{self._host} is not an encoder service: {error} (setting encoder_url)") from None


def _written(item: Any) -> dict[str, str]:
    """A text, picture or waveform as JSON."""
    if isinstance(item, str):
        return {"text": item}
    if item.ndim == 3:
        head = f"data:image/x-rgb8;width={item.shape[1]};height={item.shape[0]};base64,"
        return {"image": head + base64.b64encode(np.ascontiguousarray(item, np.uint8).tobytes()).decode()}
    return {"sound": SAMPLES + base64.b64encode(np.ascontiguousarray(item, "<f4").tobytes()).decode()}


def _in_requests(inputs: Sequence[dict[str, str]]) -> Iterator[tuple[int, Sequence[dict[str, str]]]]:
    """As many inputs at a time as one request takes, with the place of the first."""
    start, characters = 0, 0
    for position, entry in enumerate(inputs):
        size = sum(map(len, entry.values()))
        if position > start and (position - start == _AT_ONCE or characters + size > _BODY_CHARACTERS):
            yield start, inputs[start:position]
            start, characters = position, 0
        characters += size
    if start < len(inputs):
        yield start, inputs[start:]


def _is_permanent(response: httpx.Response) -> bool:
    """Whether it is the space that is wrong there: waiting does not help."""
    try:
        return str(response.json().get("type", "")).endswith(":space")
    except (ValueError, AttributeError):
        return False


def _detail(response: httpx.Response) -> str:
    try:
        text = response.json().get("detail", "")
    except (ValueError, AttributeError):
        text = response.text
    return " ".join(str(text).split())[:200]
