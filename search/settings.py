"""Every setting of Medley, in one frozen value.

Read from the environment (`MEDLEY_*`), then from `medley.toml` in the home folder, then the defaults
below. Unknown keys are refused, so that a typing mistake can't be silent. Units stand in the names.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
import platformdirs
from msgspec import Meta, Struct

from search.errors import SettingsError

ENVIRONMENT_PREFIX = "MEDLEY_"
FILE_NAME = "medley.toml"
# Variables with our prefix that are no settings: they steer the tests and the Makefile.
_NOT_SETTINGS = frozenset({"MEDLEY_HOME", "MEDLEY_TEST_POSTGRES_URL"})

Positive = Annotated[int, Meta(ge=1)]
PositiveSeconds = Annotated[float, Meta(gt=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. `home` holds everything that Medley writes, unless the database is elsewhere."""

    home: Path
    database_url: str = ""  # empty: SQLite in home
    space: str = ""  # space to serve with; empty: the catalogue's active one

    # Decoding untrusted files
    decode_processes: Annotated[int, Meta(ge=0)] = 0  # 0: one per core
    decode_timeout_seconds: PositiveSeconds = 120.0  # silence of a decoder before it is killed
    decode_memory_bytes: Positive = 2 * 1024**3  # address space a decoder may add to what it starts with
    max_file_bytes: Positive = 64 * 1024**3
    max_image_pixels: Positive = 250_000_000
    max_duration_seconds: PositiveSeconds = 24 * 3600.0
    max_streams: Positive = 64  # streams in one container
    max_subtitle_bytes: Positive = 16 * 1024**2
    max_frames_per_asset: Positive = 2000
    hardware_decoding: str = "auto"  # of videos: auto, off, or a device such as cuda or vaapi

    # Indexing
    workers: Positive = 1
    batch_assets: Positive = 32  # assets claimed at once
    lease_seconds: PositiveSeconds = 60.0
    max_attempts: Positive = 4  # tries of a transient failure before quarantine
    retry_seconds: PositiveSeconds = 5.0  # first wait; doubles at each try
    settle_seconds: Annotated[float, Meta(ge=0)] = 2.0  # a file younger than this waits (half-written)
    sweep_seconds: PositiveSeconds = 300.0  # full scan of watched sources
    speech: bool = True
    sound: bool = True
    ocr: bool = True
    speech_backend: str = "faster-whisper"  # or "openai-whisper"
    speech_model: str = ""  # empty: the embedded whisper base; else a path or hub name
    speech_language: str = ""  # empty: detect

    # Searching
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    threads: Annotated[int, Meta(ge=0)] = 0  # of the numeric libraries; 0: one per core
    poll_seconds: PositiveSeconds = 0.5  # how often a process looks for new embeddings
    max_limit: Positive = 1000  # hits on one page
    max_moments: Positive = 20  # of one hit
    max_query_parts: Positive = 32
    max_query_characters: Positive = 4000
    remember_queries: bool = True  # keep the last queries in words, to compare and audit spaces on them
    index: str = "faiss"  # or "milvus"
    milvus_uri: str = ""  # empty: a Milvus Lite file in home
    ivf_threshold: Positive = 50_000  # vectors above which a partition becomes approximate
    idle_release_seconds: PositiveSeconds = 600.0  # large models unused for this long are released

    # Answering
    rerank: bool = False
    llm: str = "embedded"  # embedded, a transformers name or path, or openai:MODEL
    llm_base_url: str = ""
    llm_api_key: str = ""
    llm_timeout_seconds: PositiveSeconds = 60.0

    # Serving
    allowed_roots: tuple[Path, ...] = ()  # sources added over HTTP must lie below one of these
    allow_urls: bool = False  # may queries and sources name URLs?
    max_upload_bytes: Positive = 512 * 1024**2
    cors_origins: tuple[str, ...] = ()
    rate_limit_per_minute: Positive = 600  # requests of one key
    keyless_networks: tuple[str, ...] = ()  # addresses that may call /ping and /predict without a key (Immich has none)
    log_level: str = "info"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the catalogue."""
        if not self.database_url:
            return f"sqlite:///{self.home / 'medley.sqlite'}"
        # The plain scheme would pick psycopg 2; we ship psycopg 3.
        for plain in ("postgresql://", "postgres://"):
            if self.database_url.startswith(plain):
                return "postgresql+psycopg://" + self.database_url.removeprefix(plain)
        return self.database_url

    @property
    def snapshots(self) -> Path:
        """Folder of partition snapshots; may be deleted at any time."""
        return self.home / "snapshots"

    @property
    def thumbnails(self) -> Path:
        """Folder of thumbnails and previews; a cache, made again from the media."""
        return self.home / "thumbnails"

    @property
    def uploads(self) -> Path:
        """Folder of media uploaded over HTTP; these are originals."""
        return self.home / "uploads"

    @property
    def models(self) -> Path:
        """Folder of unpacked or converted model weights; a cache."""
        return self.home / "models"

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Read the settings; keyword arguments win over the environment, which wins over the file.

        Raises SettingsError, which names the key and where it stands.
        """
        environment = os.environ if environment is None else environment
        home = Path(
            overrides.pop("home", None)
            or environment.get("MEDLEY_HOME")
            or platformdirs.user_data_dir("medley", appauthor=False)
        )
        home = home.expanduser().absolute()
        values: dict[str, Any] = {**_from_file(home / FILE_NAME), **_from_environment(environment)}
        values |= {key: value for key, value in overrides.items() if value is not None}
        values["home"] = home
        try:
            return msgspec.convert(values, cls, strict=False, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise SettingsError(f"a setting is wrong: {error}") from None


def _decode(wanted: type, value: Any) -> Any:
    if wanted is Path:
        return Path(value).expanduser()
    raise NotImplementedError(wanted)


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: can't be read as TOML: {error}") from None
    _refuse_unknown(values, str(path))
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    named = {
        key.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for key, value in environment.items()
        if key.startswith(ENVIRONMENT_PREFIX) and key not in _NOT_SETTINGS
    }
    _refuse_unknown(named, "the environment", ENVIRONMENT_PREFIX)
    lists = {"allowed_roots": os.pathsep, "cors_origins": ",", "keyless_networks": ","}
    return {
        key: tuple(part for part in value.split(lists[key]) if part) if key in lists else value
        for key, value in named.items()
    }


def _refuse_unknown(values: Mapping[str, Any], where: str, prefix: str = "") -> None:
    known = set(Settings.__struct_fields__) - {"home"}
    for key in values:
        if key not in known:
            name = prefix + key.upper() if prefix else key
            raise SettingsError(f"{where}: there is no setting {name!r}; see docs/settings.md")
