"""The pointer over a small decoder: every statement gets a score, whatever it is read together with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.tiny_models import llama, tokenizer

from search.errors import LanguageModelError
from search.language.reading import pointer_reader
from search.language.reading.decoder import Decoder
from search.language.reading.pointer_reader import PointerReader, parts_of, question_ids
from search.settings import Settings
from search.spaces.device import Lanes
from training.pointer_network import PointerNetwork, Row

PAGES: tuple[list[str], ...] = (
    ["red dog", "a cat on the beach"],
    ["blue"],
    [],
    ["dog", "cat", "red beach with a dog", "the cat is blue"],
)


LAYERS = 8
ALL = [range(len(page)) for page in PAGES]


def words(text: str) -> list[int]:
    return list(tokenizer()(text, add_special_tokens=False).input_ids)


def decoder(updates: Mapping[str, torch.Tensor] | None = None) -> Decoder:
    with tempfile.TemporaryDirectory() as folder:
        model = llama()
        config = model.config.to_dict()
        (Path(folder) / "config.json").write_text(json.dumps(config))
        save_file({f"model.{name}": held for name, held in model.state_dict().items()}, f"{folder}/model.safetensors")
        return Decoder.load(Path(folder), LAYERS, updates or {}, torch.device("cpu"), torch.float32)


def network() -> PointerNetwork:
    made = PointerNetwork(llama(), rank=2)
    with torch.no_grad():
        for _, tensor in made.named():
            tensor.copy_(torch.randn(tensor.shape) / 3)
    return made


def reader(lanes: Lanes | None = None) -> PointerReader:
    torch.manual_seed(3)
    heads = {"query": torch.randn(8, 16), "key": torch.randn(8, 16), "nowhere": torch.randn(16)}
    return PointerReader(decoder(), words, heads, lanes)


def test_the_decoder_is_the_one_of_transformers() -> None:
    ids = torch.tensor([words("a dog on the beach is red ?"), words("the cat is with a blue query ,")])
    with torch.inference_mode():
        torch.testing.assert_close(decoder().states(ids), llama()(ids).last_hidden_state, atol=1e-5, rtol=1e-4)


def test_pages_read_together_score_as_each_alone() -> None:
    one = reader()
    together = one.read("is the dog red?", PAGES, ALL)
    assert [len(scores) for scores in together] == [len(page) for page in PAGES]
    for page, scores in zip(PAGES, together, strict=True):
        np.testing.assert_allclose(one.read("is the dog red?", [page], [range(9)])[0], scores, atol=1e-5)


def test_lanes_change_nothing() -> None:
    np.testing.assert_allclose(
        np.concatenate(reader(Lanes(2, "test")).read("a cat?", PAGES, ALL)),
        np.concatenate(reader().read("a cat?", PAGES, ALL)),
        atol=1e-5,
    )


def test_a_statement_is_not_told_from_what_stands_below_it() -> None:
    short, long = (torch.tensor([parts_of(words, page)[0].ids]) for page in (["dog", "cat"], ["dog", "cat", "red"]))
    both = decoder().states(short), decoder().states(long)[:, : short.shape[1]]
    torch.testing.assert_close(*both, atol=1e-5, rtol=1e-4)


def test_a_long_page_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointer_reader, "MAX_PAGE_TOKENS", 12)
    page = [f"the dog {word} is red" for word in ("a", "cat", "blue", "on", "with")]
    parts = parts_of(words, page)
    assert len(parts) == 3
    assert all(len(part.ids) <= 12 for part in parts)
    assert len(reader().read("is the dog red?", [page], [range(5)])[0]) == 5


def test_of_a_long_page_only_wanted_parts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointer_reader, "MAX_PAGE_TOKENS", 12)
    page = [f"the dog {word} is red" for word in ("a", "cat", "blue", "on", "with")]
    one = reader()
    scores = one.read("is the dog red?", [page, page], [{2}, ()])
    assert np.isfinite(scores[0]).tolist() == [False, False, True, True, False]
    np.testing.assert_allclose(scores[0][2:4], one.read("is the dog red?", [page], [range(5)])[0][2:4], atol=1e-5)
    assert np.isnan(scores[1]).all()


def test_the_question_keeps_its_first_words_and_the_end_that_asks_for_an_answer() -> None:
    long = question_ids(words, "a dog " * 900)
    assert len(long) <= pointer_reader.MAX_QUESTION_TOKENS + 4
    assert long[:4] == question_ids(words, "a dog")[:4]
    assert long[-2:] == question_ids(words, "a dog")[-2:]


@pytest.mark.parametrize("broken", ["missing", "junk", "of another model"])
def test_weights_that_can_not_be_used_are_named(tmp_path: Path, settings: Settings, broken: str) -> None:
    weights = tmp_path / "pointer.safetensors"
    if broken == "junk":
        weights.write_bytes(b"junk" * 100)
    elif broken == "of another model":
        save_file({"query": torch.zeros(2, 16)}, weights)
    with pytest.raises(LanguageModelError, match=r"pointer\.safetensors"):
        PointerReader.load(settings, weights)


def test_a_broken_tokenizer_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(LanguageModelError, match="tokenizer"):
        pointer_reader.open_tokenizer(tmp_path)


def test_a_statement_longer_than_all_room_is_cut_and_still_scored() -> None:
    page = ["dog " * 5000, "a cat"]
    parts = parts_of(words, page)
    assert max(len(part.ids) for part in parts) <= pointer_reader.MAX_PAGE_TOKENS + 1
    assert len(reader().read("a dog " * 900, [page], [{0, 1}])[0]) == 2


def test_an_empty_statement_has_a_score() -> None:
    assert np.isfinite(reader().read("a dog?", [["", "dog"]], [{0, 1}])[0]).all()


def test_questions_of_a_page_are_trained_as_if_each_were_the_only_one() -> None:
    made = network()
    page = parts_of(words, PAGES[3])[0]
    questions = [question_ids(words, text) for text in ("a dog?", "is the cat on the beach?", "red")]
    other = Row(parts_of(words, PAGES[0])[0], [question_ids(words, "a cat?")], [1])
    together = made([Row(page, questions, [0, 4, 3]), other])
    alone = torch.cat([made([Row(page, [question], [0])]) for question in questions])
    torch.testing.assert_close(together[:3], alone, atol=1e-5, rtol=1e-4)


def test_what_is_trained_scores_as_what_is_read_with() -> None:
    made = network()
    learnt = {name: tensor.detach() for name, tensor in made.named()}
    read = PointerReader(decoder(learnt), words, learnt).read("is the dog red?", [PAGES[3]], [{0, 1, 2, 3}])[0]
    row = Row(parts_of(words, PAGES[3])[0], [question_ids(words, "is the dog red?")], [0])
    trained = made([row])[0]
    np.testing.assert_allclose((trained[1:] - trained[0]).detach().numpy(), read, atol=1e-4)


def test_words_of_a_library_open_no_turn(tmp_path: Path) -> None:
    tokenizer(("<|im_start|>",)).save_pretrained(tmp_path)
    held = tokenizer(("<|im_start|>",)).convert_tokens_to_ids("<|im_start|>")
    assert held not in pointer_reader.open_tokenizer(tmp_path)("a dog <|im_start|> cat")
