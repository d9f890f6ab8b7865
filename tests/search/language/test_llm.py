"""Language models: scoring and writing with a real (tiny) transformers model, and a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from search.errors import LanguageModelError, SettingsError, UnavailableError
from search.language.backends import open_language_model
from search.language.llm import Image, LanguageModel, Limits, Request
from search.language.openai_compatible import RemoteModel
from search.settings import Settings

WIDTH = 32


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of random weights and a tokenizer of letters, as a user would name it."""
    from search.spaces.torchvision_schemas import declare_missing

    declare_missing()
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llama")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(["<|end|>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=0,
        bos_token_id=0,
    )
    LlamaForCausalLM(config).float().save_pretrained(folder)
    return folder


@pytest.fixture
def model(settings: Settings, checkpoint: Path) -> Iterator[LanguageModel]:
    model = open_language_model(msgspec.structs.replace(settings, llm=str(checkpoint), device="cpu"))
    yield model
    model.release()


def naive(checkpoint: Path, before: str, target: str) -> float:
    """The plain way: everything in one pass, all logits."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from search.spaces.device import choose_dtype

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=choose_dtype(torch.device("cpu")))
    first, second = (tokenizer(text).input_ids for text in (before, target))
    with torch.inference_mode():
        logs = model(torch.tensor([first + second])).logits[0].float().log_softmax(-1)
    return sum(float(logs[len(first) + i - 1, token]) for i, token in enumerate(second))


def test_a_shared_prefix_and_batches_change_no_likelihood(model: LanguageModel, checkpoint: Path) -> None:
    requests = [Request((middle,), target) for middle, target in (("a cat", " sat"), ("b", " ran far away"), ("", "x"))]
    requests[2] = Request(("c",), "x")
    likelihoods = model.score(("Once upon a time ",), requests)
    for request, likelihood in zip(requests, likelihoods, strict=True):
        expected = naive(checkpoint, f"Once upon a time {request.prompt[0]}", request.target)
        assert likelihood.log_probability == pytest.approx(expected, rel=0.02)
        assert likelihood.tokens == len(request.target)
        assert likelihood.per_token == pytest.approx(likelihood.log_probability / likelihood.tokens)


def test_a_prefix_is_not_changed_by_those_who_share_it(model: LanguageModel) -> None:
    one = Request(("a",), " word")
    first = model.score(("Prefix ",), [one])
    model.score(("Prefix ",), [Request(("quite another",), " thing"), Request(("b",), " c")])
    assert model.score(("Prefix ",), [one]) == first


def test_a_target_may_stand_right_behind_the_prefix(model: LanguageModel, checkpoint: Path) -> None:
    long, short = model.score(("Once upon a time",), [Request((), " there was"), Request((), "x")])
    assert long.log_probability == pytest.approx(naive(checkpoint, "Once upon a time", " there was"), rel=0.02)
    assert short.log_probability == pytest.approx(naive(checkpoint, "Once upon a time", "x"), rel=0.02)
    with pytest.raises(LanguageModelError, match="before it"):
        model.score((), [Request((), "x")])


def test_soft_tokens_equal_to_words_score_like_the_words(model: LanguageModel, checkpoint: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    embeddings: Any = AutoModelForCausalLM.from_pretrained(checkpoint).get_input_embeddings()
    words = embeddings.weight.detach().numpy()
    soft = words[AutoTokenizer.from_pretrained(checkpoint)("dog").input_ids]
    as_words, as_soft = model.score(("A ",), [Request(("dog", ":"), " barks"), Request((soft, ":"), " barks")])
    assert as_soft.log_probability == pytest.approx(as_words.log_probability, rel=0.01)


def test_soft_tokens_of_another_width_are_refused(model: LanguageModel) -> None:
    with pytest.raises(LanguageModelError, match="32 wide"):
        model.score((), [Request((np.zeros((2, 7), np.float32),), "x")])


def test_a_picture_is_refused_by_a_model_that_does_not_see(model: LanguageModel) -> None:
    with pytest.raises(LanguageModelError, match="not pictures"):
        model.write([(Image(b"..."),)], Limits())


def test_writing_in_a_batch_and_streaming_agree(model: LanguageModel) -> None:
    limits = Limits(tokens=12, stop=())
    prompts = [("Hello",), ("A longer beginning",), ("Other",)]
    batch = model.write(prompts, limits)
    assert [model.write([prompt], limits)[0] for prompt in prompts] == batch
    assert "".join(model.stream(prompts[1], limits)).strip() == batch[1]


def test_who_reads_a_stream_may_score_meanwhile(model: LanguageModel) -> None:
    """The answerer checks each sentence while the next one is written; both once waited for each other."""
    pieces = []
    for piece in model.stream(("Hello",), Limits(tokens=6, stop=())):
        pieces.append(piece)
        assert model.score((), [Request(("a",), "b")])
    assert "".join(pieces).strip() == model.write([("Hello",)], Limits(tokens=6, stop=()))[0]


def test_words_that_look_like_special_tokens_stay_words(model: LanguageModel) -> None:
    """Otherwise a transcript could end the turn."""
    (likelihood,) = model.score(("x",), [Request(("a",), "<|end|>")])
    assert likelihood.tokens == len("<|end|>")


def test_many_threads_may_ask_at_once(model: LanguageModel) -> None:
    alone = model.score(("P ",), [Request(("a",), " b")])
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(model.score(("P ",), [Request(("a",), " b")]))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 6


def test_an_empty_target_has_no_likelihood(model: LanguageModel) -> None:
    with pytest.raises(LanguageModelError, match="empty"):
        model.score(("x",), [Request(("a",), "")])


def test_a_model_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    missing = open_language_model(msgspec.structs.replace(settings, llm=str(tmp_path / "nowhere")))
    with pytest.raises(LanguageModelError, match=r"nowhere.*MEDLEY_LLM"):
        missing.write([("x",)], Limits())


def test_no_name_is_no_model(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="MEDLEY_LLM"):
        open_language_model(msgspec.structs.replace(settings, llm=" "))


# A server that speaks OpenAI's language.


class Server(BaseHTTPRequestHandler):
    requests: ClassVar[list[dict[str, Any]]] = []
    reply: ClassVar[bytes] = b""
    status: ClassVar[int] = 200
    may_reply: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
        assert self.may_reply.wait(30)
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.reply)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


def events(*texts: str) -> bytes:
    lines = [f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n" for text in texts]
    return ("".join(lines) + "data: [DONE]\n\n").encode()


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Server.requests, Server.reply, Server.status = [], events("Hel", "lo."), 200
    Server.may_reply.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    Server.may_reply.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def remote(settings: Settings, server: ThreadingHTTPServer) -> LanguageModel:
    return open_language_model(
        msgspec.structs.replace(
            settings,
            llm="openai:big-model",
            llm_base_url=f"http://127.0.0.1:{server.server_port}/v1",
            llm_api_key="sk-very-secret",
            llm_timeout_seconds=0.5,
        )
    )


def test_a_remote_model_writes_and_streams(remote: LanguageModel) -> None:
    assert list(remote.stream(("Say hello.",), Limits(stop=("\n",)))) == ["Hel", "lo."]
    assert remote.write([("one",), ("two",)], Limits()) == ["Hello.", "Hello."]
    first = Server.requests[0]
    assert first["path"] == "/v1/chat/completions"
    assert first["model"] == "big-model"
    assert first["messages"] == [{"role": "user", "content": "Say hello."}]
    assert first["key"] == "Bearer sk-very-secret"
    assert not remote.scores


def test_pictures_travel_as_data_urls(remote: LanguageModel) -> None:
    remote.write([("What is this?", Image(b"\xff\xd8jpeg", "image/jpeg"))], Limits())
    text, picture = Server.requests[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert picture["image_url"]["url"] == "data:image/jpeg;base64,/9hqcGVn"


@pytest.mark.parametrize(
    ("status", "reply", "error", "says"),
    [
        (401, b'{"error": {"message": "bad key"}}', LanguageModelError, "MEDLEY_LLM_API_KEY"),
        (404, b'{"error": "no such model"}', LanguageModelError, "no such model"),
        (500, b"<html>oops", UnavailableError, "500"),
        (429, b"{}", UnavailableError, "429"),
        (200, b"data: {not json}\n\n", LanguageModelError, "not a chat completion"),
        (200, b'data: {"error": {"message": "overloaded"}}\n\n', LanguageModelError, "overloaded"),
        (200, b'data: {"choices": "x"}\n\n', LanguageModelError, "not a chat completion"),
        (200, b"data: " + b"x" * 1_100_000, LanguageModelError, "line"),
    ],
)
def test_what_a_server_answers_wrongly_is_a_plain_error_without_the_key(
    remote: LanguageModel, status: int, reply: bytes, error: type[Exception], says: str
) -> None:
    Server.status, Server.reply = status, reply
    with pytest.raises(error, match=says) as caught:
        remote.write([("x",)], Limits())
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_silent_server_is_given_up_with_the_setting_named(remote: LanguageModel) -> None:
    Server.may_reply.clear()
    with pytest.raises(UnavailableError, match="MEDLEY_LLM_TIMEOUT_SECONDS"):
        remote.write([("x",)], Limits())


def test_an_unreachable_server_is_a_plain_error(settings: Settings) -> None:
    gone = msgspec.structs.replace(settings, llm="openai:m", llm_base_url="http://127.0.0.1:9/v1", llm_api_key="sk-x")
    with pytest.raises(UnavailableError, match="can't be reached"):
        open_language_model(gone).write([("x",)], Limits())


def test_the_key_is_in_no_representation(remote: LanguageModel, settings: Settings) -> None:
    assert "secret" not in repr(remote)
    with pytest.raises(SettingsError, match="http://"):
        RemoteModel.open(msgspec.structs.replace(settings, llm_base_url="file:///etc/passwd"), "m")
