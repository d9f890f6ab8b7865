"""Naming encoders on the command line and over HTTP: what is meant, and what is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest
from support.service_world import World

from api.cli.spaces.encoder_options import NamedModels, describe_space
from api.routes.spaces import wanted_of
from api.schemas import NewSpace
from search.errors import AccessError, UsageError
from search.spaces.specification import ClipSpecification, ComposedSpecification, EncoderSpecification

GEMMA = "google/embeddinggemma-300m"
CLAP = "laion/larger_clap_general"


def test_options_are_for_all_encoders_or_for_the_one_that_is_named() -> None:
    named = NamedModels(images="hf-hub:timm/PE-Core-B-16", text=GEMMA, sounds=CLAP)
    specification = describe_space(named, {"dimension": ("text=256",), "query_prompt": ("text=a = b: ",)})
    assert isinstance(specification, ComposedSpecification)
    assert isinstance(specification.seen, ClipSpecification)
    assert isinstance(specification.said, EncoderSpecification)
    assert isinstance(specification.heard, EncoderSpecification)
    assert (specification.said.model, specification.said.dimension, specification.said.query_prompt) == (
        GEMMA,
        256,
        "a = b: ",
    )
    assert (specification.heard.model, specification.heard.dimension) == (CLAP, 0)
    whole = describe_space(NamedModels(model=GEMMA), {"dtype": ("bfloat16",), "pooling": ("mean",)})
    assert isinstance(whole, EncoderSpecification)
    assert (whole.dtype, whole.pooling) == ("bfloat16", "mean")
    both = describe_space(NamedModels(text=GEMMA, sounds=CLAP), {"dtype": ("float32", "text=bfloat16")})
    assert isinstance(both, ComposedSpecification)
    assert isinstance(both.said, EncoderSpecification)
    assert isinstance(both.heard, EncoderSpecification)
    assert (both.said.dtype, both.heard.dtype) == ("bfloat16", "float32")


@pytest.mark.parametrize(
    ("named", "chosen", "match"),
    [
        (NamedModels(model=GEMMA, text=GEMMA), {}, "either"),
        (NamedModels(), {"dimension": ("256",)}, "of an encoder"),
        (NamedModels(text=GEMMA), {"dimension": ("images=256",)}, "no --images"),
        (NamedModels(text=GEMMA), {"dimension": ("-3",)}, "above 0"),
        (NamedModels(text=GEMMA), {"pooling": ("best",)}, "--pooling"),
        (NamedModels(text=GEMMA), {"dtype": ("int4",)}, "--dtype"),
        (NamedModels(model="ViT-B-32", pretrained=""), {"dimension": ("256",)}, "open_clip"),
    ],
)
def test_what_makes_no_sense_is_said(named: NamedModels, chosen: dict[str, tuple[str, ...]], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        describe_space(named, chosen)


def new_space(**named: object) -> NewSpace:
    return msgspec.convert({"name": "next", **named}, NewSpace)


def test_over_http_models_of_the_hub_alone_can_be_named(tmp_path: Path) -> None:
    specification = wanted_of(new_space(images=CLAP, text=GEMMA, dimension=256))
    assert isinstance(specification, ComposedSpecification)
    assert isinstance(specification.said, EncoderSpecification)
    assert specification.said.dimension == 256
    assert isinstance(wanted_of(new_space(model="ViT-B-32", pretrained="openai")), ClipSpecification)
    for path in (str(tmp_path), "local-dir:/models", "../models", "~/models", "ViT-B-32@/models/x.safetensors"):
        with pytest.raises(AccessError):
            wanted_of(new_space(text=path) if "@" not in path else new_space(images=path))
    for wrong in ({}, {"model": GEMMA, "text": GEMMA}):
        with pytest.raises(UsageError):
            wanted_of(new_space(**wrong))


def test_without_allow_downloads_nothing_is_fetched_over_http(world: World, client: httpx.Client) -> None:
    refused = client.post("/v1/spaces", json={"name": "next", "text": GEMMA})
    assert refused.status_code == 403
    assert "allow_downloads" in refused.json()["detail"]
