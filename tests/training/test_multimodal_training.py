"""Training a multimodal adapter: what is said of one photo does not disturb the rest, and what is trained is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.multimodal.adapter import Adapter, AdapterRecord
from search.multimodal.model import MultimodalModel
from search.multimodal.resampler import Resampler, ResamplerShape
from search.spaces.torchvision_schemas import declare_missing
from training.instructions import Exchange, from_captions, from_pairs
from training.multimodal_data import Lesson, Said, batches, draw
from training.multimodal_network import TrainedDecoder, new_resampler

declare_missing()
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402  after the schemas are declared

WIDTH, LAYER, TOKENS = 32, 1, 3


class Letters:
    """A tokenizer whose tokens are bytes."""

    bos_token_id, eos_token_id = 1, 2

    def __call__(self, text: str, **_: object) -> Any:
        return type("Encoded", (), {"input_ids": [3 + byte % 60 for byte in text.encode()]})()


RECORD = AdapterRecord(
    encoder="any", model="tiny", layer=LAYER, rank=2, tokens=TOKENS, inner=8, heads=2, caption="So:", question="{} A:"
)
LESSON = Lesson(Path("a.jpg"), ("Two dogs run.", "A dog."), (Exchange("Who?", "Dogs."),))
SAID = [Said("So:", " Two dogs run."), Said("So:", " A dog."), Said("Who? A:", " Dogs.")]


def network() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def trained() -> TrainedDecoder:
    decoder = TrainedDecoder(network(), Letters(), LAYER, 2, RECORD, [LESSON])
    for update in decoder.updates.values():
        torch.nn.init.normal_(update.b, std=0.2)  # type: ignore[arg-type]  # nn.Module says Tensor or Module
    return decoder


def test_targets_of_one_photo_do_not_see_each_other(trained: TrainedDecoder) -> None:
    soft = torch.randn(1, TOKENS, WIDTH)
    together, tokens = trained.loss(soft, [SAID])
    alone = [trained.loss(soft, [[one]]) for one in SAID]
    assert together.item() == pytest.approx(sum(loss.item() for loss, _ in alone), rel=1e-4)
    assert tokens == sum(count for _, count in alone)


def test_only_the_updates_and_the_soft_tokens_get_gradients(trained: TrainedDecoder) -> None:
    soft = torch.randn(2, TOKENS, WIDTH, requires_grad=True)
    loss, _ = trained.loss(soft, [SAID[:1], SAID[1:]])
    loss.backward()
    assert soft.grad is not None
    assert soft.grad.abs().sum() > 0
    grown = {name.rpartition(".")[2] for name, one in trained.updates.named_parameters() if one.grad is not None}
    assert grown == {"a", "b"}


def test_what_was_trained_is_what_the_model_says(trained: TrainedDecoder) -> None:
    torch.manual_seed(3)
    resampler = Resampler(ResamplerShape(places=4, channels=5, tokens=TOKENS, width=WIDTH, inner=8, heads=2)).eval()
    tensors = {f"resampler.{name}": held.numpy() for name, held in resampler.state_dict().items()}
    tensors |= {f"layers.{name}": held.numpy() for name, held in trained.named_updates().items()}
    tensors |= {"words": trained.words.numpy(), "typical": np.zeros((1, TOKENS, WIDTH), np.float32)}
    model = MultimodalModel.build(network(), Letters(), Adapter(RECORD, tensors))
    maps = np.random.default_rng(0).standard_normal((1, 4, 5)).astype(np.float32)
    soft = model.soft_tokens(maps)
    with torch.no_grad():
        lost, _ = trained.loss(resampler(torch.from_numpy(maps)), [SAID[:1]])
        usual, _ = trained.loss(torch.zeros(1, TOKENS, WIDTH), [SAID[:1]])
    (gain,) = model.gains(["Two dogs run."], soft)
    prior = np.logaddexp(-usual.item(), -lost.item()) - np.log(2)
    assert gain[0] == pytest.approx(-lost.item() - prior, abs=1e-2)


def test_a_step_keeps_to_the_device_of_the_network() -> None:
    # There may be no GPU here, but torch lets no operation mix "meta" with the CPU, either.
    decoder = TrainedDecoder(network().to("meta"), Letters(), LAYER, 2, RECORD, [LESSON])
    shape = ResamplerShape(places=4, channels=5, tokens=TOKENS, width=WIDTH, inner=8, heads=2)
    resampler = Resampler(shape).to(decoder.device)
    maps = np.zeros((2, 4, 5), np.float32)
    loss, _ = decoder.loss(resampler(torch.from_numpy(maps).to(decoder.device)), [SAID[:1], SAID[1:]])
    loss.backward()
    assert decoder.states_of(SAID[0]).device.type == "meta"
    assert new_resampler(RECORD, maps, torch.zeros(3, WIDTH, device="meta")).mean.device.type == "meta"
    for part in (resampler, decoder.updates):
        assert {weight.grad.device.type for weight in part.parameters() if weight.grad is not None} == {"meta"}


def test_training_goes_on_from_saved_updates(trained: TrainedDecoder) -> None:
    soft = torch.randn(1, TOKENS, WIDTH)
    saved = {name: held.clone() for name, held in trained.named_updates().items()}
    other = TrainedDecoder(network(), Letters(), LAYER, 2, RECORD, [LESSON])
    other.load_updates(saved)
    assert other.loss(soft, [SAID])[0].item() == pytest.approx(trained.loss(soft, [SAID])[0].item(), rel=1e-5)


class TestQuestions:
    """Made from captions by rule."""

    CAPTIONS = (
        "A brown dog runs through the snow.",
        "The brown dog is running in the snow with two men.",
        "Two men watch a dog in the snow.",
    )

    def made(self) -> dict[str, set[str]]:
        answers: dict[str, set[str]] = {}
        for exchange in from_captions(self.CAPTIONS, np.random.default_rng(0)):
            answers.setdefault(exchange.question, set()).add(exchange.answer)
        return answers

    def test_captions_answer_what_they_say(self) -> None:
        made = self.made()
        assert made["What colour is the dog?"] == {"Brown."}
        assert made["How many men are there?"] == {"Two."}
        assert made["Is there a dog in the picture?"] == {"Yes."}
        assert "Running in the snow with two men." in made["What is the dog doing?"]
        assert made["Where was the picture taken?"] <= {"In the snow.", "Through the snow."}

    def test_what_no_caption_names_is_not_there(self) -> None:
        made = self.made()
        denied = [question for question, answers in made.items() if answers == {"No."}]
        hidden = [question for question, answers in made.items() if answers == {"Not visible."}]
        assert (len(denied), len(hidden)) == (1, 1)
        assert "dog" not in denied[0]
        assert hidden[0].startswith("What colour is the ")

    def test_captions_that_contradict_each_other_give_no_colour(self) -> None:
        made = from_captions(("A red ball.", "A blue ball."), np.random.default_rng(0))
        assert not [exchange for exchange in made if exchange.question == "What colour is the ball?"]

    def test_long_answers_are_left_out(self) -> None:
        assert from_pairs([("Why?", "because " * 12), ("Who?", "A man.")]) == [Exchange("Who?", "A man.")]


def test_captions_come_alone_before_questions_do() -> None:
    random = np.random.default_rng(0)
    assert {target.prompt for target in draw(LESSON, "So:", "{} A:", 3, False, random)} == {"So:"}
    both = draw(LESSON, "So:", "{} A:", 3, True, random)
    assert {target.prompt for target in both} == {"So:", "Who? A:"}


def test_every_lesson_comes_once_before_any_comes_again() -> None:
    lessons = [Lesson(Path(str(number)), ("x" * number,), ()) for number in range(50)]
    drawn = batches(lessons, 8, np.random.default_rng(0))
    assert sorted(number for _ in range(7) for number in next(drawn)) == list(range(50))
