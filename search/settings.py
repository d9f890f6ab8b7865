"""Every setting of Medley, in one frozen value.

Read from the environment (`MEDLEY_*`), then from `medley.toml` in the home folder, then the defaults
below. Unknown keys are refused, so that a typing mistake can't be silent. Units stand in the names.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin

import msgspec
import platformdirs
from msgspec import Meta, Struct

from search import private_files
from search.errors import SettingsError

ENVIRONMENT_PREFIX = "MEDLEY_"
FILE_NAME = "medley.toml"
# Variables with our prefix that are not settings: they control the tests and the Makefile.
_NOT_SETTINGS = frozenset({"MEDLEY_HOME", "MEDLEY_TEST_POSTGRES_URL"})
# Earlier names, which still work.
_ALIASES = {"allow_urls": "allow_downloads"}

Positive = Annotated[int, Meta(ge=1)]
PositiveSeconds = Annotated[float, Meta(gt=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]
MilvusIndex = Literal["AUTOINDEX", "HNSW", "IVF_SQ8", "DISKANN", "GPU_CAGRA", "GPU_IVF_FLAT", "GPU_BRUTE_FORCE"]


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
    max_pages: Positive = 2000  # of one document
    max_text_bytes: Positive = 8 * 1024**2  # of one document, as UTF-8
    scratch_bytes: Positive = 16 * 1024**3  # of local copies of stored files that a process may hold at once
    hardware_decoding: str = "auto"  # of videos: auto, off, or a device such as cuda or vaapi

    # Indexing
    batch_assets: Positive = 32  # assets claimed at once
    lease_seconds: PositiveSeconds = 60.0
    max_attempts: Positive = 4  # tries of a transient failure before quarantine
    retry_seconds: PositiveSeconds = 5.0  # first wait; doubles at each try
    settle_seconds: Annotated[float, Meta(ge=0)] = 2.0  # a file younger than this waits (half-written)
    sweep_seconds: PositiveSeconds = 300.0  # full scan of watched sources
    store_sweep_seconds: PositiveSeconds = 3600.0  # full listing of watched sources in stores
    speech: bool = True
    sound: bool = True
    ocr: bool = True
    vision: bool = True  # may a language model with an adapter look and listen: captions, and answers that need it
    vision_encoder: str = "starter"  # that `vision` looks with: starter, or an open_clip model as MODEL:PRETRAINED
    speech_backend: Literal["faster-whisper", "openai-whisper", "onnx-asr"] = "faster-whisper"
    speech_model: str = ""  # empty: the embedded whisper base (Parakeet for onnx-asr); else a path or hub name
    speech_language: str = ""  # empty: detect

    # Searching
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    threads: Annotated[int, Meta(ge=0)] = 0  # of the numeric libraries; 0: one per core
    poll_seconds: PositiveSeconds = 0.5  # how often a process looks for new embeddings
    max_limit: Positive = 1000  # hits on one page
    max_moments: Positive = 20  # of one hit
    max_query_parts: Positive = 32
    max_query_characters: Positive = 4000  # of a query or a question
    remember_queries: bool = True  # keep the last queries in words, to compare and audit spaces on them
    index: Literal["faiss", "milvus"] = "faiss"
    milvus_uri: str = ""  # empty: a Milvus Lite file in home
    milvus_index: MilvusIndex = "AUTOINDEX"  # of new collections on a server, as the next
    milvus_consistency: Literal["Strong", "Session", "Bounded", "Eventually"] = "Strong"
    ivf_threshold: Positive = 50_000  # vectors above which a partition becomes approximate
    gpu_ivf_threshold: Positive = 10_000_000  # the same while it lies on GPUs
    idle_release_seconds: PositiveSeconds = 600.0  # large models unused for this long are released
    encoder_url: str = ""  # of `medley encode`: its encoders are used, and none are loaded here
    encoder_api_key: str = ""  # for it; never logged
    encoder_timeout_seconds: PositiveSeconds = 30.0  # patience with it

    # Answering
    rerank: bool = False
    reranker: str = ""  # empty: the language model; else a cross-encoder's hub name or folder
    llm: str = "embedded"  # embedded, a transformers name or path, or openai:MODEL
    llm_base_url: str = ""
    llm_api_key: str = ""
    llm_timeout_seconds: PositiveSeconds = 60.0
    llm_pictures: Literal["local", "always", "never"] = "local"  # to whom pictures are shown; local: none leaves

    # Serving
    allowed_roots: tuple[Path, ...] = ()  # sources added over HTTP must lie below one of these
    allowed_stores: tuple[str, ...] = ()  # sources in stores added over HTTP must lie below one of these addresses
    upload_store: str = ""  # address that uploads go to, such as s3://bucket/uploads; empty: the home folder
    allow_downloads: bool = False  # may a space that is made over HTTP fetch its weights from a model hub?
    allow_private_webhooks: bool = False  # may saved searches tell addresses at home, and over plain http?
    allow_removal: bool = False  # may people with the scope admin move copies to the trash folder in home?
    max_upload_bytes: Positive = 512 * 1024**2
    cors_origins: tuple[str, ...] = ()
    rate_limit_per_minute: Positive = 600  # requests of one key
    keyless_networks: tuple[str, ...] = ()  # addresses that may call /ping and /predict without a key (Immich has none)
    trusted_proxies: tuple[str, ...] = ()  # addresses or networks whose X-Forwarded-For and -Proto are believed
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    tracing_endpoint: str = ""  # of an OTLP collector (HTTP), to which traces are sent; empty: none are made

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

    def make_home(self) -> None:
        """Make the home folder if it does not exist; other users of this machine can't read it. Raises OSError."""
        private_files.make_folder(self.home)

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
    def scratch(self) -> Path:
        """Folder of local copies of stored files while they are read; emptied by the next process."""
        return self.home / "scratch"

    @property
    def trash(self) -> Path:
        """Folder of copies that people removed; these are originals, too."""
        return self.home / "trash"

    @property
    def models(self) -> Path:
        """Folder of unpacked or converted model weights; a cache."""
        return self.home / "models"

    @property
    def adapters(self) -> Path:
        """Folder of multimodal adapters that people trained; originals, unlike the rest of `models`."""
        return self.models / "adapters"

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Read the settings; keyword arguments win over the environment, which wins over the file.

        Raises SettingsError, which names the key and where it was set.
        """
        environment = os.environ if environment is None else environment
        home = Path(
            overrides.pop("home", None)
            or environment.get("MEDLEY_HOME")
            or platformdirs.user_data_dir("medley", appauthor=False)
        )
        home = home.expanduser().absolute()
        values: dict[str, Any] = {**_from_file(home / FILE_NAME), **_from_environment(environment)}
        values["log_level"] = str(values.get("log_level", "info")).lower()
        values |= {key: value for key, value in overrides.items() if value is not None}
        values["home"] = home
        try:
            return msgspec.convert(values, cls, strict=False, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise SettingsError(f"a setting is wrong: {error}") from None


# What stands between the values of a list in the environment: paths may hold commas.
_LISTS = {
    field.name: os.pathsep if field.type == tuple[Path, ...] else ","
    for field in msgspec.structs.fields(Settings)
    if get_origin(field.type) is tuple
}


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
    return _known(values, str(path))


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    named = {
        key.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for key, value in environment.items()
        if key.startswith(ENVIRONMENT_PREFIX) and key not in _NOT_SETTINGS
    }
    named = _known(named, "the environment", ENVIRONMENT_PREFIX)
    return {key: _parts(value, _LISTS[key]) if key in _LISTS else value for key, value in named.items()}


def _parts(value: str, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(separator) if part.strip())


def _known(values: Mapping[str, Any], where: str, prefix: str = "") -> dict[str, Any]:
    """The values under the names of today. Raises SettingsError for a key that is not a setting."""
    known = set(Settings.__struct_fields__) - {"home"}
    named = {_ALIASES.get(key, key): value for key, value in values.items()}
    for key in named:
        if key not in known:
            name = prefix + key.upper() if prefix else key
            raise SettingsError(f"{where}: there is no setting {name!r}; see docs/settings.md")
    return named
