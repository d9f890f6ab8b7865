"""A language model that sees, in small: random weights, and the promises that hold for any weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from search.errors import LanguageModelError
from search.language.causal import CausalModel
from search.language.looking import Chances
from search.multimodal.adapter import SHIPPED, SHIPPED_SOUNDS, Adapter, AdapterRecord, find_adapter, find_sounds
from search.multimodal.beam_search import Beams
from search.multimodal.low_rank import attach, linear_parts, merge
from search.multimodal.map_encoder import starter_identity
from search.multimodal.model import MultimodalModel
from search.multimodal.resampler import Resampler, ResamplerShape, windows
from search.multimodal.sound_encoder import PLACES as TIMES
from search.multimodal.sound_encoder import SoundMaps, middle
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.sound import FRAMES, STATES, WINDOW_SAMPLES, WINDOW_SECONDS
from search.spaces.torchvision_schemas import declare_missing

declare_missing()
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402  after the schemas are declared

WIDTH, LAYERS, LAYER, RANK, TOKENS, PLACES, CHANNELS, END = 32, 3, 1, 2, 4, 9, 12, 2


class Letters:
    """A tokenizer whose tokens are bytes."""

    bos_token_id, eos_token_id = 1, END

    def __call__(self, text: str, **_: object) -> Any:
        return type("Encoded", (), {"input_ids": [3 + byte % 60 for byte in text.encode()]})()

    def decode(self, ids: list[int], **_: object) -> str:
        return " ".join(map(str, ids))


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def adapter(network: Any, strength: float = 0.3) -> Adapter:
    torch.manual_seed(1)
    shape = ResamplerShape(places=PLACES, channels=CHANNELS, tokens=TOKENS, width=WIDTH, inner=16, heads=2)
    tensors: dict[str, np.ndarray] = {
        f"resampler.{name}": held.numpy() for name, held in Resampler(shape).state_dict().items()
    }
    for index in range(LAYER, LAYERS):
        for name, part in linear_parts(network.get_decoder().layers[index]):
            tensors[f"layers.{index}.{name}.a"] = torch.randn(RANK, part.in_features).numpy() * strength
            tensors[f"layers.{index}.{name}.b"] = torch.randn(part.out_features, RANK).numpy() * strength
    tensors["words"] = np.arange(64, dtype=np.int32)
    tensors["typical"] = torch.randn(5, TOKENS, WIDTH).numpy()
    record = AdapterRecord(
        encoder="any", model="tiny", layer=LAYER, rank=RANK, tokens=TOKENS, inner=16, heads=2, training={"data": "none"}
    )
    return Adapter(record, tensors)


def maps(count: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((count, PLACES, CHANNELS)).astype(np.float16)


def by_hand(network: Any, held: Adapter, soft: np.ndarray, ids: list[int]) -> torch.Tensor:
    """Logits at every word, computed without a cache: the lower layers read words, the upper ones all."""
    updates: Mapping[str, torch.Tensor] = {name: torch.from_numpy(t) for name, t in held.below("layers.").items()}
    decoder = network.get_decoder()
    inside = network.get_input_embeddings()(torch.tensor([[1, *ids]]))

    def run(states: torch.Tensor, layers: list[Any]) -> torch.Tensor:
        length = states.shape[1]
        places = torch.arange(length)[None]
        mask = torch.full((length, length), float("-inf")).triu(1)[None, None]
        for layer in layers:
            states = layer(states, attention_mask=mask, position_embeddings=decoder.rotary_emb(states, places))
        return states

    upper = copy.deepcopy(decoder.layers[LAYER:])
    for index, layer in enumerate(upper, start=LAYER):
        prefix = f"{index}."
        merge(layer, {name.removeprefix(prefix): t for name, t in updates.items() if name.startswith(prefix)})
    below = run(inside, list(decoder.layers[:LAYER]))
    mixed = torch.cat([below[:, :1], torch.from_numpy(soft)[None], below[:, 1:]], dim=1)
    above = decoder.norm(run(mixed, list(upper)))
    logits: torch.Tensor = network.lm_head(above)
    return logits[0, TOKENS + 1 :]


@torch.inference_mode()
def test_likelihoods_are_those_of_a_pass_without_any_cache(network: Any) -> None:
    held = adapter(network)
    model = MultimodalModel.build(network, Letters(), held)
    soft = model.soft_tokens(maps(3))
    words = ["ab", "a longer text", "c"]
    gains = model.gains(words, soft)
    asked = Letters()(held.record.caption).input_ids
    for row, tokens in enumerate(soft):
        for column, text in enumerate(words):
            target = [*Letters()(" " + text).input_ids, END]

            def told(one: np.ndarray, target: list[int] = target) -> float:
                logs = by_hand(network, held, one, asked + target)[len(asked) - 1 : -1].log_softmax(-1)
                return float(logs[torch.arange(len(target)), torch.tensor(target)].sum())

            others = [told(one) for one in (*held.tensors["typical"], *soft)]
            prior = np.logaddexp.reduce(others) - np.log(len(others))
            assert gains[row, column] == pytest.approx(told(tokens) - prior, abs=2e-2)
    for column, text in enumerate(words):
        nats = (gains[:, column] - gains[:, column].mean()) / (len(Letters()(" " + text).input_ids) + 1)
        assert model.fits(text, soft) == pytest.approx(nats, abs=1e-3)


@torch.inference_mode()
def test_one_beam_writes_what_the_likeliest_token_is_each_time(network: Any) -> None:
    held = adapter(network)
    model = MultimodalModel.build(network, Letters(), held)
    soft = model.soft_tokens(maps(2))
    written = model.captions(soft, [Beams(width=1, tokens=6)])
    for (said,), tokens in zip(written, soft, strict=True):
        ids = Letters()(held.record.caption).input_ids
        expected: list[int] = []
        while len(expected) < 6 and (best := int(by_hand(network, held, tokens, ids + expected)[-1].argmax())) != END:
            expected.append(best)
        assert said.words == " ".join(map(str, expected))


@torch.inference_mode()
def test_more_beams_find_no_less_likely_text(network: Any) -> None:
    model = MultimodalModel.build(network, Letters(), adapter(network))
    soft = model.soft_tokens(maps(4))
    narrow, wide = (model.captions(soft, [Beams(width=width, tokens=8, length_power=1.0)]) for width in (1, 6))
    best, only = ([likely[0].per_token for likely in found] for found in (wide, narrow))
    assert np.mean(best) >= np.mean(only)
    for likely in wide:
        assert len(likely) == 6  # all are different texts, the best first
        assert [said.per_token for said in likely] == sorted((said.per_token for said in likely), reverse=True)


@torch.inference_mode()
def test_captions_of_several_searches_stand_in_their_order_each_text_once(network: Any) -> None:
    model = MultimodalModel.build(network, Letters(), adapter(network))
    soft = model.soft_tokens(maps(2))
    one, three = Beams(width=1, tokens=6), Beams(width=3, tokens=6)
    both, first, second = (model.captions(soft, searches) for searches in ([one, three], [one], [three]))
    for likely, narrow, wide in zip(both, first, second, strict=True):
        assert [said.words for said in likely] == list(dict.fromkeys(said.words for said in (*narrow, *wide)))


def test_the_language_model_itself_stays_as_it_was(network: Any) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model = MultimodalModel.build(network, Letters(), adapter(network))
    model.answers("What is it?", model.soft_tokens(maps(1)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_layer_with_an_update_beside_it_is_the_layer_with_the_update_merged(network: Any) -> None:
    layer = copy.deepcopy(network.get_decoder().layers[0].mlp)
    merged = copy.deepcopy(layer)
    x = torch.randn(3, WIDTH)
    plain = layer(x)
    updates = attach(layer, RANK)
    assert torch.equal(layer(x), plain)  # begins as the layer itself
    for update in updates.values():
        torch.nn.init.normal_(update.b)
    merge(merged, {f"{name}.{part}": getattr(one, part) for name, one in updates.items() for part in ("a", "b")})
    assert torch.allclose(layer(x), merged(x), atol=1e-5)


def test_an_adapter_is_read_as_it_was_written_within_a_part_of_127(network: Any, tmp_path: Path) -> None:
    held = adapter(network)
    big = np.random.default_rng(0).standard_normal((80, 200)).astype(np.float32)
    held = Adapter(held.record, {**held.tensors, "big": big})
    path = tmp_path / "any.safetensors"
    held.save(path)
    read = Adapter.load(path)
    assert read.record == held.record
    assert read.tensors.keys() == held.tensors.keys()
    assert np.array_equal(read.tensors["words"], held.tensors["words"])
    assert np.abs(read.tensors["big"] - big).max() <= np.abs(big).max() / 127
    assert path.stat().st_size < sum(tensor.nbytes for tensor in held.tensors.values())


def test_what_is_no_adapter_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(LanguageModelError, match=r"broken\.safetensors: no multimodal adapter"):
        Adapter.load(tmp_path / "broken.safetensors")


def test_an_adapter_of_another_model_is_refused(network: Any) -> None:
    held = adapter(network)
    fewer = {name: tensor for name, tensor in held.tensors.items() if not name.startswith("layers.2.")}
    with pytest.raises(LanguageModelError, match="does not fit the language model"):
        MultimodalModel.build(network, Letters(), Adapter(held.record, fewer))


class TestLookup:
    """Files are found by what their records say."""

    def test_a_folder_before_the_package_wins(self, network: Any, tmp_path: Path) -> None:
        mine, shipped = tmp_path / "mine", tmp_path / "shipped"
        for folder in (mine, shipped):
            folder.mkdir()
            adapter(network).save(folder / "any name.safetensors")
        found = find_adapter("starter", "tiny", (mine, shipped))
        assert found == mine / "any name.safetensors"
        assert find_adapter("starter", "tiny", (tmp_path / "none", shipped)) is not None
        assert find_adapter("ViT-B-32", "tiny", (mine, shipped)) is None
        assert find_adapter("starter", "other", (mine, shipped)) is None

    def test_two_that_fit_are_named(self, network: Any, tmp_path: Path) -> None:
        for name in ("a", "b"):
            adapter(network).save(tmp_path / f"{name}.safetensors")
        with pytest.raises(LanguageModelError, match=r"a\.safetensors, b\.safetensors are for the same models"):
            find_adapter("starter", "tiny", (tmp_path,))

    def test_sounds_are_those_over_the_same_updates(self, network: Any, tmp_path: Path) -> None:
        base = adapter(network)
        base.save(tmp_path / "a.safetensors")
        read = Adapter.load(tmp_path / "a.safetensors")
        sounds(base, over="0123456789ab").save(tmp_path / "b.safetensors")
        assert find_sounds(read, (tmp_path,)) is None
        sounds(base, over=read.updates_identity).save(tmp_path / "c.safetensors")
        heard = find_sounds(read, (tmp_path,))
        assert heard is not None
        assert (heard.path, heard.base) == (tmp_path / "c.safetensors", read)
        found = find_adapter("starter", "tiny", (tmp_path,))  # which takes no sounds for pictures
        assert found == read.path


def test_adapters_are_told_apart_by_all_of_their_tensors(network: Any, tmp_path: Path) -> None:
    held = adapter(network)
    held.save(tmp_path / "a.safetensors")
    held = Adapter.load(tmp_path / "a.safetensors")
    held.save(tmp_path / "under another name.safetensors")
    assert Adapter.load(tmp_path / "under another name.safetensors").identity == held.identity
    others = {name: tensor + 1 if name == "typical" else tensor for name, tensor in held.tensors.items()}
    other = Adapter(held.record, others)
    assert other.updates_identity == held.updates_identity
    assert other.identity != held.identity


def test_chances_were_measured_with_the_adapters_that_ship() -> None:
    """New weights need `python -m training.looks`; until then what they tell supports by half."""
    base = Adapter.load(SHIPPED)
    chances = Chances.load()
    assert (chances.adapter, chances.sounds) == (base.identity, Adapter.load(SHIPPED_SOUNDS, base).identity)


def test_tokens_look_at_their_part_of_the_picture_first() -> None:
    looks = windows(9, 3).view(9, 9, 9)
    tops = [divmod(int(look.flatten().argmax()), 9) for look in looks]
    assert tops == [(row, column) for row in (1, 4, 7) for column in (1, 4, 7)]


def test_the_shipped_adapter_was_trained_for_the_shipped_encoder() -> None:
    held = Adapter.load(SHIPPED)
    assert held.record.encoder == starter_identity()
    assert {"flickr8k", "visual7w"} <= held.record.training.keys()  # the record names the data with their terms
    assert SHIPPED.stat().st_size < 7 * 2**20


def sounds(base: Adapter, over: str | None = None) -> Adapter:
    """The resampler of another encoder over the updates of `base`, with half of its words."""
    torch.manual_seed(4)
    shape = ResamplerShape(places=6, channels=5, tokens=2, width=WIDTH, inner=8, heads=2)
    tensors = {f"resampler.{name}": held.numpy() for name, held in Resampler(shape).state_dict().items()}
    tensors |= {"words": np.arange(2, 34, dtype=np.int32), "typical": torch.randn(3, 2, WIDTH).numpy()}
    record = msgspec.structs.replace(
        base.record, encoder="ears", tokens=2, inner=8, caption="Sound:", over=over or base.updates_identity
    )
    return Adapter(record, tensors, base)


class TestSounds:
    """A second encoder's resampler over the same updates."""

    MAPS = np.random.default_rng(3).standard_normal((2, 6, 5)).astype(np.float16)

    def test_they_are_read_as_with_the_updates_in_one_file(self, network: Any) -> None:
        base = adapter(network)
        heard = sounds(base)
        whole = Adapter(heard.record, {**base.tensors, **heard.tensors})
        beside = MultimodalModel.build(network, Letters(), base).beside(heard)
        alone = MultimodalModel.build(network, Letters(), whole)
        soft = beside.soft_tokens(self.MAPS)
        assert soft.shape == (2, 2, WIDTH)
        assert np.allclose(soft, alone.soft_tokens(self.MAPS))
        assert np.allclose(beside.gains(["ab", "c"], soft), alone.gains(["ab", "c"], soft), atol=1e-4)
        assert beside.answers("What?", soft) == alone.answers("What?", soft)

    def test_pictures_and_sounds_share_the_layers_of_one_model(self, network: Any) -> None:
        base = adapter(network)
        model = CausalModel(network, Letters())
        pictures, heard = model.adapted(base), model.adapted(sounds(base))
        assert model.adapted(base) is pictures
        assert heard.soft_tokens(self.MAPS).shape == (2, 2, WIDTH)
        assert pictures.soft_tokens(maps(1)).shape == (1, TOKENS, WIDTH)

    def test_the_file_names_the_updates_that_it_fits(self, network: Any, tmp_path: Path) -> None:
        base = adapter(network)
        path = tmp_path / "sounds.safetensors"
        heard = sounds(base)
        heard.save(path)
        read = Adapter.load(path, base)
        assert read.record == heard.record
        assert read.base is base
        assert np.allclose(read.tensors["resampler.window"], heard.tensors["resampler.window"], atol=1e-3)

    def test_files_that_do_not_fit_together_are_refused(self, network: Any, tmp_path: Path) -> None:
        base = adapter(network)
        path = tmp_path / "sounds.safetensors"
        sounds(base, over="0123456789ab").save(path)
        with pytest.raises(LanguageModelError, match=r"updates 0123456789ab, and these are .*multimodal_sounds"):
            Adapter.load(path, base)

    def test_a_resampler_for_another_width_is_refused(self, network: Any) -> None:
        base = adapter(network)
        heard = sounds(base)
        wrong = {**heard.tensors, "resampler.leave.bias": np.zeros(WIDTH + 1, np.float32)}
        with pytest.raises(LanguageModelError, match="does not fit its record"):
            MultimodalModel.build(network, Letters(), base).beside(Adapter(heard.record, wrong, base))

    def test_a_map_is_the_mean_of_states_in_their_time(self) -> None:
        class States:
            """The length of a window, with the number of each frame."""

            def states(self, windows: Sequence[Waveform]) -> np.ndarray:
                rows = np.stack(
                    [
                        np.full(
                            (FRAMES, STATES),
                            100.0 if len(window) < SAMPLE_RATE_HZ else 100 * len(window) / SAMPLE_RATE_HZ,
                        )
                        for window in windows
                    ]
                )
                return rows + np.arange(FRAMES, dtype=np.float32)[None, :, None]

        encoder = SoundMaps(States())  # type: ignore[arg-type]  # all of whisper that is asked
        (short, long) = encoder.maps([np.zeros(100, np.float32), np.zeros(WINDOW_SAMPLES * 3, np.float32)])
        assert short.shape == (TIMES, STATES)
        assert short[:2, 0].tolist() == [102, 107]
        assert long[0, 0] == WINDOW_SECONDS * 100 + 2  # one window of it

    def test_the_middle_of_a_long_sound_is_listened_to(self) -> None:
        sound = np.arange(WINDOW_SAMPLES * 2 + 10, dtype=np.float32)
        assert middle(sound)[0] == (WINDOW_SAMPLES + 10) // 2
        assert len(middle(sound)) == WINDOW_SAMPLES
        assert len(middle(sound[:50])) == 50


def test_the_shipped_resampler_of_sounds_fits_the_shipped_adapter() -> None:
    base = Adapter.load(SHIPPED)
    heard = Adapter.load(SHIPPED_SOUNDS, base)
    assert (heard.record.over, heard.record.layer) == (base.updates_identity, base.record.layer)
    assert heard.below("resampler.").keys() == base.below("resampler.").keys()
