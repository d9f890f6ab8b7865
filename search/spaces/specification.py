"""How a space is written down in the catalogue: enough to open it again, anywhere."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from search.errors import SpaceError


class StarterSpecification(Struct, frozen=True, tag="starter", tag_field="implementation"):
    """The embedded default; its weights come with the installed packages."""


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


Specification = StarterSpecification | ClipSpecification


def encode(specification: Specification) -> str:
    """As JSON, for the catalogue."""
    return msgspec.json.encode(specification, order="deterministic").decode()


def decode(text: str) -> Specification:
    """From the catalogue's JSON. Raises SpaceError for a space of a newer version."""
    try:
        return msgspec.json.decode(text, type=Specification)
    except msgspec.DecodeError as error:
        raise SpaceError(f"this version of Medley does not know such a space: {error}") from None
