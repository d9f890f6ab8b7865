"""onnx-asr as a backend, with a tiny model written to disk that hears loud and quiet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_asr.asr import TimestampedResult

from indexer.segmenting.makers import open_transcriber
from indexer.segmenting.onnx_asr_backend import OnnxTranscriber, utterance
from search.errors import SpaceError
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
VOCABULARY = ("▁low", "▁high", "er", "<blk>")
MELS = 80


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parakeet-like CTC model: says "low" where the low bands are loudest, "high" where the high ones are."""
    folder = tmp_path_factory.mktemp("tiny-ctc")
    weights = np.zeros((MELS, len(VOCABULARY)), np.float32)
    weights[:30, 0], weights[40:, 1] = 1.0, 1.0
    nodes = [
        helper.make_node("Transpose", ["audio_signal"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames", "weights"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["logprobs"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("audio_signal", TensorProto.FLOAT, ["b", MELS, "t"]),
            helper.make_tensor_value_info("length", TensorProto.INT64, ["b"]),
        ],
        [helper.make_tensor_value_info("logprobs", TensorProto.FLOAT, ["b", "t", len(VOCABULARY)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    (folder / "vocab.txt").write_text("".join(f"{token} {number}\n" for number, token in enumerate(VOCABULARY)))
    config = {"model_type": "nemo-conformer-ctc", "features_size": MELS, "subsampling_factor": 1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def tone(hertz: float, seconds: float) -> Waveform:
    times = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return np.asarray(0.5 * np.sin(2 * np.pi * hertz * times), np.float32)


def settings_of(home: Path, model: str) -> Settings:
    return Settings.load({}, home=home, device="cpu", speech_backend="onnx-asr", speech_model=model)


def test_words_come_with_the_times_at_which_they_were_heard(home: Path, model: Path) -> None:
    transcriber = open_transcriber(settings_of(home, str(model)))
    assert isinstance(transcriber, OnnxTranscriber)
    heard = np.concatenate([tone(200, 1), tone(5000, 1)])
    first, second = transcriber.transcribe([heard, heard[SAMPLE_RATE_HZ:]], "")
    assert "low high" in first.text
    change = next(word for word in first.words if word.text == " high" and word.start_seconds > 0.5)
    assert change.start_seconds == pytest.approx(1.0, abs=0.1)
    assert all(0 <= word.start_seconds <= word.end_seconds <= 2 for word in first.words)
    assert second.words[0].text.startswith(" high")
    assert 0 < first.words[0].probability <= 1
    transcriber.release()


def test_tokens_without_times_are_spread_over_the_stretch() -> None:
    heard = utterance(TimestampedResult("the old bridge", None, None, [-0.1, -0.3]), 14.0, "en")
    assert [word.text for word in heard.words] == [" the", " old", " bridge"]
    assert heard.words[0].start_seconds == 0
    assert heard.words[-1].end_seconds == pytest.approx(14.0)
    assert heard.mean_log_probability == pytest.approx(-0.2)
    assert heard.language == "en"


def test_pieces_of_a_word_are_one_word() -> None:
    result = TimestampedResult("lower high", [0.1, 0.2, 3.0], [" low", "er", " high"], [-0.1, -0.1, -0.2])
    low, high = utterance(result, 3.1, "").words
    assert (low.text, low.start_seconds) == (" lower", 0.1)
    assert low.end_seconds == pytest.approx(0.6), "a word does not last until the next one that is far away"
    assert high.end_seconds == pytest.approx(3.1)


def test_nothing_heard_is_said_so() -> None:
    silent = utterance(TimestampedResult("", [], [], []), 5.0, "")
    assert not silent.words
    assert silent.no_speech_probability == 1.0


def test_a_folder_that_holds_no_model_is_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="speech_model"):
        open_transcriber(settings_of(home, str(tmp_path))).transcribe([tone(200, 1)], "")
