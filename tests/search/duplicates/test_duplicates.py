"""Duplicates: altered copies are found, different pictures are not, and groups say how alike they are."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from search.duplicates.matching import Pair, Tier, exact_groups, groups_of, meaning_pairs, perceptual_pairs, without
from search.duplicates.perceptual_hash import BYTES, VIEWS, perceptual_hash, views_of


def scene(seed: int) -> Image.Image:
    """A picture with shapes of its own, as photos have: blobs, an horizon, some grain."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (320, 240), tuple(random.integers(0, 255, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(14):
        x, y = random.integers(-40, 300), random.integers(-40, 220)
        width, height = random.integers(20, 160, 2)
        colour = tuple(random.integers(0, 255, 3).tolist())
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x + width), int(y + height)), fill=colour)
    grain = random.normal(0, 6, (240, 320, 1))
    smooth = np.asarray(picture.filter(ImageFilter.GaussianBlur(2)), dtype=float)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def recompressed(picture: Image.Image) -> Image.Image:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=25)
    return Image.open(out).convert("RGB")


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": lambda picture: picture.resize((150, 100)),
    "enlarged": lambda picture: picture.resize((640, 480)),
    "recompressed": recompressed,
    "cropped a little": lambda picture: picture.crop((10, 8, 310, 232)),
    "cropped at a corner": lambda picture: picture.crop((0, 0, 304, 228)),
    "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.3),
    "less contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(0.6),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by half": lambda picture: picture.rotate(180),
    "mirrored, smaller, recompressed": lambda picture: recompressed(ImageOps.mirror(picture).resize((200, 150))),
}


def hashed(picture: Image.Image) -> bytes:
    return perceptual_hash(np.asarray(picture))


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_copies_are_found_and_nothing_else(name: str) -> None:
    originals = {number: scene(number) for number in range(1, 21)}
    hashes = {number: hashed(picture) for number, picture in originals.items()}
    hashes |= {100 + number: hashed(ALTERATIONS[name](picture)) for number, picture in originals.items()}
    pairs = {(pair.first, pair.second) for pair in perceptual_pairs(hashes)}
    right = {(number, 100 + number) for number in originals}
    assert len(pairs & right) / len(pairs) >= 0.95
    assert len(pairs & right) >= 0.8 * len(right)


def test_the_same_picture_is_as_alike_as_can_be() -> None:
    (pair,) = perceptual_pairs({1: hashed(scene(1)), 2: hashed(scene(1))})
    assert pair == Pair(1, 2, 1.0)


def test_blank_pictures_have_no_shape_and_so_no_copies() -> None:
    blank = {1: Image.new("RGB", (64, 64), "black"), 2: Image.new("RGB", (99, 40), "white")}
    assert [hashed(picture) for picture in blank.values()] == [b"", b""]
    assert perceptual_pairs({number: hashed(picture) for number, picture in blank.items()}) == []


def test_hashes_of_another_version_are_left_alone() -> None:
    known = hashed(scene(1))
    views = views_of(known)
    assert views is not None
    assert views.shape == (VIEWS, BYTES)
    assert views_of(b"\x63" + known[1:]) is None
    assert perceptual_pairs({1: known, 2: b"\x63" + known[1:], 3: b"short"}) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (500, 1, 3), (3, 2, 3)])
def test_tiny_pictures_do_no_harm(shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(0)
    assert len(perceptual_hash(random.integers(0, 255, shape, dtype=np.uint8))) in (0, 1 + VIEWS * BYTES)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        perceptual_hash(np.zeros((4, 4), np.uint8))


def test_the_same_bytes_are_an_exact_group() -> None:
    (group,) = exact_groups({3: "a", 1: "a", 2: "b"})
    assert (group.tier, group.asset_ids, group.likeness) == (Tier.EXACT, (1, 3), 1.0)


def test_a_group_is_as_alike_as_the_weakest_link_that_holds_it() -> None:
    groups = groups_of(Tier.PERCEPTUAL, [Pair(1, 2, 0.99), Pair(2, 3, 0.9), Pair(1, 3, 0.85), Pair(7, 8, 0.95)])
    assert [(group.asset_ids, group.likeness) for group in groups] == [((7, 8), 0.95), ((1, 2, 3), 0.9)]


def test_pairs_by_meaning_leave_out_padding_themselves_and_what_is_too_far() -> None:
    neighbours = np.array([[10, 11, 12], [11, 10, -1], [12, 10, -1]])
    cosines = np.array([[1.0, 0.97, 0.5], [1.0, 0.97, -np.inf], [1.0, 0.5, -np.inf]], dtype=np.float32)
    (pair,) = meaning_pairs(np.array([10, 11, 12]), neighbours, cosines)
    assert (pair.first, pair.second) == (10, 11)


def test_a_group_that_a_better_tier_holds_already_is_not_told_again() -> None:
    better = exact_groups({1: "a", 2: "a", 3: "a"})
    told = groups_of(Tier.PERCEPTUAL, [Pair(1, 2, 1.0)])
    wider = groups_of(Tier.PERCEPTUAL, [Pair(1, 9, 0.9)])
    assert without(told, better) == []
    assert without(wider, better) == wider
