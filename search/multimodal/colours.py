"""Which colour does a thing in a picture have? Chosen from a list, by a language model and a space together.

A small model that writes freely answers such questions badly; how likely it finds each colour, and how near each
"red dog" is to the picture in the space, say more, and together more than either (docs/multimodal.md). Knows words and
numbers; knows no model.
"""

from __future__ import annotations

import numpy as np

from search.arrays import Float32Array, FloatArray

_NAMED = "black, white, brown, red, blue, green, yellow, orange, pink, purple, gray, tan, blond"
COLOURS = tuple(_NAMED.split(", "))
ANSWERS = tuple(f"{colour.capitalize()}." for colour in COLOURS)  # to a model that was trained on short answers
LEAST_SURE = 0.5  # probability of a colour, below which none is named
# Fitted on 144 questions about 250 validation photos of Flickr8k.
_OF_LIKELIHOODS = 0.5
_OF_NEARNESS = 1.0  # a standard deviation over the colours: how far cosines spread differs from space to space


def phrases(thing: str) -> list[str]:
    """The thing in each of the colours."""
    article = "" if thing.lower().endswith("s") else "a "
    return [f"{article}{colour} {thing}" for colour in COLOURS]


def chances(likelihoods: FloatArray, nearness: FloatArray) -> Float32Array:
    """`(n, colours)`: the probability of each, from nats and cosines of the same shape."""
    spread = nearness.std(1, keepdims=True)
    near = (nearness - nearness.mean(1, keepdims=True)) / np.where(spread == 0, 1, spread)
    scores = _OF_LIKELIHOODS * likelihoods + _OF_NEARNESS * near
    weights = np.exp(scores - scores.max(1, keepdims=True))
    told: Float32Array = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return told


def surest(told: Float32Array) -> list[str]:
    """The colour of each picture, from `chances` `(n, colours)`; "" where none is likely enough."""
    return [COLOURS[int(row.argmax())] if row.max() >= LEAST_SURE else "" for row in told]
