"""Models of sentence-transformers as spaces: small random ones of the same architectures, and the shipped MiniLM."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import tiny_models

from search.errors import SpaceError, UsageError
from search.ranking.calibration import for_space
from search.settings import Settings
from search.signals import ENCODED, Sense, Signal
from search.spaces import registry, self_test, specification
from search.spaces.inputs import SAMPLE_RATE_HZ, ImageInput, fit_picture
from search.spaces.registry import Choice
from search.spaces.space import Space
from search.spaces.specification import ComposedSpecification, EncoderSpecification, Specification
from search.spaces.weights import MINILM

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.models]
RANDOM = np.random.default_rng(0)
PICTURES = [RANDOM.integers(0, 256, (60, 80, 3), np.uint8), RANDOM.integers(0, 256, (40, 32, 3), np.uint8)]
SOUND = np.asarray(0.1 * RANDOM.normal(size=2 * SAMPLE_RATE_HZ), np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def clip(folders: Path) -> str:
    return str(tiny_models.save_clip(folders / "clip"))


@pytest.fixture(scope="module")
def bert(folders: Path) -> str:
    return str(tiny_models.save_bert(folders / "bert", {"query": "query : ", "document": "passage : "}))


@pytest.fixture(scope="module")
def clap(folders: Path) -> str:
    return str(tiny_models.save_clap(folders / "clap"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load({}, home=tmp_path, device="cpu")


def minilm() -> str:
    return str(MINILM.find().parent)


def completed(wanted: Specification, settings: Settings) -> ComposedSpecification:
    complete = registry.complete(wanted, settings)
    assert isinstance(complete, ComposedSpecification)
    return complete


def opened(wanted: Specification, settings: Settings) -> Space:
    stored = specification.encode(completed(wanted, settings))
    return registry.open_space(specification.decode(stored), settings)


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray((left * right).sum(axis=1))


@pytest.mark.parametrize("save", [tiny_models.save_clip, tiny_models.save_siglip, tiny_models.save_qwen_vl])
def test_models_that_see_embed_pictures_as_their_library_does(save, settings: Settings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image
    from sentence_transformers import SentenceTransformer

    folder = str(save(tmp_path / "model"))
    space = opened(registry.describe(folder, choice=Choice(dtype="float32")), settings)
    ours = space.embed(Signal.IMAGE, [fit_picture(picture, space.image_input) for picture in PICTURES])
    model = SentenceTransformer(folder, device="cpu", local_files_only=True)
    theirs = model.encode_document([{"image": Image.fromarray(one)} for one in PICTURES], normalize_embeddings=True)
    assert cosines(ours, theirs).min() > 0.99
    asked = space.embed_query_text(["a dog", "a cat on the beach"])[Signal.IMAGE]
    assert (
        cosines(
            asked, model.encode_query([{"text": t} for t in ("a dog", "a cat on the beach")], normalize_embeddings=True)
        ).min()
        > 0.999
    )
    assert cosines(space.embed_query_image(PICTURES)[Signal.FRAME], ours).min() > 0.999, (
        "the same picture is the same vector"
    )


@pytest.mark.parametrize("save", [tiny_models.save_bert, tiny_models.save_gemma])
def test_models_of_words_leave_what_is_seen_and_heard_to_the_starter(save, settings: Settings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    space = opened(registry.describe(str(save(tmp_path / "model"))), settings)
    assert space.dimensions[Signal.SPEECH] == 16
    assert space.dimensions[Signal.IMAGE] == 384
    asked = space.embed_query_text(["a dog"])
    assert {signal: rows.shape[1] for signal, rows in asked.items()} == space.dimensions
    assert space.image_input == ImageInput(side=260, fit="squash", resample="bicubic")


def test_a_model_that_hears_gets_sounds_at_its_own_rate(clap: str, settings: Settings) -> None:
    space = opened(registry.describe_parts({Sense.HEARD: clap}, {}), settings)
    part = completed(registry.describe_parts({Sense.HEARD: clap}, {}), settings).heard
    assert isinstance(part, EncoderSpecification)
    assert part.rate_hz == 48_000
    vectors = space.embed(Signal.SOUND, [SOUND, SOUND[: SAMPLE_RATE_HZ // 2], np.tile(SOUND, 20)])
    assert vectors.shape == (3, 12)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    again = space.embed_query_sound([SOUND])
    assert cosines(again[Signal.SOUND], vectors[:1])[0] > 0.999
    assert again[Signal.IMAGE].shape == (1, 384), "the starter hears for its own signals"


def test_resampling_keeps_a_tone() -> None:
    from search.spaces.encoders.encoder import resampled

    seconds = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * 440 * seconds).astype(np.float32)
    faster = resampled(tone, 48_000)
    assert len(faster) == 48_000
    assert np.allclose(faster, np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000), atol=1e-3)


def test_each_sense_has_its_own_encoder_and_queries_of_it(clip: str, bert: str, settings: Settings) -> None:
    wanted = registry.describe_parts(
        {Sense.SEEN: clip, Sense.SAID: bert}, {Sense.SAID: Choice(dimension=8, dtype="float32")}
    )
    space = opened(wanted, settings)
    sizes = {Sense.SEEN: 12, Sense.SAID: 8, Sense.HEARD: 384}
    assert space.dimensions == {signal: sizes[signal.sense] for signal in ENCODED}
    queries = [
        space.embed_query_text(["a dog"]),
        space.embed_query_image(PICTURES[:1]),
        space.embed_query_sound([SOUND]),
    ]
    for asked in queries:
        assert {signal: rows.shape for signal, rows in asked.items()} == {
            signal: (1, size) for signal, size in space.dimensions.items()
        }
    assert not queries[1][Signal.SPEECH].any(), "a model of words has nothing to say about a picture"
    alone = opened(registry.describe(clip), settings)
    assert np.allclose(queries[0][Signal.IMAGE], alone.embed_query_text(["a dog"])[Signal.IMAGE], atol=1e-5)
    roles = dict(space.fingerprint.models)
    assert set(roles) == {"seen", "said", "heard"}
    assert roles["seen"] == dict(alone.fingerprint.models)["seen"]


def test_one_model_for_several_senses_is_loaded_once(clip: str, settings: Settings) -> None:
    space = opened(registry.describe(clip), settings)
    vectors = space.embed_query_text(["a dog"])
    assert vectors[Signal.IMAGE] is vectors[Signal.SPEECH]


def test_dimensions_are_the_first_numbers_and_unit_length(settings: Settings) -> None:
    whole = opened(registry.describe(minilm(), choice=Choice(dtype="float32")), settings)
    short = opened(registry.describe(minilm(), choice=Choice(dimension=256, dtype="float32")), settings)
    texts = ["a dog on the beach", "the train to Paris"]
    full, cut = (space.embed(Signal.SPEECH, texts) for space in (whole, short))
    assert cut.shape == (2, 256)
    kept = full[:, :256] / np.linalg.norm(full[:, :256], axis=1, keepdims=True)
    assert cosines(cut, kept).min() > 0.9999
    assert short.fingerprint.digest != whole.fingerprint.digest
    with pytest.raises(UsageError, match="384 numbers"):
        registry.complete(registry.describe(minilm(), choice=Choice(dimension=500)), settings)


def test_minilm_as_a_folder_finds_by_meaning(settings: Settings) -> None:
    space = opened(registry.describe(minilm()), settings)
    passages = ["the train to Paris leaves from platform four", "mix the flour with three eggs"]
    asked = space.embed_query_text(["when does my train go?", "how do I bake this?"])[Signal.SPEECH]
    assert (asked @ space.embed(Signal.SPEECH, passages).T).argmax(axis=1).tolist() == [0, 1]


def test_prompts_are_the_models_own_unless_others_are_named(bert: str, settings: Settings) -> None:
    def vectors(**chosen: str) -> tuple[np.ndarray, np.ndarray]:
        space = opened(registry.describe(bert, choice=Choice(dtype="float32", **chosen)), settings)  # type: ignore[arg-type]
        return space.embed_query_text(["a dog"])[Signal.TEXT], space.embed(Signal.TEXT, ["a dog"])

    query, passage = vectors()
    assert cosines(query, passage)[0] < 0.9999
    same_query, same_passage = vectors(query_prompt="", passage_prompt="")
    assert np.allclose(same_query, same_passage, atol=1e-6)
    named_query, _ = vectors(query_prompt="query : ")
    assert np.allclose(named_query, query, atol=1e-6)


def test_pooling_can_be_chosen_where_a_model_pools(bert: str, clip: str, settings: Settings) -> None:
    mean, first = (opened(registry.describe(bert, choice=Choice(pooling=pooling)), settings) for pooling in ("", "cls"))
    assert cosines(mean.embed(Signal.TEXT, ["a dog"]), first.embed(Signal.TEXT, ["a dog"]))[0] < 0.999
    assert mean.fingerprint.digest != first.fingerprint.digest
    with pytest.raises(UsageError, match="no pooling"):
        registry.complete(registry.describe(clip, choice=Choice(pooling="cls")), settings)


def test_words_that_look_like_an_address_are_words(clip: str, settings: Settings) -> None:
    space = opened(registry.describe(clip), settings)
    addresses = ["https://example.org/secret.png", "/etc/passwd.jpg", "file:///etc/hosts.wav"]
    assert space.embed(Signal.SPEECH, addresses).shape == (3, 12)
    assert space.embed_query_text(addresses)[Signal.IMAGE].shape == (3, 12)


def test_the_probe_holds_and_changed_files_are_refused(clip: str, settings: Settings, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(clip, folder)
    stored = specification.encode(completed(registry.describe(str(folder)), settings))
    space = registry.open_space(specification.decode(stored), settings)
    self_test.check(space, self_test.take(space), "tiny")
    space.release()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"note": "changed"}))
    with pytest.raises(SpaceError, match="sha256"):
        registry.open_space(specification.decode(stored), settings).embed_query_text(["a dog"])


def test_pickles_code_and_adapters_are_refused(bert: str, settings: Settings, tmp_path: Path) -> None:
    import shutil

    def refused(name: str, match: str) -> None:
        with pytest.raises(SpaceError, match=match):
            registry.complete(registry.describe(str(tmp_path / name)), settings)

    for name in ("pickle", "code", "adapter", "module"):
        shutil.copytree(bert, tmp_path / name)
    (tmp_path / "pickle" / "model.safetensors").rename(tmp_path / "pickle" / "pytorch_model.bin")
    refused("pickle", "safetensors")
    shutil.copytree(bert, tmp_path / "half")
    (tmp_path / "half" / "2_Dense").mkdir()
    (tmp_path / "half" / "2_Dense" / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    refused("half", "pickle")
    ran = tmp_path / "ran"
    for name in ("code", "module"):
        (tmp_path / name / "mine.py").write_text(f"open({str(ran)!r}, 'w')\nclass Mine:\n    pass\n")
    config = json.loads((tmp_path / "code" / "config.json").read_text())
    foreign = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}}
    (tmp_path / "code" / "config.json").write_text(json.dumps(config | foreign))
    refused("code", "code of its own")
    modules = json.loads((tmp_path / "module" / "modules.json").read_text())
    modules[0]["type"] = "mine.Mine"
    (tmp_path / "module" / "modules.json").write_text(json.dumps(modules))
    refused("module", "code of its own")
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    refused("adapter", "merge")
    assert not ran.exists()


def test_a_model_is_not_taken_for_what_it_can_not_do(bert: str, settings: Settings) -> None:
    with pytest.raises(SpaceError, match="can't embed what is seen"):
        registry.complete(registry.describe_parts({Sense.SEEN: bert}, {}), settings)
    with pytest.raises(UsageError, match="--images"):
        registry.describe_parts({Sense.SAID: "hf-hub:timm/ViT-B-16-SigLIP2"}, {})
    with pytest.raises(SpaceError, match="no folder"):
        registry.complete(registry.describe_parts({Sense.SAID: "/nowhere/at/all"}, {}), settings)


def test_curves_of_the_starters_part_stay_true(bert: str, settings: Settings) -> None:
    space = opened(registry.describe(bert), settings)
    calibration = for_space(None, space.fingerprint.digest, dict(space.fingerprint.models))
    assert "image/text" in calibration.curves
    assert "speech/text" not in calibration.curves


def test_names_say_which_library_they_are_of(tmp_path: Path) -> None:
    named = {
        "ViT-B-32@laion2b_s34b_b79k": "ClipSpecification",
        "hf-hub:timm/PE-Core-B-16": "ClipSpecification",
        "ViT-B-32": "ClipSpecification",
        "google/embeddinggemma-300m": "EncoderSpecification",
        str(tmp_path): "EncoderSpecification",
        "starter": "StarterSpecification",
    }
    assert {name: type(registry.describe(name)).__name__ for name in named} == named
    assert [registry.names_local_files(name) for name in named] == [False, False, False, False, True, False]
